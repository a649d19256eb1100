from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scaledec.config import RayConfig
from scaledec.engines.ray_data import label_with_ray
from scaledec.engines.ray_session import ray_session
from scaledec.errors import EngineError, StoreError
from scaledec.ledger.ledger import Ledger
from scaledec.places import Places
from scaledec.stages.label import Labeller
from scaledec.vocabulary import TaskResult
from tests.stages.small_cubes import SmallRun, label_bytes, small_run

pytestmark = [
    pytest.mark.ray,
    # Ray Data warns of its own defaults when it makes a context.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),
]

N_CHANNELS, N_SEGMENTS = 4, 6


@pytest.fixture(scope="module")
def ray_on_two_cores() -> Iterator[None]:
    with ray_session(None, cpus=2):
        yield


@pytest.fixture
def small(tmp_path: Path) -> SmallRun:
    return small_run(tmp_path / "ray", N_CHANNELS, N_SEGMENTS)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallRun, dict[str, object]]:
    """The same labelled in this process, and the facts of each result."""
    run = small_run(tmp_path_factory.mktemp("serial"), N_CHANNELS, N_SEGMENTS)
    labeller = Labeller(run.context)
    return run, {task.key: facts(labeller.run(task)) for task in run.tasks}


def label(small: SmallRun, on_result: list[TaskResult], *, actors: int = 2) -> Ledger:
    place = Places.at(small.config.root).label_ledger("run")
    label_with_ray(small.tasks, small.context, place, RayConfig(label_actors=actors), on_result.append)
    return Ledger(place)


def test_ray_writes_the_bytes_and_results_that_one_process_writes(
    ray_on_two_cores: None, small: SmallRun, alone: tuple[SmallRun, dict[str, object]]
) -> None:
    results: list[TaskResult] = []
    ledger = label(small, results)
    assert label_bytes(small.context) == label_bytes(alone[0].context)
    assert len(results) == N_CHANNELS * N_SEGMENTS // 2
    assert {result.key: facts(result) for result in results} == alone[1]
    assert {key: facts(result) for key, result in ledger.read().items()} == alone[1]


def test_a_damaged_segment_is_a_failed_result_and_the_rest_is_labelled(
    ray_on_two_cores: None, small: SmallRun
) -> None:
    shard = small.cube.location.path / "power" / "c" / "2" / "5" / "0" / "0"
    shard.write_bytes(b"x" * 100)
    results: list[TaskResult] = []
    label(small, results)
    failed = [result for result in results if result.status == "failed"]
    assert [result.key for result in failed] == ["XX.S01..HHZ/2020-01-01T00:40:00"]
    assert "damaged" in (failed[0].reason or "")
    assert len(results) == len(small.tasks)


def test_an_actor_that_is_killed_costs_nothing(
    ray_on_two_cores: None, small: SmallRun, alone: tuple[SmallRun, dict[str, object]]
) -> None:
    killed: list[int] = []

    class KillOnce(list[TaskResult]):
        def append(self, result: TaskResult) -> None:
            if not killed:
                killed.extend(kill_one_actor())
            super().append(result)

    results = KillOnce()
    label(small, results, actors=1)
    assert killed
    assert {result.key: facts(result) for result in results} == alone[1]
    assert label_bytes(small.context) == label_bytes(alone[0].context)


def test_labels_that_cannot_be_written_stop_the_run_with_the_store_s_sentence(
    ray_on_two_cores: None, small: SmallRun
) -> None:
    labels = small.context.labels.path
    (labels / "label").rename(labels / "moved")
    (labels / "label").write_text("a file where the array should be")
    with pytest.raises(StoreError, match="label"):
        label(small, [])


def test_an_error_of_the_caller_s_callback_is_raised(ray_on_two_cores: None, small: SmallRun) -> None:
    class Broken(list[TaskResult]):
        def append(self, result: TaskResult) -> None:
            raise KeyError("the bar is gone")

    with pytest.raises(KeyError, match="bar"):
        label(small, Broken())


def test_a_missing_model_is_an_error_of_the_store(ray_on_two_cores: None, small: SmallRun) -> None:
    for path in small.context.model.path.iterdir():
        path.unlink()
    with pytest.raises(StoreError, match="model"):
        label(small, [])


def test_without_a_session_it_says_so(small: SmallRun, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(EngineError, match="ray_session"):
        label(small, [])


def facts(result: TaskResult) -> object:
    details = {name: value for name, value in result.details.items() if name != "seconds"}
    return result.fingerprint, result.status, result.reason, details


def kill_one_actor() -> list[int]:
    """End one labelling actor of this process's own Ray session."""
    for process in psutil.Process().children(recursive=True):
        try:
            is_actor = "MapWorker" in " ".join(process.cmdline())
        except psutil.Error:  # it ended while we looked
            continue
        if is_actor:
            os.kill(process.pid, signal.SIGKILL)
            return [process.pid]
    return []
