"""A day more in the archive: the cube grows by it, and the model that is there labels it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from scaledec.synthetic.archive import write_synthetic_archive
from scaledec.synthetic.settings import DEFAULT_STATIONS, SyntheticSettings
from tests.durability.children import assert_reads_well, finished, run
from tests.durability.conftest import SETTINGS, write_config

pytestmark = [pytest.mark.durability]

START, NEW_DAY, END = "2024-03-04T18:00:00", "2024-03-06T00:00:00", "2024-03-06T06:00:00"
SERIAL: dict[str, Any] = {
    "compute": {"engine": "serial"},
    "spectrogram": {**SETTINGS["spectrogram"], "segment_s": 900},
    "pretrain": {**SETTINGS["pretrain"], "epochs": 20},
}
N_SEGMENTS_BEFORE, N_SEGMENTS = 4 * 30, 4 * 36
LARGE = ("power", "coverage", "label", "confidence", "distance", "embedding")


def shards(files: dict[str, str], *, before: int) -> dict[str, str]:
    """Files of the large arrays, of time shards before one."""
    found = {}
    for name, digest in files.items():
        parts = name.split("/")
        if parts[0] in LARGE and parts[1] == "c" and int(parts[3]) < before:
            found[name] = digest
    return found


@pytest.fixture(scope="module")
def three_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One station; six hours of a day, a whole one, six hours of the next."""
    settings = SyntheticSettings(
        start=START, hours=36.0, sampling_rate_hz=20.0, stations=DEFAULT_STATIONS[:1], faults=False
    )
    return write_synthetic_archive(tmp_path_factory.mktemp("three_days"), settings).sds.path


def test_a_new_day_extends_cube_and_labels_and_changes_nothing_before(
    three_days: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    shutil.copytree(three_days, archive)
    (new,) = archive.rglob("*.066")
    shutil.move(new, tmp_path / new.name)
    work = write_config(tmp_path, archive, **SERIAL)
    times = ["--set", f"archive.start={START}", "--set", f"archive.end={END}"]
    ended = run("run", work.config, *times)
    assert ended.code == 0, ended.told
    cube, labels, model = work.cube, work.labels, work.model
    done = finished(work.root, "cube")

    shutil.move(tmp_path / new.name, new)
    ended = run("run", work.config, *times)
    assert ended.code == 0, ended.told
    assert_reads_well(ended.stderr)
    assert f"1 channels x {N_SEGMENTS} segments" in ended.stderr, ended.told

    now = finished(work.root, "cube")
    added = {key.split("/")[1] for key in now if now[key] > done[key]}
    assert len([start for start in added if start >= NEW_DAY]) == N_SEGMENTS - N_SEGMENTS_BEFORE
    # A day's file may begin early: the day before is looked at again, nothing before that.
    assert min(added) >= "2024-03-04T23:45:00"
    assert work.model == model, "the model was trained again"

    # The last segment's last frame reaches into the new day, and so does its last window.
    kept = shards(cube, before=N_SEGMENTS_BEFORE - 1)
    assert len(kept) == 2 * (N_SEGMENTS_BEFORE - 1)
    assert shards(work.cube, before=N_SEGMENTS_BEFORE - 1) == kept
    n_shards = N_SEGMENTS_BEFORE // 4
    kept = shards(labels, before=n_shards - 1)
    assert len(kept) == 4 * (n_shards - 1)
    assert shards(work.labels, before=n_shards - 1) == kept
    assert len(shards(work.labels, before=N_SEGMENTS)) == N_SEGMENTS // 4 * 4
    checked = run("verify", work.config)
    assert checked.code == 0, checked.told


def test_a_cube_that_grew_is_the_one_made_at_once(three_days: Path, tmp_path: Path) -> None:
    grown = write_config(tmp_path / "grown", three_days, **SERIAL)
    whole = write_config(tmp_path / "whole", three_days, **SERIAL)
    start = ["--set", f"archive.start={START}"]
    assert run("cube", grown.config, *start, "--set", f"archive.end={NEW_DAY}").code == 0
    for work in (grown, whole):
        ended = run("cube", work.config, *start, "--set", f"archive.end={END}")
        assert ended.code == 0, ended.told
    assert grown.cube == whole.cube
