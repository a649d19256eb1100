"""A file at which the compiled reader hangs: given up after a while, listed, and everything else is done."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pymseed
import pytest

from scaledec.config import Config, dump_config
from scaledec.errors import UnreadableInputError
from scaledec.pipeline.cube import build_cube, plan_of_cube
from scaledec.pipeline.outcome import Outcome
from scaledec.pipeline.resources import Resources
from scaledec.places import Places
from scaledec.stages.time_limit import TimeLimit, run_within
from scaledec.store.cube import CubeStore
from scaledec.transport.access import Access
from scaledec.vocabulary import ArchiveObject, ChannelId, CubeTask, TaskResult
from tests.durability.children import differences, entries, run, tree
from tests.stages.cube_archives import CHANNEL, START_NS, configure, red_noise, sds_path, write_sds

pytestmark = pytest.mark.durability

# No file is known at which libmseed hangs. So it is given one: where it parses these bytes it never returns.
HANGING = b"it hangs in the C library"
OTHER = ChannelId("XX", "BBB", "00", "BHZ")
SEGMENT = 72_000
FOUR_HOURS = "archive.end=2021-03-01T04:00:00"
# Loaded by each process at its start. PyDLL keeps the interpreter, CDLL lets other threads run meanwhile.
HANG = f"""
import ctypes
import pymseed

_add_buffer = pymseed.MS3TraceList.add_buffer


def add_buffer(self, buffer, **how):
    if {HANGING!r} in bytes(buffer):
        ctypes.%s(None).sleep(100_000)
    return _add_buffer(self, buffer, **how)


