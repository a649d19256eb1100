"""Dask on this machine: every task once, whatever dies; nothing left behind."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import dask
import psutil
import pytest
from distributed import LocalCluster

from scaledec.engines.dask_local import DaskEngine
from scaledec.engines.serial import SerialEngine
from scaledec.errors import EngineError, UnreadableInputError
from tests.engines.tasks import always_dies, dies_once, raises, square, where


@pytest.fixture(scope="module")
def engine() -> Iterator[DaskEngine]:
    with DaskEngine(workers=2) as running:
        yield running


def test_the_set_of_results_is_that_of_the_serial_engine(engine: DaskEngine) -> None:
    with SerialEngine() as serial:
        assert sorted(engine.run(square, range(200))) == sorted(serial.run(square, range(200)))


def test_an_engine_may_run_again_and_no_task_is_no_result(engine: DaskEngine) -> None:
    assert list(engine.run(square, [])) == []
    assert sorted(engine.run(square, [2, 3])) == [4, 9]


def test_tasks_are_asked_for_a_few_at_a_time(engine: DaskEngine) -> None:
    asked = 0

    def tasks() -> Iterator[int]:
        nonlocal asked
        while True:
            asked += 1
            yield asked

    results = engine.run(square, tasks())
    for received in range(1, 40):
        next(results)
        assert asked <= received + 6
    results.close()  # type: ignore[attr-defined]


def test_workers_are_single_threaded_processes_and_this_one_is_left_as_it_was(engine: DaskEngine) -> None:
    before = os.environ.get("MALLOC_TOP_PAD_")
    found = list(engine.run(where, range(40)))
    assert len({pid for _, pid, _, _ in found} - {os.getpid()}) == 2
    assert {(threads, pad) for _, _, threads, pad in found} == {("1", "268435456")}
    with DaskEngine(workers=1):
        pass
    assert os.environ.get("MALLOC_TOP_PAD_") == before


def test_a_task_whose_worker_was_killed_is_run_again(engine: DaskEngine, tmp_path: Path) -> None:
    found = sorted(engine.run(partial(dies_once, str(tmp_path)), range(60)))
    assert found == [number * number for number in range(60)]
    assert len(list(tmp_path.iterdir())) == 12


def test_a_task_that_kills_every_worker_is_named(engine: DaskEngine) -> None:
    with pytest.raises(EngineError, match=r"task 13 ended its worker process 3 times.*memory_limit"):
        list(engine.run(always_dies, range(40)))
    assert sorted(engine.run(square, range(5))) == [0, 1, 4, 9, 16]


def test_a_task_that_kills_every_worker_is_given_up_and_all_others_have_their_results(
    engine: DaskEngine,
) -> None:
    found = list(engine.run(always_dies, range(40), lost=lambda number, reason: -number))
    assert sorted(found) == sorted(-number if number == 13 else number for number in range(40))


def test_what_is_made_of_a_lost_task_is_told_why(engine: DaskEngine) -> None:
    (reason,) = engine.run(always_dies, [13], lost=lambda number, reason: reason)
    assert re.match(r"ended its worker process 3 times.*memory_limit", str(reason))


def test_where_task_after_task_kills_its_workers_the_run_ends(
    engine: DaskEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaledec.engines.dask_futures._MOST_LOST", 3)
    results = engine.run(always_dies, [13] * 9, lost=lambda number, reason: -number)
    assert [next(results), next(results)] == [-13, -13]
    with pytest.raises(EngineError, match="so did the 2 before it"):
        next(results)


def test_a_worker_that_its_nanny_gave_up_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaledec.engines.dask_futures._LOOK_S", 0.5)
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "1s"}), DaskEngine(workers=1) as engine:
        results = engine.run(square, range(1000))
        assert next(results) == 0
        (nanny,) = engine._client.cluster.workers.values()  # type: ignore[union-attr]
        engine._client.cluster.sync(nanny.close)  # type: ignore[union-attr]
        assert len(list(results)) == 999


def test_a_run_that_begins_without_workers_makes_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaledec.engines.dask_futures._LOOK_S", 0.5)
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "1s"}), DaskEngine(workers=1) as engine:
        cluster = engine._client.cluster  # type: ignore[union-attr]
        (nanny,) = cluster.workers.values()
        cluster.sync(nanny.close)
        while cluster.workers:
            time.sleep(0.1)
        assert list(engine.run(square, [3])) == [9]


def test_what_a_task_raises_is_raised_here(engine: DaskEngine) -> None:
    with pytest.raises(UnreadableInputError, match="error page"):
        list(engine.run(raises, range(20)))


def test_only_this_machine_can_reach_the_workers(engine: DaskEngine) -> None:
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = [
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert set(listening) == {"127.0.0.1"}


def test_a_scheduler_that_runs_already_is_used_and_left_running() -> None:
    with LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL
    ) as cluster:
        for _ in range(2):
            with DaskEngine(cluster.scheduler_address) as engine:
                assert sorted(engine.run(square, range(20))) == [number**2 for number in range(20)]
        with DaskEngine(cluster.scheduler_address) as engine:
            found = list(engine.run(always_dies, range(10, 20), lost=lambda number, reason: -number))
            assert sorted(found) == sorted(-number if number == 13 else number for number in range(10, 20))


def test_an_address_nobody_serves_is_told_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaledec.engines.dask_local._CONNECT_S", 1)
    started = time.monotonic()
    with pytest.raises(EngineError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9 within"):
        DaskEngine("tcp://127.0.0.1:9").__enter__()
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("limit", ["plenty", "2 cats"])
def test_a_memory_limit_that_is_none_is_refused(limit: str) -> None:
    with pytest.raises(EngineError, match="expected auto or a size such as 2GiB"):
        DaskEngine(memory_limit=limit)


def test_an_engine_that_was_not_entered_says_so() -> None:
    with pytest.raises(EngineError, match="not entered"):
        DaskEngine().run(square, [1])


@pytest.mark.durability
def test_ctrl_c_ends_everything_quickly_and_quietly(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import time
            from scaledec.engines.dask_local import DaskEngine

            if __name__ == "__main__":
                try:
                    with DaskEngine(workers=2) as engine:
                        for _ in engine.run(time.sleep, [0.2] * 1000):
                            print("result", flush=True)
                except KeyboardInterrupt:
                    print("interrupted")
            """
        )
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "result\n"
        workers = psutil.Process(process.pid).children(recursive=True)
        started = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
        told, _ = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert time.monotonic() - started < 8
    assert set(told.splitlines()) <= {"result", "interrupted"}
    assert told.endswith("interrupted\n")
    psutil.wait_procs(workers, timeout=5)
    assert not [worker for worker in workers if worker.is_running()]
