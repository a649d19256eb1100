"""Verification finds what is lost or changed, and the next run mends it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scaledec.engines.serial import SerialEngine
from scaledec.ledger.ledger import Ledger
from scaledec.places import Places
from scaledec.stages.verify import mark_damaged, verify
from scaledec.store.cube import CubeStore
from scaledec.store.labels import LabelStore
from scaledec.vocabulary import TaskResult, format_time
from tests.store.making import (
    GRID,
    HHN,
    HHZ,
    START_NS,
    WINDOWS,
    full,
    label_block,
    label_template,
    make_cube,
    power,
)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A cube of 2 x 3 segments, one of them empty, and labels of one run, all in ledgers."""
    places = Places.at(str(tmp_path))
    cube = make_cube(places.cube)
    results = []
    for channel_index, channel in enumerate((HHZ, HHN)):
        for time_index in range(3):
            key = f"{channel}/{format_time(cube.segment_start_ns(time_index))}"
            if (channel_index, time_index) == (1, 1):
                results.append(TaskResult(key, "f", "empty"))
                continue
            seed = 10 * channel_index + time_index
            checksum = cube.write_segment(channel_index, time_index, power(seed), full())
            results.append(TaskResult(key, "f", "done", None, {"checksum": checksum}))
    Ledger(places.ledger("cube")).append(results)
    store = LabelStore.create_or_extend(places.labels("idec-3"), label_template(), [HHZ, HHN], START_NS, 3)
    checksum = store.write_region(label_block(0, 3))
    details = {"checksum": checksum, "labelled": 2 * WINDOWS.n_windows, "unlabelled": WINDOWS.n_windows}
    Ledger(places.label_ledger("idec-3")).append(
        [TaskResult(f"{HHZ}/{format_time(START_NS)}", "f", "done", None, details)]
    )
    return places


def shard(places: Places, channel_index: int, time_index: int) -> Path:
    return places.cube.path / f"power/c/{channel_index}/{time_index}/0/0"


def test_what_is_as_it_was_written_is_sound(places: Places) -> None:
    report = verify(places)
    assert report.sound
    assert report.checked == {"cube": 5, "labels/idec-3": 1}
    assert report.findings == ()
    assert report.table().splitlines()[0] == "cube: 5 checked, 0 missing, 0 mismatched, 0 damaged, 0 unlisted"


def test_checks_run_on_an_engine_as_well(places: Places) -> None:
    with SerialEngine() as engine:
        assert verify(places, run=engine.run) == verify(places)


def test_each_kind_of_harm_is_found_and_named(places: Places) -> None:
    shard(places, 0, 0).unlink()
    damaged = shard(places, 0, 1)
    damaged.write_bytes(damaged.read_bytes()[:-7])
    cube = CubeStore.open(places.cube, "r+")
    cube.write_segment(0, 2, power(99), full())
    cube.write_segment(1, 1, power(98), full())
    (places.labels("idec-3").path / "label/c/0/0/0").unlink()
    report = verify(places)
    assert not report.sound
    found = {(f.product, f.key): f.kind for f in report.findings}
    assert found == {
        ("cube", f"{HHZ}/2020-01-01T00:00:00"): "damaged",
        ("cube", f"{HHZ}/2020-01-01T01:00:00"): "damaged",
        ("cube", f"{HHZ}/2020-01-01T02:00:00"): "mismatched",
        ("cube", f"{HHN}/2020-01-01T01:00:00"): "unlisted",
        ("labels/idec-3", f"{HHZ}/2020-01-01T00:00:00"): "missing",
    }
    assert f"mismatched  cube  {HHZ}/2020-01-01T02:00:00  checksum" in report.table()


def test_what_is_unsound_is_entered_as_failed_and_so_done_again(places: Places) -> None:
    shard(places, 0, 0).unlink()
    report = verify(places)
    assert mark_damaged(places, report) == 1
    entry = Ledger(places.ledger("cube")).read()[f"{HHZ}/2020-01-01T00:00:00"]
    assert entry.status == "failed"
    assert "verify found it" in str(entry.reason)
    assert verify(places).checked["cube"] == 4


def test_both_arrays_of_a_segment_lost_is_missing(places: Places) -> None:
    shard(places, 0, 0).unlink()
    (places.cube.path / "coverage/c/0/0/0").unlink()
    (finding,) = verify(places).findings
    assert (finding.kind, finding.product) == ("missing", "cube")


def test_a_store_that_is_gone_misses_everything(places: Places) -> None:
    (places.cube.path / "zarr.json").unlink()
    report = verify(places)
    assert len(report.of_kind("missing")) == 5


def test_a_key_outside_the_store_is_missing(places: Places) -> None:
    details = {"checksum": 1}
    Ledger(places.ledger("cube")).append(
        [
            TaskResult(f"{HHZ}/2021-01-01T00:00:00", "f", "done", None, details),
            TaskResult("XX.NONE..HHZ/2020-01-01T00:00:00", "f", "done", None, details),
        ]
    )
    assert [f.kind for f in verify(places).findings] == ["missing", "missing"]


def test_labels_stay_sound_when_the_store_grows(places: Places) -> None:
    LabelStore.create_or_extend(places.labels("idec-3"), label_template(), [HHZ, HHN], START_NS, 9)
    assert verify(places).sound


def test_nothing_done_is_nothing_wrong(tmp_path: Path) -> None:
    report = verify(Places.at(str(tmp_path)))
    assert report.sound
    assert report.checked == {"cube": 0}


def test_a_segment_with_a_gap_is_sound(places: Places) -> None:
    cube = CubeStore.open(places.cube, "r+")
    values, coverage = power(5), full()
    values[: GRID.n_frames // 2] = np.nan
    coverage[: GRID.n_frames // 2] = 0
    checksum = cube.write_segment(0, 0, values, coverage)
    entry = TaskResult(f"{HHZ}/2020-01-01T00:00:00", "f", "done", None, {"checksum": checksum})
    Ledger(places.ledger("cube")).append([entry])
    assert verify(places).sound
