from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaledec.errors import TrainingError
from scaledec.grid import SpectrogramGrid, WindowGrid
from scaledec.stages.continuous_windows import windows_within_segment
from scaledec.stages.sampling import share_equally, split_groups


@given(st.integers(0, 2_000), st.lists(st.integers(0, 300), max_size=12))
def test_shares_are_as_equal_as_limits_allow(total: int, limits: list[int]) -> None:
    shares = share_equally(total, limits)
    assert shares.sum() == min(total, sum(limits))
    assert (shares <= limits).all()
    free = [int(share) for share, limit in zip(shares, limits, strict=True) if share < limit]
    if free:
        # Whoever could still take more has as much as anyone, to within the remainder of one.
        assert max(shares) - min(free) <= 1


@given(
    st.dictionaries(st.tuples(st.sampled_from("ABCD"), st.integers(0, 9)), st.integers(1, 500), min_size=2),
    st.floats(0.05, 0.95),
    st.integers(0, 99),
)
def test_each_split_gets_a_group_and_the_share_is_met_to_within_one_group(
    weights: dict[tuple[str, int], int], share: float, seed: int
) -> None:
    held_out = split_groups(weights, share, np.random.default_rng(seed))
    assert 0 < len(held_out) < len(weights)
    weight = sum(weights[group] for group in held_out)
    assert abs(weight - share * sum(weights.values())) <= max(weights.values())


def test_every_station_is_held_out_alike() -> None:
    weights = {(station, segment): 10 for station in "ABCDE" for segment in range(20)}
    held_out = split_groups(weights, 0.2, np.random.default_rng(0))
    assert sorted(station for station, _ in held_out) == sorted("ABCDE" * 4)


def test_four_stations_of_two_days_split_near_the_share_asked_for() -> None:
    weights = {(station, segment): 100 for station in "ABCD" for segment in range(2)}
    assert len(split_groups(weights, 0.2, np.random.default_rng(3))) == 2


def test_a_single_group_is_refused_with_what_to_change() -> None:
    with pytest.raises(TrainingError, match=r"spectrogram\.segment_s"):
        split_groups({("A", 0): 500, ("A", 1): 0}, 0.2, np.random.default_rng(0))


@given(
    st.integers(2, 30),
    st.integers(1, 30),
    st.integers(2, 60),
    st.integers(1, 60),
    st.integers(10, 60),
)
def test_windows_within_the_segment_use_none_of_the_next_ones_samples(
    nperseg: int, hop: int, length: int, stride: int, n_frames: int
) -> None:
    grid = SpectrogramGrid(1.0, n_frames * hop, nperseg, hop, nperseg, 0, nperseg // 2 + 1)
    windows = WindowGrid(n_frames, min(length, n_frames), stride, float(hop), 1.0)
    ends = [(start * stride + windows.length - 1) * hop + nperseg for start in range(windows.n_windows)]
    inside = sum(end <= grid.samples_per_segment for end in ends)
    assert windows_within_segment(grid, windows) == inside
