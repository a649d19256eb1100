"""What a changed archive makes be done again: counted in tasks of a real root, cube and labels."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from scaledec.config import Config, parse_config, run_name
from scaledec.ledger.ledger import Ledger
from scaledec.location import Location
from scaledec.pipeline.run import build_cube, label, run
from scaledec.places import Places
from scaledec.vocabulary import ChannelId
from tests.stages.cube_archives import DAY_NS, START_NS, red_noise, sds_path, write_sds
from tests.stages.small_cubes import file_bytes

SETTINGS = """
spectrogram: {sampling_rate_hz: 10, segment_s: 7200, window_s: 6.4}
windows: {length_s: 64}
model: {widths: [4, 8], latent: 3}
pretrain: {windows: 200, epochs: 1}
cluster: {n_clusters: 3, restarts: 1, epochs: 1, method: kmeans}
label: {segments_per_shard: 4}
compute: {engine: serial}
"""
A_DAY = 12
"""Segments."""


@dataclass
class Root:
    """A root whose stages are run again and again while its archive changes."""

    config: Config
    archive: Path
    before: Counter[str]

    @property
    def entries(self) -> Counter[str]:
        """Entries of the ledgers by product and day."""
        places = Places.at(self.config.root)
        counted: Counter[str] = Counter()
        for product, folder in (
            ("cube", places.ledger("cube")),
            ("label", places.label_ledger(run_name(self.config))),
        ):
            for part in folder.path.glob("*.jsonl"):
                for line in part.read_text().splitlines():
                    key = line.split('"key":"')[1].split('"')[0]
                    counted[f"{product} {key.split('/')[1][5:10]}"] += 1
        return counted

    def done_again(self) -> dict[str, int]:
        """Run cube and labels once more; how many tasks that took, by product and day."""
        build_cube(self.config)
        label(self.config)
        now = self.entries
        added = now - self.before
        self.before = now
        return dict(added)

    def day(self, number: int) -> Path:
        return sds_path(self.archive, START_NS + number * DAY_NS)


@pytest.fixture(scope="module")
def three_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a trained model and labels, and its archive of three days at 10 Hz beside it."""
    folder = tmp_path_factory.mktemp("three_days")
    write_sds(folder / "sds", red_noise(3 * 864_000))
    run(config_in(folder))
    return folder


def config_in(folder: Path) -> Config:
    return parse_config(f"root: {folder / 'root'}\narchive: {{url: {folder / 'sds'}}}\n{SETTINGS}")


@pytest.fixture
def root(three_days: Path, tmp_path: Path) -> Root:
    shutil.copytree(three_days, tmp_path, dirs_exist_ok=True)
    root = Root(config_in(tmp_path), tmp_path / "sds", Counter())
    assert root.done_again() != {}, "everything that was done before is counted here"
    assert root.done_again() == {}, "the copy of the files has their times"
    return root


def test_a_file_that_was_only_touched_is_read_again_and_no_label_is_made_again(root: Root) -> None:
    os.utime(root.day(1), ns=(1, 1))
    # Its own segments, and the last one before it, whose last frame reaches into it.
    assert root.done_again() == {"cube 03-02": A_DAY, "cube 03-01": 1}
    assert root.done_again() == {}


def test_a_late_correction_redoes_its_day_and_the_labels_of_what_it_changed(root: Root) -> None:
    samples = red_noise(3 * 864_000)[864_000 : 2 * 864_000]
    # In the eighth segment of the day, which is in the second of its three shards of labels.
    samples[7 * 72_000 + 1000 : 7 * 72_000 + 30_000] += 1000 * np.sign(np.sin(np.arange(29_000))).astype(
        np.int32
    )
    root.day(1).unlink()
    write_sds(root.archive, samples, start_ns=START_NS + DAY_NS)
    assert root.done_again() == {"cube 03-02": A_DAY, "cube 03-01": 1, "label 03-02": 1}


def test_a_new_day_adds_its_own_and_completes_the_last_segment_before_it(root: Root) -> None:
    write_sds(root.archive, red_noise(864_000, seed=1), start_ns=START_NS + 3 * DAY_NS)
    assert root.done_again() == {"cube 03-04": A_DAY, "cube 03-03": 1, "label 03-04": 3, "label 03-03": 1}


def test_a_new_channel_touches_no_other(root: Root) -> None:
    other = ChannelId("XX", "BBB", "00", "BHZ")
    write_sds(root.archive, red_noise(864_000, seed=2), channel=other)
    before = file_bytes(Places.at(root.config.root).cube.path / "power" / "c" / "0")
    # Its file may run over into the day after: those segments are looked at, and hold nothing.
    assert root.done_again() == {"cube 03-01": A_DAY, "cube 03-02": A_DAY, "label 03-01": 3}
    assert file_bytes(Places.at(root.config.root).cube.path / "power" / "c" / "0") == before


def test_a_file_that_has_gone_takes_nothing_with_it(root: Root) -> None:
    cube = Places.at(root.config.root).cube.path
    before = file_bytes(cube)
    root.day(0).unlink()
    assert root.done_again() == {}
    assert file_bytes(cube) == before


def test_a_file_that_was_spoiled_takes_its_power_and_labels_away_and_gives_them_back(root: Root) -> None:
    places = Places.at(root.config.root)
    stores = places.cube.path, places.labels(run_name(root.config)).path
    before = [file_bytes(store) for store in stores]
    good = root.day(1).read_bytes()
    root.day(1).write_bytes(b"<html>busy</html>")
    # The last segment of the day before loses its last frame, and with it its shard a window at most.
    assert root.done_again() == {"cube 03-02": A_DAY, "cube 03-01": 1, "label 03-02": 3, "label 03-01": 1}
    held = {
        key.split("/")[1][5:10]
        for key, r in Ledger(places.ledger("cube")).read().items()
        if "checksum" in r.details
    }
    assert held == {"03-01", "03-03"}
    assert not (stores[0] / "power/c/0/13/0/0").exists()
    root.day(1).write_bytes(good)
    root.done_again()
    assert [file_bytes(store) for store in stores] == before


def test_on_an_object_store_a_file_counts_as_changed_when_its_content_is(
    s3_options: dict[str, object], tmp_path: Path
) -> None:
    bucket = Location(f"s3://bucket/{uuid.uuid4().hex}", s3_options)
    write_sds(tmp_path / "sds", red_noise(2 * 864_000))
    days = sorted((tmp_path / "sds").rglob("*.2021.*"))
    places = [bucket.child(str(day.relative_to(tmp_path))) for day in days]
    for day, place in zip(days, places, strict=True):
        place.write_bytes(day.read_bytes())
    options = json.dumps(s3_options)
    config = parse_config(
        f"root: {bucket.child('root')}\nstorage_options: {options}\n"
        f"archive: {{url: '{bucket.child('sds')}', storage_options: {options}}}\n{SETTINGS}"
    )
    assert build_cube(config).done == 2 * A_DAY
    places[1].write_bytes(days[1].read_bytes())
    assert build_cube(config).done == 0, "written again with the same content"
    write_sds(tmp_path / "other", red_noise(864_000, seed=3), start_ns=START_NS + DAY_NS)
    (other,) = (tmp_path / "other").rglob("*.2021.*")
    places[1].write_bytes(other.read_bytes())
    assert build_cube(config).done == A_DAY + 1
