"""The ledger: nothing written is lost, nothing half-written is believed."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from pathlib import Path

import pytest

from scaledec.errors import StoreError
from scaledec.ledger import ledger as ledger_module
from scaledec.ledger.ledger import Ledger
from scaledec.location import Location
from scaledec.vocabulary import TaskResult


@pytest.fixture(params=["folder", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    return Ledger(Location(str(tmp_path) if request.param == "folder" else f"memory://{uuid.uuid4().hex}"))


def result(key: str, fingerprint: str = "f", **details: int) -> TaskResult:
    return TaskResult(key, fingerprint, "done", None, details)


def parts(ledger: Ledger) -> list[str]:
    return ledger.location.list_names()


def test_results_come_back_and_the_newest_of_a_key_counts(ledger: Ledger) -> None:
    assert ledger.read() == {}
    failed = TaskResult("b", "f", "failed", "no such file: é", {"nested": {"list": [1, None]}})
    ledger.append([result("a", checksum=1), failed])
    assert ledger.read() == {"a": result("a", checksum=1), "b": failed}
    Ledger(ledger.location).append([result("a", "g", checksum=2)])
    ledger.append([result("b")])
    assert ledger.read() == {"a": result("a", "g", checksum=2), "b": result("b")}
    assert ledger.summary().counts == {"done": 2}


def test_an_entry_says_when_and_where_it_was_written(tmp_path: Path) -> None:
    Ledger(Location(str(tmp_path))).append([result("a")])
    (part,) = tmp_path.iterdir()
    entry = json.loads(part.read_text())
    assert entry["written_at"].startswith("20")
    assert entry["host"]


def test_details_are_kept_as_far_as_they_are_asked_for(ledger: Ledger) -> None:
    ledger.append([result("a", checksum=1, samples=2)])
    assert ledger.read(details=("checksum", "absent"))["a"].details == {"checksum": 1}
    assert ledger.read(details=())["a"].details == {}


def test_a_line_cut_short_is_noted_and_the_others_are_read(tmp_path: Path) -> None:
    ledger = Ledger(Location(str(tmp_path)))
    ledger.append([result("a"), result("b")])
    (part,) = tmp_path.iterdir()
    whole = part.read_bytes()
    for cut in range(1, len(whole)):
        part.write_bytes(whole[:cut])
        assert set(ledger.read()) <= {"a", "b"}
    part.write_bytes(whole[:-5])
    assert set(ledger.read()) == {"a"}
    assert ledger.summary().damaged == (f"{part.name}:2",)
    # What follows is written to a part of its own and is not glued to the half line.
    Ledger(ledger.location).append([result("b")])
    assert set(ledger.read()) == {"a", "b"}


def test_lines_of_zeros_after_a_power_cut_are_skipped(tmp_path: Path) -> None:
    ledger = Ledger(Location(str(tmp_path)))
    (tmp_path / "part-0.jsonl").write_bytes(b"\0" * 100 + b"\n[]\n{}\nnull\n")
    ledger.append([result("a")])
    assert set(ledger.read()) == {"a"}
    assert len(ledger.summary().damaged) == 4


def test_a_local_line_is_the_systems_before_the_next_is_written(tmp_path: Path) -> None:
    writer = Ledger(Location(str(tmp_path))).writer()
    for index in range(5):
        writer.write(result(str(index)))
        assert len(Ledger(Location(str(tmp_path))).read()) == index + 1
    writer.close()


def test_kill_9_loses_no_written_line(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import itertools, sys
        from scaledec.ledger.ledger import Ledger
        from scaledec.location import Location
        from scaledec.vocabulary import TaskResult
        writer = Ledger(Location(sys.argv[1])).writer()
        for number in itertools.count():
            writer.write(TaskResult(str(number), "f", "done"))
            print(number, flush=True)
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(500):
        last = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    told = [last, *map(int, process.stdout.read().split())]
    process.wait()
    process.stdout.close()
    assert set(map(str, range(max(told) + 1))) <= set(Ledger(Location(str(tmp_path))).read())


def test_many_writers_write_at_once(tmp_path: Path) -> None:
    ledger = Ledger(Location(str(tmp_path)))
    shared = ledger.writer()

    def write(number: int) -> None:
        with ledger.writer() as own:
            for index in range(50):
                own.write(result(f"own-{number}-{index}"))
                shared.write(result(f"shared-{number}-{index}"))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shared.close()
    assert len(ledger.read()) == 800
    assert len(parts(ledger)) == 9
    assert ledger.summary().damaged == ()


def test_the_disk_is_asked_to_keep_lines_once_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(os, "fsync", calls.append)
    with Ledger(Location(str(tmp_path))).writer() as writer:
        for index in range(1000):
            writer.write(result(str(index)))
    assert 5 <= len(calls) <= 8


def test_on_an_object_store_a_batch_is_an_object() -> None:
    ledger = Ledger(Location(f"memory://{uuid.uuid4().hex}"))
    with ledger.writer() as writer:
        for index in range(450):
            writer.write(result(str(index)))
    assert len(parts(ledger)) == 3
    assert len(ledger.read()) == 450


def test_what_waits_is_flushed_within_about_a_second() -> None:
    ledger = Ledger(Location(f"memory://{uuid.uuid4().hex}"))
    with ledger.writer() as writer:
        writer.write(result("a"))
        assert ledger.read() == {}
        deadline = time.monotonic() + 5
        while not ledger.read() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert set(ledger.read()) == {"a"}


def test_appending_once_more_needs_no_further_part(tmp_path: Path) -> None:
    ledger = Ledger(Location(str(tmp_path)))
    for index in range(10):
        ledger.append([result(str(index))])
    assert len(parts(ledger)) == 1
    copy = pickle.loads(pickle.dumps(ledger))  # noqa: S301 - made in this line
    copy.append([result("copy")])
    assert len(parts(ledger)) == 2
    assert len(ledger.read()) == 11


def test_a_ledger_that_cannot_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot write the ledger in .*make the folder writable"):
        Ledger(Location(str(tmp_path / "file" / "cube"))).append([result("a")])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        Ledger(Location(str(tmp_path / "cube"))).append([result("a")])


def test_a_flush_that_failed_in_the_background_is_told_at_the_next_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "_BATCH_S", 0.01)
    writer = Ledger(Location(str(tmp_path))).writer()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    writer.write(result("a"))
    time.sleep(0.3)
    with pytest.raises(StoreError, match="No space left"):
        writer.write(result("b"))
    monkeypatch.undo()
    writer.close()


def test_two_hundred_thousand_entries_are_read_in_little_more_than_their_json_takes(tmp_path: Path) -> None:
    details = {"checksum": 1234567890, "n_samples": 8640000, "seconds": {"read": 0.01, "write": 0.04}}
    line = {
        "fingerprint": "0123456789abcdef",
        "status": "done",
        "reason": None,
        "details": details,
        "written_at": "2026-01-01T00:00:00.000000+00:00",
        "host": "h",
    }
    rest = json.dumps(line)[1:]
    for part in range(4):
        lines = (f'{{"key":"CM.BAR2.00.HHZ/{part}-{index}",{rest}\n' for index in range(50_000))
        (tmp_path / f"part-{part}.jsonl").write_text("".join(lines))
    started = time.process_time()
    found = Ledger(Location(str(tmp_path))).read()
    reading = time.process_time() - started
    assert len(found) == 200_000
    started = time.process_time()
    for path in tmp_path.iterdir():
        for text in path.read_bytes().splitlines():
            json.loads(text)
    parsing = time.process_time() - started
    # A ratio within one run: an absolute time would judge the machine.
    assert reading < 4 * parsing, f"{reading:.2f} s to read, {parsing:.2f} s to parse"