pymseed.MS3TraceList.add_buffer = add_buffer
"""


def spoil(path: Path) -> bytes:
    """Make a day one that hangs; what it was."""
    good = path.read_bytes()
    # Inside the samples of its first record, where the header is still a good one.
    path.write_bytes(good[:128] + HANGING + good[128 + len(HANGING) :])
    return good


def write_two_channels(folder: Path) -> Path:
    for channel in (CHANNEL, OTHER):
        write_sds(folder / "sds", red_noise(2 * SEGMENT), channel=channel)
    return sds_path(folder / "sds", START_NS, OTHER)


def build(config: Config) -> Outcome:
    with Resources(config.compute) as resources:
        return build_cube(config, resources)


def test_in_one_process_a_hanging_file_is_listed_and_done_when_it_no_longer_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    add_buffer = pymseed.MS3TraceList.add_buffer

    def hangs(self: pymseed.MS3TraceList, buffer: bytes, **how: object) -> object:
        if HANGING in bytes(buffer):
            ended.wait(60)
        return add_buffer(self, buffer, **how)

    monkeypatch.setattr(pymseed.MS3TraceList, "add_buffer", hangs)
    path = write_two_channels(tmp_path)
    config = configure(tmp_path, "compute.engine=serial", FOUR_HOURS)
    assert build(config).exit_code == 0
    whole = tree(tmp_path / "root/cube.zarr")
    good = spoil(path)
    began = time.monotonic()
    # Only the segments of the hanging file are left to do: on no machine is another one as slow as this.
    outcome = build(configure(tmp_path, "compute.engine=serial", FOUR_HOURS, "compute.task_limit_s=0.4"))
    assert time.monotonic() - began < 30
    [failure] = outcome.failures
    assert failure.key == f"{OTHER}/2021-03-01T00:00:00"
    assert failure.n_tasks == 2
    assert path.name in failure.reason
    assert "made no progress for" in failure.reason
    assert "compute.task_limit_s" in failure.reason
    store = CubeStore.open(Places.at(config.root).cube)
    assert not store.stored_segments(store.channel_index(OTHER)), "what the file gave before must not stay"
    assert store.stored_segments(store.channel_index(CHANNEL)) == {0, 1}
    assert {task.channel for task in plan_of_cube(config).plan.tasks} == {OTHER}
    path.write_bytes(good)
    ended.set()
    assert build(config).exit_code == 0
    assert not differences(tree(tmp_path / "root/cube.zarr"), whole)


def task_of(*objects: ArchiveObject) -> CubeTask:
    return CubeTask(f"{CHANNEL}/1970-01-01T00:00:00", "f", CHANNEL, 0, 0, 0, objects)


def test_what_a_task_raises_and_returns_passes_through_and_its_thread_stays() -> None:
    threads: list[threading.Thread] = []

    def fails(task: CubeTask) -> TaskResult:
        threads.append(threading.current_thread())
        if len(threads) == 1:
            raise UnreadableInputError("torn")
        return TaskResult(task.key, task.fingerprint, "empty")

    def lost(task: CubeTask, reason: str) -> TaskResult:
        return TaskResult(task.key, task.fingerprint, "failed", reason)

    with pytest.raises(UnreadableInputError, match="torn"):
        run_within(task_of(), run=fails, lost=lost, limit=TimeLimit(30))
    assert run_within(task_of(), run=fails, lost=lost, limit=TimeLimit(30)).status == "empty"
    assert threads[0] is threads[1] is not threading.current_thread()


def test_the_limit_grows_with_what_has_to_be_read() -> None:
    task = task_of(ArchiveObject("a", 12_000_000, ""), ArchiveObject("b", 3_000_000, ""))
    assert TimeLimit(1800).seconds(task) == 1815
    remote = TimeLimit(1800, Access(attempts=5, timeout_s=60))
    # Five times 60 s of silence, 120 s and 30 s for the bytes, and a minute between attempts, for each.
    assert remote.seconds(task) == 1800 + 5 * (60 + 120 + 60) + 5 * (60 + 30 + 60)


def test_a_pipe_in_an_archive_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = write_two_channels(tmp_path)
    path.unlink()
    os.mkfifo(path)
    outcome = build(configure(tmp_path, "compute.engine=serial", "archive.end=2021-03-01T02:00:00"))
    [failure] = outcome.failures
    assert "is no file but a pipe" in failure.reason


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("library", "reason"),
    [("CDLL", "made no progress for"), ("PyDLL", "ended its worker process 3 times")],
    ids=["the interpreter runs", "the interpreter stands still"],
)
def test_workers_that_hang_are_ended_and_all_else_is_done(tmp_path: Path, library: str, reason: str) -> None:
    (tmp_path / "hang").mkdir()
    (tmp_path / "hang" / "sitecustomize.py").write_text(HANG % library)
    path = write_two_channels(tmp_path)
    good = spoil(path)
    config = tmp_path / "config.yaml"
    settings = configure(
        tmp_path,
        "compute.task_limit_s=2",
        "compute.dask.workers=2",
        FOUR_HOURS,
        "spectrogram.segment_s=14400",
    )
    config.write_text(dump_config(settings))
    search = os.pathsep.join([str(tmp_path / "hang"), os.environ.get("PYTHONPATH", "")])
    ended = run("cube", config, environment={"PYTHONPATH": search})
    assert ended.code == 3, ended.told
    failed = [entry for entry in entries(tmp_path / "root", "cube") if entry["status"] == "failed"]
    assert failed, ended.told
    assert {entry["key"].split("/")[0] for entry in failed} == {str(OTHER)}
    assert all(reason in entry["reason"] and path.name in entry["reason"] for entry in failed)
    path.write_bytes(good)
    assert run("cube", config).code == 0
    whole = tmp_path / "whole.yaml"
    whole.write_text(
        dump_config(
            configure(tmp_path, f"root={tmp_path / 'whole'}", FOUR_HOURS, "spectrogram.segment_s=14400")
        )
    )
    assert run("cube", whole).code == 0
    assert not differences(tree(tmp_path / "root/cube.zarr"), tree(tmp_path / "whole/cube.zarr"))
