"""Tasks as the trials of Ray Tune, on the Ray session that this process is connected to.

Ray Tune places them, bounds how many run at once and starts one anew whose worker died. What is tried is not
its to choose: a scheduler that stops trials early decides by which came first, and the same search would not
give the same table twice. Nor is it asked what is done: tasks keep their own results.
"""

from __future__ import annotations

import logging
import os
import queue
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Literal, TypeVar, cast

import ray
from ray import tune
from ray.exceptions import RayError

from scaledec.errors import EngineError

__all__ = ["RayTuneEngine"]

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")

_TIMES_MORE = 1
"""So often a trial is tried again whose worker died."""
_POLL_S = 0.25
# Ray's own logs of each trial are of no use: results are kept by the tasks.
# Its newer output prints a table of settings to stdout even where it is told to be silent.
_SETTINGS = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}
_RESULT = "result"


class RayTuneEngine:
    """Runs tasks as trials; entered before use, left after.

    Parameters
    ----------
    parallel
        Trials at once; ``auto``: as many as there are cores for.
    threads
        Cores of one trial.
    gpu
        Whether each trial has a GPU; ``auto``: if the cluster has any.
    """

    def __init__(
        self,
        *,
        parallel: int | Literal["auto"] = "auto",
        threads: int = 1,
        gpu: bool | Literal["auto"] = "auto",
    ) -> None:
        self._parallel = None if parallel == "auto" else parallel
        self._threads, self._gpu = threads, gpu

    def __enter__(self) -> RayTuneEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def run(
        self,
        function: Callable[[TaskT], ResultT],
        tasks: Iterable[TaskT],
        *,
        lost: Callable[[TaskT, str], ResultT] | None = None,
    ) -> Iterator[ResultT]:
        """Yield one result a task, in completion order; what ``lost`` makes of one that kept failing."""
        if not ray.is_initialized():
            raise EngineError("no Ray session is open in this process; open one with ray_session(address)")
        waiting = list(tasks)
        if not waiting:
            return
        finished: queue.SimpleQueue[tuple[int, ResultT]] = queue.SimpleQueue()
        outcome: Future[tune.ResultGrid] = Future()
        with tempfile.TemporaryDirectory() as folder, _settings():
            tuner = self._tuner(function, waiting, _Listener(finished), folder)
            threading.Thread(target=_fit, args=(tuner, outcome), name="ray-tune", daemon=True).start()
            told: set[int] = set()
            while not outcome.done():
                with suppress(queue.Empty):
                    index, result = finished.get(timeout=_POLL_S)
                    told.add(index)
                    yield result
            yield from _left(_grid(outcome), waiting, told, lost)

    def memory_per_worker(self) -> int | None:
        """Not known: trials are placed on any node."""
        return None

    def _resources(self) -> dict[str, float]:
        """What a trial asks for; refused at once where no node has it, as Ray would wait for ever."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        most = max((int(node.get("CPU", 0)) for node in nodes), default=0)
        if most < self._threads:
            raise EngineError(
                f"a trial asks for {self._threads} CPUs and no node of the Ray cluster has more than {most}; "
                "lower compute.ray.threads_per_worker"
            )
        n_gpus = sum(node.get("GPU", 0) for node in nodes)
        if self._gpu is True and not n_gpus:
            raise EngineError("compute.ray.gpu is true, but the Ray cluster has no GPU; use gpu: auto")
        use_gpu = bool(n_gpus) if self._gpu == "auto" else self._gpu
        return {"cpu": float(self._threads), **({"gpu": 1.0} if use_gpu else {})}

    def _tuner(
        self, function: Callable[[TaskT], ResultT], tasks: list[TaskT], listener: _Listener, folder: str
    ) -> tune.Tuner:
        def trial(config: dict[str, Any]) -> None:
            tune.report({_RESULT: function(tasks[config["index"]])})

        return tune.Tuner(
            tune.with_resources(trial, self._resources()),
            param_space={"index": tune.grid_search(list(range(len(tasks))))},
            tune_config=tune.TuneConfig(max_concurrent_trials=self._parallel),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=folder,
                failure_config=tune.FailureConfig(max_failures=_TIMES_MORE),
                callbacks=[listener],
                verbose=0,
            ),
        )


class _Listener(tune.Callback):  # type: ignore[misc]
    """Hands results on as they come; where Ray keeps callbacks elsewhere (ray://) they come at the end."""

    def __init__(self, finished: queue.SimpleQueue[tuple[int, Any]]) -> None:
        self._finished = finished

    def __getstate__(self) -> dict[str, Any]:
        # Ray saves the state of an experiment, its callbacks included; a queue cannot be saved.
        return {"_finished": None}

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """One trial has reported."""
        if self._finished is not None and _RESULT in result:
            self._finished.put((trial.config["index"], result[_RESULT]))


def _fit(tuner: tune.Tuner, outcome: Future[tune.ResultGrid]) -> None:
    try:
        outcome.set_result(tuner.fit())
    except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
        outcome.set_exception(error)


def _grid(outcome: Future[tune.ResultGrid]) -> tune.ResultGrid:
    try:
        return outcome.result()
    except (tune.TuneError, RayError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise EngineError(
            f"the search stopped: {lines[-1]}; run again to go on, what is done is kept"
        ) from error


def _left(
    grid: tune.ResultGrid, tasks: list[TaskT], told: set[int], lost: Callable[[TaskT, str], ResultT] | None
) -> Iterator[ResultT]:
    """Results that were not heard of while the trials ran."""
    for found in grid:
        index = found.config["index"]
        if index in told:
            continue
        if found.error is None:
            yield cast("ResultT", found.metrics[_RESULT])
            continue
        reason = (str(found.error).strip().splitlines() or [type(found.error).__name__])[-1]
        if lost is None:
            raise EngineError(f"trial {index} failed {_TIMES_MORE + 1} times; last: {reason}")
        yield lost(tasks[index], f"failed {_TIMES_MORE + 1} times; last: {reason}")


@contextmanager
def _settings() -> Iterator[None]:
    """Ray Tune's own settings, which it reads from the environment; the user's win."""
    added = [name for name in _SETTINGS if name not in os.environ]
    os.environ.update({name: _SETTINGS[name] for name in added})
    # Where it keeps no logs of its own it warns at the end that there are none.
    log = logging.getLogger("ray.tune")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
        for name in added:
            os.environ.pop(name, None)
