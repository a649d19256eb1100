"""DEC on one rank and on many: equal numbers, an honest target, resume to the bit, and its guards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from scaledec.errors import TrainingError
from scaledec.location import Location
from scaledec.numerics.dec.assignment import (
    cluster_frequencies,
    kl_divergence,
    log_soft_assignment,
    log_target_distribution,
)
from scaledec.numerics.dec.loss import LossWeights
from scaledec.numerics.metrics import adjusted_rand_index
from scaledec.numerics.nets.base import Autoencoder
from scaledec.numerics.nets.presets import NetworkSpec
from scaledec.stages.cluster_dec import DecOutcome, DecSettings, DecTraining
from scaledec.stages.cluster_start import Starts, find_starts
from scaledec.stages.cluster_target import take_snapshot
from scaledec.training.checkpoint import load_state
from scaledec.training.data import TrainingData
from scaledec.training.saved_model import embed_tensor
from scaledec.training.session import LocalSession, TrainingSession
from tests.dec.oracles import full_table
from tests.stages.cluster_ranks import ridges, run_ranks

SETTINGS = DecSettings(
    method="idec",
    weights=LossWeights(1.0, 0.5),
    alpha=1.0,
    epochs=4,
    batch=50,
    learning_rate=1e-3,
    updates_per_epoch=2,
    tolerance=0.0,
    seed=0,
)
N = 333  # no multiple of the batch, of the ranks or of anything else


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def windows() -> Tensor:
    return torch.from_numpy(ridges(N)[0])


@pytest.fixture(scope="module")
def pretrained(windows: Tensor) -> dict[str, Tensor]:
    network = fresh()
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(150):
        optimiser.zero_grad()
        x_hat, _ = network(windows[:, None])
        torch.autograd.backward((x_hat - windows[:, None]).square().mean())
        optimiser.step()
    return network.state_dict()


def fresh(state: dict[str, Tensor] | None = None) -> Autoencoder:
    network = NetworkSpec(8, 8, (8, 16), 4).build(1)
    if state is not None:
        network.load_state_dict(state)
    return network


def starts_of(network: Autoencoder, windows: Tensor, k: int = 4, seed: int = 0) -> Starts:
    return find_starts(LocalSession(None), embed_tensor(network, windows).numpy(), k, restarts=3, seed=seed)


def train(
    session: TrainingSession, state: dict[str, Tensor], windows: Tensor, settings: DecSettings
) -> tuple[DecOutcome, Autoencoder]:
    network = fresh(state)
    centroids = torch.from_numpy(starts_of(network, windows).kmeans.centroids)
    return DecTraining(session, network, centroids, TrainingData(windows), settings).run(), network


def assert_close(a: DecOutcome, b: DecOutcome) -> None:
    torch.testing.assert_close(a.centroids, b.centroids, rtol=1e-4, atol=1e-5)
    assert a.counts.tolist() == b.counts.tolist()
    assert len(a.history) == len(b.history)
    for mine, yours in zip(a.history, b.history, strict=True):
        for name in ("step", "label_change", "counts", "stop_reason"):
            assert mine[name] == yours[name]
        for name in ("reconstruction", "kl", "loss", "frequencies", "variance"):
            if mine[name] is not None:
                np.testing.assert_allclose(mine[name], yours[name], rtol=2e-4)


@pytest.mark.parametrize("method", ["dec", "idec"])
@pytest.mark.parametrize("world_size", [2, 3])
def test_several_ranks_equal_one(
    windows: Tensor, pretrained: dict[str, Tensor], method: Any, world_size: int
) -> None:
    settings = replace(SETTINGS, method=method)
    alone = train(LocalSession(None), pretrained, windows, settings)
    together = run_ranks(world_size, lambda session: train(session, pretrained, windows, settings))
    for outcome, network in together:
        assert_close(outcome, alone[0])
        for name, weight in network.state_dict().items():
            torch.testing.assert_close(weight, alone[1].state_dict()[name], rtol=1e-3, atol=1e-4)
    assert torch.equal(together[0][0].centroids, together[1][0].centroids)


def test_a_batch_smaller_than_the_ranks_leaves_some_without_work(pretrained: dict[str, Tensor]) -> None:
    windows = torch.from_numpy(ridges(51)[0])  # the second batch of each epoch is one window
    alone = train(LocalSession(None), pretrained, windows, SETTINGS)[0]
    for outcome, _ in run_ranks(3, lambda session: train(session, pretrained, windows, SETTINGS)):
        assert_close(outcome, alone)


def test_recomputing_soft_assignments_gives_the_numbers_of_the_table(
    windows: Tensor, pretrained: dict[str, Tensor]
) -> None:
    with_table = train(LocalSession(None), pretrained, windows, SETTINGS)[0]
    without = train(LocalSession(None), pretrained, windows, replace(SETTINGS, table_bytes=0))[0]
    assert torch.equal(with_table.centroids, without.centroids)
    assert with_table.history == without.history


@pytest.mark.parametrize("table_bytes", [0, 10**9])
@pytest.mark.parametrize("world_size", [1, 3])
def test_the_target_of_any_batch_is_that_of_the_full_float64_table(
    windows: Tensor, pretrained: dict[str, Tensor], table_bytes: int, world_size: int
) -> None:
    # The fault: P from the mini-batch.
    network = fresh(pretrained)
    centroids = torch.from_numpy(starts_of(network, windows).kmeans.centroids).float()
    _, p, f = full_table(embed_tensor(network, windows), centroids, 1.0)
    position = torch.tensor([7, 300, 12])

    def targets(session: TrainingSession) -> tuple[Tensor, Tensor]:
        snapshot = take_snapshot(
            session, network, centroids, TrainingData(windows), alpha=1.0, table_bytes=table_bytes
        )
        return snapshot.frequencies, snapshot.log_target(windows[position], position).exp()

    for frequencies, target in run_ranks(world_size, targets):
        np.testing.assert_allclose(frequencies, f, rtol=1e-6)
        np.testing.assert_allclose(target, p[position], atol=1e-6)


def test_a_snapshot_is_not_moved_by_training_and_leaves_the_network_in_training_mode(
    windows: Tensor, pretrained: dict[str, Tensor]
) -> None:
    # The fault: a model left in evaluation mode by the target update.
    network = fresh(pretrained).train()
    centroids = torch.nn.Parameter(torch.eye(4))
    snapshot = take_snapshot(
        LocalSession(None), network, centroids, TrainingData(windows), alpha=1.0, table_bytes=0
    )
    before = snapshot.log_target(windows[:5], torch.arange(5))
    with torch.no_grad():
        centroids.add_(1)
        for parameter in network.parameters():
            parameter.add_(1)
    assert torch.equal(snapshot.log_target(windows[:5], torch.arange(5)), before)
    assert network.training


def test_dec_leaves_the_decoder_alone_and_idec_trains_it(
    windows: Tensor, pretrained: dict[str, Tensor]
) -> None:
    for method, expected in (("dec", True), ("idec", False)):
        settings = replace(SETTINGS, method=method, epochs=1)  # type: ignore[arg-type]
        network = train(LocalSession(None), pretrained, windows, settings)[1]
        same = [torch.equal(w, pretrained[name]) for name, w in network.state_dict().items() if "up." in name]
        assert all(same) is expected
        assert not torch.equal(network.to_latent.weight, pretrained["to_latent.weight"])


def test_training_stops_when_labels_settle_and_says_so(
    windows: Tensor, pretrained: dict[str, Tensor]
) -> None:
    settings = replace(SETTINGS, epochs=500, tolerance=0.05)
    history = train(LocalSession(None), pretrained, windows, settings)[0].history
    assert history[-1]["stop_reason"] == "tolerance"
    assert history[-1]["step"] >= 100  # not after the first three steps, in which nothing can change
    assert [record["stop_reason"] for record in history[:-1]] == [None] * (len(history) - 1)


def test_training_without_settling_stops_after_the_epochs(
    windows: Tensor, pretrained: dict[str, Tensor]
) -> None:
    history = train(LocalSession(None), pretrained, windows, SETTINGS)[0].history
    assert history[-1]["stop_reason"] == "epochs"
    assert [record["step"] for record in history] == [0, 3, 7, 10, 14, 17, 21, 24, 28]
    assert [sum(record["counts"]) for record in history] == [N] * 9
    assert [sum(record["frequencies"]) for record in history] == pytest.approx([N] * 9)


def test_the_target_is_refreshed_after_as_many_steps_as_asked_for_whatever_a_pass_has(
    windows: Tensor, pretrained: dict[str, Tensor]
) -> None:
    settings = replace(SETTINGS, refresh_steps=5)
    history = train(LocalSession(None), pretrained, windows, settings)[0].history
    assert [record["step"] for record in history] == [0, 5, 10, 15, 20, 25, 28]


def test_gradient_descent_with_momentum_takes_the_steps_of_its_definition(
    windows: Tensor, pretrained: dict[str, Tensor]
) -> None:
    settings = replace(SETTINGS, optimiser="sgd", method="dec", batch=N, epochs=2, learning_rate=0.1)
    outcome, _ = train(LocalSession(None), pretrained, windows, settings)
    network = fresh(pretrained)
    centroids = torch.from_numpy(starts_of(network, windows).kmeans.centroids).float().requires_grad_()
    weights = [*network.encoder_parameters(), centroids]
    velocity = [torch.zeros_like(weight) for weight in weights]
    for _ in range(2):  # a batch is everything, so each step has a fresh target
        with torch.no_grad():
            log_q = log_soft_assignment(network.encode(windows[:, None]), centroids)
            log_p = log_target_distribution(log_q, cluster_frequencies(log_q))
        log_q = log_soft_assignment(network.encode(windows[:, None]), centroids)
        loss = settings.weights.clustering * kl_divergence(log_p, log_q).mean()
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for weight, v, gradient in zip(weights, velocity, gradients, strict=True):
                v.mul_(0.9).add_(gradient)
                weight -= 0.1 * v
    torch.testing.assert_close(outcome.centroids, centroids.detach(), rtol=1e-4, atol=1e-5)


def test_clusters_get_tighter_and_keep_the_classes(windows: Tensor, pretrained: dict[str, Tensor]) -> None:
    truth = ridges(N)[1]
    settings = replace(SETTINGS, epochs=40)
    outcome, network = train(LocalSession(None), pretrained, windows, settings)
    before = embed_tensor(fresh(pretrained), windows)
    after = embed_tensor(network, windows)
    assert adjusted_rand_index(truth, torch.cdist(after, outcome.centroids).argmin(dim=1)) > 0.95
    assert scatter_within(after, truth) < 0.7 * scatter_within(before, truth)


def scatter_within(z: Tensor, truth: npt.NDArray[np.int64]) -> float:
    """Share of the total variance that lies within classes."""
    within = sum(float(z[truth == c].var(dim=0).sum()) * np.mean(truth == c) for c in range(4))
    return float(within) / float(z.var(dim=0).sum())


class InterruptedTrainingError(RuntimeError):
    """Stands for kill -9."""


@pytest.mark.parametrize("schedule", [{"updates_per_epoch": 3}, {"refresh_steps": 7, "optimiser": "sgd"}])
def test_an_interrupted_training_resumes_to_the_same_bits(
    windows: Tensor, pretrained: dict[str, Tensor], tmp_path: Path, schedule: dict[str, Any]
) -> None:
    settings = replace(SETTINGS, epochs=45, batch=40, **schedule)

    def run(folder: Path, stop_at: int | None = None) -> tuple[DecOutcome, Autoencoder]:
        session = LocalSession(Location(str(folder)))
        network = fresh(pretrained)
        starts = starts_of(network, windows)

        def on_refresh(history: Any) -> None:
            if stop_at is not None and history[-1]["step"] >= stop_at:
                raise InterruptedTrainingError

        training = DecTraining(
            session,
            network,
            torch.from_numpy(starts.kmeans.centroids),
            TrainingData(windows),
            settings,
            carried=(starts.tensors, {"job": "a"}),
            on_refresh=on_refresh,
        )
        with session.latest_checkpoint() as checkpoint:
            if checkpoint is not None:
                saved = load_state(checkpoint)
                assert repr(Starts.from_tensors(saved[0], 4, 4)) == repr(starts)
                assert saved[1]["job"] == "a"
                training.restore(saved)
        return training.run(), network

    whole = run(tmp_path / "whole")
    for stop_at in (0, 130, 260):  # the second time it resumes from a checkpoint within an epoch
        with pytest.raises(InterruptedTrainingError):
            run(tmp_path / "killed", stop_at)
    resumed = run(tmp_path / "killed")
    assert torch.equal(resumed[0].centroids, whole[0].centroids)
    assert resumed[0].history == whole[0].history
    for name, weight in resumed[1].state_dict().items():
        assert torch.equal(weight, whole[1].state_dict()[name])
    again = run(tmp_path / "killed")  # finished: nothing is trained any more
    assert again[0].history == whole[0].history
    assert torch.equal(again[0].centroids, whole[0].centroids)


def test_a_loss_that_diverges_is_refused_on_every_rank_alike(
    windows: Tensor, pretrained: dict[str, Tensor]
) -> None:
    settings = replace(SETTINGS, learning_rate=1e12)
    for world_size in (1, 2):
        with pytest.raises(TrainingError, match=r"diverged before step 3.*lower cluster.learning_rate"):
            run_ranks(world_size, lambda session: train(session, pretrained, windows, settings))


def test_a_cluster_that_stays_empty_is_refused_with_its_number(
    windows: Tensor, pretrained: dict[str, Tensor]
) -> None:
    network = fresh(pretrained)
    centroids = torch.cat([embed_tensor(network, windows)[:2], torch.full((1, 4), 1e6)])
    training = DecTraining(LocalSession(None), network, centroids, TrainingData(windows), SETTINGS)
    with pytest.raises(TrainingError, match=r"1 of 3 clusters hold no window \(clusters 2"):
        training.run()


def test_an_embedding_that_collapses_during_training_is_refused(
    windows: Tensor, pretrained: dict[str, Tensor]
) -> None:
    network = fresh(pretrained)
    centroids = torch.from_numpy(starts_of(network, windows).kmeans.centroids)
    training = DecTraining(LocalSession(None), network, centroids, TrainingData(windows), SETTINGS)
    taken = training._take_snapshot
    shrinking = iter([1.0, 1.0, 1e-9])
    training._take_snapshot = lambda: replace(taken(), variance=next(shrinking))  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match=r"embedding collapsed: its variance fell from 1 to 1e-09"):
        training.run()


def test_the_best_restart_is_the_same_for_any_number_of_ranks(
    windows: Tensor, pretrained: dict[str, Tensor]
) -> None:
    z = embed_tensor(fresh(pretrained), windows).numpy()

    def starts(session: TrainingSession) -> Starts:
        return find_starts(session, z, 6, restarts=4, seed=3)

    alone = run_ranks(1, starts)[0]
    for world_size in (2, 6):  # more ranks than restarts: the last two only listen
        for found in run_ranks(world_size, starts):
            assert repr(found) == repr(alone)


def test_dead_dimensions_of_a_rectified_embedding_are_reported(
    windows: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    # The fault: ReLU on the embedding kills dimensions in silence.
    z = embed_tensor(fresh(), windows).numpy()
    z[:, 2] = 0.0
    starts = find_starts(LocalSession(None), z, 3, restarts=2, seed=0)
    assert starts.dead == (2,)
    assert "dimensions [2] of the embedding's 4 do not vary" in caplog.text
