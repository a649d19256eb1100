"""One Dask worker against two, on the same days of 100 Hz, in steady state.

    python -m benchmarks.workers [--days 96] [--rounds 3]

The same synthetic day at many stations; the clock starts when the engine is up and each worker has done a
few, and stops with the last result. A single worker leaves the other core to the coordinator and to the
system's writing to disk, so it is measured once more with all of that on its own core. Bare processes say
what the machine can do. Prints Markdown.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import TypeAlias
from unittest.mock import patch

import numpy as np

from benchmarks.day import one_core, write_synthetic_day
from scaledec.config import parse_config
from scaledec.engines.dask_futures import WORKER_ENVIRONMENT
from scaledec.engines.dask_local import DaskEngine
from scaledec.pipeline.cube import make_room, plan_of_cube
from scaledec.stages.cube import CubeContext, run_task
from scaledec.stages.cube_batches import batches, run_batch
from scaledec.vocabulary import CubeTask

__all__ = ["main", "measure"]

_RECORD = 512
_STATION_CODE = slice(8, 13)  # of a miniSEED 2 header
Rate: TypeAlias = Callable[[int, Sequence[CubeTask], CubeContext], float]

_WARM_UP = 4
"""Results of each engine before the clock starts: imports, buffers, compiled filters."""


def measure(days: int = 96, rounds: int = 3) -> str:
    """Run one and two workers in turns and return the table as Markdown."""
    setups: dict[str, tuple[Rate, int, Callable[[], AbstractContextManager[None]]]] = {
        "1, on one core together with the coordinator": (_rate, 1, one_core),
        "1, with a core to itself": (_rate, 1, nullcontext),
        "2, on two cores together with the coordinator": (_rate, 2, nullcontext),
        "1 bare process": (_bare_rate, 1, nullcontext),
        "2 bare processes": (_bare_rate, 2, nullcontext),
    }
    with tempfile.TemporaryDirectory() as name:
        tasks, context = _tasks(Path(name), days + _WARM_UP)
        rates: dict[str, list[float]] = {what: [] for what in setups}
        for _ in range(rounds):
            for what, (rate, workers, where) in setups.items():
                with where():
                    rates[what].append(rate(workers, tasks, context))
    rows = []
    for what, found in rates.items():
        two = rates["2 bare processes" if "bare" in what else "2, on two cores together with the coordinator"]
        ratio = statistics.median(b / a for a, b in zip(found, two, strict=True))
        rows.append(f"| {what} | {statistics.median(found):.2f} | {ratio:.2f} |")
    return "\n".join(
        [
            f"Dask workers on this machine, {days} channel-days of 100 Hz, medians of {rounds} rounds:",
            "",
            "| workers | channel-days/s | two workers are times as fast |",
            "|---|---|---|",
            *rows,
        ]
    )


def _tasks(folder: Path, days: int) -> tuple[Sequence[CubeTask], CubeContext]:
    """One task for each of many stations, which all recorded the same day."""
    write_synthetic_day(folder / "day")
    records = np.fromfile(folder / "day", np.uint8).reshape(-1, _RECORD)
    for number in range(days):
        station = f"S{number:03d}"
        records[:, _STATION_CODE] = np.frombuffer(station.ljust(5).encode(), np.uint8)
        place = folder / "sds" / "2020" / "CM" / station / "HHZ.D" / f"CM.{station}.00.HHZ.D.2020.266"
        place.parent.mkdir(parents=True)
        records.tofile(place)
    config = parse_config(f"root: {folder / 'root'}\narchive: {{url: {folder / 'sds'}}}", source="benchmark")
    plan = plan_of_cube(config).plan
    make_room(config, plan)
    return list(plan.tasks), CubeContext.of(config)


def _rate(workers: int, tasks: Sequence[CubeTask], context: CubeContext) -> float:
    """Channel-days a second, handed over as the cube stage does."""
    run = partial(run_task, context=context)
    timed = tasks[_WARM_UP:]
    with DaskEngine(workers=workers) as engine:
        list(engine.run(run, tasks[:_WARM_UP]))
        began = time.perf_counter()
        for _ in engine.run(partial(run_batch, run=run), batches(timed, len(timed))):
            pass
        return len(timed) / (time.perf_counter() - began)


def _bare_rate(workers: int, tasks: Sequence[CubeTask], context: CubeContext) -> float:
    """Channel-days a second of processes that share nothing and tell nothing: what the machine can do."""
    spawn = multiprocessing.get_context("spawn")
    ready, rates = spawn.Barrier(workers), spawn.SimpleQueue()
    with patch.dict(os.environ, WORKER_ENVIRONMENT):
        shares = [tasks[number::workers] for number in range(workers)]
        children = [spawn.Process(target=_work_alone, args=(s, context, ready, rates)) for s in shares]
        for child in children:
            child.start()
    found = [float(rates.get()) for _ in children]
    for child in children:
        child.join()
    return sum(found)


def _work_alone(
    tasks: Sequence[CubeTask],
    context: CubeContext,
    ready: threading.Barrier,
    rates: SimpleQueue[float],
) -> None:
    for task in tasks[:_WARM_UP]:
        run_task(task, context=context)
    ready.wait()
    began = time.perf_counter()
    for task in tasks[_WARM_UP:]:
        run_task(task, context=context)
    rates.put((len(tasks) - _WARM_UP) / (time.perf_counter() - began))


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    print(measure(given.days, given.rounds))


if __name__ == "__main__":
    main()
