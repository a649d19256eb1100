"""Background noise of a station: coloured, slowly changing, and the same however it is cut.

Noise is made in blocks on a grid anchored at 1970. Each block has a random spectrum of its own, shaped
by the station's spectrum at that hour, and blocks are cross-faded at constant power. So any stretch can
be made alone, and nothing happens at midnight.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import scipy.fft

from scaledec.synthetic.settings import NoiseModel, SyntheticSettings, make_rng

__all__ = ["noise_power", "noise_rms", "noise_samples"]

FloatArray = npt.NDArray[np.float64]

# Half a block lasts at least this long: much longer than the longest period that matters (20 s).
_HALF_BLOCK_S = 300.0
# The microseism of a sea swells and ebbs within a day or two.
_SWELL_PERIOD_H = 31.0
_SWELL_DB = 1.5
# Below this frequency a broadband sensor's response falls off anyway.
_LOWEST_HZ = 0.01


def _from_db(decibels: float) -> float:
    return float(10.0 ** (decibels / 10.0))


def _parts(model: NoiseModel, frequency_hz: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Steady, microseismic and cultural power at each frequency, counts^2/Hz, at their daily maximum."""
    f = np.maximum(frequency_hz, _LOWEST_HZ)
    steady = _from_db(model.floor_db) * (1.0 + (0.1 / f) ** model.slope)
    primary = 0.1 * np.exp(-0.5 * (np.log(f / 0.07) / 0.25) ** 2)
    # The secondary microseism falls off as a power of frequency above its peak, not as a bell.
    secondary = np.where(f < 0.2, np.exp(-0.5 * (np.log(f / 0.2) / 0.35) ** 2), (f / 0.2) ** -3.2)
    cultural = _from_db(model.cultural_db) / (1.0 + (4.0 / f) ** 3)
    return steady, _from_db(model.microseism_db) * (primary + secondary), cultural


def _factors(model: NoiseModel, settings: SyntheticSettings, hour: float) -> tuple[float, float]:
    """What the microseismic and the cultural part are multiplied by at an instant (hours since 1970)."""
    swell = _SWELL_DB * math.sin(2.0 * math.pi * (hour / _SWELL_PERIOD_H + 0.1 * settings.seed))
    quiet = model.diurnal_db * (settings.work_share(hour % 24.0) - 1.0)
    return _from_db(swell), _from_db(quiet)


def noise_power(
    model: NoiseModel, settings: SyntheticSettings, frequency_hz: FloatArray, time_ns: int
) -> FloatArray:
    """Expected power spectral density of the noise at an instant.

    Parameters
    ----------
    frequency_hz
        Shape (frequency,).
    time_ns
        Nanoseconds since 1970.

    Returns
    -------
    Power in counts^2/Hz (one-sided), shape (frequency,).
    """
    steady, microseism, cultural = _parts(model, frequency_hz)
    swell, work = _factors(model, settings, time_ns / 3.6e12)
    return steady + swell * microseism + work * cultural


def noise_rms(
    model: NoiseModel, settings: SyntheticSettings, bands_hz: tuple[tuple[float, float], ...], time_ns: int
) -> float:
    """Root mean square of the noise within frequency bands at an instant, counts."""
    variance = 0.0
    for low, high in bands_hz:
        frequency = np.geomspace(low, min(high, settings.sampling_rate_hz / 2), 65)
        variance += float(np.trapezoid(noise_power(model, settings, frequency, time_ns), frequency))
    return math.sqrt(variance)


def noise_samples(
    model: NoiseModel, settings: SyntheticSettings, name: str, first_sample: int, n_samples: int
) -> FloatArray:
    """Noise of one channel, any stretch of it.

    Parameters
    ----------
    name
        Which channel: with the seed it decides the noise.
    first_sample
        Index of the first sample, counted from 1970 at ``settings.sampling_rate_hz``.
    n_samples
        How many.

    Returns
    -------
    Counts, shape (n_samples,).
    """
    rate = settings.sampling_rate_hz
    half = 2 ** math.ceil(math.log2(_HALF_BLOCK_S * rate))
    frequency = scipy.fft.rfftfreq(2 * half, 1.0 / rate)
    # E|X|^2 of a coefficient is P fs N / 2, half of it in the real and half in the imaginary part.
    steady, microseism, cultural = (part * (rate * half / 2.0) for part in _parts(model, frequency))
    fade = np.sin(np.pi * (np.arange(2 * half) + 0.5) / (2 * half))
    first_block = first_sample // half - 1
    stop_block = (first_sample + n_samples - 1) // half + 1
    samples = np.zeros((stop_block - first_block + 1) * half)
    for block in range(first_block, stop_block):
        swell, work = _factors(model, settings, (block + 1) * half / rate / 3600.0)
        amplitude = np.sqrt(steady + swell * microseism + work * cultural)
        amplitude[0] = 0.0
        spectrum = make_rng(settings.seed, "noise", name, block).standard_normal((half + 1, 2))
        spectrum *= amplitude[:, np.newaxis]
        at = (block - first_block) * half
        samples[at : at + 2 * half] += fade * scipy.fft.irfft(spectrum.view(np.complex128)[:, 0], 2 * half)
    skip = first_sample - first_block * half
    return samples[skip : skip + n_samples]
