"""How many windows of each class lie in each bin of time: as many bins as a screen can show.

Read shard by shard and handed out as they come, so that a page on years of labels fills from the first
second on, and memory holds one table of channels x bins x classes whatever the archive's length.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scaledec.explore.opened import OpenedRun, Span
from scaledec.stages.readahead import read_ahead
from scaledec.store.cube import CubeStore
from scaledec.store.event_cube import EventCubeStore
from scaledec.store.event_variables import NOT_A_TIME
from scaledec.vocabulary import NANOSECONDS_PER_SECOND

__all__ = ["Bins", "Counts", "choose_bins", "count_classes", "stored_share"]

_READERS = 4
_MOST_BINS = 640
_SECONDS = 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800, 21600, 43200
_DAYS = 1, 2, 7, 14, 28, 56, 112, 224, 448, 896
_LENGTHS_S = (*_SECONDS, *(86400 * days for days in _DAYS))
"""Lengths that a bin may have: such as clocks and calendars have."""
# How often a table that is still being filled is handed out.
_SHOW_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Bins:
    """Bins of equal length one after another; the first begins at ``start_ns``."""

    start_ns: int
    length_ns: int
    number: int

    @property
    def span(self) -> Span:
        """From the first to the last."""
        return Span(self.start_ns, self.start_ns + self.number * self.length_ns)

    def of(self, time_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The bin of each instant; below 0 or from ``number`` on outside."""
        return np.asarray((time_ns - self.start_ns) // self.length_ns)


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Windows by channel, bin and class, as far as they have been counted."""

    bins: Bins
    channels: tuple[int, ...]
    """Indices of the run's channels, one a row."""
    table: npt.NDArray[np.int32]
    """Shape (channel, bin, class + 1); the last class is what has no label."""
    share_read: float
    """Share of the shards that has been read: 1 when all is there."""


def choose_bins(span: Span, *, least_ns: int, most: int = _MOST_BINS) -> Bins:
    """The shortest bins of a usual length of which at most ``most`` cover a span.

    Parameters
    ----------
    span
        What they cover.
    least_ns
        No bin is shorter: from one window's start to the next, at a stride.
    most
        Number of bins.
    """
    lengths = [seconds * NANOSECONDS_PER_SECOND for seconds in _LENGTHS_S]
    for length in lengths:
        first = span.start_ns // length
        number = max(1, math.ceil(span.end_ns / length) - first)
        if length >= least_ns and number <= most:
            return Bins(first * length, length, number)
    length = -(-span.length_ns // most)
    return Bins(span.start_ns, length, most)


def count_classes(run: OpenedRun, channels: Sequence[int], bins: Bins) -> Iterator[Counts]:
    """Count windows by the bin they start in, handing out the growing table now and then and at the end.

    The table handed out last is the whole one. Only labels (and onsets) of the bins' time are read.

    Parameters
    ----------
    run
        Whose labels.
    channels
        Indices of its channels.
    bins
        Where windows are counted; what lies outside is not.
    """
    table = np.zeros((len(channels), bins.number, run.n_classes + 1), np.int32)
    blocks = _blocks(run, len(channels), bins.span)
    shown_at = time.monotonic()

    def read(block: _Block) -> tuple[int, npt.NDArray[np.int64]]:
        return block.row, _count_block(run, channels[block.row], block, bins)

    for done, (row, found) in enumerate(read_ahead(read, blocks, ahead=_READERS), start=1):
        table[row] += found
        if time.monotonic() - shown_at >= _SHOW_EVERY_S and done < len(blocks):
            shown_at = time.monotonic()
            yield Counts(bins, tuple(channels), table.copy(), done / len(blocks))
    yield Counts(bins, tuple(channels), table, 1.0)


@dataclass(frozen=True, slots=True)
class _Block:
    row: int
    first: int
    stop: int


def _blocks(run: OpenedRun, n_rows: int, span: Span) -> list[_Block]:
    """Shards that reach into a span, those of one time together, so that all rows fill alike."""
    extent, step = run.store.extent, run.store.segments_per_shard
    first = max(0, (span.start_ns - extent.start_ns) // run.segment_ns)
    stop = min(extent.n_segments, -((extent.start_ns - span.end_ns) // run.segment_ns))
    return [
        _Block(row, max(first, shard), min(stop, shard + step))
        for shard in range(first - first % step, stop, step)
        for row in range(n_rows)
    ]


def _count_block(run: OpenedRun, channel_index: int, block: _Block, bins: Bins) -> npt.NDArray[np.int64]:
    """Shape (bin, class + 1)."""
    selected = run.dataset["label"].isel(channel=channel_index, time=slice(block.first, block.stop))
    label = selected.to_numpy().reshape(-1).astype(np.int64)
    start_ns = run.store.start_ns(channel_index, block.first, block.stop).reshape(-1)
    place = bins.of(start_ns)
    inside = (place >= 0) & (place < bins.number) & (start_ns != NOT_A_TIME)
    n = run.n_classes
    label = np.where((label >= 0) & (label < n), label, n)
    cell = place[inside] * (n + 1) + label[inside]
    return np.bincount(cell, minlength=bins.number * (n + 1)).reshape(bins.number, n + 1)


def stored_share(
    cube: CubeStore | EventCubeStore, channels: Sequence[int], bins: Bins
) -> npt.NDArray[np.float64]:
    """Share of each bin whose segments the cube has stored, shape (channel, bin), by listing alone."""
    share = np.zeros((len(channels), bins.number))
    edges = bins.start_ns + np.arange(bins.number + 1) * bins.length_ns
    for row, channel in enumerate(channels):
        for index in cube.stored_segments(channel):
            begin = cube.segment_start_ns(index)
            overlap = np.minimum(edges[1:], begin + cube.segment_ns) - np.maximum(edges[:-1], begin)
            share[row] += np.maximum(overlap, 0) / bins.length_ns
    return share
