"""Plain arrays as windows that a network takes, whatever they are pictures of."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from scaledec.numerics.nets.base import SMALLEST_SIDE
from scaledec.numerics.normalise import Normaliser

__all__ = ["as_windows", "held_out", "standard_normaliser"]

Float32: TypeAlias = npt.NDArray[np.float32]

# Power at or below this is silence to a normaliser; values of an image mean no such thing.
_LEAST_VALUE = -299.0


def as_windows(x: Float32) -> Float32:
    """Arrays (N, H, W), (N, planes, H, W) or flat (N, D) as windows that a network takes.

    Flat rows are laid on the smallest square that holds them; what is smaller than a network's smallest
    window is laid into the middle of a frame of zeros.
    """
    if x.ndim == 2:
        side = max(math.isqrt(x.shape[1] - 1) + 1, SMALLEST_SIDE)
        flat = np.zeros((len(x), side * side), np.float32)
        flat[:, : x.shape[1]] = x
        return flat.reshape(-1, side, side)
    missing = [max(0, SMALLEST_SIDE - n) for n in x.shape[-2:]]
    if not any(missing):
        return np.ascontiguousarray(x)
    frame = [(0, 0)] * (x.ndim - 2) + [(n // 2, n - n // 2) for n in missing]
    return np.pad(x, frame)


def standard_normaliser(windows: Float32) -> Normaliser:
    """One mean and one standard deviation for all cells: images keep their shades, windows their loudness."""
    if windows.min() <= _LEAST_VALUE:
        raise ValueError(
            f"X holds values down to {windows.min():g}, which are silence where power is in dB; expected "
            f"values above {_LEAST_VALUE:g}: scale or shift X"
        )
    mean, deviation = windows.mean(dtype=np.float64), windows.std(dtype=np.float64)
    # One entry a frequency, those of all planes side by side.
    n = windows.shape[-1] * (windows.shape[1] if windows.ndim == 4 else 1)
    return Normaliser("whiten", "db", np.full(n, mean, np.float32), np.full(n, deviation, np.float32))


def held_out(n: int, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Which of ``n`` windows judge the training (n,): a random share, at least one, at most half."""
    chosen = np.zeros(n, bool)
    count = min(max(1, round(share * n)), n // 2)
    chosen[np.random.default_rng(seed).permutation(n)[:count]] = True
    return chosen
