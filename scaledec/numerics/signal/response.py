"""Instrument response in the spectral domain: power over |H(f)|^2, without deconvolving a trace.

Dividing a frame's power by |H(f)|^2 equals the power of the deconvolved trace wherever the response
changes little over the taper's spectral width, which a pass band does.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["amplitude_factor", "frames_of_spans", "response_gain_db"]

Float64 = npt.NDArray[np.float64]


def response_gain_db(power_response: npt.NDArray[np.floating], water_level_db: float) -> Float64:
    """Power gain of an instrument in dB, raised to the water level where it is lower.

    The water level lies ``water_level_db`` below the largest gain, as in ObsPy's ``remove_response``: where
    the instrument records next to nothing (0 Hz, beyond its anti-alias filter), noise is not blown up
    beyond it. A gain that is not finite (0 / 0 at 0 Hz) counts as none.

    Parameters
    ----------
    power_response
        |H|^2 over frequency, shape (frequency,), from 0 Hz to the Nyquist frequency: the largest must be
        among them.
    water_level_db
        How far below the largest gain the level lies.

    Returns
    -------
    10 log10 |H|^2, shape (frequency,).

    Raises
    ------
    ValueError
        If the response is zero everywhere.
    """
    power = np.where(np.isfinite(power_response), power_response, 0.0).astype(np.float64)
    largest = float(power.max(initial=0.0))
    if largest <= 0.0:
        raise ValueError("the response is zero at every frequency of the spectrogram")
    level_db = 10.0 * np.log10(largest) - water_level_db
    gain_db = np.full(power.shape, level_db)
    np.log10(power, out=gain_db, where=power > 0.0)
    gain_db[power > 0.0] *= 10.0
    np.maximum(gain_db, level_db, out=gain_db)
    return gain_db


def amplitude_factor(gain_db: Float64) -> npt.NDArray[np.float32]:
    """What spectral amplitudes are multiplied by so that power is divided by a gain, shape (frequency,)."""
    return np.power(10.0, gain_db / -20.0).astype(np.float32)


def frames_of_spans(
    start_ns: npt.NDArray[np.int64],
    end_ns: npt.NDArray[np.int64],
    frame_start_ns: npt.NDArray[np.int64],
    frame_ns: int,
) -> npt.NDArray[np.intp]:
    """The span of time that holds each frame whole, shape (frame,); -1 where none does.

    Parameters
    ----------
    start_ns, end_ns
        Spans, ascending and apart from one another, ends exclusive, shape (span,).
    frame_start_ns, frame_ns
        Start of each frame's first sample, shape (frame,), and the time from there to its last one.
    """
    if start_ns.size == 0:
        return np.full(frame_start_ns.shape, -1, dtype=np.intp)
    found = np.searchsorted(start_ns, frame_start_ns, side="right") - 1
    holds = (found >= 0) & (frame_start_ns + frame_ns < end_ns[found])
    return np.where(holds, found, -1)
