"""Compute a random sample of the cube again from the archive, and compare it with what the ledger says."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from scaledec.errors import ArchiveError
from scaledec.stages.segment_inputs import standing
from scaledec.stages.verify import Finding
from scaledec.vocabulary import CubeTask, TaskResult

__all__ = ["find_difference", "sample_tasks"]


def sample_tasks(
    tasks: Sequence[CubeTask], done: Mapping[str, TaskResult], number: int, *, seed: int
) -> Iterator[tuple[CubeTask, TaskResult]]:
    """Tasks chosen at random among those that are up to date, each with its result; the same for a seed.

    Parameters
    ----------
    tasks
        Every task of the archive as it is now.
    done
        Newest result of every task of the cube's ledger.
    number
        How many at most.
    """
    order = list(range(len(tasks)))
    random.Random(seed).shuffle(order)
    for index in order:
        if number <= 0:
            return
        task = tasks[index]
        result = done.get(task.key)
        if result is not None and standing(task.fingerprint, result) == "done":
            number -= 1
            yield task, result


def find_difference(
    task: CubeTask, result: TaskResult, compute: Callable[[CubeTask], int | None]
) -> Finding | None:
    """What is wrong with the result of a task, if the archive gives another one now.

    Parameters
    ----------
    compute
        The checksum of what a task would write, ``None`` for nothing.
    """
    expected = result.details.get("checksum")
    try:
        found = compute(task)
    except (ArchiveError, ValueError) as error:
        return Finding("cube", task.key, "differing", f"it cannot be computed again: {error}")
    if found == expected:
        return None
    return Finding(
        "cube", task.key, "differing", f"computed again it has checksum {found}, the ledger has {expected}"
    )
