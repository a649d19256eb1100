"""Gains of instruments: the water level, what is done with them, and which frames lie under which."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.signal import spectrogram

from scaledec.numerics.signal.response import amplitude_factor, frames_of_spans, response_gain_db
from scaledec.numerics.signal.stft import Dtype, Scale, SpectrogramTransform
from scaledec.numerics.signal.taper import make_taper

RATE_HZ = 100.0
NFFT = 256
FREQUENCY_HZ = np.arange(NFFT // 2 + 1) * RATE_HZ / NFFT


def geophone(frequency_hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """|H|^2 of a 4.5 Hz geophone with 0.7 of critical damping and a digitiser of 4e8 counts per m/s."""
    x = frequency_hz / 4.5
    return np.asarray(4e8**2 * x**4 / ((1 - x**2) ** 2 + (2 * 0.7 * x) ** 2))


def test_a_gain_is_ten_logarithms_of_the_power_response() -> None:
    frequency = FREQUENCY_HZ[3:]
    np.testing.assert_allclose(
        response_gain_db(geophone(frequency), 60.0), 10 * np.log10(geophone(frequency)), rtol=1e-12
    )


def test_what_lies_below_the_water_level_is_raised_to_it() -> None:
    power = np.array([0.0, 1e-9, 1e-3, 1.0, 10.0])
    np.testing.assert_allclose(response_gain_db(power, 60.0), [-50, -50, -30, 0, 10], atol=1e-12)


def test_the_water_level_is_that_of_obspy() -> None:
    invsim = pytest.importorskip("obspy.signal.invsim")
    amplitude = np.sqrt(geophone(FREQUENCY_HZ))
    inverse = amplitude.astype(np.complex128)
    invsim.invert_spectrum(inverse, 30.0)
    factor = amplitude_factor(response_gain_db(amplitude**2, 30.0))
    # At 0 Hz ObsPy sets the spectrum to zero; here the level is kept, as power in dB has no zero.
    np.testing.assert_allclose(factor[1:], np.abs(inverse)[1:], rtol=1e-6)


@pytest.mark.parametrize("nothing", [np.inf, np.nan, 0.0])
def test_a_gain_that_is_no_number_counts_as_none(nothing: float) -> None:
    gain = response_gain_db(np.array([nothing, 1.0, 4.0]), 20.0)
    np.testing.assert_allclose(gain, [10 * np.log10(4) - 20, 0, 10 * np.log10(4)], atol=1e-12)


def test_a_response_that_is_zero_everywhere_is_refused() -> None:
    with pytest.raises(ValueError, match="zero at every frequency"):
        response_gain_db(np.zeros(5), 60.0)


@pytest.mark.parametrize(
    ("scale", "dtype", "tolerance_db"),
    [("db", "float16", 0.07), ("db", "float32", 1e-3), ("linear", "float32", 1e-3)],
)
def test_power_is_divided_by_the_gain_before_it_is_rounded(
    scale: Scale, dtype: Dtype, tolerance_db: float
) -> None:
    samples = (2e5 * np.random.default_rng(3).standard_normal(50 * NFFT)).astype(np.float32)
    gain_db = response_gain_db(geophone(FREQUENCY_HZ), 60.0)
    taper = make_taper("hann", NFFT)
    transform = SpectrogramTransform(
        NFFT, NFFT // 2, NFFT, 0, NFFT // 2 + 1, taper, RATE_HZ, scale=scale, dtype=dtype
    )
    power: npt.NDArray[Any] = transform(samples, factor=amplitude_factor(gain_db)).astype(np.float64)
    _, _, counts = spectrogram(
        samples.astype(np.float64), RATE_HZ, window="hann", nperseg=NFFT, noverlap=NFFT // 2, detrend=False
    )
    expected_db = 10 * np.log10(np.asarray(counts).T) - gain_db
    power_db = power if scale == "db" else 10 * np.log10(power)
    assert -256 < expected_db.min() < -100, "as small as ground motion is in SI units"
    assert np.abs(power_db - expected_db).max() < tolerance_db


def test_float16_keeps_a_tenth_of_a_decibel_down_to_minus_256() -> None:
    decibels = np.linspace(-256, -100, 1_000_001)
    assert np.abs(decibels.astype(np.float16).astype(np.float64) - decibels).max() <= 0.0626


def test_a_silent_frame_stays_at_the_floor_whatever_the_gain() -> None:
    taper = make_taper("hann", NFFT)
    transform = SpectrogramTransform(
        NFFT, NFFT, NFFT, 0, NFFT // 2 + 1, taper, RATE_HZ, scale="db", dtype="float16"
    )
    factor = amplitude_factor(response_gain_db(geophone(FREQUENCY_HZ), 60.0))
    assert (transform(np.zeros(2 * NFFT, np.float32), factor=factor) == -300.0).all()


def test_a_frame_belongs_to_the_span_that_holds_all_its_samples() -> None:
    start, end = np.array([100, 500, 900]), np.array([500, 800, 1000])
    frames = np.array([90, 100, 399, 400, 401, 500, 700, 701, 850, 900, 950])
    found = frames_of_spans(start, end, frames, 99)
    # Frames last to 99 ns after their start: 400 ends with the span, 401 is shared, 850 reaches over a hole.
    assert found.tolist() == [-1, 0, 0, 0, -1, 1, 1, -1, -1, 2, -1]


def test_without_spans_no_frame_has_one() -> None:
    nothing = np.zeros(0, np.int64)
    assert frames_of_spans(nothing, nothing, np.array([0, 5]), 3).tolist() == [-1, -1]
