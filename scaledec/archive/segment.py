"""The samples of one segment from any number of objects, the neighbours' edges included.

Objects expected to hold the segment's own time are read first, by key; what they hold stays. A
neighbour (the day before, the day after) only fills what is then still missing: it is opened when
samples are missing at its side's edge, and only its records that reach into the segment are decoded.
All headers of an opened object are looked at, because records need not be in time order.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from scaledec.archive.archive import Archive
from scaledec.archive.arena import Arena
from scaledec.archive.assemble import Canvas, SegmentSamples
from scaledec.archive.miniseed import Piece, ReadOutcome, read_pieces
from scaledec.errors import UnreachableInputError, UnreadableInputError
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ArchiveObject, ChannelId

__all__ = ["MarginSamples", "SegmentRead", "Side", "no_margin", "read_segment"]

Side: TypeAlias = Literal["before", "after"]
"""Where of a segment a neighbour lies."""

MarginSamples: TypeAlias = Callable[[float], tuple[int, int]]
"""Native sampling rate -> samples wanted before the segment's start and after its end."""

# So near the segment samples tell its sampling rate, and with it the true margin.
_NEAR_NS = 30 * NANOSECONDS_PER_SECOND
# Rates closer than this (relative) are one rate that drifts or was written down inexactly.
_SAME_RATE = 1e-4
_MOST_SAMPLES = 1 << 30
# Samples by which a length computed in floating point may exceed a whole number.
_WHOLE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class SegmentRead:
    """One channel and segment at its native rate, and how it came about."""

    segment: SegmentSamples | None
    """Margins included; ``None`` if the objects hold no sample of it."""
    native_rate_hz: float
    """Of the grid; 0 where ``segment`` is ``None``."""
    margin: tuple[int, int]
    """Grid points before the segment's start and after its end."""
    objects_used: tuple[ArchiveObject, ...]
    """Those that gave samples."""
    open_edges: tuple[Side, ...]
    """Where the segment's own objects left samples missing: neighbours elsewhere change nothing."""
    unreadable: tuple[tuple[ArchiveObject, str], ...]
    """Those that could not be used, and why."""
    unreachable: tuple[ArchiveObject, ...]
    """Those of them that could not be fetched, and may be another time."""
    changed: tuple[ArchiveObject, ...]
    """Those that are no longer what was listed; what they held when they were read is used."""
    foreign: tuple[str, ...]
    """Ids of other channels met in the objects."""
    notes: tuple[str, ...]
    """Sentences about what was left out or looked wrong."""
    bytes_read: int
    read_s: float
    """Seconds spent reading bytes."""
    decode_s: float
    """Seconds spent decoding and assembling."""


def no_margin(sampling_rate_hz: float) -> tuple[int, int]:
    """The segment alone."""
    return 0, 0


def read_segment(
    archive: Archive,
    channel: ChannelId,
    objects: Sequence[ArchiveObject],
    *,
    start_ns: int,
    end_ns: int,
    margin_samples: MarginSamples = no_margin,
    expected_s: float = 0.0,
    neighbours: tuple[int, int] | None = None,
) -> SegmentRead:
    """Samples of ``[start_ns, end_ns)`` and its margins on the grid anchored at ``start_ns``.

    The native rate is that of most samples of the segment; samples at other rates are left out and
    reported. Grid point ``margin[0]`` is the segment's start.

    Parameters
    ----------
    archive, channel, objects
        What to read; objects as ``Listing.objects_for`` gives them, in any order.
    start_ns, end_ns
        The segment.
    margin_samples
        Margins in native samples, asked for once the rate is known.
    expected_s
        How long the margins will likely be: where they are longer, objects are decoded twice.
    neighbours
        How many of the objects, from the first and from the last, are expected before and after the
        segment; ``None``: their names say so, and in any order.

    Raises
    ------
    UnreadableInputError
        If objects of the segment's own time cannot be used and none of the others gives a sample of it.
    """
    reader = _SegmentReader(archive, channel, start_ns, end_ns)
    own, beside = reader.sort_out(objects) if neighbours is None else _parted(objects, neighbours)
    return reader.read(own, beside, margin_samples, expected_s)


_Parted: TypeAlias = "tuple[list[ArchiveObject], list[tuple[ArchiveObject, Side]]]"


def _parted(objects: Sequence[ArchiveObject], neighbours: tuple[int, int]) -> _Parted:
    """The segment's own objects and its neighbours, each by name."""
    n_before, stop = neighbours[0], len(objects) - neighbours[1]
    beside: list[tuple[ArchiveObject, Side]] = [(item, "before") for item in objects[:n_before]]
    beside += [(item, "after") for item in objects[stop:]]
    return sorted(objects[n_before:stop]), sorted(beside)


