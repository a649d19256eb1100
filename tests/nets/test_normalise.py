"""Normalisers against float64 numpy, on awkward windows, and bit by bit whatever the batches."""

from __future__ import annotations

import json
import math
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaledec.errors import TrainingError
from scaledec.numerics.normalise import Kind, Normaliser, Scale

KINDS: tuple[Kind, ...] = get_args(Kind)
Array = npt.NDArray[Any]


def noise(n: int = 150, *, seed: int = 0) -> npt.NDArray[np.float16]:
    """Windows in dB whose frequencies differ in level and spread."""
    rng = np.random.default_rng(seed)
    level, spread = rng.uniform(-120, -60, 13), rng.uniform(2, 9, 13)
    return (level + spread * rng.standard_normal((n, 21, 13))).astype(np.float16)


def expected(kind: Kind, x: Array, training: Array) -> Any:
    """The definition in float64, for windows in dB without gaps."""
    x, training = x.astype(np.float64), training.astype(np.float64)
    power = 10 ** (x / 10)
    if kind == "whiten":
        return (x - training.mean((0, 1))) / training.std((0, 1))
    if kind == "zscore":
        return (x - x.mean((1, 2), keepdims=True)) / x.std((1, 2), keepdims=True)
    if kind == "max":
        return power / power.max((1, 2), keepdims=True)
    if kind == "centred_max":
        return (power - power.mean((1, 2), keepdims=True)) / power.max((1, 2), keepdims=True)
    return power / np.sqrt((power**2).sum((1, 2), keepdims=True))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_its_definition(kind: Kind) -> None:
    training, windows = noise(), noise(7, seed=1)
    normaliser = Normaliser.fit(kind, [training])
    assert normaliser.apply(windows).dtype == np.float32
    np.testing.assert_allclose(
        normaliser.apply(windows), expected(kind, windows, training), rtol=2e-5, atol=2e-6
    )


@pytest.mark.parametrize("kind", KINDS)
def test_linear_power_gives_what_its_decibels_give(kind: Kind) -> None:
    db = noise(20).astype(np.float32)
    power = (10 ** (db.astype(np.float64) / 10)).astype(np.float32)
    from_db = Normaliser.fit(kind, [db]).apply(db)
    from_power = Normaliser.fit(kind, [power], scale="linear").apply(power)
    np.testing.assert_allclose(from_power, from_db, rtol=1e-4, atol=3e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_how_windows_are_batched_changes_no_bit(kind: Kind) -> None:
    training = noise()
    training[3, 4:6] = np.nan
    training[90] = -300
    normaliser = Normaliser.fit(kind, [training])
    whole = normaliser.apply(training)
    for size in (1, 2, 7, 31, 33, 150):
        parts = [training[i : i + size] for i in range(0, len(training), size)]
        again = Normaliser.fit(kind, parts)
        for name, statistic in normaliser.arrays().items():
            np.testing.assert_array_equal(again.arrays()[name], statistic)
        np.testing.assert_array_equal(np.concatenate([normaliser.apply(part) for part in parts]), whole)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("scale", "value"), [("db", -300.0), ("db", -80.0), ("db", np.nan), ("linear", 0.0), ("linear", 4.0)]
)
def test_a_window_without_contrast_becomes_zeros(kind: Kind, scale: Scale, value: float) -> None:
    windows: Array = noise(5).astype(np.float32)
    if scale == "linear":
        windows = 10 ** (windows / 10)
    normaliser = Normaliser.fit(kind, [windows], scale=scale)
    others = normaliser.apply(windows)
    windows[2] = value
    normalised = normaliser.apply(windows)
    assert (normalised[2] == 0).all()
    np.testing.assert_array_equal(np.delete(normalised, 2, 0), np.delete(others, 2, 0))


