"""Detrending, filtering and decimation against scipy in float64, and no seam at segment borders."""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

from scaledec.numerics.signal.detrend import DetrendKind, detrend
from scaledec.numerics.signal.fir import ZeroPhaseFilter, design_kernel
from scaledec.numerics.signal.preprocess import Preprocessor

Array = npt.NDArray[np.float32]

SETTINGS: list[tuple[float, float, tuple[float, float] | None]] = [
    (100.0, 100.0, (1.0, 20.0)),
    (100.0, 100.0, (0.05, 10.0)),
    (100.0, 50.0, None),
    (100.0, 40.0, None),
    (100.0, 40.0, (2.0, 15.0)),
    (200.0, 100.0, (0.0, 30.0)),
    (40.0, 1.0, None),
]


def noise(n: int, seed: int = 0) -> Array:
    return (1000 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


@pytest.mark.parametrize("kind", ["constant", "linear"])
@pytest.mark.parametrize("n", [2, 5, 4095, 4096, 50_000])
def test_each_run_is_detrended_as_scipy_does_it(kind: Literal["constant", "linear"], n: int) -> None:
    gap, other = 10, 777
    samples = noise(n + gap + other) + np.float32(2e5)
    samples += np.linspace(0, 5e4, samples.size, dtype=np.float32)
    expected = samples.astype(np.float64)
    runs = [(0, n), (n + gap, n + gap + other)]
    for start, stop in runs:
        expected[start:stop] = scipy.signal.detrend(expected[start:stop], type=kind)
    detrend(samples, runs, kind)
    # 2e5 in float32 is known to 0.016.
    np.testing.assert_allclose(samples, expected, atol=0.05)


@pytest.mark.parametrize("kind", ["constant", "linear"])
def test_a_run_of_one_sample_becomes_zero(kind: DetrendKind) -> None:
    samples = np.array([7.0, 7.0, 7.0], dtype=np.float32)
    detrend(samples, [(1, 2)], kind)
    assert samples.tolist() == [7.0, 0.0, 7.0]


def test_detrend_none_changes_nothing() -> None:
    samples = noise(100)
    before = samples.copy()
    detrend(samples, [(0, 100)], "none")
    np.testing.assert_array_equal(samples, before)


def test_without_band_and_decimation_the_same_samples_come_back() -> None:
    preprocessor = Preprocessor(100.0, 100.0, detrend="none")
    samples = noise(1000)
    assert preprocessor.margin_samples == 0
    out, runs = preprocessor.apply(samples, [(0, 10), (20, 1000)])
    assert out is samples
    assert runs == ((0, 10), (20, 1000))


def convolved(samples: Array, preprocessor: Preprocessor) -> npt.NDArray[np.float64]:
    """The filter as it is defined: zero-stuffing, direct convolution, picking; float64."""
    fir = preprocessor.filter
    assert fir is not None
    stuffed = np.zeros(samples.size * fir.up)
    stuffed[:: fir.up] = samples
    filtered = np.convolve(stuffed, fir.kernel * fir.up, mode="same")
    return filtered[fir.margin * fir.up : (samples.size - fir.margin) * fir.up : fir.down]


@pytest.mark.parametrize(("native", "target", "band"), SETTINGS)
def test_the_fast_filter_equals_direct_convolution(
    native: float, target: float, band: tuple[float, float] | None
) -> None:
    preprocessor = Preprocessor(native, target, detrend="none", bandpass_hz=band)
    samples = noise(40_000 + 2 * preprocessor.margin_samples)
    out, _ = preprocessor.apply(samples.copy(), [(0, samples.size)])
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, convolved(samples, preprocessor), atol=2e-6 * np.abs(samples).max())


