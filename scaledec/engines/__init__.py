"""Engines turn tasks into results; each is one module, the only one that imports its library.

An engine knows nothing of seismology: it takes a function and tasks, and yields results in the
order of completion, with a bounded number in flight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

__all__ = ["Engine"]

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


class Engine(AbstractContextManager["Engine"], Protocol):
    """Runs a function over tasks; entered before use, left (and its workers stopped) after."""

    def run(
        self,
        function: Callable[[TaskT], ResultT],
        tasks: Iterable[TaskT],
        *,
        lost: Callable[[TaskT, str], ResultT] | None = None,
    ) -> Iterator[ResultT]:
        """Yield one result a task, in completion order; raise what stops the whole run.

        A task that ends its worker process again and again has the result that ``lost`` makes of it and
        a sentence; without ``lost`` it stops the run. An engine without worker processes ends with it.
        """
        ...

    def memory_per_worker(self) -> int | None:
        """Bytes that one worker may hold, of the one that may hold least; ``None`` where it is not known."""
        ...
