"""Elastic training: a node is lost, the rest goes on from the last checkpoint with the same losses."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from scaledec.engines.local_train import run_training as run_here
from scaledec.stages.pretrain import METRICS_FILE, PretrainJob, PretrainOutcome, pretrain_loop
from scaledec.training.session import Metrics, SaveInto, TrainingSession
from tests.engines.ray_cluster import kill_session, running_cluster
from tests.engines.test_ray_train import job

pytestmark = [pytest.mark.heavy, pytest.mark.ray, pytest.mark.durability]

DRIVER = """
import sys
from pathlib import Path
from scaledec.engines.ray_session import ray_session
from scaledec.engines.ray_train import run_training
from tests.engines.test_ray_elastic import ToldLoop
from tests.engines.test_ray_train import job

folder = Path(sys.argv[2])
mine = job(folder)
with ray_session(sys.argv[1]):
    run_training(
        ToldLoop(folder / "epochs"), mine, storage=mine.run.child("checkpoints"), name="pretrain",
        workers=(1, 2), threads=1,
    )
"""


@dataclass(frozen=True)
class ToldLoop:
    """Pretraining that writes down which epoch how many ranks have finished, and takes its time."""

    told: Path

    def __call__(self, session: TrainingSession, job: PretrainJob) -> PretrainOutcome:
        report = session.report

        def report_and_tell(metrics: Metrics, save: SaveInto | None = None) -> None:
            report(metrics, save)
            if session.rank == 0:
                with self.told.open("a") as file:
                    file.write(f"{metrics['epoch']} {session.world_size}\n")
            time.sleep(1.0)

        session.report = report_and_tell  # type: ignore[method-assign]
        return pretrain_loop(session, job)


def epochs(told: Path) -> list[tuple[int, int]]:
    if not told.exists():
        return []
    return [
        (int(epoch), int(ranks)) for epoch, ranks in (line.split() for line in told.read_text().splitlines())
    ]


def losses(job: PretrainJob) -> list[tuple[float, float]]:
    lines = job.run.child(METRICS_FILE).read_bytes().splitlines()
    return [(m["train_loss"], m["validation_loss"]) for m in map(json.loads, lines)]


def test_after_the_loss_of_a_node_one_worker_goes_on_with_the_same_losses(tmp_path: Path) -> None:
    alone, mine = job(tmp_path / "alone"), job(tmp_path / "elastic")
    mine.run.path.mkdir()
    run_here(pretrain_loop, alone, storage=alone.run.child("checkpoints"), name="pretrain", threads=1)
    told = tmp_path / "elastic" / "epochs"
    with running_cluster(nodes=2, cpus=1) as cluster:
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, cluster.address, str(tmp_path / "elastic")],
            env=cluster.environment(RAY_health_check_period_ms="1000"),
            start_new_session=True,
        )
        try:
            end = time.monotonic() + 180
            while len(epochs(told)) < 3:
                assert driver.poll() is None, "the training ended by itself"
                assert time.monotonic() < end, "no epoch was trained"
                time.sleep(0.1)
            kill_session(cluster.nodes[1].pid)
            assert driver.wait(240) == 0
        finally:
            kill_session(driver.pid)
    done = epochs(told)
    assert {ranks for epoch, ranks in done if epoch <= 2} == {2}
    assert done[-1] == (alone.epochs, 1)
    assert next(epoch for epoch, ranks in done if ranks == 1) > 1, "it began anew"
    np.testing.assert_allclose(losses(mine), losses(alone), rtol=5e-4)
