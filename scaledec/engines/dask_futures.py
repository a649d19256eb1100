"""What both Dask engines share: a bounded window of futures, and what to do when workers die."""

from __future__ import annotations

import itertools
import logging
import queue
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import dask
from dask.utils import parse_bytes
from distributed import Client, Future, KilledWorker

from scaledec.errors import EngineError
from scaledec.interrupts import remembered_interrupts

__all__ = [
    "DASHBOARD",
    "SCHEDULER_SETTINGS",
    "WORKER_ENVIRONMENT",
    "Workers",
    "checked_limit",
    "quiet_logs",
    "run_futures",
    "usable_memory",
]

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")

WORKER_ENVIRONMENT: dict[str, str] = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Freed memory stays with the process: a task of the next segment needs as much again, and giving it
    # back costs 6 to 55 % of the time in page faults. The peak of a worker is the same.
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
"""Of worker processes; a process is one thread, and takes its malloc settings only at its start."""

SCHEDULER_SETTINGS: dict[str, Any] = {
    # A death is told at once to run_futures, which counts them by itself.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.diagnostics.nvml": False,
    # The HTTP server cannot be switched off: it listens on DASHBOARD and serves nothing.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    # What serves only Dask's dashboard, or graphs; a third of what a task costs coordinator and workers.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.tick.cycle": "10s",
    # Tasks wait at the scheduler, not at workers: there is nothing to steal.
    "distributed.scheduler.work-stealing": False,
}
"""Configuration of schedulers and workers that this package starts."""

DASHBOARD = "127.0.0.1:0"
"""Any free port of the loopback interface; left out, Dask takes 8787, or warns that it is taken."""

_DEATHS = 3
# A scheduler that counts deaths itself tells of several at once.
_TOLD_DEATHS = 2
# In a row, without a result in between: more than the hours of one bad day file. Then it is no bad input.
_MOST_LOST = 30
_PER_THREAD = 3  # in flight: one at work, one waiting at the worker, one at the scheduler
_LOOK_S = 5.0
_NO_WORKERS_S = 120.0


@dataclass(frozen=True, slots=True)
class Workers:
    """Of a Dask client, for :func:`run_futures`."""

    own_scheduler: bool
    """Whether the scheduler runs with :data:`SCHEDULER_SETTINGS`; another one counts deaths itself."""
    revive: Callable[[], object] | None = None
    """Called every few seconds while there are fewer workers than ``at_least``, or than there were."""
    at_least: int = 0


def run_futures(
    client: Client,
    function: Callable[[TaskT], ResultT],
    tasks: Iterable[TaskT],
    *,
    lost: Callable[[TaskT, str], ResultT] | None = None,
    workers: Workers,
) -> Iterator[ResultT]:
    """Run tasks on a Dask client's workers and yield results in completion order.

    A few tasks a worker thread are in flight; the next one is asked for when one is done, so tasks may
    come from a generator of any length. A task whose worker died is run again.

    Parameters
    ----------
    client
        A connected client.
    lost
        What a task results in that ended its worker process again and again, the last time while it flew
        alone, with a sentence that says so; ``None``: the run ends.
    workers
        Whose they are, and how they come back.

    Raises
    ------
    EngineError
        If a task ended its worker and there is no ``lost``, if that happens to task after task, or if
        workers or scheduler are lost for good.
    """
    with remembered_interrupts() as check:
        window = _Window(client, function, lost, workers)
        try:
            for result in window.run(iter(tasks)):
                # Futures are dropped at every turn, and an interrupt inside their __del__ is forgotten.
                check()
                yield result
        finally:
            window.cancel()


def usable_memory(client: Client) -> int | None:
    """Bytes that the smallest worker may hold before it is paused; ``None`` where none has a limit."""
    limits = [
        worker["memory_limit"]
        for worker in client.scheduler_info(n_workers=-1)["workers"].values()
        if worker["memory_limit"]
    ]
    paused_at = dask.config.get("distributed.worker.memory.pause")
    return int(min(limits) * (paused_at or 1.0)) if limits else None


