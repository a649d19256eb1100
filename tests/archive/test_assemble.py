from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaledec.archive.assemble import SegmentSamples, assemble
from scaledec.archive.miniseed import read_pieces
from scaledec.vocabulary import NANOSECONDS_PER_SECOND
from tests.archive.making import CHANNEL, START_NS, numbers, record_bytes

S = NANOSECONDS_PER_SECOND


@dataclass
class Stretch:
    """A piece for the canvas without a channel."""

    start_ns: int
    samples: npt.NDArray[Any]
    sampling_rate_hz: float = 1.0


def at(start_s: float, samples: npt.NDArray[Any], rate_hz: float = 1.0) -> Stretch:
    return Stretch(START_NS + round(start_s * S), samples, rate_hz)


def lay(*pieces: Stretch, n_samples: int = 20, rate_hz: float = 1.0) -> SegmentSamples:
    return assemble(pieces, start_ns=START_NS, n_samples=n_samples, sampling_rate_hz=rate_hz)


def test_a_gap_stays_a_gap() -> None:
    got = lay(at(0, numbers(5)), at(8, numbers(5, 8)))
    assert got.runs == ((0, 5), (8, 13))
    assert got.samples.dtype == np.float32
    np.testing.assert_array_equal(got.samples[5:8], 0)
    assert (got.report.n_real, got.report.n_missing, got.report.n_gaps) == (10, 10, 2)


def test_nothing_at_all_is_one_gap() -> None:
    got = lay()
    assert got.runs == ()
    assert (got.report.n_gaps, got.report.n_missing) == (1, 20)
    np.testing.assert_array_equal(got.samples, 0)


def test_pieces_that_meet_make_one_run_in_any_order() -> None:
    parts = [at(0, numbers(5)), at(5, numbers(5, 5)), at(10, numbers(10, 10))]
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        got = lay(*(parts[i] for i in order))
        assert got.runs == ((0, 20),)
        np.testing.assert_array_equal(got.samples, np.arange(20))


def test_an_identical_duplicate_vanishes_and_is_counted() -> None:
    got = lay(at(0, numbers(20)), at(0, numbers(20)), at(15, numbers(5, 15)))
    np.testing.assert_array_equal(got.samples, np.arange(20))
    assert (got.report.n_duplicate, got.report.n_conflicting, got.report.n_real) == (25, 0, 20)


def test_of_conflicting_samples_the_first_laid_stay_and_the_others_are_counted() -> None:
    got = lay(at(5, numbers(10, 5)), at(0, 100 + numbers(20)))
    np.testing.assert_array_equal(got.samples[5:15], np.arange(5, 15))
    np.testing.assert_array_equal(got.samples[:5], 100 + np.arange(5))
    np.testing.assert_array_equal(got.samples[15:], 100 + np.arange(15, 20))
    assert (got.report.n_conflicting, got.report.n_duplicate) == (10, 0)


def test_one_piece_across_many_gaps_fills_them_all() -> None:
    parts = [at(first, numbers(2, first)) for first in range(0, 20, 4)]
    got = lay(*parts, at(0, numbers(20)))
    assert got.runs == ((0, 20),)
    np.testing.assert_array_equal(got.samples, np.arange(20))
    assert got.report.n_duplicate == 10


def test_what_lies_outside_the_grid_is_cut_off() -> None:
    got = lay(at(-5, numbers(40, -5)), at(100, numbers(3)), at(-100, numbers(3)))
    np.testing.assert_array_equal(got.samples, np.arange(20))
    assert got.report.n_duplicate == 0


@pytest.mark.parametrize("offset_s", [0.071, -0.4, 0.49])
def test_a_constant_offset_below_half_a_sample_is_kept_and_reported_signed(offset_s: float) -> None:
    got = lay(at(offset_s, numbers(20)))
    np.testing.assert_array_equal(got.samples, np.arange(20))
    assert got.report.offset_s == pytest.approx(offset_s, abs=1e-9)


def test_the_largest_offset_is_reported_whatever_its_sign() -> None:
    got = lay(at(0.1, numbers(5)), at(4.7, numbers(5)), at(10.2, numbers(5)))
    assert got.report.offset_s == pytest.approx(-0.3, abs=1e-9)


def test_jitter_of_a_header_tick_around_half_a_sample_tears_no_piece_from_the_last() -> None:
    """1 microsecond to either side of the middle between two grid points, as in start times of CM 2019."""
    rate = 100.0
    halves = [0.004999 if number % 2 else 0.005001 for number in range(10)]
    parts = [at(number * 0.1 + half, numbers(10, 10 * number), rate) for number, half in enumerate(halves)]
    got = lay(*parts, n_samples=101, rate_hz=rate)
    ((start, stop),) = got.runs
    assert stop - start == 100
    np.testing.assert_array_equal(got.samples[start:stop], np.arange(100))
    assert abs(got.report.offset_s) <= 0.00501