@pytest.mark.parametrize("kind", KINDS)
def test_missing_silent_and_infinite_cells_become_zero_and_touch_no_statistic(kind: Kind) -> None:
    clean = noise(40).astype(np.float32)
    spoilt = clean.copy()
    spoilt[5, :4] = np.nan
    spoilt[6, 2] = -300
    spoilt[7, 3, 3] = np.inf
    holes = ~np.isfinite(spoilt) | (spoilt == -300)
    normaliser = Normaliser.fit(kind, [spoilt])
    normalised = normaliser.apply(spoilt)
    assert np.isfinite(normalised).all()
    assert (normalised[holes] == 0).all()
    if kind == "whiten":
        kept = np.where(holes, np.nan, clean).astype(np.float64)
        np.testing.assert_allclose(normaliser.mean_db, np.nanmean(kept, (0, 1)), rtol=1e-6)
        np.testing.assert_allclose(normaliser.deviation_db, np.nanstd(kept, (0, 1)), rtol=1e-6)
    if kind == "zscore":
        rest = normalised[5, 4:]
        assert abs(float(rest.mean())) < 1e-5
        assert abs(float(rest.std()) - 1) < 1e-5


def test_dead_channels_do_not_shift_what_whitening_learns() -> None:
    alive = noise(30)
    dead = np.full_like(alive, -300)
    with_dead = Normaliser.fit("whiten", [alive, dead])
    np.testing.assert_array_equal(with_dead.mean_db, Normaliser.fit("whiten", [alive]).mean_db)


def test_a_frequency_that_never_varies_becomes_zero() -> None:
    windows = noise(30).astype(np.float32)
    windows[:, :, 4] = -77
    normalised = Normaliser.fit("whiten", [windows]).apply(windows)
    assert (normalised[:, :, 4] == 0).all()
    assert np.isfinite(normalised).all()


@pytest.mark.parametrize("kind", ["max", "centred_max", "l2"])
def test_powers_beyond_float32_neither_overflow_nor_vanish(kind: Kind) -> None:
    windows = noise(3).astype(np.float32)
    reference = Normaliser(kind).apply(windows)
    np.testing.assert_allclose(Normaliser(kind).apply(windows + 1000), reference, rtol=1e-3, atol=1e-6)


def test_silence_everywhere_cannot_be_learned_from() -> None:
    with pytest.raises(TrainingError, match="no training window holds a signal"):
        Normaliser.fit("whiten", [np.full((4, 8, 8), -300, np.float32)])
    with pytest.raises(TrainingError, match="no training window"):
        Normaliser.fit("whiten", [])


@pytest.mark.parametrize("kind", KINDS)
def test_a_normaliser_survives_json_and_arrays(kind: Kind) -> None:
    windows = noise()
    normaliser = Normaliser.fit(kind, [windows])
    again = Normaliser.from_json(normaliser.to_json(), normaliser.arrays())
    np.testing.assert_array_equal(again.apply(windows), normaliser.apply(windows))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_input_is_left_as_it_was_and_may_be_read_only(dtype: type[np.floating[Any]]) -> None:
    windows = noise(40).astype(dtype)
    copy = windows.copy()
    normalised = Normaliser("zscore").apply(windows)
    np.testing.assert_array_equal(windows, copy)
    windows.flags.writeable = False
    np.testing.assert_array_equal(Normaliser("zscore").apply(windows), normalised)


CLIP_DB = (-100.0, -75.0)


@pytest.mark.parametrize("kind", KINDS)
def test_clipped_power_is_normalised_as_if_it_had_come_clipped(kind: Kind) -> None:
    training, windows = noise(), noise(40, seed=1)
    clipped = Normaliser.fit(kind, [training], clip_db=CLIP_DB).apply(windows)
    reference = Normaliser.fit(kind, [training.clip(*CLIP_DB)]).apply(windows.clip(*CLIP_DB))
    np.testing.assert_array_equal(clipped, reference)


def test_clipping_makes_no_signal_of_silence_and_no_contrast_of_what_lies_outside() -> None:
    windows = noise(5).astype(np.float32)
    windows[1, :4] = -300
    windows[2] = -300
    windows[3] = np.random.default_rng(0).uniform(-140, -130, windows[3].shape)
    windows[4, 2] = np.nan
    for kind in KINDS:
        normalised = Normaliser.fit(kind, [windows], clip_db=CLIP_DB).apply(windows)
        assert (normalised[1, :4] == 0).all()
        assert (normalised[2] == 0).all()
        assert (normalised[3] == 0).all(), "everything below the lower bound is one value"
        assert (normalised[4, 2] == 0).all()
        assert normalised[0].any()


