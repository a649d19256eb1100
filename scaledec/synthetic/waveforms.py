"""Shapes of seismic signals: bursts with decaying coda, harmonics, dispersed waves, sensor glitches.

Pure functions of numbers and a random generator; all return velocity-like samples in counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import scipy.fft

__all__ = [
    "brune_spectrum",
    "coda_envelope",
    "dispersed_wave",
    "harmonics",
    "ringing_spike",
    "shaped_bands",
    "slow_wander",
]

FloatArray = npt.NDArray[np.float64]


def brune_spectrum(frequency_hz: FloatArray, corner_hz: float, t_star_s: float) -> FloatArray:
    """Velocity spectrum of an omega-square source (Brune 1970) after attenuation, peak 1 before it.

    Parameters
    ----------
    frequency_hz
        Shape (frequency,).
    corner_hz
        Corner frequency of the source.
    t_star_s
        Travel time divided by the quality factor.
    """
    ratio = frequency_hz / corner_hz
    attenuation: FloatArray = np.exp(-np.pi * frequency_hz * t_star_s)
    return 2.0 * ratio / (1.0 + ratio**2) * attenuation


def shaped_bands(
    rng: np.random.Generator,
    n_samples: int,
    rate_hz: float,
    spectrum: Callable[[FloatArray], FloatArray],
    envelope: Callable[[FloatArray, float], FloatArray],
    centres_hz: Sequence[float],
) -> FloatArray:
    """Random wave train with a spectrum, whose envelope may depend on frequency.

    White noise is shaped by ``spectrum``, split into bands whose triangular weights (over the logarithm of
    frequency) add to one, and each band is multiplied by ``envelope(time_s, centre_hz)``.

    Returns
    -------
    Samples, shape (n_samples,); the root mean square is 1 where spectrum and envelope are 1.
    """
    n_fft = scipy.fft.next_fast_len(n_samples, real=True)
    frequency = scipy.fft.rfftfreq(n_fft, 1.0 / rate_hz)
    white = scipy.fft.rfft(rng.standard_normal(n_fft))
    shaped = white * spectrum(frequency)
    position = np.interp(
        np.log(np.maximum(frequency, 1e-3)), np.log(np.asarray(centres_hz)), np.arange(len(centres_hz))
    )
    time_s = np.arange(n_samples) / rate_hz
    samples = np.zeros(n_samples)
    for band, centre in enumerate(centres_hz):
        weight = np.clip(1.0 - np.abs(position - band), 0.0, None)
        samples += scipy.fft.irfft(shaped * weight, n_fft)[:n_samples] * envelope(time_s, centre)
    return samples


def coda_envelope(time_s: FloatArray, frequency_hz: float, *, quality: float, rise_s: float) -> FloatArray:
    """Envelope of a phase and its coda: a short rise, then t**-0.7 exp(-pi f t / Q), Q = quality * f**0.7.

    The decay with frequency-dependent Q is that of single scattering (Aki and Chouet 1975).
    ``time_s`` counts from the phase's onset; before it the envelope is 0, its maximum is about 1.
    """
    since = np.clip(time_s, 0.0, None)
    rise = 1.0 - np.exp(-since / rise_s)
    decay = (1.0 + since / (6.0 * rise_s)) ** -0.7
    envelope: FloatArray = rise * decay * np.exp(-np.pi * frequency_hz**0.3 * since / quality)
    return envelope


def slow_wander(rng: np.random.Generator, n_samples: int, rate_hz: float, period_s: float) -> FloatArray:
    """A smooth random curve of unit variance that changes over about ``period_s``, shape (n_samples,)."""
    knots = rng.standard_normal(int(n_samples / rate_hz / period_s) + 6)
    # Cubic B-spline weights: smooth to the second derivative, so that no frequency jumps can be heard.
    at = np.arange(n_samples) / rate_hz / period_s
    left = at.astype(np.int64)
    u = at - left
    weights = ((1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3)
    curve: FloatArray = sum((w * knots[left + k] for k, w in enumerate(weights)), np.zeros(n_samples)) / 6.0
    return curve / 0.69  # the standard deviation of this spline of unit normal knots


def harmonics(
    fundamental_hz: FloatArray, rate_hz: float, amplitudes: Sequence[float], phases: Sequence[float]
) -> FloatArray:
    """Sum of overtones of a gliding fundamental.

    Parameters
    ----------
    fundamental_hz
        Frequency at each sample, shape (n_samples,).
    amplitudes, phases
        Of the fundamental and its overtones; one that would pass 0.45 of the rate is left out.
    """
    phase = 2.0 * np.pi * np.cumsum(fundamental_hz) / rate_hz
    highest = float(fundamental_hz.max(initial=0.0))
    samples = np.zeros(fundamental_hz.shape[0])
    for order, (amplitude, start) in enumerate(zip(amplitudes, phases, strict=True), start=1):
        if order * highest < 0.45 * rate_hz:
            samples += amplitude * np.sin(order * phase + start)
    return samples


def dispersed_wave(
    rng: np.random.Generator,
    n_samples: int,
    rate_hz: float,
    arrival_s: Callable[[FloatArray], FloatArray],
    spectrum: Callable[[FloatArray], FloatArray],
) -> FloatArray:
    """A surface wave: each frequency arrives at its own group delay.

    Parameters
    ----------
    arrival_s
        Group delay in seconds at each frequency, shape (frequency,) -> (frequency,).
    spectrum
        Amplitude at each frequency.

    Returns
    -------
    Samples with a maximum of 1, shape (n_samples,).
    """
    n_fft = scipy.fft.next_fast_len(2 * n_samples, real=True)
    frequency = scipy.fft.rfftfreq(n_fft, 1.0 / rate_hz)
    # Group delay is -1/(2 pi) of the phase's slope, so the phase is its integral.
    phase = 2.0 * np.pi * np.cumsum(arrival_s(frequency)) * (frequency[1] - frequency[0])
    wave = scipy.fft.irfft(spectrum(frequency) * np.exp(-1j * (phase + rng.uniform(0, 2 * np.pi))), n_fft)
    wave = wave[:n_samples]
    return wave / float(np.abs(wave).max())


def ringing_spike(rate_hz: float, half_length_s: float = 0.25) -> FloatArray:
    """One sample's spike as a zero-phase decimation filter passes it on: it rings before and after."""
    half = max(2, round(half_length_s * rate_hz))
    at = np.arange(-half, half + 1)
    ring: FloatArray = np.sinc(0.8 * at) * np.hanning(2 * half + 1)
    return ring
