"""Cutting windows from the frames of a segment, and judging which of them may be used.

Window ``w`` covers frames ``[w * stride, w * stride + length)``. The last windows of a segment reach
into the next one: the caller hands in the frames of the segment followed by the next one's first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "cut_windows",
    "finite_frames",
    "finite_windows",
    "gather_windows",
    "usable_windows",
    "window_coverage",
]

_FLOAT16_INFINITY_SHIFTED = 0x7C00 << 1
# Frames looked at together: they stay in a core's cache.
_BLOCK = 512


def cut_windows(frames: npt.NDArray[Any], *, length: int, stride: int, n_windows: int) -> npt.NDArray[Any]:
    """Windows of consecutive frames as a read-only view: nothing is copied.

    Parameters
    ----------
    frames
        Shape (frame, ...), at least ``(n_windows - 1) * stride + length`` frames.
    length, stride
        Frames of a window, and from one window's start to the next.
    n_windows
        Windows wanted, counted from frame 0.

    Returns
    -------
    ndarray
        Shape (window, length, ...).

    Raises
    ------
    ValueError
        If there are too few frames.

    Examples
    --------
    >>> cut_windows(np.arange(7), length=3, stride=2, n_windows=3)
    array([[0, 1, 2],
           [2, 3, 4],
           [4, 5, 6]])
    """
    needed = _frames_needed(length, stride, n_windows)
    if frames.shape[0] < needed:
        raise ValueError(
            f"{frames.shape[0]} frames hold fewer than {n_windows} windows of {length} frames at a stride of "
            f"{stride}; expected {needed}: give the first frames of the next segment too"
        )
    rolling = np.lib.stride_tricks.sliding_window_view(frames[:needed], length, axis=0)
    return np.moveaxis(rolling[::stride], -1, 1)


def window_coverage(
    coverage: npt.NDArray[np.uint8], *, length: int, stride: int, n_windows: int
) -> npt.NDArray[np.float64]:
    """Share of real samples behind each window: the mean over its frames, exactly 1 if all are complete.

    Parameters
    ----------
    coverage
        Percent of real samples behind each frame, shape (frame,).

    Returns
    -------
    ndarray
        From 0 to 1, shape (window,).
    """
    return _window_sums(coverage, length, stride, n_windows) / (100 * length)


def gather_windows(
    frames: npt.NDArray[Any],
    following: npt.NDArray[Any],
    chosen: npt.NDArray[np.int64],
    *,
    length: int,
    stride: int,
) -> npt.NDArray[Any]:
    """Chosen windows of ``frames`` continued by ``following``; the long array is never copied.

    Windows one after another are a view where none reaches into ``following``; do not write to them.

    Parameters
    ----------
    frames
        Frames of a segment, shape (frame, ...).
    following
        First frames of the next one, shape (following frame, ...).
    chosen
        Numbers of the windows, ascending, shape (chosen,).

    Returns
    -------
    ndarray
        Shape (chosen, length, ...).
    """
    n_inside = max(0, (frames.shape[0] - length) // stride + 1)
    split = int(np.searchsorted(chosen, n_inside))
    inside = _pick(_all_windows(frames, length, stride, n_inside), chosen[:split])
    if split == len(chosen):
        return inside
    tail = np.concatenate([frames[n_inside * stride :], following])
    n_across = int(chosen[-1]) + 1 - n_inside
    across = cut_windows(tail, length=length, stride=stride, n_windows=n_across)
    return np.concatenate([inside, across[chosen[split:] - n_inside]])


def _all_windows(frames: npt.NDArray[Any], length: int, stride: int, n_windows: int) -> npt.NDArray[Any]:
    """As :func:`cut_windows`; where windows do not overlap, an array that torch takes as it is."""
    if stride == length:
        return frames[: n_windows * length].reshape(n_windows, length, *frames.shape[1:])
    return cut_windows(frames, length=length, stride=stride, n_windows=n_windows)


def _pick(windows: npt.NDArray[Any], chosen: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Some windows: as a view if they follow one another, as they mostly do."""
    if len(chosen) and chosen[-1] - chosen[0] == len(chosen) - 1:
        return windows[chosen[0] : chosen[-1] + 1]
    return windows[chosen]


def finite_frames(frames: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether every value of a frame is finite, shape (frame,)."""
    rest = tuple(range(1, frames.ndim))
    if frames.dtype != np.float16 or not frames.size:
        return np.asarray(np.isfinite(frames).all(axis=rest))
    finite = np.empty(len(frames), np.bool_)
    for start in range(0, len(frames), _BLOCK):
        # Without its sign bit, a float16 orders like an unsigned integer with infinity and NaN on top;
        # comparing integers is five times as fast as np.isfinite on float16.
        shifted = np.left_shift(frames[start : start + _BLOCK].view(np.uint16), 1)
        # One maximum over a block is several times as fast as one of each frame, and mostly enough.
        whole = shifted.max() < _FLOAT16_INFINITY_SHIFTED
        finite[start : start + _BLOCK] = whole or shifted.max(axis=rest) < _FLOAT16_INFINITY_SHIFTED
    return finite


def finite_windows(
    finite: npt.NDArray[np.bool_], *, length: int, stride: int, n_windows: int
) -> npt.NDArray[np.bool_]:
    """Whether all frames of a window are :func:`finite_frames`, shape (window,)."""
    return np.asarray(_window_sums(~finite, length, stride, n_windows) == 0)


def usable_windows(
    coverage: npt.NDArray[np.uint8], *, length: int, stride: int, n_windows: int, min_coverage: float
) -> npt.NDArray[np.bool_]:
    """Whether coverage allows a window: enough real samples in all, and no frame without any.

    A frame without a real sample has no power, so no window that holds one can be used, however low
    ``min_coverage`` is.
    """
    share = window_coverage(coverage, length=length, stride=stride, n_windows=n_windows)
    silent = _window_sums(coverage == 0, length, stride, n_windows)
    return np.asarray((share >= min_coverage) & (silent == 0))


def _frames_needed(length: int, stride: int, n_windows: int) -> int:
    return (n_windows - 1) * stride + length if n_windows else 0


def _window_sums(values: npt.NDArray[Any], length: int, stride: int, n_windows: int) -> npt.NDArray[np.int64]:
    """Sum over each window's frames; integers, so that running sums lose nothing."""
    needed = _frames_needed(length, stride, n_windows)
    if values.shape[0] < needed:
        raise ValueError(
            f"{values.shape[0]} frames; expected at least {needed} for {n_windows} windows of {length} frames"
        )
    running = np.concatenate([[0], np.cumsum(values[:needed], dtype=np.int64)])
    starts = np.arange(n_windows) * stride
    return np.asarray(running[starts + length] - running[starts])