@given(
    n_taps=st.integers(0, 60).map(lambda half: 2 * half + 1),
    up=st.integers(1, 4),
    down=st.integers(1, 5),
    n=st.integers(0, 900),
)
def test_any_kernel_ratio_and_length_gives_what_direct_convolution_gives(
    n_taps: int, up: int, down: int, n: int
) -> None:
    rng = np.random.default_rng(n_taps)
    half = rng.standard_normal(n_taps // 2)
    kernel = np.concatenate((half, [1.0], half[::-1]))
    fir = ZeroPhaseFilter(kernel, up, down)
    samples = rng.standard_normal(n).astype(np.float32)
    out = fir(samples)
    stuffed = np.zeros(n * up)
    stuffed[::up] = samples
    full = np.convolve(stuffed, kernel * up)[n_taps // 2 :] if n else np.zeros(0)
    expected = full[fir.margin * up : max(fir.margin, n - fir.margin) * up : down]
    np.testing.assert_allclose(out, expected, atol=1e-4 * (1 + np.abs(kernel).sum()))


@pytest.mark.parametrize("kind", ["none", "constant", "linear"])
@pytest.mark.parametrize(("native", "target", "band"), SETTINGS)
def test_a_record_cut_into_segments_gives_the_samples_of_the_whole(
    native: float, target: float, band: tuple[float, float] | None, kind: DetrendKind
) -> None:
    preprocessor = Preprocessor(native, target, detrend="none", bandpass_hz=band)
    margin = preprocessor.margin_samples
    segment = int(400 * native)  # native samples
    samples = noise(4 * segment + 2 * margin)
    detrend(samples, [(0, samples.size)], kind)
    whole, _ = preprocessor.apply(samples.copy(), [(0, samples.size)])
    pieces = []
    for i in range(4):
        piece = samples[i * segment : (i + 1) * segment + 2 * margin].copy()
        out, runs = preprocessor.apply(piece, [(0, piece.size)])
        assert runs == ((0, out.size),), "margins are data: nothing is lost at a border"
        pieces.append(out)
    joined = np.concatenate(pieces)
    assert joined.size == whole.size == 4 * 400 * target
    np.testing.assert_allclose(joined, whole, atol=2e-6 * np.abs(samples).max())


@pytest.mark.parametrize("kind", ["constant", "linear"])
def test_filtering_makes_the_trend_of_a_segment_irrelevant(kind: DetrendKind) -> None:
    """A band-pass removes a line by itself, so each segment's own line leaves no step at its border."""
    drift = np.linspace(0.0, 5e3, 80_000, dtype=np.float32)
    samples = noise(80_000) + drift
    outs = []
    for chosen in ("none", kind):
        preprocessor = Preprocessor(100.0, 100.0, detrend=chosen, bandpass_hz=(1.0, 20.0))
        outs.append(preprocessor.apply(samples.copy(), [(0, samples.size)])[0])
    # The leakage at 0 Hz is below 1e-4 of the line's height.
    np.testing.assert_allclose(outs[0], outs[1], atol=1e-4 * 5e3)


@pytest.mark.parametrize(("native", "target", "band"), SETTINGS)
def test_a_sine_in_the_band_keeps_its_phase_and_amplitude(
    native: float, target: float, band: tuple[float, float] | None
) -> None:
    top = 0.9 * target / 2
    low, high = (0.0, top) if band is None else (band[0], min(band[1], top))
    preprocessor = Preprocessor(native, target, detrend="none", bandpass_hz=band)
    margin = preprocessor.margin_samples
    for frequency_hz in (low + 0.02 * (high - low), (low + high) / 2, high):
        t_in = (np.arange(int(200 * native) + 2 * margin) - margin) / native
        samples = np.sin(2 * np.pi * frequency_hz * t_in + 0.3).astype(np.float32)
        out, _ = preprocessor.apply(samples, [(0, samples.size)])
        t_out = np.arange(out.size) / target
        np.testing.assert_allclose(out, np.sin(2 * np.pi * frequency_hz * t_out + 0.3), atol=2e-4)


@pytest.mark.parametrize(
    ("rate", "keep_below", "band"),
    [
        (100.0, None, (1.0, 20.0)),
        (100.0, None, (0.05, 49.0)),
        (100.0, None, (3.0, 50.0)),
        (100.0, 25.0, None),
        (200.0, 20.0, None),
        (100.0, 25.0, (3.0, 20.0)),
        (100.0, 25.0, (3.0, 24.0)),
        (200.0, 50.0, (0.0, 30.0)),
    ],
)
def test_the_pass_band_is_flat_and_the_stop_bands_are_80_db_down(
    rate: float, keep_below: float | None, band: tuple[float, float] | None
) -> None:
    kernel = design_kernel(rate, keep_below_hz=keep_below, band_hz=band)
    limit = rate / 2 if keep_below is None else keep_below
    low, high = band or (0.0, limit)
    assert kernel.size % 2 == 1
    np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-15)
    f, response = scipy.signal.freqz(kernel, worN=16 * kernel.size, fs=rate)
    gain = np.abs(response)
    top = min(high, 0.9 * limit) if high < limit or keep_below is not None else rate / 2
    np.testing.assert_allclose(gain[(f >= low) & (f <= top)], 1.0, atol=1e-4)
    stop = (f <= low / 2) if low > 0 else np.zeros(f.size, dtype=bool)
    if top < rate / 2:
        stop |= f >= min(1.25 * top, limit)
    assert gain[stop].max() <= 1e-4


def test_what_would_fold_into_the_band_is_gone_after_decimation() -> None:
    preprocessor = Preprocessor(100.0, 40.0, detrend="none")
    t = np.arange(100_000) / 100.0
    samples = np.sin(2 * np.pi * 33.0 * t).astype(np.float32)  # would appear at 7 Hz
    out, _ = preprocessor.apply(samples, [(0, samples.size)])
    assert np.abs(out).max() < 1e-4


@pytest.mark.parametrize(("native", "target", "band"), SETTINGS)
def test_at_a_gap_exactly_the_samples_under_the_kernel_are_lost(
    native: float, target: float, band: tuple[float, float] | None
) -> None:
    preprocessor = Preprocessor(native, target, detrend="constant", bandpass_hz=band)
    fir = preprocessor.filter
    assert fir is not None
    n = int(400 * native) + 2 * fir.margin
    gap = (n // 2, n // 2 + 3)
    samples = noise(n)
    samples[gap[0] : gap[1]] = 0.0
    out, runs = preprocessor.apply(samples, [(0, gap[0]), (gap[1], n)])
    real = np.zeros(out.size, dtype=bool)
    for start, stop in runs:
        real[start:stop] = True
    # An output sample is real if and only if none of the missing samples lies under its kernel.
    position = fir.margin + np.arange(out.size) * fir.down / fir.up
    half = (fir.kernel.size // 2) / fir.up
    touches_gap = (position + half >= gap[0]) & (position - half <= gap[1] - 1)
    np.testing.assert_array_equal(real, ~touches_gap)
    assert (out[~real] == 0).all()


def test_a_run_shorter_than_the_kernel_leaves_nothing() -> None:
    preprocessor = Preprocessor(100.0, 50.0)
    samples = noise(5000)
    out, runs = preprocessor.apply(samples, [(1000, 1100)])
    assert runs == ()
    assert (out == 0).all()


def test_a_record_that_starts_late_loses_half_a_kernel_at_its_start() -> None:
    preprocessor = Preprocessor(100.0, 100.0, bandpass_hz=(1.0, 20.0))
    margin = preprocessor.margin_samples
    samples = np.concatenate((np.zeros(2 * margin + 100, np.float32), noise(5000)))
    _, runs = preprocessor.apply(samples, [(2 * margin + 100, samples.size)])
    assert runs == ((2 * margin + 100, samples.size - 2 * margin),)


def test_native_length_is_just_enough_for_the_wanted_output() -> None:
    for (native, target, band), n_out in itertools.product(SETTINGS, [1, 2, 999, 4000]):
        preprocessor = Preprocessor(native, target, bandpass_hz=band)
        samples = noise(preprocessor.native_length(n_out))
        out, _ = preprocessor.apply(samples, [(0, samples.size)])
        assert n_out <= out.size <= n_out + preprocessor.up


def test_upsampling_is_refused_and_names_both_rates() -> None:
    with pytest.raises(ValueError, match="20 Hz, slower than the 100 Hz of the cube"):
        Preprocessor(20.0, 100.0)


@pytest.mark.parametrize(("native", "target"), [(100.0, 33.337), (100.0, 99.9)])
def test_a_ratio_of_large_numbers_is_refused(native: float, target: float) -> None:
    with pytest.raises(ValueError, match="no ratio of small whole numbers"):
        Preprocessor(native, target)


def test_a_rate_off_by_rounding_is_the_same_rate() -> None:
    assert Preprocessor(1 / 0.01, 100.0).filter is None
    assert Preprocessor(float(np.float32(100.000001)), 100.0).filter is None


@pytest.mark.parametrize("band", [(5.0, 5.0), (10.0, 2.0), (1.0, 30.0)])
def test_a_band_that_does_not_fit_the_target_rate_is_refused(band: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="expected low < high <= 25 Hz"):
        Preprocessor(100.0, 50.0, bandpass_hz=band)


@pytest.mark.parametrize(("native", "target", "band"), [(100.0, 100.0, (1.0, 20.0)), (100.0, 40.0, None)])
def test_blocks_that_are_transformed_together_give_the_bits_that_each_gives_alone(
    native: float, target: float, band: tuple[float, float] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocessor = Preprocessor(native, target, bandpass_hz=band)
    assert preprocessor.filter is not None
    n_samples = 700_001 + 2 * preprocessor.margin_samples
    samples = np.random.default_rng(5).standard_normal(n_samples).astype(np.float32)
    together = preprocessor.filter(samples)
    monkeypatch.setattr("scaledec.numerics.signal.fir._BATCH_SAMPLES", 1)
    np.testing.assert_array_equal(preprocessor.filter(samples), together)
