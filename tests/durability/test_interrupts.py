"""Ctrl-C and SIGTERM: one line, the right exit code, no process left, and the same command goes on."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.durability.children import (
    assert_reads_well,
    differences,
    done_again,
    entries,
    epochs,
    finished,
    run,
    started,
)
from tests.durability.conftest import RUN, Begin, Reference, write_config

pytestmark = [pytest.mark.durability, pytest.mark.ray]

SENTENCE = "the same command goes on from there"


@pytest.mark.parametrize(("how", "code"), [("ctrl-c", 130), ("terminate", 143)])
def test_a_cube_that_is_stopped_goes_on_later(
    how: str, code: int, two_days: Path, reference: Reference, tmp_path: Path
) -> None:
    work = write_config(tmp_path, two_days)
    with started("cube", work.config) as child:
        child.wait_until(lambda: len(entries(work.root, "cube")) >= 60, "60 segments")
        if how == "ctrl-c":
            child.interrupt()
        else:
            child.kill(signal.SIGTERM)
        assert child.wait(30) == code, child.told
        assert not child.orphans(), child.told
        assert_reads_well(child.stderr)
        assert child.stderr.splitlines()[-1].endswith(SENTENCE), child.told
    before = finished(work.root, "cube")
    assert len(before) < len(finished(reference.work.root, "cube")), "stopped too late to show anything"

    ended = run("cube", work.config)
    assert ended.code == 0, ended.told
    assert f"{len(before)} done before" in ended.stderr, ended.told
    assert not done_again(work.root, "cube")
    assert not differences(work.cube, reference.work.cube), ended.told


@pytest.mark.parametrize(
    ("how", "code"), [("ctrl-c", 130), pytest.param("terminate", 143, marks=pytest.mark.heavy)]
)
def test_pretraining_that_is_stopped_leaves_no_ray_behind(how: str, code: int, begin: Begin) -> None:
    work = begin("pretrain")
    with started("pretrain", work.config) as child:
        child.wait_until(lambda: epochs(work.root, RUN), "the first metrics")
        if how == "ctrl-c":
            child.interrupt()
        else:
            child.kill(signal.SIGTERM)
        assert child.wait(30) == code, child.told
        assert not child.orphans(), child.told
        assert_reads_well(child.stderr)
        assert child.stderr.splitlines()[-1].endswith(SENTENCE), child.told
