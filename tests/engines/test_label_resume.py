from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scaledec.ledger.ledger import Ledger
from scaledec.places import Places
from scaledec.stages.label import Labeller
from tests.engines.ray_cluster import kill_session
from tests.stages.small_cubes import label_bytes, small_run

pytestmark = [pytest.mark.ray, pytest.mark.durability, pytest.mark.heavy]

N_CHANNELS, N_SEGMENTS = 8, 30
DRIVER = """
import sys
from pathlib import Path
from scaledec.config import RayConfig
from scaledec.engines.ray_data import label_with_ray
from scaledec.engines.ray_session import ray_session
from scaledec.places import Places
from tests.stages.small_cubes import small_run

run = small_run(Path(sys.argv[1]), 0, 0)
with ray_session(None, cpus=2):
    ledger = Places.at(run.config.root).label_ledger("run")
    label_with_ray(run.tasks, run.context, ledger, RayConfig(label_actors=2), lambda result: None)
"""


def kill_after(n_results: int, ledger: Ledger, root: Path) -> None:
    """Label in another process; once so many results are in the ledger, kill it and all its workers."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(root)], start_new_session=True, env=environment
    )
    try:
        end = time.monotonic() + 120
        while len(ledger.read()) < n_results:
            assert driver.poll() is None, "the driver ended by itself"
            assert time.monotonic() < end, "nothing was labelled"
            time.sleep(0.02)
    finally:
        kill_session(driver.pid)
        driver.wait()


def test_a_run_that_is_killed_loses_only_what_was_in_flight(tmp_path: Path) -> None:
    run = small_run(tmp_path / "killed", N_CHANNELS, N_SEGMENTS)
    ledger = Ledger(Places.at(run.config.root).label_ledger("run"))
    kill_after(10, ledger, tmp_path / "killed")
    done = set(ledger.read())
    left = small_run(tmp_path / "killed", N_CHANNELS, N_SEGMENTS).tasks
    assert len(done) >= 10
    assert left
    assert {task.key for task in left} == {task.key for task in run.tasks} - done

    labeller = Labeller(run.context)
    for task in left:
        labeller.run(task)
    alone = small_run(tmp_path / "alone", N_CHANNELS, N_SEGMENTS)
    labeller = Labeller(alone.context)
    for task in alone.tasks:
        labeller.run(task)
    assert label_bytes(run.context) == label_bytes(alone.context)
