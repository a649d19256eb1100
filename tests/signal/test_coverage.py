"""Coverage against counting real samples one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaledec.numerics.signal.coverage import frame_coverage


def counted(runs: list[tuple[int, int]], n_frames: int, nperseg: int, hop: int) -> list[int]:
    real = np.zeros(n_frames * hop + nperseg, dtype=bool)
    for start, stop in runs:
        real[start:stop] = True
    return [int(real[m * hop : m * hop + nperseg].sum()) * 100 // nperseg for m in range(n_frames)]


@given(
    edges=st.sets(st.integers(0, 300), max_size=12),
    n_frames=st.integers(1, 40),
    nperseg=st.integers(2, 60),
    hop=st.integers(1, 60),
)
def test_coverage_counts_the_real_samples_of_each_frame(
    edges: set[int], n_frames: int, nperseg: int, hop: int
) -> None:
    ordered = sorted(edges)
    end = (n_frames - 1) * hop + nperseg
    runs = [(a, min(b, end)) for a, b in zip(ordered[::2], ordered[1::2], strict=False) if a < end]
    coverage = frame_coverage(runs, n_frames, nperseg, hop)
    assert coverage.dtype == np.uint8
    assert coverage.tolist() == counted(runs, n_frames, nperseg, hop)


def test_one_missing_sample_is_seen() -> None:
    runs = [(0, 999), (1000, 8640128)]
    coverage = frame_coverage(runs, 67500, 256, 128)
    assert np.flatnonzero(coverage < 100).tolist() == [6, 7]
    assert coverage[6] == 255 * 100 // 256


@pytest.mark.parametrize(("runs", "expected"), [([], 0), ([(0, 1000)], 100)])
def test_nothing_and_everything_are_0_and_100(runs: list[tuple[int, int]], expected: int) -> None:
    assert frame_coverage(runs, 5, 20, 10).tolist() == [expected] * 5
