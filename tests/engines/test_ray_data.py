from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scaledec.config import Config, RayConfig
from scaledec.engines.ray_data import label_with_ray
from scaledec.errors import EngineError, StoreError
from scaledec.ledger.ledger import Ledger
from scaledec.places import Places
from scaledec.stages.label import LabelContext, Labeller
from scaledec.store.cube import CubeStore
from scaledec.vocabulary import LabelTask, TaskResult
from tests.stages.small_cubes import (
    channels_of,
    file_bytes,
    make_cube,
    make_labels,
    plan_for,
    save_model,
    small_config,
)

pytestmark = [
    pytest.mark.ray,
    # Ray Data warns of its own defaults when it makes a context.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),
]

N_CHANNELS, N_SEGMENTS = 4, 6


@pytest.fixture(scope="module")
def ray_on_two_cores() -> Iterator[None]:
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


Small = tuple[Config, CubeStore, LabelContext, tuple[LabelTask, ...]]


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return make_small(tmp_path / "ray")


def make_small(root: Path) -> Small:
    config = small_config(root)
    cube = make_cube(config, channels_of(N_CHANNELS), N_SEGMENTS)
    checksum = save_model(config)
    return config, cube, make_labels(config, cube), plan_for(config, cube, checksum).tasks


def label(small: Small, on_result: list[TaskResult], *, actors: int = 2) -> Ledger:
    config, _, context, tasks = small
    place = Places.at(config.root).label_ledger("run")
    label_with_ray(tasks, context, place, RayConfig(label_actors=actors), on_result.append)
    return Ledger(place)


def test_ray_writes_the_bytes_and_results_that_one_process_writes(
    ray_on_two_cores: None, small: Small, tmp_path: Path
) -> None:
    results: list[TaskResult] = []
    ledger = label(small, results)
    alone = make_small(tmp_path / "serial")
    labeller = Labeller(alone[2])
    expected = {task.key: labeller.run(task) for task in alone[3]}
    assert without_creation(file_bytes(small[2].labels.path)) == without_creation(
        file_bytes(alone[2].labels.path)
    )
    assert {result.key: facts(result) for result in results} == {k: facts(r) for k, r in expected.items()}
    assert len(results) == len(expected) == N_CHANNELS * N_SEGMENTS // 2
    assert {key: facts(result) for key, result in ledger.read().items()} == {
        key: facts(result) for key, result in expected.items()
    }


def test_a_damaged_segment_is_a_failed_result_and_the_rest_is_labelled(
    ray_on_two_cores: None, small: Small
) -> None:
    _, cube, _, tasks = small
    shard = cube.location.path / "power" / "c" / "2" / "5" / "0" / "0"
    shard.write_bytes(b"x" * 100)
    results: list[TaskResult] = []
    label(small, results)
    failed = [result for result in results if result.status == "failed"]
    assert [result.key for result in failed] == ["XX.S01..HHZ/2020-01-01T00:40:00"]
    assert "damaged" in (failed[0].reason or "")
    assert len(results) == len(tasks)


def test_an_actor_that_is_killed_costs_nothing(ray_on_two_cores: None, small: Small, tmp_path: Path) -> None:
    killed: list[int] = []

    class KillOnce(list[TaskResult]):
        def append(self, result: TaskResult) -> None:
            if not killed:
                killed.extend(kill_one_actor())
            super().append(result)

    results = KillOnce()
    label(small, results, actors=1)
    assert killed
    assert sorted(result.key for result in results) == sorted(task.key for task in small[3])
    alone = make_small(tmp_path / "serial")
    labeller = Labeller(alone[2])
    for task in alone[3]:
        labeller.run(task)
    assert without_creation(file_bytes(small[2].labels.path)) == without_creation(
        file_bytes(alone[2].labels.path)
    )


def test_labels_that_cannot_be_written_stop_the_run_with_the_store_s_sentence(
    ray_on_two_cores: None, small: Small
) -> None:
    labels = small[2].labels.path
    (labels / "label").rename(labels / "moved")
    (labels / "label").write_text("a file where the array should be")
    with pytest.raises(StoreError, match="label"):
        label(small, [])


def test_an_error_of_the_caller_s_callback_is_raised(ray_on_two_cores: None, small: Small) -> None:
    class Broken(list[TaskResult]):
        def append(self, result: TaskResult) -> None:
            raise KeyError("the bar is gone")

    with pytest.raises(KeyError, match="bar"):
        label(small, Broken())


def test_a_missing_model_is_an_error_of_the_store(ray_on_two_cores: None, small: Small) -> None:
    for path in small[2].model.path.iterdir():
        path.unlink()
    with pytest.raises(StoreError, match="model"):
        label(small, [])


def test_without_a_session_it_says_so(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(EngineError, match="ray_session"):
        label(small, [])


def facts(result: TaskResult) -> object:
    details = {name: value for name, value in result.details.items() if name != "seconds"}
    return result.fingerprint, result.status, result.reason, details


def without_creation(files: dict[str, bytes]) -> dict[str, bytes]:
    """All files but the root's metadata, which holds the time of creation."""
    return {name: data for name, data in files.items() if name != "zarr.json"}


def kill_one_actor() -> list[int]:
    """End one labelling actor of this process's own Ray session."""
    for process in psutil.Process().children(recursive=True):
        if "MapWorker" in " ".join(process.cmdline()):
            os.kill(process.pid, signal.SIGKILL)
            return [process.pid]
    return []
