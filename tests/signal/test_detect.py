from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaledec.numerics.signal.detect import (
    characteristic_function,
    classic_sta_lta,
    detect,
    far_enough_apart,
    recursive_sta_lta,
    strongest,
    trigger_onsets,
    z_detect,
)

with warnings.catch_warnings():
    # ObsPy 1.5 lists its plugins in a way that Python 3.11 deprecates, when it is first imported.
    warnings.simplefilter("ignore")
    from obspy.signal import trigger

N_STA, N_LTA = 25, 1_500


def record(n: int = 200_000, *, first_size: float = 500.0) -> npt.NDArray[np.float32]:
    """Noise with bursts of different size."""
    rng = np.random.default_rng(0)
    samples = rng.standard_normal(n)
    for place, size in ((0.05, first_size), (0.3, 20), (0.5, 300), (0.503, 200), (0.9, 9)):
        first = int(place * n)
        samples[first : first + 400] += size * rng.standard_normal(400) * np.exp(-np.arange(400) / 100)
    return samples.astype(np.float32)


def test_classic_sta_lta_has_the_values_of_obspy() -> None:
    samples = record()
    for of_obspy in (trigger.classic_sta_lta_py, trigger.classic_sta_lta):
        expected = of_obspy(samples.astype(np.float64), N_STA, N_LTA)
        np.testing.assert_allclose(classic_sta_lta(samples, N_STA, N_LTA), expected, rtol=1e-7)


def test_classic_sta_lta_keeps_its_precision_after_an_enormous_burst() -> None:
    # Running sums, as ObsPy's, are off by a factor of up to three after this one.
    samples = record(first_size=1e7).astype(np.float64)
    found = classic_sta_lta(samples, N_STA, N_LTA)
    for place in (20_000, 60_100, 150_000, 199_999):
        short = np.mean(samples[place - N_STA + 1 : place + 1] ** 2)
        long = np.mean(samples[place - N_LTA + 1 : place + 1] ** 2)
        assert found[place] == pytest.approx(short / long, rel=1e-12)


def test_recursive_sta_lta_has_the_values_of_obspy() -> None:
    samples = record()
    for expected in (
        trigger.recursive_sta_lta(samples.astype(np.float64), N_STA, N_LTA),
        trigger.recursive_sta_lta_py(samples[:20_000].astype(np.float64), N_STA, N_LTA),
    ):
        found = recursive_sta_lta(samples[: expected.size], N_STA, N_LTA)
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_z_detect_has_the_values_of_obspy() -> None:
    samples = record()
    np.testing.assert_allclose(
        z_detect(samples, N_STA), trigger.z_detect(samples.astype(np.float64), N_STA), rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("kind", ["sta_lta", "recursive_sta_lta", "z_detect"])
@pytest.mark.parametrize(
    "samples", [np.zeros(5_000, np.float32), np.ones(100, np.float32), np.zeros(0, "f4")]
)
def test_silence_and_records_shorter_than_the_long_window_give_zeros(
    kind: str, samples: npt.NDArray[np.float32]
) -> None:
    found = characteristic_function(kind, N_STA, N_LTA)(samples)  # type: ignore[arg-type]
    assert found.shape == samples.shape
    if kind != "z_detect" or not samples.any():
        assert not found.any()


@given(
    st.lists(st.integers(0, 6), max_size=60),
    st.integers(1, 6),
    st.integers(0, 5),
)
def test_onsets_are_those_of_obspy(values: list[int], on: int, below: int) -> None:
    off = max(1, on - below)
    curve = np.array(values, np.float64)
    expected = np.array(trigger.trigger_onset(curve, on, off), np.int64).reshape(-1, 2)
    np.testing.assert_array_equal(trigger_onsets(curve, on, off), expected)


def test_each_unbroken_piece_is_searched_by_itself() -> None:
    samples = record()
    function = characteristic_function("recursive_sta_lta", N_STA, N_LTA)
    runs = [(1_000, 40_000), (55_000, 59_000), (59_500, 190_000)]
    found = detect(samples, runs, function, on=4.0, off=2.0)
    expected = []
    for start, stop in runs:
        curve = trigger.recursive_sta_lta(samples[start:stop].astype(np.float64), N_STA, N_LTA)
        expected += [
            (first + start, last + start, curve[first : last + 1].max())
            for first, last in trigger.trigger_onset(curve, 4.0, 2.0)
        ]
    assert len(expected) > 3
    np.testing.assert_array_equal(found.on, [e[0] for e in expected])
    np.testing.assert_array_equal(found.off, [e[1] for e in expected])
    np.testing.assert_allclose(found.value, [e[2] for e in expected])
    # The burst at 60,000 begins 500 samples after a gap: the long average has not warmed up.
    assert not ((found.on > 59_500) & (found.on < 61_000)).any()


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(1, 10))
def test_what_is_kept_is_apart_and_what_is_dropped_is_not(times: list[int], least: int) -> None:
    ordered = np.array(sorted(times), np.int64)
    kept = far_enough_apart(ordered, least)
    chosen = ordered[kept]
    assert (np.diff(chosen) >= least).all()
    for time in ordered[~kept]:
        assert ((chosen <= time) & (chosen > time - least)).any()


def test_the_strongest_are_kept_in_their_order() -> None:
    np.testing.assert_array_equal(strongest(np.array([3.0, 9.0, 5.0, 9.0, 1.0]), 3), [1, 2, 3])
    np.testing.assert_array_equal(strongest(np.array([3.0, 3.0, 3.0]), 2), [0, 1])
