"""Pieces of one channel laid onto the sample grid of a segment.

The rules, in this order:

1. Each piece is placed by its own start time, on the nearest grid point; the part of a sample by which
   it lies beside the grid is kept in the report, never resampled away.
2. Pieces are laid down in the order given and what lies there stays. An overlap that agrees vanishes;
   one that disagrees keeps the earlier-laid samples and is counted.
3. What no piece covers is missing: zero in ``samples``, absent from ``runs``, never interpolated.
   A sample that is not finite is missing too.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from scaledec.vocabulary import NANOSECONDS_PER_SECOND

__all__ = ["AssemblyReport", "Canvas", "PieceLike", "Run", "SegmentSamples", "assemble"]

Run = tuple[int, int]
"""Samples ``[start, stop)``, counted from the first grid point."""

# The time field of a miniSEED 2 header counts 0.1 ms. Two pieces of one recording whose start times
# differ by that much must not be torn apart because a grid point happens to lie half a sample away.
_HEADER_RESOLUTION_S = 1e-4
_MOST_STICKING = 0.25


class PieceLike(Protocol):
    """What can be laid down: samples at a constant rate from a start time."""

    @property
    def start_ns(self) -> int:
        """Time of the first sample."""

    @property
    def sampling_rate_hz(self) -> float:
        """Samples per second."""

    @property
    def samples(self) -> npt.NDArray[Any]:
        """One dimension, integer or real."""


@dataclass(frozen=True, slots=True)
class AssemblyReport:
    """What became of the pieces of one segment."""

    n_real: int = 0
    """Grid points with a sample."""
    n_missing: int = 0
    """Grid points without one."""
    n_gaps: int = 0
    """Unbroken stretches of missing samples, those at the edges included."""
    n_duplicate: int = 0
    """Samples that were there already, with the same value."""
    n_conflicting: int = 0
    """Samples that were there already with another value; the first one was kept."""
    n_not_finite: int = 0
    """NaN and infinite samples, taken as missing."""
    offset_s: float = 0.0
    """True time of a sample less its grid point's, where that is largest; positive when data are late."""


@dataclass(frozen=True, slots=True, eq=False)
class SegmentSamples:
    """One channel on one grid."""

    samples: npt.NDArray[np.float32]
    """(sample,), zero where missing."""
    runs: tuple[Run, ...]
    """Where samples are real: ascending, never touching one another."""
    report: AssemblyReport


def assemble(
    pieces: Iterable[PieceLike], *, start_ns: int, n_samples: int, sampling_rate_hz: float
) -> SegmentSamples:
    """Lay pieces onto the grid of ``n_samples`` points from ``start_ns`` (rules: see the module).

    Parameters
    ----------
    pieces
        In order of precedence, at about ``sampling_rate_hz``: a rate that differs a little is followed
        in time, by leaving out or doubling a grid point whenever it is half a sample off.
    start_ns
        Time of grid point 0.
    n_samples, sampling_rate_hz
        Length and step of the grid.
    """
    canvas = Canvas(start_ns=start_ns, n_samples=n_samples, sampling_rate_hz=sampling_rate_hz)
    for piece in pieces:
        canvas.lay(piece)
    return canvas.finish()


