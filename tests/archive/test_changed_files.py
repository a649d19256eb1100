"""Local files that change between listing and reading, or while they are read."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import scaledec.archive.files
from scaledec.archive.archive import Archive
from scaledec.archive.miniseed import HeaderSpan, scan_headers
from scaledec.archive.objects import read_object
from scaledec.config import Config
from scaledec.errors import UnreadableInputError
from scaledec.ledger.ledger import Ledger
from scaledec.location import Location
from scaledec.pipeline.cube import build_cube, plan_of_cube
from scaledec.pipeline.resources import Resources
from scaledec.places import Places
from scaledec.stages.cube import run_task
from scaledec.vocabulary import ArchiveObject
from tests.archive.making import CHANNEL, START_NS, numbers, record_bytes
from tests.durability.children import differences, tree
from tests.stages.cube_archives import START_NS as FIRST_NS
from tests.stages.cube_archives import configure, make_ready, red_noise, sds_path, write_sds

SEGMENT = 72_000


def build(config: Config) -> None:
    with Resources(config.compute) as resources:
        assert build_cube(config, resources).exit_code == 0


def test_a_file_that_grew_after_it_was_listed_is_used_as_it_is_and_read_again_next_time(
    tmp_path: Path,
) -> None:
    samples = red_noise(3 * SEGMENT)
    write_sds(tmp_path / "sds", samples[: SEGMENT // 2])
    path = sds_path(tmp_path / "sds", FIRST_NS)
    config = configure(tmp_path, "compute.engine=serial")
    plan, context, _ = make_ready(config)
    then = path.stat()
    write_sds(tmp_path / "sds", samples[SEGMENT // 2 : SEGMENT], start_ns=FIRST_NS + 3600 * 10**9)
    result = run_task(plan.tasks[0], context)
    assert (result.status, result.details["changed"]) == ("done", 1)
    assert result.details["n_samples"] == SEGMENT
    assert any("has changed since it was listed" in str(note) for note in result.details["notes"])  # type: ignore[union-attr]
    Ledger(Places.at(config.root).ledger("cube")).append([result])
    # Even if the file is then what it was when it was listed: the power is that of another one.
    os.truncate(path, then.st_size)
    os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))
    assert 0 in [task.time_index for task in plan_of_cube(config).plan.tasks]
    build(config)
    assert not len(plan_of_cube(config).plan.tasks)
    fresh = configure(tmp_path, "compute.engine=serial", f"root={tmp_path / 'fresh'}")
    build(fresh)
    assert not differences(tree(tmp_path / "root/cube.zarr"), tree(tmp_path / "fresh/cube.zarr"))


@pytest.fixture
def restless(tmp_path: Path) -> Iterator[Path]:
    """A file that takes longer to read than passes between two changes of it."""
    path = tmp_path / "day"
    with path.open("wb") as file:
        file.truncate(128 * 2**20)
    ended = threading.Event()

    def write() -> None:
        time_ns = 10**18
        while not ended.wait(0.001):
            time_ns += 10**9
            os.utime(path, ns=(time_ns, time_ns))

    writer = threading.Thread(target=write)
    writer.start()
    yield path
    ended.set()
    writer.join()


def test_a_file_that_never_stands_still_is_refused_with_the_reason(restless: Path) -> None:
    item = ArchiveObject("day", 128 * 2**20, "0")
    with pytest.raises(UnreadableInputError, match=r"day is being written: it changed each of 5 times"):
        read_object(Location(str(restless.parent)), item)


def test_headers_of_a_file_that_changed_while_it_was_indexed_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data" / "day"
    path.parent.mkdir()
    path.write_bytes(record_bytes(START_NS, numbers(3600)))
    listed = path.stat()
    keys: list[str] = []

    def grown_meanwhile(data: bytes, name: str) -> list[HeaderSpan]:
        if not keys:
            path.write_bytes(data + record_bytes(START_NS + 3600 * 10**9, numbers(3600)))
        keys.append(name)
        return scan_headers(data, name)

    monkeypatch.setattr(scaledec.archive.files, "scan_headers", grown_meanwhile)
    archive = Archive(Location(str(path.parent)), "files", Location(str(tmp_path / "index")))
    assert archive.listing().span == (START_NS, START_NS + 3600 * 10**9)
    assert archive.listing([str(CHANNEL)]).span == (START_NS, START_NS + 2 * 3600 * 10**9)
    assert keys == ["day", "day"]
    assert path.stat().st_size > listed.st_size
    archive.listing()
    assert keys == ["day", "day"]
