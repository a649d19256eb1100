"""Characteristic functions of event detectors, and the detections that thresholds make of them.

The values are those of ``obspy.signal.trigger`` (the tests compare), computed in less time: the
recursive averages are first-order filters, and sliding sums are put together from sums inside blocks of
the window's own length. A running sum over a day would subtract large numbers from each other and lose the
quiet hours after a large earthquake; here nothing is ever subtracted.

Sources: Allen (1978) and Withers et al. (1998) for STA/LTA, Swindell & Snell (1977) for the z-detector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "Characteristic",
    "Detections",
    "DetectorKind",
    "characteristic_function",
    "classic_sta_lta",
    "detect",
    "far_enough_apart",
    "recursive_sta_lta",
    "strongest",
    "trigger_onsets",
    "z_detect",
]

DetectorKind: TypeAlias = Literal["sta_lta", "recursive_sta_lta", "z_detect"]

Float64: TypeAlias = npt.NDArray[np.float64]
Characteristic: TypeAlias = Callable[[npt.NDArray[Any]], Float64]
"""From samples, shape (n,), to the function that thresholds are compared with, shape (n,)."""

# Keeps the first long-term average from being zero; too small to be seen in any later one.
_TINY = float(np.finfo(np.float64).tiny)
# Samples filtered at once: the squares and both averages of a block stay in a core's cache.
_BLOCK = 1 << 15


def classic_sta_lta(samples: npt.NDArray[Any], n_sta: int, n_lta: int) -> Float64:
    """Mean square of the last ``n_sta`` samples over that of the last ``n_lta``.

    Parameters
    ----------
    samples
        Shape (n,).
    n_sta, n_lta
        Lengths of the short and the long window in samples.

    Returns
    -------
    Shape (n,); 0 where fewer than ``n_lta`` samples have passed.
    """
    result = np.zeros(samples.size)
    if samples.size < n_lta:
        return result
    squares = np.square(samples, dtype=np.float64)
    short = _sliding_sums(squares, n_sta)[n_lta - n_sta :] / n_sta
    long = _sliding_sums(squares, n_lta) / n_lta
    result[n_lta - 1 :] = short / np.maximum(long, _TINY)
    return result


def recursive_sta_lta(samples: npt.NDArray[Any], n_sta: int, n_lta: int) -> Float64:
    """Ratio of two exponential averages of the squares, with weights ``1 / n_sta`` and ``1 / n_lta``.

    Parameters and result as for :func:`classic_sta_lta`; both averages begin at zero with the second sample.
    """
    # Imported here: it takes 70 MB of each worker, and only this detector needs it.
    from scipy.signal import lfilter

    result = np.zeros(samples.size)
    short_weight, long_weight = 1.0 / n_sta, 1.0 / n_lta
    short_state = np.zeros(1)
    long_state = np.array([(1.0 - long_weight) * _TINY])
    for first in range(0, samples.size, _BLOCK):
        squares = np.square(samples[first : first + _BLOCK], dtype=np.float64)
        if first == 0:
            squares[0] = 0.0
        short, short_state = lfilter([short_weight], [1.0, short_weight - 1.0], squares, zi=short_state)
        long, long_state = lfilter([long_weight], [1.0, long_weight - 1.0], squares, zi=long_state)
        # A long stretch of zeros lets the long average underflow.
        np.divide(short, np.maximum(long, _TINY), out=result[first : first + squares.size])
    result[:n_lta] = 0.0
    return result


def z_detect(samples: npt.NDArray[Any], n_sta: int) -> Float64:
    """How many standard deviations the energy of the last ``n_sta`` samples lies above its mean.

    Mean and deviation are those of all the samples handed in, so the value at one of them depends on all
    others; 0 everywhere if the energy never changes.

    Parameters
    ----------
    samples
        Shape (n,).
    n_sta
        Length of the window in samples; it ends one sample before the one it stands for.

    Returns
    -------
    Shape (n,).
    """
    energy = np.zeros(samples.size)
    if samples.size > n_sta:
        sums = _sliding_sums(np.square(samples, dtype=np.float64), n_sta)
        energy[n_sta + 1 :] = sums[1:-1]
        energy[n_sta] = sums[0]
    deviation = float(energy.std()) if energy.size else 0.0
    if deviation == 0.0:
        return np.zeros(samples.size)
    return np.asarray((energy - energy.mean()) / deviation)


def characteristic_function(kind: DetectorKind, n_sta: int, n_lta: int) -> Characteristic:
    """The function of a detector, its windows filled in."""
    if kind == "sta_lta":
        return lambda samples: classic_sta_lta(samples, n_sta, n_lta)
    if kind == "recursive_sta_lta":
        return lambda samples: recursive_sta_lta(samples, n_sta, n_lta)
    return lambda samples: z_detect(samples, n_sta)


def trigger_onsets(values: Float64, on: float, off: float) -> npt.NDArray[np.int64]:
    """Where a characteristic function reaches ``on``, and the last sample before it falls below ``off``.

    Parameters
    ----------
    values
        Shape (n,).
    on, off
        Thresholds, ``off`` not above ``on``.

    Returns
    -------
    Shape (trigger, 2): first and last sample.

    Examples
    --------
    >>> trigger_onsets(np.array([0, 3, 5, 3, 1, 6, 0.0]), on=5, off=2)
    array([[2, 3],
           [5, 5]])
    """
    above = np.flatnonzero(values >= off)
    if not above.size:
        return np.empty((0, 2), np.int64)
    breaks = np.flatnonzero(np.diff(above) > 1)
    starts = np.concatenate([above[:1], above[breaks + 1]])
    stops = np.concatenate([above[breaks], above[-1:]])
    triggering = above[values[above] >= on]
    first = np.searchsorted(triggering, starts)
    found = np.flatnonzero(first < np.searchsorted(triggering, stops, side="right"))
    return np.column_stack([triggering[first[found]], stops[found]]).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Detections:
    """What a detector found, in the order of time; every array has shape (detection,)."""

    on: npt.NDArray[np.int64]
    """First sample at or above the upper threshold."""
    off: npt.NDArray[np.int64]
    """Last sample before the function fell below the lower one, or the last one of an unbroken piece."""
    value: Float64
    """The largest value in between."""

    def __len__(self) -> int:
        return len(self.on)

    def __getitem__(self, chosen: npt.NDArray[Any]) -> Detections:
        return Detections(self.on[chosen], self.off[chosen], self.value[chosen])


def detect(
    samples: npt.NDArray[Any],
    runs: Sequence[tuple[int, int]],
    function: Characteristic,
    *,
    on: float,
    off: float,
) -> Detections:
    """Triggers in every unbroken run of samples by itself: a gap looks like a step, and is none.

    Parameters
    ----------
    samples
        Shape (n,).
    runs
        Unbroken pieces as (start, stop), ascending.
    function
        From :func:`characteristic_function`.
    on, off
        Thresholds.
    """
    places: list[npt.NDArray[np.int64]] = [np.empty((0, 2), np.int64)]
    values: list[float] = []
    for start, stop in runs:
        curve = function(samples[start:stop])
        found = trigger_onsets(curve, on, off)
        values += [float(curve[first : last + 1].max()) for first, last in found]
        places.append(found + start)
    joined = np.concatenate(places)
    return Detections(joined[:, 0], joined[:, 1], np.array(values, np.float64))


def far_enough_apart(times: npt.NDArray[np.int64], least: int) -> npt.NDArray[np.bool_]:
    """Which of ascending times to keep so that each lies at least ``least`` after the one kept before it.

    Examples
    --------
    >>> far_enough_apart(np.array([0, 3, 6, 9]), 5)
    array([ True, False,  True, False])
    """
    kept = np.zeros(len(times), np.bool_)
    last: int | None = None
    for index, time in enumerate(times.tolist()):
        if last is None or time >= last + least:
            kept[index] = True
            last = time
    return kept


def strongest(values: Float64, most: int) -> npt.NDArray[np.int64]:
    """Places of the ``most`` largest values, ascending; of equal ones the first."""
    order = np.argsort(-values, kind="stable")[:most]
    return np.sort(order)


def _sliding_sums(values: Float64, length: int) -> Float64:
    """Sum of every ``length`` successive values, shape (n - length + 1,), by additions alone.

    A window that begins inside one block of ``length`` values ends inside the next: it is the end of the
    first and the beginning of the second.
    """
    n_blocks = -(-values.size // length) + 1
    padded = np.zeros(n_blocks * length)
    padded[: values.size] = values
    blocks = padded.reshape(n_blocks, length)
    beginnings = np.cumsum(blocks, axis=1)
    sums = np.cumsum(blocks[:, ::-1], axis=1)[:, ::-1]
    sums[:-1, 1:] += beginnings[1:, :-1]
    return sums.reshape(-1)[: values.size - length + 1]
