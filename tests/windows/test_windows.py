from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaledec.grid import WindowGrid
from scaledec.numerics.windows import (
    cut_windows,
    finite_frames,
    finite_windows,
    gather_windows,
    usable_windows,
    window_coverage,
)

grids = st.builds(
    lambda n_frames, length, stride: WindowGrid(n_frames, min(length, n_frames), stride, 1.0, 1.0),
    st.integers(2, 40),
    st.integers(2, 40),
    st.integers(1, 40),
)


@given(grids)
def test_windows_hold_the_frames_that_a_plain_slice_holds(grid: WindowGrid) -> None:
    frames = np.arange((grid.n_frames + grid.head_frames) * 3).reshape(-1, 3)
    windows = cut_windows(frames, length=grid.length, stride=grid.stride, n_windows=grid.n_windows)
    assert windows.shape == (grid.n_windows, grid.length, 3)
    for index, window in enumerate(windows):
        start = index * grid.stride
        np.testing.assert_array_equal(window, frames[start : start + grid.length])


@given(grids, st.data())
def test_gathered_windows_are_those_cut_from_both_segments_joined(
    grid: WindowGrid, data: st.DataObject
) -> None:
    frames = np.arange((grid.n_frames + grid.head_frames) * 3).reshape(-1, 3)
    joined = cut_windows(frames, length=grid.length, stride=grid.stride, n_windows=grid.n_windows)
    numbers = data.draw(st.sets(st.integers(0, grid.n_windows - 1)))
    chosen = np.array(sorted(numbers), np.int64)
    first, following = frames[: grid.n_frames], frames[grid.n_frames :]
    gathered = gather_windows(first, following, chosen, length=grid.length, stride=grid.stride)
    np.testing.assert_array_equal(gathered, joined[chosen])


@given(grids, st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_coverage_and_usability_agree_with_the_plain_definition(
    grid: WindowGrid, seed: int, min_coverage: float
) -> None:
    rng = np.random.default_rng(seed)
    n = grid.n_frames + grid.head_frames
    coverage = rng.choice(np.array([0, 37, 100, 100, 100], dtype="u1"), n)
    shape = {"length": grid.length, "stride": grid.stride, "n_windows": grid.n_windows}
    share = window_coverage(coverage, **shape)
    usable = usable_windows(coverage, min_coverage=min_coverage, **shape)
    for index in range(grid.n_windows):
        frames = coverage[index * grid.stride : index * grid.stride + grid.length].astype("f8")
        assert share[index] == pytest.approx(frames.mean() / 100, abs=1e-12)
        assert usable[index] == (share[index] >= min_coverage and frames.min() > 0)


def test_a_window_of_complete_frames_is_covered_exactly() -> None:
    coverage = np.full(3_001, 100, dtype="u1")
    assert (window_coverage(coverage, length=3, stride=1, n_windows=2_999) == 1.0).all()


def test_cutting_copies_nothing() -> None:
    frames = np.zeros((100, 4), dtype="f2")
    windows = cut_windows(frames, length=10, stride=5, n_windows=19)
    assert np.shares_memory(windows, frames)
    assert not windows.flags.writeable


@pytest.mark.parametrize("dtype", ["f2", "f4"])
@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_spoils_exactly_the_windows_that_hold_it(
    value: float, dtype: str
) -> None:
    frames = np.full((12, 3), np.finfo("f2").min, dtype=dtype)
    frames[6, 2] = value
    finite = finite_windows(finite_frames(frames), length=4, stride=2, n_windows=5)
    np.testing.assert_array_equal(finite, [True, True, False, False, True])


def test_too_few_frames_are_refused_with_the_number_needed() -> None:
    with pytest.raises(ValueError, match="expected 12"):
        cut_windows(np.zeros((10, 2)), length=4, stride=2, n_windows=5)
