"""Processes on this machine, for tasks that share one array: joblib, as scikit-learn runs its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TypeVar, cast

import joblib

__all__ = ["ProcessEngine"]

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


class ProcessEngine:
    """Runs tasks in processes of this machine; large arrays bound to the function are mapped, not copied.

    Parameters
    ----------
    workers
        Number of processes; ``None``: one a core. One runs the tasks here.
    """

    def __init__(self, workers: int | None = None) -> None:
        self._workers = workers or joblib.cpu_count()

    def __enter__(self) -> ProcessEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def run(self, function: Callable[[TaskT], ResultT], tasks: Iterable[TaskT]) -> Iterator[ResultT]:
        """Yield one result a task, in the order of completion."""
        parallel = joblib.Parallel(n_jobs=self._workers, return_as="generator_unordered")
        calls = (joblib.delayed(function)(task) for task in tasks)
        yield from cast("Iterator[ResultT]", parallel(calls))
