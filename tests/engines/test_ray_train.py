"""Pretraining by real Ray Train workers: the bytes of one process, whoever is killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from scaledec.engines.local_train import run_training as run_here
from scaledec.engines.ray_session import ray_session
from scaledec.engines.ray_train import run_training
from scaledec.errors import EngineError, TrainingError
from scaledec.location import Location
from scaledec.numerics.nets.presets import NetworkSpec
from scaledec.stages.pretrain import PRETRAINED, PretrainJob, PretrainOutcome, pretrain_loop
from scaledec.training.saved_model import SavedModel
from scaledec.training.session import Metrics, SaveInto, TrainingSession
from scaledec.training.sources import ArrayWindows
from tests.engines.ray_cluster import kill_session, processes_of_session
from tests.stages.cluster_ranks import ridges

pytestmark = [
    pytest.mark.ray,
    # Ray Train makes Ray Data's context, which warns of its own defaults.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),
]

EPOCHS = 8


def job(folder: Path, **changes: Any) -> PretrainJob:
    plain = PretrainJob(
        run=Location(str(folder)),
        source=ArrayWindows(ridges(330)[0], np.arange(330) % 6 == 0),
        network=NetworkSpec(8, 8, (8, 16), 4),
        epochs=EPOCHS,
        batch=32,
        learning_rate=3e-3,
        checkpoint_interval_s=0,
    )
    return replace(plain, **changes)


def on_workers(job: PretrainJob, workers: int = 1, loop: Any = pretrain_loop, **options: Any) -> Any:
    storage = job.run.child("checkpoints")
    return run_training(loop, job, storage=storage, name="pretrain", workers=workers, threads=1, **options)


def model_bytes(job: PretrainJob) -> tuple[bytes, bytes]:
    place = job.run.child(PRETRAINED)
    return place.child("model.safetensors").read_bytes(), place.child("model.json").read_bytes()


@pytest.fixture(scope="module")
def on_ray() -> Iterator[None]:
    with ray_session(None, cpus=2):
        yield


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> PretrainJob:
    """A finished pretraining by this process."""
    made = job(tmp_path_factory.mktemp("alone"))
    run_here(pretrain_loop, made, storage=made.run.child("checkpoints"), name="pretrain", threads=1)
    return made


def test_a_worker_writes_the_bytes_of_one_process_and_every_epoch_is_reported(
    on_ray: None, alone: PretrainJob, tmp_path: Path
) -> None:
    mine, reported = job(tmp_path), list[Metrics]()
    outcome = on_workers(mine, on_report=reported.append)
    assert isinstance(outcome, PretrainOutcome)
    assert [m["epoch"] for m in reported] == list(range(1, EPOCHS + 1))
    assert model_bytes(mine) == model_bytes(alone)
    assert on_workers(mine) == replace(outcome, already_finished=True)


def test_two_workers_agree_with_one_process(on_ray: None, alone: PretrainJob, tmp_path: Path) -> None:
    mine = job(tmp_path)
    on_workers(mine, workers=2)
    theirs = SavedModel.load(alone.run.child(PRETRAINED))
    ours = SavedModel.load(mine.run.child(PRETRAINED))
    assert ours.facts["validation_loss"] == pytest.approx(theirs.facts["validation_loss"], rel=2e-4)
    windows = ridges(330)[0]
    np.testing.assert_allclose(ours.embed(windows), theirs.embed(windows), rtol=2e-2, atol=2e-3)


@dataclass(frozen=True)
class DiesAt:
    """The pretraining loop whose worker is killed when it has finished some epoch, the first time."""

    epoch: int
    starts: Path

    def __call__(self, session: TrainingSession, job: PretrainJob) -> PretrainOutcome:
        report = session.report

        def report_or_die(metrics: Metrics, save: SaveInto | None = None) -> None:
            with self.starts.open("a") as file:
                file.write(f"{metrics['epoch']}\n")
            if metrics["epoch"] == self.epoch and self.trained().count(self.epoch) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            report(metrics, save)

        session.report = report_or_die  # type: ignore[method-assign]
        return pretrain_loop(session, job)

    def trained(self) -> list[int]:
        return [int(line) for line in self.starts.read_text().split()]


def test_a_killed_worker_goes_on_from_its_checkpoint_to_the_same_bytes(
    on_ray: None, alone: PretrainJob, tmp_path: Path
) -> None:
    mine, loop = job(tmp_path / "run"), DiesAt(4, tmp_path / "epochs")
    on_workers(mine, loop=loop)
    assert loop.trained() == [1, 2, 3, 4, 4, 5, 6, 7, 8]
    assert model_bytes(mine) == model_bytes(alone)


def fails_for_good(session: TrainingSession, count: Path) -> None:
    """Rank 0 meets an error that no new start would mend, while the others wait for it."""
    with count.open("a") as file:
        file.write("x")
    session.barrier()  # the error ends the group: not before every rank has begun
    if session.rank == 0:
        raise TrainingError("the loss became nan; lower pretrain.learning_rate")
    session.barrier()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_ours_comes_back_as_it_was_raised_and_is_not_tried_again(
    on_ray: None, tmp_path: Path, workers: int
) -> None:
    count = tmp_path / "count"
    with pytest.raises(TrainingError, match=r"^the loss became nan; lower pretrain.learning_rate$"):
        run_training(
            fails_for_good, count, storage=Location(str(tmp_path)), name="x", workers=workers, threads=1
        )
    assert count.read_text() == "x" * workers


def always_dies(session: TrainingSession, count: Path) -> None:
    with count.open("a") as file:
        file.write("x")
    raise OSError("no such device")


def test_a_worker_that_keeps_failing_is_given_up_with_its_last_words(on_ray: None, tmp_path: Path) -> None:
    count = tmp_path / "count"
    with pytest.raises(EngineError, match=r"training worker 0 failed 4 times; last: .*no such device"):
        run_training(always_dies, count, storage=Location(str(tmp_path)), name="x", threads=1)
    assert count.read_text() == "xxxx"


def where(session: TrainingSession, place: Location) -> str:
    return place.path.resolve().as_posix()


def test_a_relative_place_means_the_same_in_a_worker(on_ray: None, tmp_path: Path) -> None:
    relative = Location(os.path.relpath(tmp_path))
    assert run_training(where, relative, storage=relative, name="x", threads=1) == str(tmp_path.resolve())


def test_more_workers_than_the_cluster_holds_is_an_error_at_once(on_ray: None, tmp_path: Path) -> None:
    place = Location(str(tmp_path))
    with pytest.raises(EngineError, match=r"3 training workers of 1 CPUs each do not fit .* have 2 CPUs"):
        run_training(fails_for_good, tmp_path, storage=place, name="x", workers=3)
    with pytest.raises(EngineError, match=r"2 training workers of 2 CPUs each do not fit"):
        run_training(fails_for_good, tmp_path, storage=place, name="x", workers=2, threads=2)
    with pytest.raises(EngineError, match=r"gpu is true and train_workers is 1, but .* has 0 GPUs"):
        run_training(fails_for_good, tmp_path, storage=place, name="x", gpu=True)


DRIVER = """
import sys
from pathlib import Path
from scaledec.engines.ray_session import ray_session
from tests.engines.test_ray_train import job, on_workers, SlowLoop

