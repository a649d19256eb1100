"""Clustering by real Ray Train workers: two give what one gives, and a killed one costs nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaledec.engines.local_train import run_training as run_here
from scaledec.engines.ray_session import ray_session
from scaledec.engines.ray_train import run_training
from scaledec.stages.cluster import cluster_loop
from scaledec.stages.cluster_job import ClusterJob, ClusterOutcome
from scaledec.training.saved_model import SavedModel
from scaledec.training.session import Metrics, SaveInto, TrainingSession
from tests.stages.cluster_runs import assignments, job_on_copy, make_pretrained_run, read_metrics

pytestmark = [
    pytest.mark.ray,
    # Ray Train makes Ray Data's context, which warns of its own defaults.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),
]


@pytest.fixture(scope="module")
def on_ray() -> Iterator[None]:
    with ray_session(None, cpus=2):
        yield


@pytest.fixture(scope="module")
def pretrained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pretrained_run(tmp_path_factory.mktemp("run"))


def on_workers(job: ClusterJob, workers: int, loop: Any = cluster_loop) -> ClusterOutcome:
    outcome: ClusterOutcome = run_training(
        loop, job, storage=job.run.child("checkpoints"), name="cluster", workers=workers, threads=1
    )
    return outcome


@pytest.fixture(scope="module")
def by_two(on_ray: None, pretrained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> ClusterJob:
    """A finished clustering by two workers."""
    # Checkpoints lie a hundred steps apart; 45 epochs of 5 batches hold the first three.
    job = replace(job_on_copy(pretrained_run, tmp_path_factory.mktemp("two") / "run"), epochs=45)
    on_workers(job, 2)
    return job


def test_two_workers_and_one_process_agree(by_two: ClusterJob, pretrained_run: Path, tmp_path: Path) -> None:
    alone = replace(job_on_copy(pretrained_run, tmp_path / "run"), epochs=by_two.epochs)
    run_here(cluster_loop, alone, storage=alone.run.child("checkpoints"), name="cluster", threads=1)
    for mine, theirs in zip(read_metrics(alone), read_metrics(by_two), strict=True):
        assert mine["step"] == theirs["step"]
        for name in ("reconstruction", "kl", "loss", "frequencies", "variance"):
            if mine[name] is not None:
                np.testing.assert_allclose(mine[name], theirs[name], rtol=1e-3)
    np.testing.assert_allclose(
        SavedModel.load(alone.run).centroids, SavedModel.load(by_two.run).centroids, rtol=2e-3, atol=1e-3
    )
    mine_found, theirs_found = assignments(alone), assignments(by_two)
    for name in ("label", "label_kmeans", "label_gmm"):
        np.testing.assert_array_equal(mine_found[name], theirs_found[name])
    np.testing.assert_allclose(mine_found["confidence"], theirs_found["confidence"], atol=2e-3)


@dataclass(frozen=True)
class DiesOnce:
    """The cluster loop whose second rank is killed at the third checkpoint, the first time."""

    grave: Path

    def __call__(self, session: TrainingSession, job: ClusterJob) -> ClusterOutcome:
        report = session.report

        def report_or_die(metrics: Metrics, save: SaveInto | None = None) -> None:
            if session.rank == 1 and metrics["step"] == 200 and not self.grave.exists():
                self.grave.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            report(metrics, save)

        session.report = report_or_die  # type: ignore[method-assign]
        return cluster_loop(session, job)


def test_a_killed_worker_leaves_no_trace_in_the_result(
    by_two: ClusterJob, pretrained_run: Path, tmp_path: Path
) -> None:
    job = replace(job_on_copy(pretrained_run, tmp_path / "run"), epochs=by_two.epochs)
    on_workers(job, 2, DiesOnce(tmp_path / "grave"))
    assert (tmp_path / "grave").exists()
    for name in ("model.safetensors", "metrics-cluster.jsonl"):
        assert job.run.child(name).read_bytes() == by_two.run.child(name).read_bytes()
