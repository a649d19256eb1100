"""What the power of a window says in one number: how strong it is, and at which frequency most."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["linear_power", "peak_frequency", "rms_amplitude"]

Float64 = npt.NDArray[np.float64]


def linear_power(power: npt.NDArray[Any], scale: str) -> Float64:
    """Power as it is, from decibels (``scale`` is ``db``) or as stored (``linear``)."""
    values = np.asarray(power, np.float64)
    return 10.0 ** (values / 10.0) if scale == "db" else values


def rms_amplitude(power: Float64, frequency_hz: Float64) -> Float64:
    """Root mean square of the samples behind windows, within the band of their frequencies.

    The power spectral density summed over frequencies times their spacing is the mean square (Parseval);
    frames are averaged, planes added up. 0 Hz is left out: an offset is no motion.

    Parameters
    ----------
    power
        Linear, one-sided, per Hz, shape (window, [plane,] frame, frequency).
    frequency_hz
        Ascending, shape (frequency,).

    Returns
    -------
    numpy.ndarray
        Shape (window,), in the unit whose square per Hz power has.
    """
    moving = frequency_hz > 0
    mean_square = (power.mean(axis=-2) * np.gradient(frequency_hz))[..., moving].sum(axis=-1)
    planes = tuple(range(1, mean_square.ndim))
    return np.asarray(np.sqrt(mean_square.sum(axis=planes)))


def peak_frequency(power: Float64, frequency_hz: Float64) -> Float64:
    """Frequency above 0 Hz where the mean over a window's frames (and planes) is largest, shape (window,)."""
    moving = frequency_hz > 0
    mean = power.mean(axis=tuple(range(1, power.ndim - 1)))
    return np.asarray(frequency_hz[moving][np.argmax(mean[:, moving], axis=1)])
