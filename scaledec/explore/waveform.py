"""Samples of a channel from the archive, as many as a screen can show."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scaledec.errors import ScaledecError
from scaledec.explore.opened import Opened, Span
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId, format_time

if TYPE_CHECKING:
    from scaledec.archive.segment import SegmentRead

__all__ = ["Trace", "read_trace"]

MOST_POINTS = 1200
"""Columns of a trace: beyond, each shows its least and its largest sample."""
# Of one reading: a day at 200 Hz.
_MOST_SAMPLES = 18_000_000
_MOST_SPAN_NS = 26 * 3600 * NANOSECONDS_PER_SECOND


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Samples as a line to draw."""

    time_ns: npt.NDArray[np.int64]
    """Shape (point,)."""
    value: npt.NDArray[np.float32]
    """Counts; NaN breaks the line where samples are missing."""
    sampling_rate_hz: float = 0.0
    problem: str = ""
    """Why there is nothing to see; empty where there is something."""


def read_trace(
    opened: Opened, channel: ChannelId, span: Span, *, band_hz: tuple[float, float] | None = None
) -> Trace:
    """The samples of a channel over a span, as they were recorded or band-passed.

    Parameters
    ----------
    opened
        Says where they lie.
    channel, span
        What to read.
    band_hz
        Corners of a band-pass; ``None``: only the mean of each unbroken piece is taken away.
    """
    if opened.archive is None:
        return _nothing(opened.no_archive)
    if span.length_ns > _MOST_SPAN_NS:
        return _nothing("zoom in to a day or less to see the waveform")
    try:
        return _read(opened, channel, span, band_hz)
    except (ScaledecError, OSError, ValueError) as error:
        return _nothing(str(error))


def _nothing(problem: str) -> Trace:
    return Trace(np.empty(0, np.int64), np.empty(0, np.float32), problem=problem)


def _read(opened: Opened, channel: ChannelId, span: Span, band_hz: tuple[float, float] | None) -> Trace:
    from scaledec.archive.archive import open_archive
    from scaledec.archive.segment import read_segment
    from scaledec.numerics.signal.preprocess import Preprocessor

    assert opened.archive is not None
    archive = open_archive(opened.archive, opened.headers.location)
    listing = archive.listing([str(channel)], span.start_ns, span.end_ns)
    objects = listing.objects_for(channel, span.start_ns, span.end_ns)

    @lru_cache
    def filter_of(rate_hz: float) -> Preprocessor:
        return Preprocessor(rate_hz, rate_hz, bandpass_hz=_fitting(band_hz, rate_hz))

    def margin(rate_hz: float) -> tuple[int, int]:
        n = filter_of(rate_hz).margin_samples
        return n, n

    read = read_segment(
        archive, channel, objects, start_ns=span.start_ns, end_ns=span.end_ns, margin_samples=margin
    )
    if read.segment is None:
        return _nothing("the archive holds no samples of this time")
    if len(read.segment.samples) > _MOST_SAMPLES:
        return _nothing(f"zoom in: {len(read.segment.samples):,} samples are too many to show")
    samples, runs = filter_of(read.native_rate_hz).apply(read.segment.samples, read.segment.runs)
    return _drawn(samples, runs, read, span)


def _fitting(band_hz: tuple[float, float] | None, rate_hz: float) -> tuple[float, float] | None:
    if band_hz is not None and not 0 < band_hz[0] < band_hz[1] < rate_hz / 2:
        raise ValueError(
            f"a band of {band_hz[0]:g} to {band_hz[1]:g} Hz does not fit {rate_hz:g} samples per second: "
            f"expected 0 < low < high < {rate_hz / 2:g} Hz"
        )
    return band_hz


def _drawn(
    samples: npt.NDArray[np.float32],
    runs: tuple[tuple[int, int], ...],
    read: SegmentRead,
    span: Span,
) -> Trace:
    """Every sample where they fit, otherwise the least and largest of each column; gaps break the line."""
    real = np.full(len(samples), np.nan, np.float32)
    for start, stop in runs:
        real[start:stop] = samples[start:stop]
    if not runs:
        return _nothing(f"nothing but gaps from {format_time(span.start_ns)} on, once filtered")
    per_column = -(-len(real) // MOST_POINTS)
    period_ns = NANOSECONDS_PER_SECOND / read.native_rate_hz
    if per_column > 2:
        edges = np.arange(0, len(real), per_column)
        least, largest = np.fmin.reduceat(real, edges), np.fmax.reduceat(real, edges)
        place = np.repeat(edges + per_column / 2, 2)
        real = np.stack([least, largest], axis=1).reshape(-1)
    else:
        place = np.arange(len(real), dtype=np.float64)
    return Trace(span.start_ns + np.round(place * period_ns).astype(np.int64), real, read.native_rate_hz)
