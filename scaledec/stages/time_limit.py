"""A task that makes no progress is given up after a while: a library that hangs raises nothing.

Each task runs in a thread of its own kind, whose caller waits for it no longer than the limit. The thread
cannot be ended, only left behind; so where the process belongs to an engine it is ended a little later,
when the result has been sent, and the engine starts another one. A library that also keeps the interpreter
from running cannot be waited for at all: then the process ends without a result, like one that crashes.
"""

from __future__ import annotations

import faulthandler
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from scaledec.config import Config
from scaledec.transport.access import Access
from scaledec.vocabulary import CubeTask

__all__ = ["TimeLimit", "run_within"]

TaskT = TypeVar("TaskT", bound="CubeTask | tuple[CubeTask, ...]")
ResultT = TypeVar("ResultT")

# Local files slower than this are as good as hung; remote ones have their own patience.
_SLOWEST_BYTES_PER_S = 1_000_000
# Results are sent within milliseconds; those of a batch when its last task is done.
_LEAVE_AFTER_S = 60.0
# How much longer than for a task is waited for a process whose interpreter stands still.
_STANDSTILL = 1.25
_STANDSTILL_S = 10.0
# After an interrupt a task that writes may come to its end.
_LET_END_S = 5.0


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """How long a task may take."""

    base_s: float
    """``compute.task_limit_s``."""
    access: Access | None = None
    """How patiently objects are fetched; ``None``: they are local files."""
    ends_process: bool = False
    """Whether this process may be ended: it is an engine's, which starts another one."""

    @classmethod
    def of(cls, config: Config) -> TimeLimit:
        """The limit of a configuration."""
        source = config.archive.location
        return cls(
            config.compute.task_limit_s,
            access=None if source.is_local else source.access,
            ends_process=config.compute.engine != "serial",
        )

    def seconds(self, *tasks: CubeTask) -> float:
        """The limit and what reading the objects of tasks that are done together may take at worst."""
        objects = {item for task in tasks for item in (*task.objects, *task.detect_objects)}
        sizes = [max(0, item.size) for item in objects]
        if self.access is None:
            return self.base_s + sum(sizes) / _SLOWEST_BYTES_PER_S
        wait_s = self.access.longest_wait_s
        return self.base_s + sum(self.access.attempts * (self.access.deadline_s(n) + wait_s) for n in sizes)


def run_within(
    task: TaskT,
    *,
    run: Callable[[TaskT], ResultT],
    lost: Callable[[TaskT, str], ResultT],
    limit: TimeLimit,
) -> ResultT:
    """``run(task)``, or what ``lost`` makes of a task, or of several, not come to its end in time."""
    limit_s = limit.seconds(*(task if isinstance(task, tuple) else (task,)))
    if limit.ends_process:
        faulthandler.dump_traceback_later(limit_s * _STANDSTILL + _STANDSTILL_S, exit=True, file=_nowhere())
    try:
        return _runner().call(run, task, limit_s)
    except _OutOfTimeError:
        _of_thread.runner = None
        if limit.ends_process:
            leaving = threading.Timer(_LEAVE_AFTER_S, os._exit, [1])
            leaving.daemon = True
            leaving.start()
        reason = f"made no progress for {limit_s:.0f} s (compute.task_limit_s) and was given up"
        return lost(task, reason)
    finally:
        if limit.ends_process:
            faulthandler.cancel_dump_traceback_later()


class _OutOfTimeError(Exception):
    """The task has not come to its end."""


class _Runner:
    """A thread that runs tasks for another one, which waits; it keeps its workspace from task to task."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Callable[[Any], Any], Any]] = queue.SimpleQueue()
        self._ends: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        # A daemon: a thread that hangs must not keep its process from ending.
        threading.Thread(target=self._work, name="tasks", daemon=True).start()

    def call(self, run: Callable[[TaskT], ResultT], task: TaskT, limit_s: float) -> ResultT:
        self._calls.put((run, task))
        try:
            result, error = self._ends.get(timeout=min(limit_s, threading.TIMEOUT_MAX))
        except queue.Empty:
            raise _OutOfTimeError from None
        except BaseException:
            self._let_end()
            raise
        if error is not None:
            raise error
        return cast("ResultT", result)

    def _let_end(self) -> None:
        """Wait a moment for a task whose caller was interrupted: its end must not be the next one's."""
        try:
            self._ends.get(timeout=_LET_END_S)
        except queue.Empty:
            _of_thread.runner = None

    def _work(self) -> None:
        while True:
            run, task = self._calls.get()
            try:
                self._ends.put((run(task), None))
            except BaseException as error:  # noqa: BLE001  (raised again where it is waited for)
                self._ends.put((None, error))
            del run, task


class _OfThread(threading.local):
    runner: _Runner | None = None
    nowhere: IO[str] | None = None


_of_thread = _OfThread()


def _runner() -> _Runner:
    if _of_thread.runner is None:
        _of_thread.runner = _Runner()
    return _of_thread.runner


def _nowhere() -> IO[str]:
    """Where the interpreter's threads are told before it ends: nobody would know what to do with them."""
    if _of_thread.nowhere is None:
        _of_thread.nowhere = Path(os.devnull).open("w")  # noqa: SIM115  (as long as the thread lives)
    return _of_thread.nowhere
