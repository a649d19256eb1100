"""One coordinator on a root, what it says of itself, and that it does not grow with its tasks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.coordinator import in_fresh_process
from scaledec.config import Config
from scaledec.errors import RootLockedError
from scaledec.ledger.ledger import Ledger
from scaledec.ledger.lock import RootLock
from scaledec.pipeline.journal import Journal, read_account
from scaledec.pipeline.plan import plan
from scaledec.pipeline.run import build_cube
from scaledec.pipeline.status import status
from scaledec.places import Places
from scaledec.vocabulary import TaskResult
from tests.stages.cube_archives import configure, red_noise, write_sds

HOLD = textwrap.dedent(
    """
    import sys
    from scaledec.ledger.lock import RootLock
    from scaledec.location import Location
    with RootLock(Location(sys.argv[1]), "cube"):
        print("held", flush=True)
        sys.stdin.read()
    """
)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Half a day at 10 Hz: six segments of two hours."""
    write_sds(tmp_path / "sds", red_noise(432_000))
    return configure(tmp_path, "compute.engine=serial")


@contextmanager
def another_coordinator(config: Config) -> Iterator[subprocess.Popen[str]]:
    folder = Places.at(config.root).bookkeeping
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def result(number: int, status: str = "done") -> TaskResult:
    details = {"seconds": {"read": 0.25, "write": 0.75}}
    return TaskResult(f"XX.A..HHZ/{number}", "f", status, None, details)  # type: ignore[arg-type]


def cube_line(config: Config) -> tuple[str, str]:
    line = status(config).lines[0]
    return line.state, line.detail


def test_a_second_coordinator_is_refused_and_those_that_only_read_are_not(config: Config) -> None:
    with another_coordinator(config) as process:
        with pytest.raises(RootLockedError, match=f"process {process.pid}"):
            build_cube(config)
        assert " to do, 0 done" in str(plan(config))
        assert f"process {process.pid}" in status(config).table()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert "at work" not in status(config).table()
        assert build_cube(config).done > 0


def test_the_status_of_a_finished_root_needs_neither_archive_nor_ledger(config: Config) -> None:
    assert cube_line(config)[0] == "waiting"
    done = build_cube(config).done
    shutil.rmtree(config.archive.url)
    shutil.rmtree(Places.at(config.root).ledger("cube").path)
    state, detail = cube_line(config)
    assert state == "done"
    assert f"{done} of {done} segments up to date (6 written, {done - 6} without samples this time)" in detail
    assert "0 failed, 0 left" in detail
    assert "time: read" in detail


def test_the_status_of_a_running_stage_tells_rate_time_to_go_and_where_time_goes(config: Config) -> None:
    places = Places.at(config.root)
    now = [1e9]
    with RootLock(places.bookkeeping, "cube") as lock:
        now[0] = lock.holder.since
        journal = Journal(places.progress("cube"), planned=100, before=7, clock=lambda: now[0])
        with journal:
            for number in range(30):
                now[0] += 2
                journal.add(result(number, "failed" if number == 3 else "done"))
            state, detail = cube_line(config)
            assert state == "running"
            assert "36 of 107 segments up to date (29 written, 0 without samples this time)" in detail
            assert "1 failed, 70 left" in detail
            assert "0.5 segments/s, about 2m20s to go" in detail
            assert "time: read 25 %, write 75 %" in detail
            assert "1 inputs could not be used" in status(config).table()


def test_a_killed_coordinator_leaves_a_stage_that_is_called_stopped(config: Config) -> None:
    program = textwrap.dedent(
        """
        import os, signal, sys
        from scaledec.ledger.lock import RootLock
        from scaledec.pipeline.journal import Journal
        from scaledec.places import Places
        places = Places.at(sys.argv[1])
        with RootLock(places.bookkeeping, "cube"), Journal(places.progress("cube"), planned=10):
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    subprocess.run([sys.executable, "-c", program, config.root], check=False)
    state, detail = cube_line(config)
    assert (state, "10 left" in detail) == ("stopped", True)
    assert "goes on from there" in detail


def interrupted_after(journal: Journal, first: TaskResult) -> None:
    with journal:
        journal.add(first)
        raise KeyboardInterrupt


def test_an_account_sums_worker_time_over_sessions_and_says_how_each_ended(config: Config) -> None:
    place = Places.at(config.root).progress("cube")
    with Journal(place, planned=1) as journal:
        journal.add(result(0))
    with pytest.raises(KeyboardInterrupt):
        interrupted_after(Journal(place, planned=2), result(1))
    account = read_account(place)
    assert account is not None
    assert (account.ended, account.left, account.timed) == ("interrupted", 1, 2)
    assert account.seconds_per_task == pytest.approx(1.0)


def test_of_many_failures_a_thousand_are_kept_and_all_are_counted(config: Config) -> None:
    with Journal(Places.at(config.root).progress("cube"), planned=1500) as journal:
        for number in range(1500):
            journal.add(replace(result(number, "failed"), reason=f"file {number} is torn"))
    assert (len(journal.failures), journal.n_unlisted_failures) == (1000, 500)


def test_the_status_of_a_root_without_accounts_comes_from_its_ledger(config: Config) -> None:
    Ledger(Places.at(config.root).ledger("cube")).append([result(0), result(1, "failed")])
    assert cube_line(config) == (
        "begun",
        "1 segments written, 0 segments without samples, 1 failed; `scaledec plan` says what is left",
    )


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_time_and_memory_of_a_task_do_not_grow_with_their_number() -> None:
    few, many = in_fresh_process(2_000), in_fresh_process(20_000)
    assert many["us a task"] < 2.5 * few["us a task"]
    # Planning keeps the listing, about 160 bytes an object; running adds nothing.
    assert many["MB after running"] - many["MB planned"] < 5
    assert many["MB at most"] - few["MB at most"] < 25


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_million_channel_days_are_planned_and_found_done_in_a_minute_and_a_gigabyte() -> None:
    found = in_fresh_process(1_000_000)
    assert found["s to plan"] < 60
    assert found["s to find all done"] < 60
    assert found["s to tell the status"] < 1
    assert found["MB at most"] < 1000
