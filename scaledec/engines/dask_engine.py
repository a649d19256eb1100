"""What both Dask engines are: a client that lives while the engine is entered, and tasks run through it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Self, TypeVar

from distributed import Client

from scaledec.engines.dask_futures import Workers, checked_limit, quiet_logs, run_futures, usable_memory
from scaledec.errors import EngineError

__all__ = ["FuturesEngine"]

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


class FuturesEngine(ABC):
    """Runs tasks on Dask workers; where these come from, its subclasses say."""

    def __init__(self, memory_limit: str) -> None:
        """Nothing starts before the engine is entered; ``EngineError`` if the limit is no size."""
        self._memory_limit = checked_limit(memory_limit)
        self._stack = ExitStack()
        self._client: Client | None = None

    @abstractmethod
    def _connect(self, stack: ExitStack) -> Client:
        """Start or reach the workers; what is to be undone goes on the stack."""

    @abstractmethod
    def _workers_of(self, client: Client) -> Workers:
        """Whose scheduler it is, and how dead workers come back."""

    def __enter__(self) -> Self:
        """Start or reach the workers.

        Raises
        ------
        EngineError
            If the scheduler cannot be reached, or no worker can be started.
        """
        with ExitStack() as stack:
            stack.enter_context(quiet_logs())
            self._client = self._connect(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client = None
        self._stack.__exit__(kind, error, trace)

    def memory_per_worker(self) -> int | None:
        """What a worker may hold before Dask gives it no more work."""
        return None if self._client is None else usable_memory(self._client)

    def run(
        self,
        function: Callable[[TaskT], ResultT],
        tasks: Iterable[TaskT],
        *,
        lost: Callable[[TaskT, str], ResultT] | None = None,
    ) -> Iterator[ResultT]:
        """Yield one result a task, in completion order; see :func:`.dask_futures.run_futures`."""
        if self._client is None:
            name = type(self).__name__
            raise EngineError(f"the Dask engine is not entered: use it as `with {name}() as engine:`")
        return run_futures(self._client, function, tasks, lost=lost, workers=self._workers_of(self._client))