@dataclass(slots=True)
class _Opened:
    item: ArchiveObject
    data: bytes
    outcome: ReadOutcome


@dataclass(slots=True)
class _SegmentReader:
    """The state of one reading: what was opened, what was refused, how long it took."""

    archive: Archive
    channel: ChannelId
    start_ns: int
    end_ns: int
    used: list[ArchiveObject] = field(default_factory=list)
    refused: list[tuple[ArchiveObject, str]] = field(default_factory=list)
    unreachable: list[ArchiveObject] = field(default_factory=list)
    changed: list[ArchiveObject] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    other_rates: dict[float, int] = field(default_factory=dict)
    bytes_read: int = 0
    read_s: float = 0.0
    began_s: float = field(default_factory=time.perf_counter)

    def read(
        self,
        own: Sequence[ArchiveObject],
        neighbours: Sequence[tuple[ArchiveObject, Side]],
        margin_samples: MarginSamples,
        expected_s: float,
    ) -> SegmentRead:
        """See :func:`read_segment`."""
        _arena.reset()
        edges: tuple[Side, ...] = ()
        first_ns = max(_NEAR_NS, math.ceil(expected_s * NANOSECONDS_PER_SECOND))
        reach = (self.start_ns - first_ns, self.end_ns + first_ns)
        opened = self._open(own, reach)
        if not any(self._near(found) for found in opened):
            if self.refused:
                raise UnreadableInputError("; ".join(reason for _, reason in self.refused))
            edges = ("before", "after")
            opened += self._open([item for item, _ in neighbours], reach)
            neighbours = ()
        rate = self._native_rate(opened)
        if rate is None:
            return self._result(None, 0.0, (0, 0), edges)
        margin = margin_samples(rate)
        wanted = self._reach(rate, margin)
        if wanted[0] < reach[0] or wanted[1] > reach[1]:
            _arena.reset()
            opened = [
                _Opened(found.item, found.data, self._decode(found.item, found.data, wanted))
                for found in opened
            ]
        canvas = self._canvas(rate, margin)
        self._lay(opened, canvas, wanted)
        edges = edges or _open_edges(canvas)
        for item, side in neighbours:
            if side in _open_edges(canvas):
                self._lay(self._open([item], wanted), canvas, wanted)
        return self._result(canvas, rate, margin, edges)

    def _near(self, found: _Opened) -> list[Piece]:
        """Pieces of an object that hold samples of the segment or lie near it."""
        near = (self.start_ns - _NEAR_NS, self.end_ns + _NEAR_NS)
        return [piece for piece in found.outcome.pieces if _touches(piece, near)]

    def sort_out(self, objects: Iterable[ArchiveObject]) -> _Parted:
        """The segment's own objects and its neighbours, each by name, as far as names say so."""
        own: list[ArchiveObject] = []
        neighbours: list[tuple[ArchiveObject, Side]] = []
        for item in sorted(objects):
            span = self.archive.nominal_span_ns(item)
            if span is None or (span[0] < self.end_ns and span[1] > self.start_ns):
                own.append(item)
            else:
                neighbours.append((item, "before" if span[1] <= self.start_ns else "after"))
        return own, neighbours

    def _open(self, items: Iterable[ArchiveObject], reach: tuple[int, int]) -> list[_Opened]:
        """Read and decode (an object may have no piece in reach yet); refused ones are kept in mind."""
        opened = []
        for item in items:
            began = time.perf_counter()
            try:
                data = self.archive.read(item)
                self.read_s += time.perf_counter() - began
                self.bytes_read += len(data)
                if self.archive.has_changed(item):
                    self.changed.append(item)
                if not data and self.archive.is_service:
                    continue
                outcome = self._decode(item, data, reach)
            except UnreadableInputError as error:
                self.refused.append((item, str(error)))
                if isinstance(error, UnreachableInputError):
                    self.unreachable.append(item)
                continue
            opened.append(_Opened(item, data, outcome))
        return opened

    def _decode(self, item: ArchiveObject, data: bytes, reach: tuple[int, int]) -> ReadOutcome:
        outcome = read_pieces(
            data,
            channel=self.channel,
            start_ns=reach[0],
            end_ns=reach[1],
            name=item.key,
            allocate=_arena.take,
        )
        self.foreign.update(outcome.foreign)
        self.notes.extend(f"{item.key}: {note}" for note in outcome.notes)
        return outcome

    def _native_rate(self, opened: Sequence[_Opened]) -> float | None:
        """The rate of most samples inside the segment (of all near it, if none lies inside)."""
        inside: dict[float, float] = {}
        for found in opened:
            for piece in self._near(found):
                rate = _tidy_rate(piece.sampling_rate_hz)
                overlap_ns = max(1e-9, min(_end_ns(piece), self.end_ns) - max(piece.start_ns, self.start_ns))
                inside[rate] = inside.get(rate, 0.0) + overlap_ns * rate
        return max(inside, key=lambda rate: (inside[rate], rate), default=None)

    def _reach(self, rate: float, margin: tuple[int, int]) -> tuple[int, int]:
        """The interval with its margins, and one sample more: half of it may be rounded onto the grid."""
        period = NANOSECONDS_PER_SECOND / rate
        before, after = margin
        return (
            math.floor(self.start_ns - (before + 1) * period),
            math.ceil(self.end_ns + (after + 1) * period),
        )

    def _canvas(self, rate: float, margin: tuple[int, int]) -> Canvas:
        length = (self.end_ns - self.start_ns) * rate / NANOSECONDS_PER_SECOND
        n_samples = margin[0] + math.ceil(length - _WHOLE) + margin[1]
        if n_samples > _MOST_SAMPLES:
            raise UnreadableInputError(
                f"{self.channel} claims {rate:g} samples per second, {n_samples} in one segment; "
                f"at most {_MOST_SAMPLES} fit: shorten spectrogram.segment_s"
            )
        return Canvas(start_ns=self.start_ns, n_samples=n_samples, sampling_rate_hz=rate, n_before=margin[0])

    def _lay(self, opened: Iterable[_Opened], canvas: Canvas, wanted: tuple[int, int]) -> None:
        for found in opened:
            filled = canvas.n_real
            for piece in found.outcome.pieces:
                if not _touches(piece, wanted):
                    continue
                if abs(piece.sampling_rate_hz / canvas.sampling_rate_hz - 1) <= _SAME_RATE:
                    canvas.lay(piece)
                else:
                    rate = piece.sampling_rate_hz
                    self.other_rates[rate] = self.other_rates.get(rate, 0) + len(piece.samples)
            if canvas.n_real > filled:
                self.used.append(found.item)

    def _result(
        self, canvas: Canvas | None, rate: float, margin: tuple[int, int], edges: tuple[Side, ...]
    ) -> SegmentRead:
        segment = None if canvas is None or not canvas.runs else canvas.finish()
        notes = list(dict.fromkeys(self.notes))
        notes += [
            f"{number} samples at {other:g} Hz left out beside {rate:g} Hz"
            for other, number in sorted(self.other_rates.items())
        ]
        notes += [f"left out: {reason}" for _, reason in self.refused]
        notes += [
            f"{item.key} has changed since it was listed; the next run reads it again"
            for item in self.changed
        ]
        return SegmentRead(
            segment=segment,
            native_rate_hz=0.0 if segment is None else rate,
            margin=margin,
            objects_used=tuple(self.used),
            open_edges=edges,
            unreadable=tuple(self.refused),
            unreachable=tuple(self.unreachable),
            changed=tuple(self.changed),
            foreign=tuple(sorted(self.foreign)),
            notes=tuple(notes),
            bytes_read=self.bytes_read,
            read_s=self.read_s,
            decode_s=time.perf_counter() - self.began_s - self.read_s,
        )


def _end_ns(piece: Piece) -> float:
    """One sample after the last one."""
    return piece.start_ns + len(piece.samples) * NANOSECONDS_PER_SECOND / piece.sampling_rate_hz


def _touches(piece: Piece, interval: tuple[int, int]) -> bool:
    return piece.start_ns < interval[1] and _end_ns(piece) > interval[0]


def _open_edges(canvas: Canvas) -> tuple[Side, ...]:
    """The ends, margins included, at which samples are missing."""
    edges: list[Side] = []
    if not canvas.runs or canvas.runs[0][0] > 0:
        edges.append("before")
    if not canvas.runs or canvas.runs[-1][1] < canvas.n_samples:
        edges.append("after")
    return tuple(edges)


def _tidy_rate(rate: float) -> float:
    """The whole number of Hz, or of seconds between samples, that a rate is up to a small error."""
    nearest = float(max(1, round(rate))) if rate > 0.5 else 1.0 / max(1, round(1.0 / rate))
    return nearest if abs(rate / nearest - 1) <= _SAME_RATE else rate


_arena = Arena()
