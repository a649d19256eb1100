"""Batches are the same sets for any number of ranks, and nothing but seed and epoch orders them."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from scaledec.errors import TrainingError
from scaledec.location import Location
from scaledec.numerics.normalise import Normaliser
from scaledec.store.training import TRAIN, VALIDATION, TrainingStore, TrainingTemplate
from scaledec.training.data import (
    TrainingData,
    epoch_order,
    rank_slice,
)
from scaledec.training.placement import load_windows
from scaledec.training.sources import ArrayWindows, StoredWindows, WindowSource, fit_normaliser
from scaledec.vocabulary import ChannelId

N = 50


@pytest.fixture
def data() -> TrainingData:
    windows = torch.arange(N, dtype=torch.float32)[:, None, None].expand(N, 2, 3).contiguous()
    return TrainingData(windows)


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_a_batch_is_the_same_set_for_any_number_of_ranks(data: TrainingData, world_size: int) -> None:
    alone = list(data.shuffled(batch=8, seed=3, epoch=2))
    ranks = [
        list(data.shuffled(batch=8, seed=3, epoch=2, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    assert {len(batches) for batches in ranks} == {len(alone)}
    for whole, shares in zip(alone, zip(*ranks, strict=True), strict=True):
        assert torch.equal(torch.cat([share.position for share in shares]), whole.position)
        assert torch.equal(torch.cat([share.windows for share in shares]), whole.windows)
        assert {share.n_global for share in shares} == {len(whole.position)}
        assert max(len(s.position) for s in shares) - min(len(s.position) for s in shares) <= 1


def test_an_epoch_holds_every_window_once_where_its_position_says(data: TrainingData) -> None:
    batches = list(data.shuffled(batch=8, seed=0, epoch=0))
    assert sorted(torch.cat([b.position for b in batches]).tolist()) == list(range(N))
    for batch in batches:
        assert batch.windows.shape[1:] == (1, 2, 3)
        assert torch.equal(batch.windows[:, 0, 0, 0], batch.position.float())


def test_order_depends_on_seed_and_epoch_and_on_nothing_else() -> None:
    orders = {
        (seed, epoch): epoch_order(N, seed, epoch)
        for seed, epoch in itertools.product((-1, 0, 1, 2**40), (0, 1, 2))
    }
    for one, other in itertools.combinations(orders.values(), 2):
        assert not torch.equal(one, other)
    np.random.seed(5)  # noqa: NPY002 (the global generator is what must not matter)
    torch.manual_seed(5)
    assert torch.equal(epoch_order(N, 0, 1), orders[0, 1])


@pytest.mark.parametrize("world_size", [1, 2, 3, 60])
def test_in_order_the_ranks_share_all_windows_once(data: TrainingData, world_size: int) -> None:
    positions = [
        batch.position
        for rank in range(world_size)
        for batch in data.in_order(batch=4, rank=rank, world_size=world_size)
    ]
    assert torch.cat(positions).tolist() == list(range(N))


def test_slices_of_ranks_cover_everything_without_overlap() -> None:
    for n, world_size in itertools.product((0, 1, 5, 64), (1, 2, 3, 8)):
        taken = [i for rank in range(world_size) for i in range(n)[rank_slice(n, rank, world_size)]]
        assert taken == list(range(n))


def sampled() -> tuple[npt.NDArray[np.float16], npt.NDArray[np.bool_]]:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((N, 9, 8)) * 5 - 90).astype(np.float16), rng.random(N) < 0.3


@pytest.fixture(params=["array", "stored"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> WindowSource:
    windows, held_out = sampled()
    if request.param == "array":
        return ArrayWindows(windows, held_out)
    place = Location(str(tmp_path / "training.zarr"))
    template = TrainingTemplate(9, 0.5, tuple(float(f) for f in range(8)), "db", "float16", "x")
    with TrainingStore.create(place, template, N) as writer:
        writer.append(
            windows,
            channels=[ChannelId("XX", "A", "", "HHZ")] * N,
            segment_start_ns=[0] * N,
            window_index=list(range(N)),
            split=np.where(held_out, VALIDATION, TRAIN).astype(np.uint8),
        )
    return StoredWindows(place)


def test_a_split_is_normalised_by_what_the_training_split_taught(source: WindowSource) -> None:
    windows, held_out = sampled()
    source = pickle.loads(pickle.dumps(source))  # noqa: S301 (a source travels to workers)
    normaliser = fit_normaliser("whiten", source)
    training = windows[~held_out].astype(np.float64)
    np.testing.assert_allclose(normaliser.mean_db, training.mean((0, 1)), rtol=1e-6)
    for validation, wanted in ((False, ~held_out), (True, held_out), (None, np.ones(N, bool))):
        data = load_windows(source, normaliser, validation=validation)
        assert data.sample.tolist() == np.flatnonzero(wanted).tolist()
        np.testing.assert_array_equal(data.windows.numpy(), normaliser.apply(windows[wanted]))


@pytest.mark.parametrize(("held_out", "split"), [(True, "training"), (False, "validation")])
def test_an_empty_split_is_an_error_that_says_what_to_change(held_out: bool, split: str) -> None:
    windows, _ = sampled()
    source = ArrayWindows(windows, np.full(N, held_out))
    with pytest.raises(TrainingError, match=rf"the {split} split holds none .* raise pretrain.windows"):
        load_windows(source, Normaliser("max"), validation=split == "validation")
