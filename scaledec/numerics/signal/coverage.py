"""How much of each frame is real samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["frame_coverage"]


def frame_coverage(
    runs: Sequence[tuple[int, int]], n_frames: int, nperseg: int, hop: int
) -> npt.NDArray[np.uint8]:
    """Per cent of real samples behind each frame, rounded down.

    Rounded down so that 100 means every sample is real; a frame with less than one per cent counts
    as having none.

    Parameters
    ----------
    runs
        Unbroken pieces of real samples as (start, stop), ascending, not overlapping.
    n_frames, nperseg, hop
        Frame ``m`` covers samples ``[m * hop, m * hop + nperseg)``.

    Returns
    -------
    Per cent, shape (n_frames,).

    Examples
    --------
    >>> frame_coverage([(0, 6)], n_frames=3, nperseg=4, hop=2)
    array([100, 100,  50], dtype=uint8)
    """
    end = (n_frames - 1) * hop + nperseg
    if len(runs) == 1 and runs[0][0] <= 0 and runs[0][1] >= end:
        return np.full(n_frames, 100, dtype=np.uint8)
    if not runs:
        return np.zeros(n_frames, dtype=np.uint8)
    edges = np.asarray(runs, dtype=np.int64)
    lengths = edges[:, 1] - edges[:, 0]
    # The number of real samples before any position is piecewise linear, with corners at the runs' edges.
    before = np.concatenate(([0], np.cumsum(lengths)))
    corners = np.column_stack((before[:-1], before[1:])).ravel()
    start = np.arange(n_frames, dtype=np.int64) * hop
    n_real = np.interp(start + nperseg, edges.ravel(), corners) - np.interp(start, edges.ravel(), corners)
    # Whole numbers below 2**53 pass through np.interp with an error far below one half.
    percent: npt.NDArray[np.int64] = np.rint(n_real).astype(np.int64) * 100 // nperseg
    return percent.astype(np.uint8)
