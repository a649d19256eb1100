from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaledec.archive.time_runs import TimeRun, regular_runs, runs_in_segment
from scaledec.errors import ArchiveError

HOP = 500_000_000


class Axis:
    """A time axis that counts how often it is looked at."""

    def __init__(self, times: np.ndarray[tuple[int], np.dtype[np.int64]] | range) -> None:
        self.times, self.looks = times, 0

    def __call__(self, index: int) -> int:
        self.looks += 1
        return int(self.times[index])


def with_gaps(lengths: list[int], gaps_ns: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    steps = np.concatenate([[HOP] * (n - 1) + [HOP + gap] for n, gap in zip(lengths, gaps_ns, strict=True)])
    return np.concatenate([[0], np.cumsum(steps)[:-1]]).astype(np.int64)


def test_a_regular_axis_of_a_thousand_million_frames_is_known_from_two_looks() -> None:
    axis = Axis(range(0, 10**9 * HOP, HOP))
    assert regular_runs(axis, 10**9, HOP) == (TimeRun(0, 10**9, 0),)
    assert axis.looks <= 3


def test_one_gap_in_a_thousand_million_frames_is_found_by_halving() -> None:
    class Late(Axis):
        def __call__(self, index: int) -> int:
            self.looks += 1
            return index * HOP + (7 * HOP + 3 if index >= 123_456_789 else 0)

    axis = Late(range(0))
    first, second = regular_runs(axis, 10**9, HOP)
    assert (first.stop, second.first, second.start_ns) == (123_456_789, 123_456_789, 123_456_796 * HOP + 3)
    assert axis.looks < 100


@given(
    st.lists(
        st.tuples(st.integers(1, 30), st.integers(HOP // 5, 10**6 * HOP)),
        min_size=1,
        max_size=12,
    )
)
def test_runs_are_exactly_the_pieces_between_gaps(pieces: list[tuple[int, int]]) -> None:
    lengths = [n for n, _ in pieces]
    times = with_gaps(lengths, [gap for _, gap in pieces])
    runs = regular_runs(Axis(times), len(times), HOP)
    stops = np.cumsum(lengths)
    expected = [TimeRun(int(s - n), int(s), int(times[s - n])) for n, s in zip(lengths, stops, strict=True)]
    assert list(runs) == expected


def test_a_clock_that_drifts_is_followed_to_a_tenth_of_a_hop() -> None:
    times = np.round(np.arange(200_000) * (HOP * (1 + 1e-5))).astype(np.int64)
    runs = regular_runs(Axis(times), len(times), HOP)
    assert len(runs) > 2
    for run in runs:
        index = np.arange(run.first, run.stop)
        away = times[index] - (run.start_ns + (index - run.first) * HOP)
        assert np.abs(away).max() < 0.3 * HOP


@pytest.mark.parametrize("second", [0, -HOP, HOP // 2])
def test_time_that_stands_still_or_goes_back_is_refused(second: int) -> None:
    with pytest.raises(ArchiveError, match=r"expected at least the hop of 0\.5 s"):
        regular_runs(Axis(np.array([0, second, 10 * HOP])), 3, HOP)


@given(st.integers(-(10**12), 10**12), st.integers(1, 500), st.sampled_from([20, 7200, 1]))
def test_every_frame_lies_in_exactly_one_segment_nearest_to_its_time(
    start_ns: int, n: int, n_frames: int
) -> None:
    segment_ns = n_frames * HOP
    runs = (TimeRun(0, n, start_ns),)
    found: dict[int, float] = {}
    for begin in range((start_ns // segment_ns - 1) * segment_ns, start_ns + (n + 2) * HOP, segment_ns):
        for placed in runs_in_segment(runs, begin, segment_ns, n_frames):
            for frame in range(placed.first, placed.stop):
                assert frame not in found
                position = placed.position + frame - placed.first
                assert 0 <= position < n_frames
                found[frame] = begin + position * HOP
    assert sorted(found) == list(range(n))
    assert max(abs(at - (start_ns + frame * HOP)) for frame, at in found.items()) <= HOP / 2
