"""What an archive holds, by channel and time, from names (or an index) alone.

A listing may hold a million objects, so each is kept as about a hundred bytes of columns and becomes an
:class:`~scaledec.vocabulary.ArchiveObject` only when it is asked for.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scaledec.vocabulary import ArchiveObject, ChannelId

__all__ = ["Listing", "Neighbourhood", "Span"]


class Span(NamedTuple):
    """One object and the time it is expected to hold of one channel, end exclusive."""

    start_ns: int
    end_ns: int
    object: ArchiveObject


class Neighbourhood(NamedTuple):
    """The objects near one segment, as numbers to ask the listing with."""

    time_index: int
    before: tuple[int, ...]
    """Those expected to end before the segment begins."""
    own: tuple[int, ...]
    """Those expected to hold a part of it."""
    after: tuple[int, ...]
    """Those expected to begin after its end."""


class _Texts:
    """Many short texts as one block of bytes."""

    def __init__(self) -> None:
        self._block = bytearray()
        self._ends = array("q", [0])

    def append(self, text: str) -> None:
        self._block += text.encode()
        self._ends.append(len(self._block))

    def raw(self, index: int) -> bytes:
        return bytes(self._block[self._ends[index] : self._ends[index + 1]])


class _Objects:
    """The objects of one channel: columns in the order they came, read in the order of time."""

    def __init__(self) -> None:
        self._keys, self._versions = _Texts(), _Texts()
        self._sizes, self._starts, self._ends = array("q"), array("q"), array("q")
        self._order: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self.starts_ns: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self.ends_ns: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self.longest_ns = 0

    def append(self, span: Span) -> None:
        self._starts.append(span.start_ns)
        self._ends.append(span.end_ns)
        self._keys.append(span.object.key)
        self._sizes.append(span.object.size)
        self._versions.append(span.object.version)

    def close(self) -> None:
        """Bring the columns into the order of start, end and object; nothing is appended afterwards."""
        starts, ends = np.array(self._starts, np.int64), np.array(self._ends, np.int64)
        order = np.lexsort((ends, starts))
        same = (np.diff(starts[order]) == 0) & (np.diff(ends[order]) == 0)
        if same.any():  # several objects of one time: by their names, whatever the order they were listed in
            items = [(starts[i], ends[i], self._item(int(i))) for i in range(len(starts))]
            order = np.array(sorted(range(len(items)), key=items.__getitem__), np.int64)
        self._order, self.starts_ns, self.ends_ns = order, starts[order], ends[order]
        self.longest_ns = int((ends - starts).max())

    def item(self, number: int) -> ArchiveObject:
        return self._item(int(self._order[number]))

    def digest(self, number: int) -> bytes:
        row = int(self._order[number])
        text = b"%b\0%d\0%b" % (self._keys.raw(row), self._sizes[row], self._versions.raw(row))
        return hashlib.blake2b(text, digest_size=8).digest()

    def inside(self, start_ns: int | None, end_ns: int | None) -> npt.NDArray[np.bool_]:
        """Which of the objects touch an interval."""
        touches = np.ones(len(self.starts_ns), bool)
        if start_ns is not None:
            touches &= self.ends_ns > start_ns
        if end_ns is not None:
            touches &= self.starts_ns < end_ns
        return touches

    def size(self, number: int) -> int:
        return self._sizes[int(self._order[number])]

    def _item(self, row: int) -> ArchiveObject:
        return ArchiveObject(self._keys.raw(row).decode(), self._sizes[row], self._versions.raw(row).decode())


class Listing:
    """Objects of the wanted channels, for quick questions about any interval.

    Parameters
    ----------
    spans
        For each channel its objects; those beyond the wanted time serve its edges only.
    start_ns, end_ns
        The wanted time; ``None`` is without limit.
    slack_ns
        How far outside its expected time an object may hold samples.
    ignored
        Keys that were found but whose names say nothing.
    unreadable
        Objects that could not be indexed, and why.
    """

    def __init__(
        self,
        spans: Iterable[tuple[ChannelId, Span]],
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        slack_ns: int,
        ignored: Sequence[str] = (),
        unreadable: Sequence[tuple[ArchiveObject, str]] = (),
    ) -> None:
        by_channel: dict[ChannelId, _Objects] = {}
        for channel, span in spans:
            if (own := by_channel.get(channel)) is None:
                own = by_channel[channel] = _Objects()
            own.append(span)
        # Read last: a layout may note what it ignores while its spans are asked for.
        self.ignored = tuple(ignored)
        self.unreadable = tuple(unreadable)
        self._slack_ns = slack_ns
        self._by_channel: dict[ChannelId, _Objects] = {}
        first: int | None = None
        last: int | None = None
        found: list[npt.NDArray[np.uint64]] = []
        sizes: list[npt.NDArray[np.int64]] = []
        for channel in sorted(by_channel):
            own = by_channel.pop(channel)
            own.close()
            numbers = np.flatnonzero(own.inside(start_ns, end_ns))
            if not len(numbers):
                continue
            self._by_channel[channel] = own
            begin, stop = int(own.starts_ns[numbers].min()), int(own.ends_ns[numbers].max())
            first = begin if first is None else min(first, begin)
            last = stop if last is None else max(last, stop)
            digests = b"".join(own.digest(number) for number in numbers.tolist())
            found.append(np.frombuffer(digests, np.uint64))
            sizes.append(np.array([own.size(number) for number in numbers.tolist()], np.int64))
        self._span = (
            max(first or 0, start_ns) if start_ns is not None else (first or 0),
            min(last or 0, end_ns) if end_ns is not None else (last or 0),
        )
        self._n_objects, self._n_bytes = distinct(found, sizes)

    @property
    def channels(self) -> tuple[ChannelId, ...]:
        """The channels that hold something of the wanted time, sorted."""
        return tuple(self._by_channel)

    def has(self, channel: ChannelId) -> bool:
        """Whether the channel holds something of the wanted time."""
        return channel in self._by_channel

    @property
    def span(self) -> tuple[int, int]:
        """(start, end) of what is there within the wanted time; (0, 0) for nothing."""
        return self._span

    @property
    def n_objects(self) -> int:
        """Objects within the wanted time."""
        return self._n_objects

    @property
    def n_bytes(self) -> int:
        """Their size together."""
        return self._n_bytes

    def objects_for(self, channel: ChannelId, start_ns: int, end_ns: int) -> tuple[ArchiveObject, ...]:
        """Objects that may hold samples of ``[start_ns, end_ns)`` or of its margins, by expected time.

        Those of neighbouring days are among them: a day's file may begin late or run over.
        """
        for near in self.neighbourhoods(channel, start_ns, end_ns - start_ns, range(1)):
            return tuple(
                self.object(channel, number) for number in sorted((*near.before, *near.own, *near.after))
            )
        return ()

    def neighbourhoods(
        self, channel: ChannelId, start_ns: int, segment_ns: int, time_indices: Sequence[int]
    ) -> Iterator[Neighbourhood]:
        """What lies near each segment of a channel, segments with nothing near left out.

        Parameters
        ----------
        start_ns, segment_ns
            Start of the segment of index 0, and the length of each.
        time_indices
            The segments that are asked for, in any order.
        """
        own = self._by_channel.get(channel)
        if own is None:
            return
        indices = _as_array(time_indices)
        begins = start_ns + indices * segment_ns
        firsts = np.searchsorted(own.starts_ns, begins - self._slack_ns - own.longest_ns)
        stops = np.searchsorted(own.starts_ns, begins + segment_ns + self._slack_ns)
        # Of decades in which a station recorded for weeks, only the weeks are gone through.
        columns = np.stack([indices, begins, firsts, stops])[:, stops > firsts]
        starts, ends = own.starts_ns.tolist(), own.ends_ns.tolist()
        for time_index, begin, first, stop in columns.T.tolist():
            near = [n for n in range(first, stop) if ends[n] > begin - self._slack_ns]
            if near:
                end = begin + segment_ns
                yield Neighbourhood(
                    time_index,
                    tuple([n for n in near if ends[n] <= begin]),
                    tuple([n for n in near if ends[n] > begin and starts[n] < end]),
                    tuple([n for n in near if starts[n] >= end]),
                )

    def object(self, channel: ChannelId, number: int) -> ArchiveObject:
        """The object of a number in a :class:`Neighbourhood`."""
        return self._by_channel[channel].item(number)

    def digest(self, channel: ChannelId, number: int) -> bytes:
        """As :meth:`digests`, of one object."""
        return self._by_channel[channel].digest(number)

    def digests(self, channel: ChannelId) -> list[bytes]:
        """Eight bytes for each object of a channel, by number: others if its key, size or version is."""
        own = self._by_channel[channel]
        return [own.digest(number) for number in range(len(own.starts_ns))]

    def sizes(self, channel: ChannelId) -> list[int]:
        """Bytes of each object of a channel, by number."""
        own = self._by_channel[channel]
        return [own.size(number) for number in range(len(own.starts_ns))]


def _as_array(indices: Sequence[int]) -> npt.NDArray[np.int64]:
    if isinstance(indices, range):
        return np.arange(indices.start, indices.stop, indices.step, dtype=np.int64)
    return np.asarray(indices, np.int64)


def distinct(
    digests: Sequence[npt.NDArray[np.uint64]], sizes: Sequence[npt.NDArray[np.int64]]
) -> tuple[int, int]:
    """How many different objects there are, and their bytes: one may hold several channels."""
    if not digests:
        return 0, 0
    _, firsts = np.unique(np.concatenate(digests), return_index=True)
    return len(firsts), int(np.concatenate(sizes)[firsts].sum())
