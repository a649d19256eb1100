"""Power against scipy.signal.spectrogram in float64, for every taper, parity and method."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.signal import spectrogram

from scaledec.numerics.signal.stft import (
    Dtype,
    Method,
    Scale,
    SpectrogramTransform,
    cheaper_method,
    one_thread,
)
from scaledec.numerics.signal.taper import make_taper

RATE_HZ = 100.0

# nperseg, hop, nfft: even and odd, zero-padded and not, hops that do not divide the frame.
SHAPES = [
    (256, 128, 256),
    (20, 2, 256),
    (20, 7, 20),
    (101, 33, 101),
    (101, 50, 128),
    (64, 64, 101),
    (2, 1, 2),
]
TAPERS: list[tuple[Any, str, float | None]] = [
    ("hann", "hann", None),
    ("boxcar", "boxcar", None),
    (("kaiser", 5.7), "kaiser", 5.7),
    (("tukey", 0.25), "tukey", 0.25),
]


def red_noise(n: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """A random walk with an offset: power falls by 100 dB from 0 Hz to the Nyquist frequency."""
    steps = np.random.default_rng(seed).standard_normal(n)
    return (1000.0 + 30.0 * steps.cumsum() + steps).astype(np.float32)


def reference(samples: npt.NDArray[np.float32], window: Any, shape: tuple[int, int, int]) -> npt.NDArray[Any]:
    """One-sided power density (frame, frequency) by scipy in float64."""
    nperseg, hop, nfft = shape
    _, _, power = spectrogram(
        samples.astype(np.float64),
        RATE_HZ,
        window=window,
        nperseg=nperseg,
        noverlap=nperseg - hop,
        nfft=nfft,
        detrend=False,
        scaling="density",
    )
    return np.asarray(power).T


def transform(
    shape: tuple[int, int, int],
    taper: npt.NDArray[np.float64] | None = None,
    *,
    bins: tuple[int, int] | None = None,
    scale: Scale = "db",
    dtype: Dtype = "float32",
    method: Method | None = None,
) -> SpectrogramTransform:
    nperseg, hop, nfft = shape
    first, stop = bins or (0, nfft // 2 + 1)
    taper = make_taper("hann", nperseg) if taper is None else taper
    return SpectrogramTransform(
        nperseg, hop, nfft, first, stop, taper, RATE_HZ, scale=scale, dtype=dtype, method=method
    )


@pytest.mark.parametrize("method", ["fft", "product"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("window", "kind", "parameter"), TAPERS)
def test_linear_power_is_within_1e_5_of_each_frames_peak(
    shape: tuple[int, int, int], window: Any, kind: Any, parameter: float | None, method: Method
) -> None:
    samples = red_noise(5000)
    expected = reference(samples, window, shape)
    taper = make_taper(kind, shape[0], parameter)
    power = transform(shape, taper, scale="linear", method=method)(samples)
    assert power.shape == expected.shape
    assert np.all(np.abs(power - expected) <= 1e-5 * expected.max(axis=1, keepdims=True))


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_stored_db_is_within_a_tenth_wherever_power_is_within_100_db_of_the_frames_peak(
    shape: tuple[int, int, int], dtype: Dtype, offset: float
) -> None:
    samples = red_noise(200_000) + np.float32(offset)
    expected = 10 * np.log10(np.maximum(reference(samples, "hann", shape), 1e-30))
    power_db = transform(shape, dtype=dtype)(samples)
    counts = expected >= expected.max(axis=1, keepdims=True) - 100
    assert counts.mean() > 0.05
    assert np.abs(power_db - expected)[counts].max() < 0.1


@pytest.mark.parametrize("method", ["fft", "product"])
@pytest.mark.parametrize("bins", [(0, 1), (16, 103), (128, 129), (1, 128)])
def test_a_band_is_the_same_columns_of_the_whole(bins: tuple[int, int], method: Method) -> None:
    shape = (20, 2, 256)
    samples = red_noise(4000)
    expected = reference(samples, "hann", shape)[:, slice(*bins)]
    power = transform(shape, scale="linear", bins=bins, method=method)(samples)
    np.testing.assert_allclose(power, expected, rtol=1e-3, atol=1e-5 * expected.max())


def test_a_sine_on_a_bin_has_the_power_it_must_have() -> None:
    shape = (256, 128, 256)
    amplitude, k = 3.0, 40
    t = np.arange(2560) / RATE_HZ
    samples = (amplitude * np.sin(2 * np.pi * k * RATE_HZ / 256 * t)).astype(np.float32)
    power = transform(shape, scale="linear")(samples)
    # Summed over frequency, density gives the mean square, A^2 / 2.
    np.testing.assert_allclose(power.sum(axis=1) * RATE_HZ / 256, amplitude**2 / 2, rtol=1e-5)
    assert (power.argmax(axis=1) == k).all()


def test_silence_is_minus_300_db_and_not_minus_infinity() -> None:
    power_db = transform((256, 128, 256))(np.zeros(1024, dtype=np.float32))
    np.testing.assert_allclose(power_db, -300.0, rtol=1e-6)


def test_frames_without_a_sample_are_nan_and_the_others_are_untouched() -> None:
    samples = red_noise(300_000)
    whole = transform((64, 32, 64))
    expected = whole(samples)
    coverage = np.full(len(expected), 100, dtype=np.uint8)
    coverage[10:5000] = 0  # more than one batch, so whole batches are left out
    coverage[5000] = 1
    power = whole(samples, coverage=coverage)
    assert np.isnan(power[10:5000]).all()
    np.testing.assert_array_equal(power[coverage > 0], expected[coverage > 0])


def test_the_result_is_written_where_the_caller_says() -> None:
    samples = red_noise(10_000)
    whole = transform((256, 128, 256), dtype="float16")
    out = np.empty((whole.n_frames(samples.size), 129), dtype=np.float16)
    assert np.shares_memory(whole(samples, out=out), out)
    np.testing.assert_array_equal(out, whole(samples))


def test_power_does_not_depend_on_where_a_frame_lies_in_a_batch() -> None:
    samples = red_noise(500_000)
    whole = transform((256, 128, 256), dtype="float16")
    np.testing.assert_array_equal(whole(samples)[700:], whole(samples[700 * 128 :]))


def test_power_does_not_depend_on_torch_threads() -> None:
    samples = red_noise(300_000)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with_two = transform((256, 128, 256), dtype="float16")(samples)
        assert torch.get_num_threads() == 2, "the caller's setting must survive"
        torch.set_num_threads(1)
        np.testing.assert_array_equal(with_two, transform((256, 128, 256), dtype="float16")(samples))
    finally:
        torch.set_num_threads(before)


def test_one_thread_is_given_back_when_the_work_fails() -> None:
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    with pytest.raises(ZeroDivisionError), one_thread():
        torch.set_num_threads(1 // 0)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("nperseg", "nfft", "n_bins", "expected"),
    [
        (256, 256, 129, "fft"),
        (20, 256, 87, "product"),
        (32, 32, 17, "fft"),
        (31, 31, 16, "product"),  # a prime length
        (200, 200, 2, "fft"),  # cheap as a product, but too long a sum for float32
    ],
)
def test_the_cheaper_method_follows_from_the_settings(
    nperseg: int, nfft: int, n_bins: int, expected: Method
) -> None:
    assert cheaper_method(nperseg, nfft, n_bins) == expected


@pytest.mark.parametrize(
    ("shape", "bins", "weights"),
    [((8, 4, 8), (0, 5), 7), ((8, 4, 7), (0, 4), 8), ((8, 4, 8), (0, 6), 8), ((8, 4, 8), (3, 3), 8)],
)
def test_lengths_that_do_not_fit_together_are_refused(
    shape: tuple[int, int, int], bins: tuple[int, int], weights: int
) -> None:
    with pytest.raises(ValueError, match="expected a taper of shape"):
        transform(shape, np.ones(weights), bins=bins)


@pytest.mark.parametrize(("kind", "parameter"), [("kaiser", None), ("tukey", None), ("hann", 1.0)])
def test_a_taper_with_too_few_or_too_many_parameters_is_refused(kind: Any, parameter: float | None) -> None:
    with pytest.raises(ValueError, match="expected one for kaiser"):
        make_taper(kind, 8, parameter)
