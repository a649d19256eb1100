"""The geometry of segments, frames, frequencies and windows."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from scaledec.errors import ConfigError
from scaledec.grid import SpectrogramGrid, WindowGrid


def grid(**changes: object) -> SpectrogramGrid:
    given = {"sampling_rate_hz": 100.0, "segment_s": 86_400.0, "window_s": 2.56, "overlap": 0.5} | changes
    return SpectrogramGrid.from_lengths(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(("nfft", "rate"), [(256, 100.0), (300, 50.0), (257, 100.0)])
def test_frequencies_are_those_of_scipy(nfft: int, rate: float) -> None:
    here = grid(sampling_rate_hz=rate, nfft=nfft)
    expected, _, _ = scipy.signal.spectrogram(
        np.zeros(4 * nfft), fs=rate, nperseg=here.nperseg, noverlap=0, nfft=nfft
    )
    np.testing.assert_allclose(here.frequency_hz, expected, rtol=1e-12)


def test_a_band_holds_exactly_the_frequencies_inside_it() -> None:
    whole, part = grid(), grid(band_hz=(3.0, 20.0))
    inside = whole.frequency_hz[(whole.frequency_hz >= 3) & (whole.frequency_hz <= 20)]
    np.testing.assert_array_equal(part.frequency_hz, inside)


def test_a_band_edge_on_a_frequency_is_included() -> None:
    step = 100 / 256
    assert grid(band_hz=(8 * step, 16 * step)).n_frequencies == 9


def test_frames_that_start_in_a_segment_reach_into_the_next() -> None:
    here = grid()
    assert here.n_frames == 67_500
    last_sample = (here.n_frames - 1) * here.hop + here.nperseg
    assert last_sample == here.samples_per_segment + here.tail_samples


def windows(**changes: float | None) -> WindowGrid:
    given = {"length_s": 40.0, "stride_s": None, "min_coverage": 1.0} | changes
    return WindowGrid.from_lengths(grid(window_s=2.0, segment_s=3600.0), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("stride_s", [None, 20.0, 40.0, 7.0, 55.0])
def test_every_window_starts_in_the_segment_and_head_frames_are_enough(stride_s: float | None) -> None:
    here = windows(stride_s=stride_s)
    starts = np.arange(here.n_windows) * here.stride
    assert starts[-1] < here.n_frames
    assert starts[-1] + here.stride >= here.n_frames
    assert here.head_frames == max(0, starts[-1] + here.length - here.n_frames)


def test_windows_without_stride_lie_side_by_side() -> None:
    here = windows()
    assert here.stride == here.length == 40
    np.testing.assert_array_equal(np.diff(here.window_s), 40.0)


def test_the_proposed_hop_is_the_nearest_that_divides_the_segment() -> None:
    with pytest.raises(ConfigError, match="nearest hop that fits is 160"):
        grid(segment_s=86_400.0, overlap=0.37)
