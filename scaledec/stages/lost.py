"""What becomes of a task that ended the process it ran in, or never came to an end."""

from __future__ import annotations

from scaledec.location import Location
from scaledec.store.cubes import open_cube
from scaledec.vocabulary import CubeTask, TaskResult

__all__ = ["lost_task", "lost_tasks"]


def lost_task(task: CubeTask, reason: str, *, cube: Location) -> TaskResult:
    """Its result: failed; what an earlier version of its objects gave is removed, as of any failed task.

    Parameters
    ----------
    reason
        What became of it, to follow "reading or computing it".
    cube
        Where its segment lies.

    Raises
    ------
    StoreError
        If the cube cannot be written.
    """
    open_cube(cube, "r+").clear(task.channel_index, task.time_index)
    names = ", ".join(item.key for item in task.objects)
    return TaskResult(task.key, task.fingerprint, "failed", f"{names}: reading or computing it {reason}")


def lost_tasks(tasks: tuple[CubeTask, ...], reason: str, *, cube: Location) -> tuple[TaskResult, ...]:
    """As :func:`lost_task`, of tasks that were done together."""
    return tuple(lost_task(task, reason, cube=cube) for task in tasks)
