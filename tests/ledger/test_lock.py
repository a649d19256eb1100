"""The lock of a root: one coordinator at a time, and none that is dead keeps the others out."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from scaledec.errors import RootLockedError
from scaledec.ledger import lock as lock_module
from scaledec.ledger.lock import Holder, RootLock, read_holder
from scaledec.location import Location

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")

HOLD = textwrap.dedent(
    """
    import sys
    from scaledec.errors import RootLockedError
    from scaledec.ledger.lock import RootLock
    from scaledec.location import Location
    try:
        with RootLock(Location(sys.argv[1]), "cube"):
            print("held", flush=True)
            sys.stdin.read()
    except RootLockedError as error:
        print(error, flush=True)
    """
)


@pytest.fixture(params=["folder", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Location:
    monkeypatch.setattr(lock_module, "_SETTLE_S", 0.05)
    return Location(str(tmp_path) if request.param == "folder" else f"memory://{uuid.uuid4().hex}")


@contextmanager
def holding(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that holds the lock (or says why not) until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def quick(folder: Location, verb: str = "run") -> RootLock:
    return RootLock(folder, verb, beat_s=0.05, stale_s=0.5)


def plant(folder: Location, **changes: object) -> Holder:
    """A lock of a coordinator elsewhere that beat a minute ago, with some facts changed."""
    now = time.time()
    base = Holder("theirs", "label", "node7", 4711, "another boot", "1", now - 600, now - 60)
    holder = replace(base, **changes)  # type: ignore[arg-type]
    folder.child("lock.json").write_bytes(json.dumps(asdict(holder)).encode())
    return holder


def test_a_lock_names_its_holder_beats_and_is_gone_afterwards(folder: Location) -> None:
    assert read_holder(folder) is None
    with quick(folder, "cube"):
        first = read_holder(folder)
        assert first is not None
        assert (first.verb, first.pid) == ("cube", os.getpid())
        time.sleep(0.3)
        later = read_holder(folder)
        assert later is not None
        assert later.token == first.token
        assert later.beat > first.beat
    assert read_holder(folder) is None


def test_a_second_coordinator_is_told_who_where_since_when_and_what_to_do(folder: Location) -> None:
    with quick(folder, "cube"), pytest.raises(RootLockedError) as refused, quick(folder):
        pytest.fail("both hold it")
    told = str(refused.value)
    assert f"process {os.getpid()}" in told
    assert re.search(r"`scaledec cube` on \S+ .* since 20\d\d-.* UTC, last heartbeat \d+ s ago", told)
    assert "wait for it to end" in told
    assert read_holder(folder) is None, "the first one released it"


def test_another_process_is_refused_while_one_lives_and_takes_over_when_it_is_killed(tmp_path: Path) -> None:
    with holding(tmp_path) as (process, said):
        assert said == "held"
        with holding(tmp_path) as (_, refused):
            assert f"process {process.pid}" in refused
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        began = time.monotonic()
        with RootLock(Location(str(tmp_path)), "run"):
            assert time.monotonic() - began < 2, "no need to wait for its heartbeat to go stale"


def test_of_many_that_find_a_dead_one_exactly_one_takes_over(tmp_path: Path) -> None:
    plant(Location(str(tmp_path)), machine=lock_module._machine(), pid=2**22 + 1)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    said = [process.stdout.readline().strip() for process in processes if process.stdout]
    for process in processes:
        process.communicate("")
    assert said.count("held") == 1
    assert sum("is in use" in text for text in said) == 4


def test_a_process_of_the_same_id_that_began_later_is_another_one(tmp_path: Path) -> None:
    own = Holder.this_process("run")
    assert own.is_gone() is False
    assert replace(own, began="1").is_gone() is True
    assert replace(own, machine="another boot").is_gone() is None


def test_a_silent_coordinator_of_another_machine_is_taken_over_and_a_beating_one_is_not(
    folder: Location,
) -> None:
    plant(folder)
    with quick(folder):
        pass
    # Its clock is an hour behind, but its heart beats.
    holder = plant(folder, beat=time.time() - 3600)
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(0.02):
            plant(folder, token=holder.token, beat=time.time() - 3600)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(RootLockedError, match="on node7"), quick(folder):
            pytest.fail("taken from a living one")
    finally:
        stop.set()
        thread.join()


def lose_it(folder: Location) -> None:
    with quick(folder):
        plant(folder)
        time.sleep(5)
        pytest.fail("nobody stopped it")


def test_whoever_loses_the_lock_stops_and_says_who_has_it(folder: Location) -> None:
    with pytest.raises(RootLockedError, match=r"taken over by `scaledec label` on node7"):
        lose_it(folder)
    found = read_holder(folder)
    assert found is not None
    assert found.token == "theirs", "the new holder's lock is left alone"


def test_a_lock_that_cannot_be_read_keeps_nobody_out(folder: Location) -> None:
    folder.child("lock.json").write_bytes(b'{"token": "hal')
    with quick(folder):
        pass


def test_a_root_on_an_object_store_is_locked_although_the_server_ignores_conditions(
    s3_options: dict[str, object],
) -> None:
    folder = Location(f"s3://bucket/{uuid.uuid4().hex}/_scaledec", s3_options)
    with quick(folder, "cube"):
        with pytest.raises(RootLockedError, match="`scaledec cube`"), quick(folder):
            pytest.fail("both hold it")
        time.sleep(0.2)
    assert read_holder(folder) is None
    plant(folder)
    with quick(folder):
        held = read_holder(folder)
        assert held is not None
        assert held.pid == os.getpid()


def test_of_several_that_come_to_an_object_store_at_once_one_holds_it(s3_options: dict[str, object]) -> None:
    folder = Location(f"s3://bucket/{uuid.uuid4().hex}/_scaledec", s3_options)
    everyone_is_told = threading.Barrier(4)
    held: list[bool] = []

    def try_it() -> None:
        try:
            with RootLock(folder, "run"):
                held.append(True)
                everyone_is_told.wait(30)
        except RootLockedError:
            held.append(False)
            everyone_is_told.wait(30)

    threads = [threading.Thread(target=try_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(held) == [False, False, False, True]


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_flock_is_locked_as_an_object_store_is(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(lock_module, "_SETTLE_S", 0.05)
    folder = Location(str(tmp_path))
    with quick(folder, "cube"), pytest.raises(RootLockedError, match="`scaledec cube`"), quick(folder):
        pytest.fail("both hold it")
    assert read_holder(folder) is None


def test_whoever_watches_a_silent_one_does_not_keep_its_heart_from_beating(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a file system shared by two machines, of which one has a clock an hour behind.
    folder = Location(str(tmp_path))
    with quick(folder, "cube") as first:
        monkeypatch.setattr(Holder, "is_gone", lambda self: None)
        monkeypatch.setattr(Holder, "age_s", 3600.0)
        with pytest.raises(RootLockedError, match="`scaledec cube`"), quick(folder):
            pytest.fail("taken from a living one")
        first.check()
