"""The coordinator of the cube stage with simulated tasks: time and memory from a thousand tasks to a million.

    python -m benchmarks.coordinator [--most 1000000]

Every size is measured in a process of its own, through what a run uses: a listing of SDS names, `plan_cube`,
the loop over an engine (serial, a task that does nothing), the real ledger and account, and then a resume
that reads the ledger and finds everything done. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scaledec.archive.listing import Listing, Span
from scaledec.config import Config, parse_config
from scaledec.engines.serial import SerialEngine
from scaledec.ledger.ledger import Ledger
from scaledec.pipeline.cube import keep_results
from scaledec.pipeline.journal import Journal
from scaledec.pipeline.status import status
from scaledec.places import Places
from scaledec.stages.cube_plan import LEDGER_DETAILS, plan_cube
from scaledec.vocabulary import ArchiveObject, ChannelId, CubeTask, TaskResult

__all__ = ["main", "measure"]

_DAY_NS = 86_400 * 10**9
_START_NS = 1_577_836_800 * 10**9
_SIZES = (1_000, 10_000, 100_000, 1_000_000)
_DAYS = 1_000
_SECONDS = {"read": 0.0015, "decode": 0.025, "preprocess": 0.0027, "transform": 0.03, "write": 0.041}


def simulated_spans(n: int) -> Iterator[tuple[ChannelId, Span]]:
    """Day files of as many channels as needed, a thousand days each (a tenth of it for small archives)."""
    days = min(_DAYS, max(1, n // 10))
    for number in range(n):
        channel = ChannelId("XX", f"S{number // days:04d}", "00", "HHZ")
        day = number % days
        begin = _START_NS + day * _DAY_NS
        key = f"2020/XX/{channel.station}/HHZ.D/{channel}.D.2020.{day:03d}"
        item = ArchiveObject(key, 11_000_000 + day, str(1_700_000_000_000_000_000 + number))
        yield channel, Span(begin, begin + _DAY_NS, item)


def do_nothing(task: CubeTask) -> TaskResult:
    """A result as a real task gives it."""
    details: dict[str, Any] = {
        "n_samples": 8_640_000,
        "bytes_read": 11_000_000,
        "open_edges": "after",
        "sampling_rate_hz": 100.0,
        "checksum": hash(task.key) & 0xFFFFFFFF,
        "seconds": _SECONDS,
    }
    return TaskResult(task.key, task.fingerprint, "done", None, details)


def measure(n: int, folder: Path) -> dict[str, float]:
    """Seconds and megabytes of every step for ``n`` tasks; in a fresh process, as the peak is its own."""
    config = parse_config(f"root: {folder / 'root'}\narchive: {{url: {folder / 'sds'}}}", source="benchmark")
    places = Places.at(config.root)
    found: dict[str, float] = {"tasks": n, "MB at the start": _resident_mb()}
    began = time.perf_counter()
    listing = Listing(simulated_spans(n), slack_ns=_DAY_NS)
    plan = plan_cube(config, listing, {})
    found["s to plan"] = time.perf_counter() - began
    if len(plan.tasks) != n:
        raise RuntimeError(f"{len(plan.tasks)} tasks planned of {n}")
    found["MB planned"] = _resident_mb()
    began = time.perf_counter()
    ledger = Ledger(places.ledger("cube"))
    with Journal(places.progress("cube"), planned=n) as journal, SerialEngine() as engine:
        keep_results(engine.run(do_nothing, plan.tasks), n, ledger, journal)
    found["us a task"] = (time.perf_counter() - began) / n * 1e6
    found["MB after running"] = _resident_mb()
    del plan
    found |= _resume(config, listing, ledger, n)
    began = time.perf_counter()
    status(config).table()
    found["s to tell the status"] = time.perf_counter() - began
    found["MB at most"] = _peak_mb()
    return found


def _resume(config: Config, listing: Listing, ledger: Ledger, n: int) -> dict[str, float]:
    """Plan again with everything done."""
    began = time.perf_counter()
    plan = plan_cube(config, listing, ledger.read(details=LEDGER_DETAILS))
    if plan.n_done != n:
        raise RuntimeError(f"{plan.n_done} of {n} tasks found done")
    return {"s to find all done": time.perf_counter() - began}


def _resident_mb() -> float:
    return _memory_mb("VmRSS")


def _peak_mb() -> float:
    return _memory_mb("VmHWM")


def _memory_mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1000


def in_fresh_process(n: int) -> dict[str, float]:
    """:func:`measure` in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.coordinator", "--one", str(n), "--folder", folder]
        ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return {name: float(value) for name, value in json.loads(ended.stdout).items()}


def _table(rows: Sequence[dict[str, float]]) -> str:
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += [
        "| "
        + " | ".join(f"{row[name]:,.3g}" if row[name] < 1000 else f"{row[name]:,.0f}" for name in names)
        + " |"
        for row in rows
    ]
    first, last = rows[0], rows[-1]
    lines += [
        "",
        (
            f"From {first['tasks']:,.0f} to {last['tasks']:,.0f} tasks the time a task grows "
            f"{last['us a task'] / first['us a task']:.2f} times; running them adds "
            f"{last['MB after running'] - last['MB planned']:.1f} MB to what planning left."
        ),
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--most", type=int, default=_SIZES[-1])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one is not None:
        print(json.dumps(measure(given.one, given.folder)))
        return
    print(_table([in_fresh_process(n) for n in _SIZES if n <= given.most]))


if __name__ == "__main__":
    main()