with ray_session(None, cpus=2):
    on_workers(job(Path(sys.argv[1])), loop=SlowLoop())
"""


class SlowLoop:
    """Pretraining with pauses, so that there is time to kill someone: long ones from the fourth epoch on."""

    def __call__(self, session: TrainingSession, job: PretrainJob) -> PretrainOutcome:
        report = session.report

        def report_slowly(metrics: Metrics, save: SaveInto | None = None) -> None:
            report(metrics, save)
            time.sleep(5.0 if int(str(metrics["epoch"])) > 3 else 0.3)

        session.report = report_slowly  # type: ignore[method-assign]
        return pretrain_loop(session, job)


@pytest.mark.heavy
@pytest.mark.durability
def test_after_a_killed_driver_the_next_run_goes_on_to_the_same_bytes(
    on_ray: None, alone: PretrainJob, tmp_path: Path
) -> None:
    mine = job(tmp_path)
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)], start_new_session=True)
    try:
        end = time.monotonic() + 120
        while not list(tmp_path.glob("checkpoints/pretrain/checkpoint_00000[3-9]/state.safetensors")):
            assert driver.poll() is None, "the driver ended by itself"
            assert time.monotonic() < end, "no checkpoint came"
            time.sleep(0.02)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        end = time.monotonic() + 30
        while any("Train" in process.name() for process in processes_of_session(driver.pid)):
            assert time.monotonic() < end, "the training outlives its driver"
            time.sleep(0.1)
    finally:
        kill_session(driver.pid)
    # What a kill in the middle of writing leaves of Ray's own list.
    (tmp_path / "checkpoints" / "pretrain" / "checkpoint_manager_snapshot.json").write_text('{"checkp')
    reported: list[Metrics] = []
    on_workers(mine, on_report=reported.append)
    assert 3 < int(str(reported[0]["epoch"])) <= EPOCHS
    assert model_bytes(mine) == model_bytes(alone)
    assert len(list(tmp_path.glob("checkpoints/pretrain/checkpoint_0*"))) <= 4


@pytest.mark.heavy
def test_a_killed_worker_goes_on_from_a_checkpoint_on_s3(
    on_ray: None,
    alone: PretrainJob,
    s3_options: dict[str, object],
    tmp_path: Path,
) -> None:
    mine = job(tmp_path, run=Location("s3://bucket/training", s3_options))
    loop = DiesAt(4, tmp_path / "epochs")
    on_workers(mine, loop=loop)
    assert loop.trained() == [1, 2, 3, 4, 4, 5, 6, 7, 8]
    assert model_bytes(mine) == model_bytes(alone)


def test_an_interrupted_training_stops_even_though_the_session_stays_open(
    on_ray: None, tmp_path: Path
) -> None:
    def interrupt(metrics: Metrics) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        on_workers(job(tmp_path, epochs=1000, patience=1000), 2, SlowLoop(), on_report=interrupt)
    end = time.monotonic() + 30
    while ray.available_resources().get("CPU", 0) < 2:
        assert time.monotonic() < end, "the workers go on"
        time.sleep(0.1)
    assert not (tmp_path / PRETRAINED).exists()


def test_without_a_ray_session_there_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(EngineError, match="no Ray session is open"):
        run_training(fails_for_good, tmp_path, storage=Location(str(tmp_path)), name="x")