def test_two_sensors_half_a_sample_apart_are_each_placed_by_their_own_time() -> None:
    got = lay(at(0.4, numbers(5)), at(5.6, numbers(5)))
    assert got.runs == ((0, 5), (6, 11))


@pytest.mark.parametrize("rate_hz", [99.995, 100.005])
def test_a_rate_slightly_off_is_followed_within_half_a_sample(rate_hz: float) -> None:
    count = 100_000  # drifts by five samples
    got = lay(at(0, numbers(count), rate_hz), n_samples=count, rate_hz=100.0)
    for start, stop in got.runs:
        k = got.samples[start:stop].astype(np.float64)
        assert np.abs(np.arange(start, stop) - k * 100.0 / rate_hz).max() <= 0.5 + 1e-6
    assert abs(got.report.offset_s) <= 0.005 + 1e-6
    assert got.report.n_gaps == (5 if rate_hz < 100 else 1)
    assert got.report.n_conflicting == (0 if rate_hz < 100 else 5)


def test_samples_that_are_not_finite_are_missing() -> None:
    values = np.arange(20, dtype=np.float64)
    values[[0, 7, 8, 19]] = [np.nan, np.inf, -np.inf, 1e300]
    got = lay(at(0, values))
    assert got.runs == ((1, 7), (9, 19))
    assert got.report.n_not_finite == 4
    assert np.isfinite(got.samples).all()


def test_integers_become_the_nearest_float32() -> None:
    values = np.array([2**31 - 1, -(2**31), 2**24 + 1], np.int32)
    np.testing.assert_array_equal(lay(at(0, values)).samples[:3], values.astype(np.float32))


# A model of the rules that knows nothing of runs: every sample looks up its own grid point.


def model(pieces: list[Stretch], n_samples: int, rate_hz: float) -> tuple[npt.NDArray[Any], int, int]:
    grid = np.full(n_samples, np.nan)
    duplicate = conflicting = 0
    for piece in pieces:
        first = math.floor((piece.start_ns - START_NS) * rate_hz / S + 0.5)
        for index, value in enumerate(piece.samples.tolist(), start=first):
            if not 0 <= index < n_samples:
                continue
            if math.isnan(grid[index]):
                grid[index] = value
            elif grid[index] == value:
                duplicate += 1
            else:
                conflicting += 1
    return grid, duplicate, conflicting


def check_runs(got: SegmentSamples) -> None:
    edges = [edge for run in got.runs for edge in run]
    assert edges == sorted(set(edges))


@st.composite
def stretches(draw: st.DrawFn, *, conflicts: bool) -> list[Stretch]:
    found = []
    for _ in range(draw(st.integers(0, 12))):
        first, length = draw(st.integers(-30, 130)), draw(st.integers(1, 60))
        jitter_ns = draw(st.integers(-4_000_000, 4_000_000))  # of a 10 ms sample
        shift = draw(st.integers(0, 2)) if conflicts else 0
        samples = (numbers(length, first) * 7 + shift).astype(np.int32)
        found.append(Stretch(START_NS + first * 10_000_000 + jitter_ns, samples, 100.0))
    return found


@settings(max_examples=300, deadline=None)
@given(stretches(conflicts=True))
def test_assembly_equals_the_sample_by_sample_model(pieces: list[Stretch]) -> None:
    got = lay(*pieces, n_samples=100, rate_hz=100.0)
    expected, duplicate, conflicting = model(pieces, 100, 100.0)
    real = ~np.isnan(expected)
    np.testing.assert_array_equal(got.samples, np.where(real, expected, 0))
    covered = np.zeros(100, bool)
    for start, stop in got.runs:
        covered[start:stop] = True
    np.testing.assert_array_equal(covered, real)
    check_runs(got)
    assert (got.report.n_duplicate, got.report.n_conflicting) == (duplicate, conflicting)
    assert (got.report.n_real, got.report.n_missing) == (real.sum(), (~real).sum())
    assert abs(got.report.offset_s) <= 0.005


@settings(max_examples=60, deadline=None)
@given(stretches(conflicts=False), st.randoms(use_true_random=False))
def test_files_of_jittered_overlapping_records_in_any_order_assemble_to_the_model(
    pieces: list[Stretch], random: Any
) -> None:
    records = [record_bytes(piece.start_ns, piece.samples, rate_hz=100.0) for piece in pieces]
    random.shuffle(records)
    if not records:
        return
    read = read_pieces(b"".join(records), channel=CHANNEL, name="a file").pieces
    got = assemble(read, start_ns=START_NS, n_samples=100, sampling_rate_hz=100.0)
    expected, _, _ = model(pieces, 100, 100.0)
    np.testing.assert_array_equal(got.samples, np.where(np.isnan(expected), 0, expected))
    check_runs(got)
    assert got.report.n_real == np.count_nonzero(~np.isnan(expected))
    assert got.report.n_conflicting == 0
