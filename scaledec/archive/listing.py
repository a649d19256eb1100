"""What an archive holds, by channel and time, from names (or an index) alone."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scaledec.vocabulary import ArchiveObject, ChannelId

__all__ = ["Listing", "Span"]


class Span(NamedTuple):
    """One object and the time it is expected to hold of one channel, end exclusive."""

    start_ns: int
    end_ns: int
    object: ArchiveObject


@dataclass(frozen=True, slots=True, eq=False)
class _ChannelSpans:
    """The objects of one channel by start time."""

    spans: tuple[Span, ...]
    starts_ns: tuple[int, ...]
    longest_ns: int


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
        self.ignored = tuple(ignored)
        self.unreadable = tuple(unreadable)
        self._slack_ns = slack_ns
        by_channel: dict[ChannelId, list[Span]] = {}
        for channel, span in spans:
            by_channel.setdefault(channel, []).append(span)
        wanted = [
            channel
            for channel, own in by_channel.items()
            if any(_touches(span, start_ns, end_ns) for span in own)
        ]
        self._by_channel = {channel: _sort(by_channel[channel]) for channel in sorted(wanted)}
        inside = [
            span
            for own in self._by_channel.values()
            for span in own.spans
            if _touches(span, start_ns, end_ns)
        ]
        first = min((span.start_ns for span in inside), default=0)
        last = max((span.end_ns for span in inside), default=0)
        self._span = (
            first if start_ns is None else max(first, start_ns),
            last if end_ns is None else min(last, end_ns),
        )
        self._n_objects = len({span.object.key for span in inside})
        self._n_bytes = sum({span.object.key: span.object.size for span in inside}.values())

    @property
    def channels(self) -> tuple[ChannelId, ...]:
        """The channels that hold something of the wanted time, sorted."""
        return tuple(self._by_channel)

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
        own = self._by_channel.get(channel)
        if own is None:
            return ()
        early, late = start_ns - self._slack_ns, end_ns + self._slack_ns
        first = bisect.bisect_left(own.starts_ns, early - own.longest_ns)
        stop = bisect.bisect_left(own.starts_ns, late)
        return tuple(span.object for span in own.spans[first:stop] if span.end_ns > early)


def _touches(span: Span, start_ns: int | None, end_ns: int | None) -> bool:
    return (end_ns is None or span.start_ns < end_ns) and (start_ns is None or span.end_ns > start_ns)


def _sort(spans: list[Span]) -> _ChannelSpans:
    ordered = sorted(spans)
    return _ChannelSpans(
        spans=tuple(ordered),
        starts_ns=tuple(span.start_ns for span in ordered),
        longest_ns=max(span.end_ns - span.start_ns for span in ordered),
    )
