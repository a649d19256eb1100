"""What workers run whose memory is measured: apart from the tests, whose own imports would count too."""

from __future__ import annotations

import re
from pathlib import Path

from scaledec.stages.cube import CubeContext, run_task
from scaledec.vocabulary import CubeTask


def peak_of_task(task: CubeTask, context: CubeContext) -> tuple[str, int]:
    """Status of a task, and the most that its worker process has held so far."""
    status = run_task(task, context).status
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return status, int(found[1]) * 1024
