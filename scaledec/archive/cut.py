"""Stretches of an archive as miniSEED: the recorded samples of a channel between two instants.

Samples are cut, not records: a file holds exactly the stretch that was asked for. Their values and times
are those of the archive, on no grid, with nothing filled, filtered or resampled; only the packing is new.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from scaledec.archive.archive import Archive, Listing
from scaledec.archive.miniseed import Piece, read_pieces
from scaledec.archive.write import Encoding, write_miniseed
from scaledec.errors import UnreadableInputError
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ArchiveObject, ChannelId

__all__ = ["Cut", "Cutter"]

# Headers tell times to the microsecond: a sample that little before an instant counts as being at it.
_SLACK_NS = 1_000
_KEPT_OBJECTS = 4
_FLOATS: dict[str, Encoding] = {"float32": "float32", "float64": "float64"}


@dataclass(frozen=True, slots=True)
class Cut:
    """What an archive holds of a stretch."""

    data: bytes
    """miniSEED 2, records of 512 bytes, by time; empty if there is no sample."""
    n_samples: int
    n_gaps: int
    """Between its samples: half a sample too long or more."""
    unreadable: tuple[tuple[str, str], ...]
    """Keys of objects that could not be used, and why."""


@dataclass(slots=True)
class Cutter:
    """Cuts stretches out of an archive; ask by channel and time, then each object is read once."""

    archive: Archive
    listing: Listing
    """Of at least the channels and the time that are asked for."""
    _objects: OrderedDict[ArchiveObject, bytes | str] = field(default_factory=OrderedDict)
    """The last objects that were read, or why they could not be."""

    def cut(self, channel: ChannelId, start_ns: int, end_ns: int) -> Cut:
        """The samples of ``[start_ns, end_ns)``; where two objects hold the same time, the first one's."""
        near = self.listing.objects_for(channel, start_ns, end_ns)
        own = [item for item in near if self._may_hold(item, start_ns, end_ns)]
        refused: dict[str, str] = {}
        pieces = list(self._pieces(own, channel, start_ns, end_ns, refused))
        if not _covers(pieces, start_ns, end_ns):
            # A day's file may begin late or run over: what a neighbour holds fills what is missing.
            others = [item for item in near if item not in own]
            pieces += self._pieces(others, channel, start_ns, end_ns, refused)
        whole = list(_without_overlaps(pieces, start_ns, end_ns))
        data = b"".join(map(_packed, whole))
        gaps = [b.start_ns - _end_ns(a) > _period_ns(a) / 2 for a, b in pairwise(whole)]
        return Cut(data, sum(len(piece.samples) for piece in whole), sum(gaps), tuple(refused.items()))

    def _may_hold(self, item: ArchiveObject, start_ns: int, end_ns: int) -> bool:
        span = self.archive.nominal_span_ns(item)
        return span is None or (span[0] < end_ns and span[1] > start_ns)

    def _pieces(
        self,
        items: Iterable[ArchiveObject],
        channel: ChannelId,
        start_ns: int,
        end_ns: int,
        refused: dict[str, str],
    ) -> Iterator[Piece]:
        for item in sorted(items):
            data = self._read(item)
            if isinstance(data, str):
                refused[item.key] = data
                continue
            if not data and self.archive.is_service:
                continue
            try:
                found = read_pieces(data, channel=channel, start_ns=start_ns, end_ns=end_ns, name=item.key)
            except UnreadableInputError as error:
                refused[item.key] = str(error)
                continue
            yield from found.pieces

    def _read(self, item: ArchiveObject) -> bytes | str:
        """An object's bytes, or why they cannot be had."""
        if item not in self._objects:
            try:
                self._objects[item] = self.archive.read(item)
            except UnreadableInputError as error:
                self._objects[item] = str(error)
            while len(self._objects) > _KEPT_OBJECTS:
                self._objects.popitem(last=False)
        self._objects.move_to_end(item)
        return self._objects[item]


def _period_ns(piece: Piece) -> float:
    return NANOSECONDS_PER_SECOND / piece.sampling_rate_hz


def _end_ns(piece: Piece) -> int:
    return piece.start_ns + round(len(piece.samples) * _period_ns(piece))


def _covers(pieces: Iterable[Piece], start_ns: int, end_ns: int) -> bool:
    """Whether a sample lies at both ends, so that no neighbour can add any there."""
    pieces = list(pieces)
    begins = any(piece.start_ns <= start_ns + _period_ns(piece) for piece in pieces)
    return begins and any(_end_ns(piece) >= end_ns - _period_ns(piece) for piece in pieces)


def _without_overlaps(pieces: Iterable[Piece], start_ns: int, end_ns: int) -> Iterator[Piece]:
    """The pieces' samples inside the stretch, each instant once, by time."""
    reached_ns = start_ns
    for piece in sorted(pieces, key=lambda piece: (piece.start_ns, -len(piece.samples))):
        period = _period_ns(piece)
        inside = math.ceil((start_ns - piece.start_ns - _SLACK_NS) / period)
        # A clock that is set back by less than half a sample repeats none.
        beyond = math.ceil((reached_ns - piece.start_ns) / period - 0.5)
        first = max(0, inside, beyond)
        stop = min(len(piece.samples), math.ceil((end_ns - piece.start_ns - _SLACK_NS) / period))
        if first < stop:
            begin_ns = piece.start_ns + round(first * period)
            cut = Piece(piece.channel, begin_ns, piece.sampling_rate_hz, piece.samples[first:stop])
            reached_ns = _end_ns(cut)
            yield cut


def _packed(piece: Piece) -> bytes:
    encoding = _FLOATS.get(piece.samples.dtype.name, "steim2")
    place = (piece.channel, piece.start_ns, piece.sampling_rate_hz, np.ascontiguousarray(piece.samples))
    try:
        return write_miniseed(*place, encoding=encoding)
    except ValueError:
        if encoding != "steim2":
            raise
        return write_miniseed(*place, encoding="int32")  # differences beyond what Steim-2 can hold