class _Window:
    """The tasks in flight."""

    def __init__(
        self,
        client: Client,
        function: Callable[[Any], Any],
        lost: Callable[[Any, str], Any] | None,
        workers: Workers,
    ) -> None:
        self._client = client
        self._function = function
        self._lost = lost
        self._revive = workers.revive
        self._most_threads = workers.at_least
        self._most_deaths = _DEATHS if workers.own_scheduler else _TOLD_DEATHS
        self._n_lost = 0
        self._flying: dict[str, tuple[Future, Any]] = {}
        self._done: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._deaths: dict[str, int] = {}
        # Whose workers died twice. Each flies alone: the next death then tells whether it is to blame, and
        # not one that waited at the same worker.
        self._suspects: deque[Any] = deque()
        self._number = itertools.count()
        self._size = 0
        self._looked = -_LOOK_S
        self._workers_seen = time.monotonic()

    def run(self, tasks: Iterator[Any]) -> Iterator[Any]:
        """Yield the results of all tasks."""
        while True:
            self._look_at_workers()
            if self._suspects:
                if not self._flying:
                    self._submit(self._suspects.popleft())
            else:
                for task in itertools.islice(tasks, max(0, self._size - len(self._flying))):
                    self._submit(task)
            if not self._flying and not self._suspects:
                return
            yield from self._collect()

    def cancel(self) -> None:
        """Give up what is in flight."""
        futures = [future for future, _ in self._flying.values()]
        self._flying.clear()
        if futures and self._client.status == "running":
            self._client.cancel(futures, force=True, reason="the run has ended")

    def _submit(self, task: Any) -> None:
        future = self._client.submit(
            self._function, task, key=f"task-{next(self._number)}-{id(self):x}", pure=False
        )
        self._flying[future.key] = future, task
        future.add_done_callback(self._done.put)

    def _look_at_workers(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_S and self._size:
            return
        self._looked = now
        try:
            threads = sum(self._client.nthreads().values())
        except (OSError, TimeoutError) as error:
            raise EngineError(
                f"the connection to the Dask scheduler at {_address(self._client)} is lost: {error}; "
                "run again, what is done stays done"
            ) from error
        self._most_threads = max(self._most_threads, threads)
        if threads < self._most_threads and self._revive is not None:
            self._revive()
        if threads:
            self._workers_seen = now
            self._size = _PER_THREAD * threads
        elif now - self._workers_seen > _NO_WORKERS_S:
            raise EngineError(
                f"the Dask scheduler at {_address(self._client)} has had no workers for "
                f"{_NO_WORKERS_S:.0f} s: they were lost or never came; start some and run again"
            )
        else:
            self._size = max(self._size, 1)

    def _collect(self) -> Iterator[Any]:
        """Yield the results that are there, waiting for the first for a while."""
        try:
            futures = [self._done.get(timeout=_LOOK_S)]
        except queue.Empty:
            return
        while not self._done.empty():
            futures.append(self._done.get())
        finished = []
        for future in futures:
            if future.key not in self._flying:
                continue
            status = future.status  # read once: it changes in another thread
            if status == "finished":
                finished.append(future)
            elif status in ("error", "cancelled"):
                yield from self._explain(future, status)
            else:
                # Its result was lost with its worker and is computed again.
                future.add_done_callback(self._done.put)
        yield from self._gather(finished)

    def _gather(self, futures: list[Future]) -> Iterator[Any]:
        try:
            # One request for all: a round trip for each would keep a coordinator from feeding many workers.
            results = self._client.gather(futures)
        except (KilledWorker, CancelledError):
            # A worker died with its results, and so did one that computed them again: look at each anew.
            for future in futures:
                future.add_done_callback(self._done.put)
            return
        for future in futures:
            del self._flying[future.key]
        self._n_lost = 0 if futures else self._n_lost
        yield from results

    def _explain(self, future: Future, status: str) -> Iterator[Any]:
        """Try the task of a dead worker again or give it up; raise everything else that ended a task."""
        alone = len(self._flying) == 1
        _, task = self._flying.pop(future.key)
        if status == "cancelled":
            raise EngineError(
                f"the Dask scheduler at {_address(self._client)} gave up a task: it was restarted or the "
                "connection was lost; run again, what is done stays done"
            )
        error = future.exception()
        if not isinstance(error, KilledWorker):
            raise error
        name = str(getattr(task, "key", task))
        deaths = self._deaths[name] = self._deaths.get(name, 0) + 1
        if alone and deaths >= self._most_deaths:
            yield self._give_up(task, name, error)
        elif deaths < self._most_deaths - 1:
            self._submit(task)
        else:
            self._suspects.append(task)

    def _give_up(self, task: Any, name: str, error: KilledWorker) -> Any:
        """The result of a task that ended every worker it came to."""
        self._n_lost += 1
        reason = (
            f"ended its worker process {_DEATHS} times: most often one is killed for its memory (raise "
            "compute.dask.memory_limit or use fewer workers), else by a fault of a compiled library"
        )
        if self._lost is None:
            raise EngineError(f"task {name} {reason}; what is done stays done") from error
        if self._n_lost >= _MOST_LOST:
            raise EngineError(f"task {name} {reason}; so did the {self._n_lost - 1} before it") from error
        del self._deaths[name]
        return self._lost(task, reason)


def _address(client: Client) -> str:
    scheduler = client.scheduler
    return str(scheduler.address) if scheduler is not None else "an unknown address"


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Hold back what distributed says of workers that come and go: what matters is told as errors of ours."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith(("distributed", "tornado"))]
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, old in zip(loggers, before, strict=True):
            logger.setLevel(old)


def checked_limit(memory_limit: str) -> str:
    """The memory limit if it is ``auto`` or a size that Dask understands; else ``EngineError``."""
    if memory_limit != "auto":
        try:
            parse_bytes(memory_limit)
        except ValueError as error:
            raise EngineError(
                f"compute.dask.memory_limit is {memory_limit!r}; expected auto or a size such as 2GiB"
            ) from error
    return memory_limit
