"""Tasks of the cube that an engine hands to a process together. Results are one a task, as without batches.

Of a remote archive these are the tasks of one object (the channels of a station-day, the hours of a day),
which is so fetched once for all, and a few more that follow, for the sake of reading ahead. Of a local one
they are a few that follow each other, because handing over costs several milliseconds of two processes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from scaledec.archive.archive import Archive
from scaledec.vocabulary import ArchiveObject, CubeTask, TaskResult

__all__ = ["Batch", "batches", "batches_of_sharers", "run_batch", "run_batch_of_sharers"]

# A channel-day takes a tenth of a second, Dask's handing over 5 ms: of four in a row it is a hundredth.
_FEW = 4
# Towards the end batches become smaller, so that all workers end together.
_STEPS_TO_END = 32

# Long enough that a batch's first object, which is waited for, is a small part of it.
_USUAL = 16
# Sharers of one object beyond this are split: a batch is what a killed worker loses.
_MOST = 64
# Of short plans smaller batches are made, so that there is work for many workers.
_FEWEST_BATCHES = 32


@dataclass(frozen=True, slots=True)
class Batch:
    """Tasks that follow one another in one process."""

    tasks: tuple[CubeTask, ...]

    @property
    def key(self) -> str:
        """Names the batch in errors."""
        more = len(self.tasks) - 1
        return f"{self.tasks[0].key} and {more} more" if more else self.tasks[0].key


def batches(tasks: Iterable[CubeTask], n_tasks: int) -> Iterator[Batch]:
    """The tasks in their order, a few at a time; the last ones, of ``n_tasks``, one by one."""
    tasks, left = iter(tasks), n_tasks
    while some := tuple(itertools.islice(tasks, min(_FEW, max(1, left // _STEPS_TO_END)))):
        yield Batch(some)
        left -= len(some)


def run_batch(batch: Batch, *, run: Callable[[CubeTask], TaskResult]) -> tuple[TaskResult, ...]:
    """The results of the tasks, one after another."""
    return tuple([run(task) for task in batch.tasks])


def batches_of_sharers(tasks: Iterable[CubeTask], n_tasks: int) -> Iterator[Batch]:
    """The tasks in their order, cut where another object begins.

    Parameters
    ----------
    tasks
        In an order in which sharers of an object follow one another, as a plan has them.
    n_tasks
        How many they are.
    """
    usual = min(_USUAL, max(1, n_tasks // _FEWEST_BATCHES))
    together: list[CubeTask] = []
    for _, sharers in itertools.groupby(tasks, key=_first_own):
        for some in _cut(sharers):
            if len(together) + len(some) > _MOST:
                yield Batch(tuple(together))
                together = []
            together += some
            if len(together) >= usual:
                yield Batch(tuple(together))
                together = []
    if together:
        yield Batch(tuple(together))


def run_batch_of_sharers(
    batch: Batch, *, run: Callable[[CubeTask], TaskResult], archive: Archive, read_ahead_bytes: int
) -> tuple[TaskResult, ...]:
    """The results of the tasks, which read what is fetched for them ahead."""
    needs = [_own(task) for task in batch.tasks]
    with archive.working(needs, read_ahead_bytes) as numbers:
        return tuple([run(batch.tasks[number]) for number in numbers])


def _own(task: CubeTask) -> Sequence[ArchiveObject]:
    before, after = task.neighbours
    return task.objects[before : len(task.objects) - after]


def _first_own(task: CubeTask) -> ArchiveObject:
    return next(iter(_own(task)), task.objects[0])


def _cut(tasks: Iterable[CubeTask]) -> Iterator[list[CubeTask]]:
    tasks = iter(tasks)
    while some := list(itertools.islice(tasks, _MOST)):
        yield some
