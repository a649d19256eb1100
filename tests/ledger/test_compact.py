"""Gathering the parts of a ledger: the same answers before, after, meanwhile, and when it is killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from pathlib import Path

import pytest

from scaledec.ledger import compact as compact_module
from scaledec.ledger import ledger as ledger_module
from scaledec.ledger.compact import compact
from scaledec.ledger.ledger import Ledger
from scaledec.ledger.tail import LedgerTail
from scaledec.location import Location
from scaledec.vocabulary import TaskResult


@pytest.fixture(params=["folder", "memory"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    return Location(str(tmp_path) if request.param == "folder" else f"memory://{uuid.uuid4().hex}")


def fill(location: Location, n_parts: int = 30, n_keys: int = 20) -> dict[str, TaskResult]:
    """Many parts, of whose entries most are superseded; what counts in the end."""
    expected: dict[str, TaskResult] = {}
    for part in range(n_parts):
        results = [
            TaskResult(f"key-{(part * 7 + i) % n_keys}", f"f{part}", "done", None, {"checksum": part * i})
            for i in range(5)
        ]
        Ledger(location).append(results)
        expected |= {result.key: result for result in results}
    return expected


def test_the_newest_entries_stay_as_they_were_and_the_others_go(
    location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact_module, "_LINES_A_PART", 8)
    expected = fill(location)
    newest = location.list_names()[-1]
    assert compact(location, if_more_than=30) == 0
    assert compact(location, if_more_than=29) == 30
    assert Ledger(location).read() == expected
    names = location.list_names()
    assert len(names) == 3, "twenty entries, eight a part"
    assert all(name.split("-")[1] == newest.split("-")[1] for name in names), "as old as it was"
    Ledger(location).append([TaskResult("key-3", "new", "failed", "gone")])
    assert Ledger(location).read()["key-3"].fingerprint == "new"


def test_lines_cut_short_are_left_behind(tmp_path: Path) -> None:
    location = Location(str(tmp_path))
    expected = fill(location, 3)
    last = sorted(tmp_path.iterdir())[-1]
    last.write_bytes(last.read_bytes()[:-4])
    assert len(Ledger(location).summary().damaged) == 1
    before = Ledger(location).read()
    compact(location, if_more_than=0)
    assert Ledger(location).read() == before
    assert Ledger(location).summary().damaged == ()
    assert len(before) in (len(expected), len(expected) - 1)


def test_an_empty_ledger_stays_one(location: Location) -> None:
    assert compact(location, if_more_than=0) == 0
    assert Ledger(location).read() == {}


def test_readers_see_everything_while_parts_are_gathered_and_written(location: Location) -> None:
    expected = fill(location)
    stop = threading.Event()
    seen: list[bool] = []
    errors: list[BaseException] = []

    def read() -> None:
        try:
            while not stop.is_set():
                found = Ledger(location).read()
                seen.append(all(found[key].details == result.details for key, result in expected.items()))
        except BaseException as error:  # noqa: BLE001 - looked at below
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    writer = Ledger(location)
    for number in range(15):
        writer.append([TaskResult(f"other-{number}", "f", "done")])
        writer = Ledger(location)
        compact(location, if_more_than=0)
        time.sleep(0.01)
    stop.set()
    for reader in readers:
        reader.join()
    assert not errors
    assert seen
    assert all(seen)
    assert len(Ledger(location).read()) == len(expected) + 15


def test_a_writer_to_an_object_store_gathers_its_own_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    location = Location(f"memory://{uuid.uuid4().hex}")
    monkeypatch.setattr(ledger_module, "_GATHERED_OBJECTS", 10)
    tail = LedgerTail(location)
    told: set[str] = set()
    ledger = Ledger(location)
    for number in range(95):
        ledger.append([TaskResult(str(number), "f", "done")])
        if number % 7 == 0:
            told |= {result.key for result in tail.new()}
    assert len(location.list_names()) == 9 + 5
    assert set(Ledger(location).read()) == {str(number) for number in range(95)}
    assert told | {result.key for result in tail.new()} == {str(number) for number in range(95)}


def test_kill_9_at_any_moment_changes_no_answer(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import sys
        from scaledec.ledger import compact
        from scaledec.location import Location
        compact._LINES_A_PART = 3
        print("begins", flush=True)
        compact.compact(Location(sys.argv[1]), if_more_than=0)
        """
    )
    location = Location(str(tmp_path))
    expected = fill(location, 60)
    chance = random.Random(1)
    partly = 0
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0, 0.04))
        process.send_signal(signal.SIGKILL)
        partly += process.wait() == -signal.SIGKILL
        process.stdout.close()
        assert Ledger(location).read() == expected
        expected |= fill_again(location)
    assert partly, "none was killed at work"
    assert compact(location, if_more_than=0)
    assert Ledger(location).read() == expected


def fill_again(location: Location) -> dict[str, TaskResult]:
    results = [TaskResult(f"key-{i}", uuid.uuid4().hex, "done", None, {"checksum": i}) for i in range(10)]
    for result in results:
        Ledger(location).append([result])
    return {result.key: result for result in results}
