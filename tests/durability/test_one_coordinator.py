"""Two command lines on one root: the second is refused, or takes over from a killed one."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from scaledec.ledger.lock import read_holder
from scaledec.places import Places
from tests.durability.children import Child, assert_reads_well, entries, run, started
from tests.durability.conftest import SETTINGS, Work, write_config

pytestmark = [pytest.mark.durability]

ENDLESS: dict[str, Any] = {
    "compute": {"engine": "serial"},
    "pretrain": {**SETTINGS["pretrain"], "epochs": 100_000, "patience": 100_000},
}
"""A run that is at work until it is stopped."""


def wait_until_training(child: Child, work: Work) -> None:
    metrics = Places.at(str(work.root)).runs.path
    child.wait_until(lambda: list(metrics.rglob("metrics.jsonl")), "the first epoch")


def test_a_second_command_is_refused_and_goes_on_where_a_killed_one_stopped(
    two_days: Path, tmp_path: Path
) -> None:
    work = write_config(tmp_path, two_days, **ENDLESS)
    with started("run", work.config) as first:
        wait_until_training(first, work)
        refused = run("cube", work.config)
        assert refused.code == 1, refused.told
        assert f"process {first.process.pid}" in refused.stderr
        assert "last heartbeat" in refused.stderr
        assert_reads_well(refused.stderr)
        # Those that only read are not kept out.
        told = run("status", work.config)
        assert told.code == 0, told.told
        assert "`scaledec run` on" in told.stdout
        assert run("plan", work.config).code == 0
        n_entries = len(entries(work.root, "cube"))
        first.kill()
        first.wait()
    began = time.monotonic()
    after = run("cube", work.config)
    assert after.code == 0, after.told
    assert time.monotonic() - began < 30, "nobody has to wait for the dead one's heartbeat"
    assert len(entries(work.root, "cube")) == n_entries, "nothing was left to do"
    assert read_holder(Places.at(str(work.root)).bookkeeping) is None


def test_a_command_whose_lock_is_taken_stops_and_says_who_has_it(two_days: Path, tmp_path: Path) -> None:
    work = write_config(tmp_path, two_days, **ENDLESS)
    lock = Places.at(str(work.root)).bookkeeping.child("lock.json")
    with started("run", work.config) as child:
        wait_until_training(child, work)
        holder = json.loads(lock.read_bytes())
        lock.write_bytes(json.dumps({**holder, "token": "other", "host": "node7"}).encode())
        assert child.wait(60) == 1, child.told
        assert "taken over by `scaledec run` on node7" in child.stderr
        assert_reads_well(child.stderr)
    assert json.loads(lock.read_bytes())["token"] == "other"