@pytest.mark.parametrize("kind", KINDS)
def test_bounds_are_kept_and_absent_ones_leave_no_trace(kind: Kind) -> None:
    windows = noise()
    normaliser = Normaliser.fit(kind, [windows], clip_db=CLIP_DB)
    again = Normaliser.from_json(json.loads(json.dumps(normaliser.to_json())), normaliser.arrays())
    assert again.clip_db == CLIP_DB
    np.testing.assert_array_equal(again.apply(windows), normaliser.apply(windows))
    assert Normaliser.fit(kind, [windows]).to_json() == {"kind": kind, "scale": "db"}


def three_planes(n: int = 40, *, seed: int = 0) -> npt.NDArray[np.float16]:
    """Windows (window, plane, frame, frequency) whose planes differ in level."""
    planes = [noise(n, seed=seed + i) - 10 * i for i in range(3)]
    return np.stack(planes, axis=1).astype(np.float16)


@pytest.mark.parametrize("kind", KINDS)
def test_the_planes_of_a_window_are_normalised_together(kind: Kind) -> None:
    training, windows = three_planes(), three_planes(7, seed=9)
    normalised = Normaliser.fit(kind, [training]).apply(windows)
    if kind == "whiten":
        x = windows.astype(np.float64)
        wanted = (x - training.astype(np.float64).mean((0, 2))[:, None]) / training.astype(np.float64).std(
            (0, 2)
        )[:, None]
    else:
        # To the other kinds planes are more frames of the same window.
        tall = windows.reshape(7, 3 * 21, 13)
        wanted = expected(kind, tall, tall).reshape(windows.shape)
    np.testing.assert_allclose(normalised, wanted, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_dead_plane_stays_zero_and_the_others_are_normalised_without_it(kind: Kind) -> None:
    windows = three_planes()
    windows[4, 1] = np.nan
    normaliser = Normaliser.fit(kind, [windows[:3], windows[3:]])
    normalised = normaliser.apply(windows)
    assert (normalised[4, 1] == 0).all()
    assert np.isfinite(normalised).all()
    if kind != "whiten":
        alone = normaliser.apply(np.ascontiguousarray(windows[4:5, ::2]))
        np.testing.assert_allclose(normalised[4, ::2], alone[0], rtol=1e-5, atol=1e-6)


awkward = st.one_of(
    st.floats(-320, 120, width=32),
    st.sampled_from([math.nan, math.inf, -math.inf, -300.0, 0.0]),
)


@given(
    kind=st.sampled_from(KINDS),
    cells=st.lists(awkward, min_size=24, max_size=24),
    background=st.sampled_from([-300.0, -90.0, math.nan]),
    clip_db=st.sampled_from([None, CLIP_DB]),
)
@settings(max_examples=150, deadline=None)
def test_any_window_comes_out_finite_and_as_in_float64(
    kind: Kind, cells: list[float], background: float, clip_db: tuple[float, float] | None
) -> None:
    """An oracle in float64 that is told which cells count; whatever else is in the window."""
    window = np.full((8, 8), background, np.float32)
    window[:3] = np.reshape(np.array(cells, np.float32), (3, 8))
    training = np.random.default_rng(0).uniform(-120, -60, (20, 8, 8))
    normaliser = Normaliser.fit(kind, [training], clip_db=clip_db)
    found = normaliser.apply(window[None])[0]
    assert np.isfinite(found).all()
    counts = np.isfinite(window) & (window > -299.5)
    assert (found[~counts] == 0).all()
    x = window[counts].astype(np.float64)
    x = x if clip_db is None else x.clip(*clip_db)
    if not len(x) or x.min() == x.max():
        assert (found == 0).all()
        return
    power = 10 ** ((x - x.max()) / 10)
    frequency = np.nonzero(counts)[1]
    mean, deviation = normaliser.mean_db.astype(np.float64), normaliser.deviation_db.astype(np.float64)
    if kind == "whiten":
        wanted = (x - mean[frequency]) / deviation[frequency]
    elif kind == "zscore":
        wanted = (x - x.mean()) / x.std()
    elif kind == "max":
        wanted = power
    elif kind == "centred_max":
        wanted = power - power.mean()
    else:
        wanted = power / np.sqrt((power**2).sum())
    # Values that hardly differ lose as many digits by centring as their spread is below their size.
    loss = np.abs(x).max() / x.std() * 1e-6 if kind == "zscore" else 0
    np.testing.assert_allclose(found[counts], wanted, rtol=1e-4, atol=1e-5 + loss)
