"""Tasks that are worked on together: in their order, sharers of an object side by side, reading ahead."""

from __future__ import annotations

import time
import uuid
from functools import partial
from typing import Any

from scaledec.archive.archive import Archive
from scaledec.location import Location
from scaledec.stages.cube_batches import Batch, batches, batches_of_sharers, run_batch_of_sharers
from scaledec.vocabulary import ArchiveObject, ChannelId, CubeTask, TaskResult
from tests.archive.making import DAY_NS, START_NS, put_day
from tests.servers import FaultProxy

CHANNEL = ChannelId.parse("XX.AAA.00.HHZ")


def day_object(day: int, archive_key: str = "day") -> ArchiveObject:
    return ArchiveObject(f"{archive_key}-{day}", 100, "1")


def make_task(number: int, own: ArchiveObject, *neighbours: ArchiveObject) -> CubeTask:
    """A task with one object of its own and its neighbours after it."""
    return CubeTask(
        key=f"task-{number}",
        fingerprint="",
        channel=CHANNEL,
        channel_index=0,
        time_index=number,
        start_ns=START_NS + number * DAY_NS,
        objects=(own, *neighbours),
        neighbours=(0, len(neighbours)),
    )


def sharing(n_objects: int, n_sharers: int) -> list[CubeTask]:
    return [
        make_task(day * n_sharers + sharer, day_object(day), day_object(day + 1))
        for day in range(n_objects)
        for sharer in range(n_sharers)
    ]


def test_batches_hold_every_task_once_and_in_order() -> None:
    tasks = sharing(300, 3)
    found = list(batches_of_sharers(iter(tasks), len(tasks)))
    assert [task for batch in found for task in batch.tasks] == tasks
    assert all(len(batch.tasks) <= 64 for batch in found)


def test_a_local_archive_has_small_batches_and_single_tasks_at_its_end() -> None:
    tasks = sharing(300, 1)
    sizes = [len(batch.tasks) for batch in batches(tasks, len(tasks))]
    assert [task for batch in batches(iter(tasks), len(tasks)) for task in batch.tasks] == tasks
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 4
    assert sizes[-32:] == [1] * 32
    assert [len(batch.tasks) for batch in batches(tasks[:40], 40)] == [1] * 40


def test_sharers_of_an_object_are_never_parted_unless_they_are_very_many() -> None:
    for n_sharers in (1, 3, 24, 60):
        tasks = sharing(20, n_sharers)
        homes: dict[ArchiveObject, set[str]] = {}
        for batch in batches_of_sharers(tasks, len(tasks)):
            for task in batch.tasks:
                homes.setdefault(task.objects[0], set()).add(batch.key)
        assert all(len(keys) == 1 for keys in homes.values())
    assert len(list(batches_of_sharers(sharing(1, 200), 200))) == 4


def test_a_short_plan_is_cut_small_enough_for_many_workers() -> None:
    assert len(list(batches_of_sharers(sharing(40, 1), 40))) == 40
    assert len(list(batches_of_sharers(sharing(6400, 1), 6400))) == 400


def test_a_batch_is_named_by_its_first_task() -> None:
    tasks = sharing(1, 3)
    assert Batch(tuple(tasks)).key == "task-0 and 2 more"
    assert Batch(tuple(tasks[:1])).key == "task-0"


def test_reading_overlaps_computing(s3_options: dict[str, Any]) -> None:
    root = Location(f"s3://bucket/{uuid.uuid4().hex}", s3_options)
    keys = [put_day(root, START_NS + day * DAY_NS, bytes([day]) * 1000) for day in range(12)]
    tasks = [make_task(day, ArchiveObject(key, 1000, "")) for day, key in enumerate(keys)]
    compute_s = latency_s = 0.1

    def work(task: CubeTask, archive: Archive) -> TaskResult:
        data = archive.read(task.objects[0])
        time.sleep(compute_s)  # what a worker does without this interpreter
        return TaskResult(task.key, "", "done", str(data[0]))

    seconds = {}
    proxy = FaultProxy(s3_options["endpoint_url"], share=0, latency_s=latency_s)
    with proxy.running() as url:
        archive = Archive(Location(root.url, {**s3_options, "endpoint_url": url}), "sds")
        archive.read(tasks[0].objects[0])  # the first request of a client looks for credentials
        for ahead in (0, 4000):
            other = Archive(archive.location.child(""), "sds") if ahead else archive
            began = time.perf_counter()
            run = partial(work, archive=other)
            results = run_batch_of_sharers(
                Batch(tuple(tasks)), run=run, archive=other, read_ahead_bytes=ahead
            )
            seconds[ahead] = time.perf_counter() - began
            assert [result.reason for result in results] == [str(day) for day in range(12)]
    one_after_another = 12 * (compute_s + latency_s)
    assert seconds[0] > 0.95 * (one_after_another - latency_s)
    assert seconds[4000] < 0.75 * one_after_another  # at best 0.54: computing and one fetch
