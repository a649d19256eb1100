"""Remove the mean or a straight line from each unbroken run of samples, in place and in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["DetrendKind", "detrend"]

DetrendKind: TypeAlias = Literal["none", "constant", "linear"]

# Samples of a row: float32 sums stay exact to about 1e-7 within one, and rows are added up in float64.
_ROW = 4096
# Rows handled at once: 1 MB, which stays in a core's cache between two passes.
_ROWS = 64


def detrend(samples: npt.NDArray[np.float32], runs: Sequence[tuple[int, int]], kind: DetrendKind) -> None:
    """Subtract each run's least-squares constant or straight line from it, in place.

    Samples outside the runs are left as they are.

    Parameters
    ----------
    samples
        Shape (n,), C-contiguous; overwritten.
    runs
        Unbroken pieces as (start, stop).
    kind
        ``none``, ``constant`` or ``linear``.
    """
    if kind == "none":
        return
    for start, stop in runs:
        run = samples[start:stop]
        level, slope = _fit(run, kind)
        _subtract(run, level, slope)


def _fit(run: npt.NDArray[np.float32], kind: DetrendKind) -> tuple[float, float]:
    """Level at the first sample and slope per sample of the least-squares line through a run."""
    n = run.size
    n_rows = n // _ROW
    rows = run[: n_rows * _ROW].reshape(n_rows, _ROW)
    rest = run[n_rows * _ROW :].astype(np.float64)
    sums = rows.sum(axis=1).astype(np.float64)
    mean = (sums.sum() + rest.sum()) / n
    if kind == "constant" or n < 2:
        return float(mean), 0.0
    # slope = sum (t - t_mean) x / sum (t - t_mean)^2, with t - t_mean = (row's centre - t_mean) + ramp.
    t_mean = (n - 1) / 2
    ramp = np.arange(_ROW) - (_ROW - 1) / 2
    centres = np.arange(n_rows) * float(_ROW) + (_ROW - 1) / 2
    moment = ((centres - t_mean) * (sums - _ROW * mean)).sum()
    moment += (rows @ ramp.astype(np.float32)).astype(np.float64).sum()
    moment += ((np.arange(n_rows * _ROW, n) - t_mean) * (rest - mean)).sum()
    slope = moment * 12.0 / (n * (n**2 - 1.0))
    return float(mean - slope * t_mean), float(slope)


def _subtract(run: npt.NDArray[np.float32], level: float, slope: float) -> None:
    if slope == 0.0:
        np.subtract(run, np.float32(level), out=run)
        return
    # The line at a row's start is computed in float64; within a row float32 is exact enough.
    ramp = (slope * np.arange(_ROW)).astype(np.float32)
    n_rows = run.size // _ROW
    rows = run[: n_rows * _ROW].reshape(n_rows, _ROW)
    at_start = (level + slope * _ROW * np.arange(n_rows + 1)).astype(np.float32)
    for first in range(0, n_rows, _ROWS):
        stop = min(first + _ROWS, n_rows)
        block = rows[first:stop]
        np.subtract(block, at_start[first:stop, None], out=block)
        np.subtract(block, ramp, out=block)
    rest = run[n_rows * _ROW :]
    rest -= at_start[n_rows] + ramp[: rest.size]