class Canvas:
    """The grid of one segment while it is filled; :func:`assemble` in single steps.

    Grid point ``n_before`` lies at ``start_ns``.
    """

    def __init__(self, *, start_ns: int, n_samples: int, sampling_rate_hz: float, n_before: int = 0) -> None:
        self.start_ns = start_ns
        self.n_before = n_before
        self.n_samples = n_samples
        self.sampling_rate_hz = sampling_rate_hz
        self.runs: list[Run] = []
        # Left unset: what no piece covers is zeroed at the end, and a full day is written only once.
        self._samples = np.empty(n_samples, np.float32)
        self._phase = 0.0
        self._offset = 0.0
        self._sticking = min(_MOST_STICKING, _HEADER_RESOLUTION_S * sampling_rate_hz)
        self._n_duplicate = self._n_conflicting = self._n_not_finite = 0

    @property
    def n_real(self) -> int:
        """Grid points filled so far."""
        return sum(stop - start for start, stop in self.runs)

    def lay(self, piece: PieceLike) -> None:
        """Place one piece; where samples lie already they stay."""
        since_start = (piece.start_ns - self.start_ns) * self.sampling_rate_hz / NANOSECONDS_PER_SECOND
        position = since_start + self.n_before
        step = self.sampling_rate_hz / piece.sampling_rate_hz
        for first, index, length in self._placements(position, step, len(piece.samples)):
            lead = max(0, -index)
            stop = min(length, self.n_samples - index)
            if stop > lead:
                self._keep_offset(position + (first + lead) * step - (index + lead))
                self._keep_offset(position + (first + stop - 1) * step - (index + stop - 1))
                self._lay_finite(index + lead, piece.samples[first + lead : first + stop])

    def finish(self) -> SegmentSamples:
        """The filled grid; the canvas must not be used afterwards."""
        n_gaps = n_real = edge = 0
        for start, stop in [*self.runs, (self.n_samples, self.n_samples)]:
            self._samples[edge:start] = 0.0
            n_gaps += start > edge
            n_real += stop - start
            edge = stop
        report = AssemblyReport(
            n_real=n_real,
            n_missing=self.n_samples - n_real,
            n_gaps=n_gaps,
            n_duplicate=self._n_duplicate,
            n_conflicting=self._n_conflicting,
            n_not_finite=self._n_not_finite,
            offset_s=round(self._offset / self.sampling_rate_hz, 9),
        )
        return SegmentSamples(self._samples, tuple(self.runs), report)

    def _placements(self, position: float, step: float, length: int) -> Iterator[tuple[int, int, int]]:
        """(first sample, grid index, count) of the parts of a piece that keep to consecutive grid points."""
        index = self._nearest(position)
        drift = step - 1.0
        if abs(drift) * length <= self._sticking:
            yield 0, index, length
            return
        turn = 1 if drift > 0 else -1
        rest = position - index
        first = 0
        # After each further half-sample of drift the nearest grid point is one further on (or back).
        for shift in itertools.count():
            stop = min(length, max(first, math.ceil((turn * (shift + 0.5) - rest) / drift)))
            if stop > first:
                yield first, index + first + turn * shift, stop - first
            if stop == length:
                return
            first = stop

    def _nearest(self, position: float) -> int:
        """The nearest grid point; near the middle of two, the one that continues the last piece."""
        continued = round(position - self._phase)
        if abs(position - continued) > 0.5 + self._sticking:
            continued = round(position)
        self._phase = position - continued
        return continued

    def _keep_offset(self, offset: float) -> None:
        if abs(offset) > abs(self._offset):
            self._offset = offset

    def _lay_finite(self, index: int, samples: npt.NDArray[Any]) -> None:
        if samples.dtype.kind != "f":
            self._lay_run(index, samples)
            return
        with np.errstate(over="ignore"):  # beyond float32 is infinite, and so missing
            narrow = samples.astype(np.float32, copy=False)
        finite = np.isfinite(narrow)
        if finite.all():
            self._lay_run(index, narrow)
            return
        self._n_not_finite += len(narrow) - int(np.count_nonzero(finite))
        edges = np.flatnonzero(np.diff(np.concatenate(([False], finite, [False]))))
        for start, stop in edges.reshape(-1, 2).tolist():
            self._lay_run(index + start, narrow[start:stop])

    def _lay_run(self, index: int, samples: npt.NDArray[Any]) -> None:
        stop = index + len(samples)
        first = bisect.bisect_left(self.runs, index, key=lambda run: run[1])
        last = bisect.bisect_right(self.runs, stop, key=lambda run: run[0])
        edge = index
        for known_start, known_stop in self.runs[first:last]:
            if known_start > edge:
                self._samples[edge:known_start] = samples[edge - index : known_start - index]
            self._compare(max(index, known_start), min(stop, known_stop), index, samples)
            edge = max(edge, known_stop)
        if stop > edge:
            self._samples[edge:stop] = samples[edge - index :]
        met = self.runs[first:last]
        merged = (min(index, met[0][0]), max(stop, met[-1][1])) if met else (index, stop)
        self.runs[first:last] = [merged]

    def _compare(self, start: int, stop: int, index: int, samples: npt.NDArray[Any]) -> None:
        if stop <= start:  # the runs only touch
            return
        same = self._samples[start:stop] == samples[start - index : stop - index].astype(np.float32)
        equal = int(np.count_nonzero(same))
        self._n_duplicate += equal
        self._n_conflicting += stop - start - equal
