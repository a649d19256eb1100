"""The engine of a single process: one task after another, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from scaledec.engines.memory import machine_memory

__all__ = ["SerialEngine"]

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


class SerialEngine:
    """Runs tasks here, one at a time; what a task raises is raised from the iterator.

    Examples
    --------
    >>> with SerialEngine() as engine:
    ...     list(engine.run(abs, [-1, 2]))
    [1, 2]
    """

    def __enter__(self) -> SerialEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def memory_per_worker(self) -> int | None:
        """The memory of this machine, or of the container that this process is in."""
        return machine_memory()

    def run(
        self,
        function: Callable[[TaskT], ResultT],
        tasks: Iterable[TaskT],
        *,
        lost: Callable[[TaskT, str], ResultT] | None = None,
    ) -> Iterator[ResultT]:
        """Yield ``function(task)`` for each task, in order; a task is asked for when the last is consumed.

        ``lost`` is never asked: what ends a worker elsewhere ends this process.
        """
        yield from map(function, tasks)
