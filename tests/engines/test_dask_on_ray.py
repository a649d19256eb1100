"""Dask's workers as Ray actors: the same results, and the same answer to death."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from scaledec.engines import dask_on_ray
from scaledec.engines.dask_on_ray import DaskOnRayEngine
from scaledec.engines.ray_session import ray_session
from scaledec.engines.serial import SerialEngine
from scaledec.errors import EngineError
from tests.engines.tasks import always_dies, dies_once, square, where

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def engine() -> Iterator[DaskOnRayEngine]:
    with ray_session(None, cpus=2), DaskOnRayEngine() as running:
        yield running


def test_the_set_of_results_is_that_of_the_serial_engine(engine: DaskOnRayEngine) -> None:
    with SerialEngine() as serial:
        assert sorted(engine.run(square, range(200))) == sorted(serial.run(square, range(200)))


def test_workers_are_actors_with_one_thread(engine: DaskOnRayEngine) -> None:
    found = list(engine.run(where, range(40)))
    assert len({pid for _, pid, _, _ in found}) == 2
    assert {(threads, pad) for _, _, threads, pad in found} == {("1", "268435456")}


def test_a_task_whose_actor_was_killed_is_run_again(engine: DaskOnRayEngine, tmp_path: Path) -> None:
    found = sorted(engine.run(partial(dies_once, str(tmp_path)), range(60)))
    assert found == [number * number for number in range(60)]
    assert len(list(tmp_path.iterdir())) == 12


def test_a_task_that_kills_every_actor_is_named(engine: DaskOnRayEngine) -> None:
    with pytest.raises(EngineError, match="task 13 ended its worker process 3 times"):
        list(engine.run(always_dies, range(40)))
    assert sorted(engine.run(square, range(5))) == [0, 1, 4, 9, 16]


def test_between_machines_the_connections_are_encrypted(
    engine: DaskOnRayEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    host, security = dask_on_ray._listening_place(1000)  # more workers than this machine has CPUs
    assert host == f"tls://{ray.util.get_node_ip_address()}"
    engine.__exit__(None, None, None)
    with monkeypatch.context() as patch:
        patch.setattr(dask_on_ray, "_listening_place", lambda _: (host, security))
        with DaskOnRayEngine(workers=1) as encrypted:
            assert sorted(encrypted.run(square, range(20))) == [number**2 for number in range(20)]
    engine.__enter__()


def test_without_a_free_cpu_the_wait_ends(engine: DaskOnRayEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_on_ray, "_FIRST_WORKER_S", 2)
    with pytest.raises(
        EngineError, match=r"no Ray actor with a Dask worker came up within 2 s \(0 CPUs are free"
    ):
        DaskOnRayEngine(workers=1).__enter__()


def test_without_a_ray_session_the_engine_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(EngineError, match="needs a Ray session"):
        DaskOnRayEngine().__enter__()
