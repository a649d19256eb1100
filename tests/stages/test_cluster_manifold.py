"""Clusters of the manifold as a method of its own and as the start of DEC: on one rank, on two, resumed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scaledec.config import parse_config
from scaledec.numerics.augment import Augmentation
from scaledec.numerics.metrics import adjusted_rand_index
from scaledec.stages.cluster import cluster_loop
from scaledec.stages.cluster_job import ClusterJob
from scaledec.training.saved_model import SavedModel
from scaledec.training.session import LocalSession
from tests.stages.cluster_ranks import run_ranks
from tests.stages.cluster_runs import TRUTH, assignments, job_on_copy, make_pretrained_run, read_metrics


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pretrained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pretrained_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def job(pretrained_run: Path, tmp_path: Path) -> ClusterJob:
    job = job_on_copy(pretrained_run, tmp_path / "run")
    return replace(job, method="n2d", augmentation=Augmentation(0.05, 0.05, 5.0, 0.05), epochs=6)


def test_the_network_learns_the_clusters_of_the_manifold_and_labels_with_them(job: ClusterJob) -> None:
    outcome = cluster_loop(LocalSession(None), job)
    assert adjusted_rand_index(TRUTH, assignments(job)["label"]) > 0.9
    model = SavedModel.load(job.run)
    assert model.method == outcome.method == "n2d"
    assert list(outcome.counts) == sorted(outcome.counts, reverse=True)


def test_dec_goes_on_from_the_manifold_with_its_own_target_once_it_was_taught(job: ClusterJob) -> None:
    job = replace(job, method="idec", init="manifold", gamma=0.25, taught_epochs=2)
    cluster_loop(LocalSession(None), job)
    assert adjusted_rand_index(TRUTH, assignments(job)["label"]) > 0.9
    records = {record["epoch"]: record for record in read_metrics(job)}

    def share(epoch: int) -> float:
        """Weight of the divergence in the loss, over log K."""
        record, reconstruction = records[epoch], records[epoch]["reconstruction"] / variance
        return float((record["loss"] - reconstruction) * np.log(4) / record["kl"])

    normaliser = SavedModel.load(job.run).normaliser
    cells = np.concatenate([normaliser.apply(w) for w in job.source.blocks()])[~job.source.is_validation()]
    variance = float(cells.astype(np.float64).var())
    assert share(1) == pytest.approx(1.0, rel=1e-3)
    assert share(5) == pytest.approx(0.25, rel=1e-3)


def test_two_ranks_learn_what_one_learns(job: ClusterJob, pretrained_run: Path, tmp_path: Path) -> None:
    cluster_loop(LocalSession(None), job)
    other = replace(job_on_copy(pretrained_run, tmp_path / "two"), method="n2d")
    other = replace(other, augmentation=job.augmentation, epochs=job.epochs)
    run_ranks(2, lambda session: cluster_loop(session, other))
    np.testing.assert_array_equal(assignments(other)["label"], assignments(job)["label"])
    np.testing.assert_allclose(assignments(other)["embedding"], assignments(job)["embedding"], atol=1e-3)


def test_a_resumed_training_ends_with_the_same_model(
    job: ClusterJob, pretrained_run: Path, tmp_path: Path
) -> None:
    cluster_loop(LocalSession(None), job)
    other = replace(job_on_copy(pretrained_run, tmp_path / "resumed"), method="n2d")
    other = replace(other, augmentation=job.augmentation, epochs=job.epochs)
    checkpoints = other.run.child("checkpoints")

    class PulledPlugError(Exception):
        pass

    def pull_the_plug(metrics: object) -> None:
        raise PulledPlugError

    with pytest.raises(PulledPlugError):  # after the first checkpoint was kept
        cluster_loop(LocalSession(checkpoints, on_report=pull_the_plug), other)
    cluster_loop(LocalSession(checkpoints), other)
    assert SavedModel.load(other.run).checksum == SavedModel.load(job.run).checksum


def test_a_configuration_may_ask_for_it() -> None:
    text = "root: there\narchive: {url: here}\ncluster: {method: n2d, init: manifold}"
    assert parse_config(text).cluster.init == "manifold"
