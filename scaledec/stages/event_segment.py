"""The windows of a segment's events, cut from preprocessed samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from scaledec.grid import EventGrid, SpectrogramGrid
from scaledec.numerics.signal.coverage import frame_coverage
from scaledec.stages.event_finder import FoundEvents
from scaledec.store.event_cube import SegmentEvents
from scaledec.vocabulary import NANOSECONDS_PER_SECOND

__all__ = ["FrameTransform", "cut_events"]

FrameTransform: TypeAlias = Callable[
    [npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.uint8], npt.NDArray[Any]], None
]
"""Samples, start of each frame in nanoseconds of UTC, coverage, and where to write the power."""


def cut_events(
    found: FoundEvents,
    samples: npt.NDArray[np.float32],
    runs: Sequence[tuple[int, int]],
    *,
    lead: int,
    start_ns: int,
    windows: EventGrid,
    grid: SpectrogramGrid,
    transform: FrameTransform,
    dtype: str,
) -> SegmentEvents:
    """Power and coverage of every event, its frames counted from its own first sample.

    Parameters
    ----------
    found
        Where windows begin.
    samples, runs
        Of the channel to cut from, at the cube's rate; they begin ``lead`` samples before the segment.
    start_ns
        The segment's start.
    transform
        Writes the power of a window's frames; may take coverage from them.
    """
    n_samples = windows.n_samples(grid)
    power = np.empty((len(found.first), windows.length, grid.n_frequencies), dtype)
    coverage = np.empty((len(found.first), windows.length), np.uint8)
    frames = np.arange(windows.length)
    edges = np.asarray(runs, np.int64).reshape(-1, 2)
    for index, first in enumerate((found.first + lead).tolist()):
        begin = np.searchsorted(edges[:, 1], first, "right")
        end = np.searchsorted(edges[:, 0], first + n_samples)
        near = [(int(start) - first, int(stop) - first) for start, stop in edges[begin:end]]
        coverage[index] = frame_coverage(near, windows.length, grid.nperseg, grid.hop)
        piece = samples[first : first + n_samples]
        if piece.size < n_samples:
            piece = np.pad(piece, (0, n_samples - piece.size))
        starts_ns = start_ns + _nanoseconds(first - lead + frames * grid.hop, grid)
        transform(piece, starts_ns, coverage[index], power[index])
    return SegmentEvents(start_ns + _nanoseconds(found.first, grid), power, coverage, found.properties)


def _nanoseconds(samples: npt.NDArray[np.int64], grid: SpectrogramGrid) -> npt.NDArray[np.int64]:
    return np.rint(samples / grid.sampling_rate_hz * NANOSECONDS_PER_SECOND).astype(np.int64)
