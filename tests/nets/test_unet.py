"""A network with skips must not forget its embedding."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from scaledec.engines.local_train import run_training
from scaledec.location import Location
from scaledec.numerics.dec.loss import LossWeights
from scaledec.numerics.nets.noise import Noise
from scaledec.numerics.nets.presets import NetworkSpec
from scaledec.numerics.nets.unet import UNetAutoencoder
from scaledec.stages.cluster_dec import DecOutcome, DecSettings, DecTraining
from scaledec.stages.cluster_start import find_starts
from scaledec.stages.pretrain import PRETRAINED, PretrainJob, PretrainOutcome, pretrain_loop
from scaledec.training.data import TrainingData
from scaledec.training.saved_model import SavedModel, embed_tensor
from scaledec.training.session import LocalSession, Metrics, TrainingSession
from scaledec.training.sources import ArrayWindows
from tests.stages.cluster_ranks import ridges, run_ranks

WINDOWS = ridges(96, side=16)[0]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small networks are slower on two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(skip_dropout: float = 0.5) -> UNetAutoencoder:
    torch.manual_seed(0)
    return UNetAutoencoder(8, 8, (8, 16), 4, dropout=(0.1, 0.1), skip_dropout=skip_dropout)


def trained(skip_dropout: float) -> tuple[UNetAutoencoder, Tensor]:
    """A network after a few hundred steps, and windows it has not seen."""
    x = torch.from_numpy(ridges(512)[0]).unsqueeze(1)
    network = small(skip_dropout)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for step in range(160):
        position = torch.arange(448).roll(64 * step)[:64]
        x_hat, _ = network(x[position], Noise(0, step // 7, position))
        optimiser.zero_grad()
        mse_loss(x_hat, x[position]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return network, x[448:]


def test_with_skip_dropout_the_embedding_carries_the_window_and_without_it_nothing() -> None:
    errors = {}
    for skip_dropout in (0.5, 0.0):
        network, x = trained(skip_dropout)
        with torch.inference_mode():
            alone, helped = network.reconstruct_from_embedding(x), network(x)[0]
        errors[skip_dropout] = float(mse_loss(alone, x)), float(mse_loss(helped, x))
        mean_image = float((x - x.mean(0)).square().mean())
    assert errors[0.5][0] < 0.7 * mean_image
    assert errors[0.5][1] < errors[0.5][0], "skips help all the same"
    assert errors[0.0][1] < 0.5 * mean_image, "it reconstructs well"
    assert errors[0.0][0] > 0.95 * mean_image, "but not from its embedding"


def test_a_centroid_is_decoded_as_a_window_whose_skips_are_zero() -> None:
    network, x = small(), torch.randn(3, 1, 8, 8)
    z, skips = network._contract(x, None)
    torch.testing.assert_close(network.encode(x), z)
    torch.testing.assert_close(network.decode(z), network._expand(z, [0 * s for s in skips], None))
    torch.testing.assert_close(network.reconstruct_from_embedding(x), network.decode(z))
    assert not torch.allclose(network(x)[0], network.decode(z))


def test_skips_of_a_window_are_dropped_all_together_and_only_with_noise() -> None:
    network = UNetAutoencoder(16, 16, (4, 8), 3, dropout=(0, 0), skip_dropout=0.5)
    x, position = torch.randn(12, 1, 16, 16), torch.arange(12)
    with torch.inference_mode():
        kept = Noise(1, 2, position).kept(-1, 1, rate=0.5)[:, 0]
        x_hat, z = network(x, Noise(1, 2, position))
        assert 0 < int(kept.sum()) < 12
        torch.testing.assert_close(x_hat[~kept], network.decode(z)[~kept])
        torch.testing.assert_close(x_hat[kept], network(x)[0][kept])
        assert torch.equal(network(x)[0], network(x)[0])


def job(folder: Path) -> PretrainJob:
    return PretrainJob(
        run=Location(str(folder)),
        source=ArrayWindows(WINDOWS, np.arange(96) % 4 == 0),
        network=NetworkSpec(16, 16, (), 4, "unet2021"),
        epochs=3,
        batch=24,
        seed=7,
        checkpoint_interval_s=0,
    )


def weights(job: PretrainJob) -> dict[str, Tensor]:
    return SavedModel.load(job.run.child(PRETRAINED)).network.state_dict()


def test_dropout_is_the_same_on_two_ranks_as_on_one(tmp_path: Path) -> None:
    one, two = (replace(job(tmp_path / name), epochs=2) for name in ("one", "two"))
    alone = pretrain_loop(LocalSession(None), one)
    outcomes = run_ranks(2, lambda session: pretrain_loop(session, two))
    for outcome in outcomes:
        assert outcome.validation_loss == pytest.approx(alone.validation_loss, rel=1e-4)
        assert outcome.embedding_loss == pytest.approx(alone.embedding_loss, rel=1e-4)
    for name, tensor in weights(one).items():
        torch.testing.assert_close(weights(two)[name], tensor, rtol=1e-2, atol=1e-4)


def test_an_interrupted_training_drops_what_an_uninterrupted_one_drops(tmp_path: Path) -> None:
    def train(mine: PretrainJob, stop_at: int | None = None) -> PretrainOutcome:
        def stop(metrics: Metrics) -> None:
            if metrics["epoch"] == stop_at:
                raise KeyboardInterrupt

        return run_training(
            pretrain_loop,
            mine,
            storage=mine.run.child("checkpoints"),
            name="pretrain",
            threads=1,
            on_report=stop,
        )

    whole, broken = job(tmp_path / "whole"), job(tmp_path / "broken")
    outcome = train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(broken, stop_at=1)
    assert train(broken) == outcome
    for name, tensor in weights(whole).items():
        assert torch.equal(weights(broken)[name], tensor)


def test_the_model_states_its_error_from_the_embedding_alone(tmp_path: Path) -> None:
    mine = replace(job(tmp_path), epochs=1)
    outcome = pretrain_loop(LocalSession(None), mine)
    model = SavedModel.load(mine.run.child(PRETRAINED))
    x = torch.from_numpy(model.normaliser.apply(WINDOWS[::4])).unsqueeze(1)
    with torch.inference_mode():
        error = float(mse_loss(model.network.reconstruct_from_embedding(x), x))
    assert model.facts["embedding_loss"] == outcome.embedding_loss == pytest.approx(error, rel=1e-4)
    assert pretrain_loop(LocalSession(None), mine) == replace(outcome, already_finished=True)


def test_idec_drops_skips_alike_on_any_rank_and_keeps_the_embedding_alive() -> None:
    pretrained, _ = trained(0.5)
    x = torch.from_numpy(ridges(333)[0])
    settings = DecSettings(
        method="idec",
        weights=LossWeights(1.0, 0.1),
        alpha=1.0,
        epochs=3,
        batch=50,
        learning_rate=1e-3,
        updates_per_epoch=2,
        tolerance=0.0,
        seed=0,
    )

    def train(session: TrainingSession) -> tuple[DecOutcome, UNetAutoencoder]:
        network = copy.deepcopy(pretrained)
        z = embed_tensor(network, x).numpy()
        starts = find_starts(LocalSession(None), z, 4, restarts=3, seed=0)
        centroids = torch.from_numpy(starts.kmeans.centroids)
        return DecTraining(session, network, centroids, TrainingData(x), settings).run(), network

    alone, network = train(LocalSession(None))
    for outcome, _ in run_ranks(2, train):
        torch.testing.assert_close(outcome.centroids, alone.centroids, rtol=1e-3, atol=1e-4)
        assert outcome.counts.tolist() == alone.counts.tolist()
    with torch.inference_mode():
        error = float(mse_loss(network.reconstruct_from_embedding(x[:, None]), x[:, None]))
    assert error < 0.8 * float((x - x.mean(0)).square().mean())
