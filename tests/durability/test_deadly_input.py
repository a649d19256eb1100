"""A file at which the compiled reader crashes: listed with its reason, and everything else is done."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.durability.children import differences, entries, finished, run
from tests.durability.conftest import write_config

pytestmark = [pytest.mark.durability, pytest.mark.heavy]

# No file is known at which libmseed crashes. So processes are given one: loaded by each at its start, this
# ends the process like a fault of the C library wherever these bytes are parsed.
DEADLY = b"a fault of the C library"
CRASH = f"""
import os
import signal

import pymseed

_add_buffer = pymseed.MS3TraceList.add_buffer


def add_buffer(self, buffer, **how):
    if {DEADLY!r} in bytes(buffer):
        os.kill(os.getpid(), signal.SIGSEGV)
    return _add_buffer(self, buffer, **how)


pymseed.MS3TraceList.add_buffer = add_buffer
"""


def test_a_file_that_kills_every_worker_is_listed_and_all_others_are_done(
    two_days: Path, tmp_path: Path
) -> None:
    (tmp_path / "crash").mkdir()
    (tmp_path / "crash" / "sitecustomize.py").write_text(CRASH)
    archive = tmp_path / "archive"
    shutil.copytree(two_days, archive)
    deadly = next(archive.rglob("*GLAC*.064"))
    good = deadly.read_bytes()
    # Inside the samples of its first record, where the header is still a good one.
    deadly.write_bytes(good[:128] + DEADLY + good[128 + len(DEADLY) :])
    settings = {"spectrogram": {"sampling_rate_hz": 20, "segment_s": 21_600, "window_s": 2.0}}
    work = write_config(tmp_path, archive, **settings)
    path = os.pathsep.join([str(tmp_path / "crash"), os.environ.get("PYTHONPATH", "")])
    ended = run("cube", work.config, environment={"PYTHONPATH": path})
    assert ended.code == 3, ended.told
    assert "Traceback" not in ended.stderr, ended.told
    failed = [entry for entry in entries(work.root, "cube") if entry["status"] == "failed"]
    assert failed, ended.told
    assert {entry["key"].split("/")[0] for entry in failed} == {"SY.GLAC.00.BHZ"}
    for entry in failed:
        assert "ended its worker process 3 times" in entry["reason"]
        assert deadly.name in entry["reason"]
    assert "ended its worker process 3 times" in ended.stderr, ended.told

    deadly.write_bytes(good)
    assert run("cube", work.config).code == 0
    whole = write_config(tmp_path / "whole", two_days, **settings)
    assert run("cube", whole.config).code == 0
    assert finished(work.root, "cube").keys() == finished(whole.root, "cube").keys()
    assert not differences(work.cube, whole.cube)
