"""Functions that engines run in the tests: importable by name from worker processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from scaledec.errors import UnreadableInputError


def square(number: int) -> int:
    return number * number


def where(number: int) -> tuple[int, int, str | None, str | None]:
    time.sleep(0.01)
    return number, os.getpid(), os.environ.get("OMP_NUM_THREADS"), os.environ.get("MALLOC_TOP_PAD_")


def dies_once(folder: str, number: int) -> int:
    """Kill this process the first time that one of every five numbers comes along."""
    mark = Path(folder) / str(number)
    if number % 5 == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def always_dies(number: int) -> int:
    if number == 13:
        # Real tasks load their libraries first. A worker that dies while its nanny still waits for word of
        # its start is not started again by Dask (_on_worker_exit leaves out Status.starting).
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.005)
    return number


def raises(number: int) -> int:
    if number == 7:
        raise UnreadableInputError("an error page saved as data")
    return number
