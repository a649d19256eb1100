"""A report of ten million windows: in under a minute, in under two gigabytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scaledec.synthetic.labels import SimulatedLabels, write_simulated_labels

CHILD = """
import resource, sys, time
from scaledec.config import parse_config
from scaledec.pipeline.report import write_report
text = f"root: {sys.argv[1]}\\narchive: {{url: none}}\\nrun: simulated\\n"
began = time.process_time()
write_report(parse_config(text), folder=sys.argv[2])
print(time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.heavy
def test_ten_million_windows_take_under_a_minute_and_two_gigabytes(tmp_path: Path) -> None:
    settings = SimulatedLabels(stations=20, channels_per_station=1, segments=150)
    write_simulated_labels(str(tmp_path / "root"), settings)
    arguments = [sys.executable, "-c", CHILD, str(tmp_path / "root"), str(tmp_path / "page")]
    told = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    # Of the processor: what the work costs, whatever else the machine does.
    seconds, megabytes = map(float, told.split())
    assert seconds < 60
    assert megabytes < 2000
    assert "10," in (tmp_path / "page" / "index.html").read_text()
