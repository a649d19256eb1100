"""Rivals that take turns, each in a process of its own: an allocator's settings hold for a whole process.

A rival is a class of ``benchmarks`` whose methods are the things measured; it lives in its process, waits
while another one has its turn, and says how long its own took.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from scaledec.engines.ray_session import MALLOC_SETTINGS

__all__ = ["Rival", "Seconds", "medians", "ratios", "take_turns"]

Seconds = dict[str, list[float]]
"""Of each rival, one entry a round."""


@dataclass(frozen=True)
class Rival:
    """What runs in a process, and with which settings of the allocator."""

    made_by: str
    """``module:class``; the class takes the arguments below."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """JSON values."""
    malloc: bool = False
    """Whether the process has the allocator's settings of a worker."""


def take_turns(rivals: Mapping[str, Rival], method: str, rounds: int, *, warm_up: int = 1) -> Seconds:
    """Seconds of ``method`` of each rival, round by round; the first rounds are not counted."""
    with ExitStack() as stack:
        running = {name: stack.enter_context(_running(rival)) for name, rival in rivals.items()}
        seconds: Seconds = {name: [] for name in rivals}
        for index in range(rounds + warm_up):
            for name, process in running.items():
                taken = _ask(process, method)
                if index >= warm_up:
                    seconds[name].append(taken)
    return seconds


def medians(seconds: Seconds) -> dict[str, float]:
    """Median seconds of each rival."""
    return {name: statistics.median(values) for name, values in seconds.items()}


def ratios(seconds: Seconds, against: str) -> dict[str, float]:
    """How many times as long one rival takes as each: rounds are compared one by one."""
    return {
        name: statistics.median(b / s for b, s in zip(seconds[against], values, strict=True))
        for name, values in seconds.items()
    }


@contextmanager
def _running(rival: Rival) -> Iterator[subprocess.Popen[str]]:
    plain = {name: value for name, value in os.environ.items() if name not in MALLOC_SETTINGS}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.rivals", rival.made_by, json.dumps(dict(rival.arguments))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**plain, **MALLOC_SETTINGS} if rival.malloc else plain,
    )
    try:
        yield process
    finally:
        process.communicate()


def _ask(process: subprocess.Popen[str], method: str) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(method + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise RuntimeError(f"a rival ended in the middle of {method} with code {process.wait()}")
    return float(answer)


def main(arguments: Sequence[str]) -> None:
    """The process of a rival: a method's name comes in, seconds go out."""
    module, _, name = arguments[0].partition(":")
    rival = getattr(importlib.import_module(module), name)(**json.loads(arguments[1]))
    for line in sys.stdin:
        work = getattr(rival, line.strip())
        began = time.perf_counter()
        work()
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
