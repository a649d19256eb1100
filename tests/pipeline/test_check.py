"""Verification of a whole root: against its stores, and a sample of it against the archive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scaledec.config import Config
from scaledec.errors import RootLockedError
from scaledec.ledger.ledger import Ledger
from scaledec.ledger.lock import RootLock
from scaledec.pipeline.check import verify
from scaledec.pipeline.run import build_cube
from scaledec.places import Places
from scaledec.stages.recompute import sample_tasks
from scaledec.store.cube import CubeStore, segment_checksum
from tests.stages.cube_archives import CHANNEL, configure, make_plan, red_noise, write_sds


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A cube of a day and a half at 10 Hz in segments of two hours, computed."""
    write_sds(tmp_path / "sds", red_noise(1_296_000))
    config = configure(tmp_path, "compute.engine=serial")
    build_cube(config)
    return config


def falsify(config: Config, time_index: int) -> str:
    """Other power with a checksum that fits, as a fault of memory or of an earlier version would leave."""
    places = Places.at(config.root)
    cube = CubeStore.open(places.cube, "r+")
    power, coverage = cube.read_frames(0, time_index)
    power = power + np.float32(0.5)
    cube.write_segment(0, time_index, power, coverage)
    key = f"{CHANNEL}/2021-03-01T{2 * time_index:02d}:00:00"
    ledger = Ledger(places.ledger("cube"))
    result = ledger.read()[key]
    details = {**result.details, "checksum": segment_checksum(power, coverage)}
    ledger.append([type(result)(key, result.fingerprint, result.status, None, details)])
    return key


def test_a_sound_cube_is_computed_again_to_the_same_checksums(config: Config) -> None:
    report = verify(config, recompute=1000)
    assert report.sound
    assert report.recomputed == report.checked["cube"] + 6, "those without samples were looked at as well"
    assert "18 checked, 24 computed again, 0 missing" in report.table()


def test_what_no_checksum_shows_is_found_by_computing_again_and_mended_by_the_next(config: Config) -> None:
    key = falsify(config, 3)
    assert verify(config).sound
    report = verify(config, recompute=1000)
    assert [(finding.kind, finding.key) for finding in report.findings] == [("differing", key)]
    assert not report.sound
    assert build_cube(config).done == 1
    assert verify(config, recompute=1000).sound


def test_the_sample_is_the_same_for_a_seed_and_another_for_another(config: Config) -> None:
    tasks = make_plan(config).tasks
    done = Ledger(Places.at(config.root).ledger("cube")).read()
    chosen = [[task.key for task, _ in sample_tasks(tasks, done, 5, seed=seed)] for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(set(chosen[0])) == 5


def test_nothing_is_marked_while_another_is_at_work(config: Config) -> None:
    key = falsify(config, 3)
    with RootLock(Places.at(config.root).bookkeeping, "cube"), pytest.raises(RootLockedError):
        verify(config, recompute=1000)
    assert Ledger(Places.at(config.root).ledger("cube")).read()[key].status == "done"


def test_a_segment_whose_file_has_changed_is_not_called_wrong(config: Config, tmp_path: Path) -> None:
    write_sds(tmp_path / "sds", red_noise(600, seed=5), start_ns=CHANGED_NS)
    assert verify(config, recompute=1000).sound


CHANGED_NS = 1_614_643_200 * 10**9 + 80_000 * 10**9
"""Late on the second day, where nothing was recorded."""


def test_shards_of_no_segment_are_listed(config: Config) -> None:
    cube = Places.at(config.root).cube.path
    for name in ("power/c/7/0/0/0", "coverage/c/0/99/0", "power/c/0/tmp"):
        (cube / name).parent.mkdir(parents=True, exist_ok=True)
        (cube / name).write_bytes(b"x")
    report = verify(config)
    assert report.sound
    assert {finding.key for finding in report.of_kind("foreign")} == {
        "power/c/7",
        "coverage/c/0/99",
        "power/c/0/tmp",
    }
    assert "3 foreign" in report.table()
