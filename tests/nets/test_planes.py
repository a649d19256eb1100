"""Several components of one sensor as planes of a window: network, normalisation, model on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from scaledec.errors import ConfigError
from scaledec.location import Location
from scaledec.numerics.nets.presets import NetworkSpec
from scaledec.numerics.normalise import Kind, Normaliser
from scaledec.training.data import TrainingData
from scaledec.training.placement import load_windows
from scaledec.training.saved_model import SavedModel
from scaledec.training.sources import ArrayWindows, fit_normaliser

SPEC = NetworkSpec(12, 9, (4, 8), 3, planes=3)


def stacks(n: int = 40, seed: int = 0) -> npt.NDArray[np.float32]:
    """dB of three planes whose levels and spreads differ, shape (window, plane, frame, frequency)."""
    rng = np.random.default_rng(seed)
    level = np.array([0.0, -20.0, 30.0])[:, None, None] + np.linspace(0, 12, 9)
    spread = np.array([2.0, 5.0, 9.0])[:, None, None]
    return np.asarray(level + spread * rng.normal(size=(n, 3, 12, 9)), np.float32)


@pytest.mark.parametrize("kind", ["max", "l2"])
def test_the_ratio_of_power_between_planes_is_kept(kind: Kind) -> None:
    power = 10 ** (stacks().astype(np.float64) / 10)
    norm = power.max((1, 2, 3)) if kind == "max" else np.sqrt(np.square(power).sum((1, 2, 3)))
    found = Normaliser(kind).apply(stacks())
    np.testing.assert_allclose(found, power / norm[:, None, None, None], rtol=2e-5, atol=1e-12)


def test_zscore_is_taken_over_the_whole_stack() -> None:
    db = stacks().astype(np.float64)
    mean, deviation = db.mean((1, 2, 3), keepdims=True), db.std((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(Normaliser("zscore").apply(stacks()), (db - mean) / deviation, atol=2e-5)


def test_whitening_is_by_plane_and_frequency() -> None:
    db = stacks()
    found = Normaliser.fit("whiten", [db[:7], db[7:]]).apply(db)
    np.testing.assert_allclose(found.mean((0, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(found.std((0, 2)), 1, atol=1e-4)
    expected = (db - db.mean((0, 2), keepdims=True)) / db.std((0, 2), keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("kind", ["whiten", "zscore", "max", "centred_max", "l2"])
def test_a_plane_that_is_missing_becomes_zeros_and_the_others_are_as_without_it(kind: Kind) -> None:
    db = stacks()
    normaliser = Normaliser.fit(kind, [db])
    gappy = db.copy()
    gappy[4, 1] = np.nan
    found = normaliser.apply(gappy)
    assert np.isfinite(found).all()
    assert not found[4, 1].any()
    np.testing.assert_array_equal(np.delete(found, 4, axis=0), np.delete(normaliser.apply(db), 4, axis=0))
    if kind == "l2":
        assert np.square(found[4, [0, 2]]).sum() == pytest.approx(1, rel=1e-4)


def test_windows_of_one_plane_are_normalised_alike_with_and_without_the_axis() -> None:
    db = stacks()[:, :1]
    for kind in ("whiten", "zscore", "max", "l2"):
        flat = Normaliser.fit(kind, [db[:, 0]])
        np.testing.assert_array_equal(flat.apply(db)[:, 0], flat.apply(db[:, 0]))


def test_a_network_of_three_planes_takes_and_gives_three() -> None:
    x_hat, z = SPEC.build()(torch.zeros(2, 3, 12, 9))
    assert tuple(x_hat.shape) == (2, 3, 12, 9)
    assert tuple(z.shape) == (2, 3)


def test_a_published_network_refuses_several_planes() -> None:
    with pytest.raises(ConfigError, match="for one plane, and windows have 3"):
        NetworkSpec(100, 87, (), 9, "jenkins2021", planes=3).build()


def test_a_spec_of_one_plane_is_written_as_it_always_was() -> None:
    assert "planes" not in NetworkSpec(12, 9, (4,), 3).to_json()
    assert NetworkSpec.from_json(SPEC.to_json()) == SPEC


def test_a_model_of_three_planes_comes_back_whole_and_embeds_alike(tmp_path: Path) -> None:
    normaliser = Normaliser.fit("whiten", [stacks()])
    model = SavedModel(SPEC.build(3), SPEC, normaliser, "kmeans", np.eye(3))
    model.save(Location(str(tmp_path)))
    again = SavedModel.load(Location(str(tmp_path)))
    np.testing.assert_array_equal(again.embed(stacks()), model.embed(stacks()))
    np.testing.assert_array_equal(again.embed(stacks()[5:7]), model.embed(stacks())[5:7])
    assert again.prototypes().shape == (3, 3, 12, 9)


def test_batches_and_splits_carry_the_planes() -> None:
    source = ArrayWindows(stacks(), np.arange(40) % 4 == 0)
    normaliser = fit_normaliser("whiten", source)
    data = load_windows(source, normaliser, validation=False)
    assert isinstance(data, TrainingData)
    assert data.cells == 3 * 12 * 9
    batch = next(data.shuffled(batch=8, seed=0, epoch=0))
    assert tuple(batch.windows.shape) == (8, 3, 12, 9)
    np.testing.assert_array_equal(batch.windows, data.windows[batch.position])
