from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import pandas as pd
import pytest
from obspy.io.quakeml.core import _validate

from scaledec.cli.main import main
from scaledec.errors import ConfigError
from scaledec.places import Places
from scaledec.queries.counts import count_by
from scaledec.queries.episodes import episodes
from scaledec.queries.events_of import events_of, write_episodes_quakeml
from scaledec.queries.geojson import station_features
from scaledec.queries.rows import query
from scaledec.queries.tables import write_table
from scaledec.store.datasets import open_labels
from scaledec.store.names import ClusterName, write_names
from scaledec.synthetic.labels import write_simulated_labels
from tests.query.conftest import Asked
from tests.query.making import SETTINGS


def test_json_has_the_numbers_that_people_read_and_times_in_utc(continuous: Asked, tmp_path: Path) -> None:
    table = query(continuous.root, limit=5).assign(confidence=np.float32(0.9))
    write_table(table, str(tmp_path / "hits.json"))
    records = json.loads((tmp_path / "hits.json").read_text())
    assert [record["confidence"] for record in records] == [0.9] * 5
    assert [np.float32(record["distance"]) for record in records] == list(table["distance"])
    assert records[1]["start"] == "2020-02-27T00:04:16.000000Z"


def test_geojson_has_a_point_a_station_with_its_counts_by_name(tmp_path: Path) -> None:
    write_simulated_labels(str(tmp_path), SETTINGS)
    write_names(
        Places.at(str(tmp_path)).run("simulated"), {1: ClusterName("ice quake"), 3: ClusterName("ice quake")}
    )
    counts = count_by(str(tmp_path), ["station", "label"])
    found = station_features(counts, open_labels(str(tmp_path)))
    assert [f["properties"]["station"] for f in found["features"]] == ["ZS.S000", "ZS.S001"]
    windows = query(str(tmp_path))
    for feature in found["features"]:
        own = windows[windows["channel"].str.startswith(feature["properties"]["station"])]
        assert feature["properties"]["windows"] == len(own)
        assert feature["properties"]["classes"] == {
            "cluster_0": (own["label"] == 0).sum(),
            "ice quake": own["label"].isin([1, 3]).sum(),
            "cluster_2": (own["label"] == 2).sum(),
        }
        longitude, latitude, elevation = feature["geometry"]["coordinates"]
        assert 166 < longitude < 168
        assert -78 < latitude < -77
        assert elevation == 100


def test_a_station_without_coordinates_has_no_geometry(at_events: Asked) -> None:
    counts = count_by(at_events.root, ["station", "label"])
    found = station_features(counts, open_labels(at_events.root))
    assert [feature["geometry"] for feature in found["features"]] == [None, None]


def test_quakeml_is_valid_and_obspy_reads_a_pick_for_every_episode(asked: Asked, tmp_path: Path) -> None:
    found = episodes(asked.root, label=[1, 2], max_gap_s=300)
    n_events = write_episodes_quakeml(found, str(tmp_path / "found.xml"), run="run: 1")
    assert _validate(str(tmp_path / "found.xml"))
    catalog = obspy.read_events(str(tmp_path / "found.xml"))
    picks = [
        (pick.waveform_id.get_seed_string(), np.datetime64(pick.time.ns // 1000, "us"))
        for event in catalog
        for pick in event.picks
    ]
    expected = list(zip(found["channel"], found["start"].to_numpy().astype("datetime64[us]"), strict=True))
    assert sorted(picks) == sorted(expected)
    assert len(catalog) == n_events <= len(found)
    assert len({str(event.resource_id) for event in catalog}) == n_events
    firsts = [min(pick.time for pick in event.picks) for event in catalog]
    assert firsts == sorted(firsts)
    first = found.sort_values(["start", "channel"]).iloc[0]
    assert catalog[0].event_descriptions[0].text == f"cluster_{first['label']}"
    assert re.match(
        rf"label {first['label']}, \d+ windows, mean confidence 0\.\d+, until", catalog[0].comments[0].text
    )


def made_up(*rows: tuple[str, str, int]) -> pd.DataFrame:
    start = pd.to_datetime([f"2020-01-01T{time}" for _, time, _ in rows]).to_numpy("datetime64[ns]")
    return pd.DataFrame(
        {
            "channel": [channel for channel, _, _ in rows],
            "start": start,
            "end": start + np.timedelta64(60, "s"),
            "label": [label for _, _, label in rows],
            "windows": 2,
            "confidence": 0.5,
        }
    )


def test_episodes_that_begin_together_are_one_event() -> None:
    found = made_up(
        ("XX.A..HHZ", "00:00:00", 1),
        ("XX.A..HHN", "00:00:00", 1),
        ("XX.B..HHZ", "00:00:04", 1),
        ("XX.A..HHZ", "00:00:03", 1),  # the same channel again: another event
        ("XX.A..HHZ", "00:00:00", 2),
        ("XX.B..HHZ", "01:00:00", 1),
    )

    def grouped(associate_s: float | None) -> list[list[str]]:
        return [[str(channel) for channel, _ in event.picks] for event in events_of(found, associate_s)]

    alone = [["XX.A..HHN", "XX.A..HHZ"], ["XX.A..HHZ"], ["XX.A..HHZ"], ["XX.B..HHZ"], ["XX.B..HHZ"]]
    assert grouped(None) == alone
    assert sorted(grouped(5)) == [
        ["XX.A..HHN", "XX.A..HHZ"],
        ["XX.A..HHZ"],
        ["XX.A..HHZ", "XX.B..HHZ"],
        ["XX.B..HHZ"],
    ]
    with pytest.raises(ConfigError, match="associate_s is -1"):
        events_of(found, -1)


@pytest.fixture(scope="module")
def config_path(continuous: Asked, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("config") / "my.yaml"
    path.write_text(f"root: {continuous.root}\narchive: {{url: memory://none}}\nrun: simulated\n")
    return str(path)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["query", *arguments])
    return int(exit_.value.code or 0)


def test_the_command_line_writes_what_the_functions_give(
    continuous: Asked, config_path: str, tmp_path: Path
) -> None:
    root, name = continuous.root, str(tmp_path / "found.parquet")
    cases: list[tuple[list[str], pd.DataFrame]] = [
        (
            [
                "--hours",
                "22-4",
                "--outliers",
                "0.5",
                "--channel",
                "*Z",
                "--channel",
                "*S000*",
                "--label",
                "2",
            ],
            query(root, hours="22-4", min_outlier=0.5, channel=["*Z", "*S000*"], label="2"),
        ),
        (["--count-by", "label, station,hour"], count_by(root, ["label", "station", "hour"])),
        (
            [
                "--episodes",
                "--max-gap",
                "300",
                "--min-windows",
                "3",
                "--min-confidence",
                "0.6",
                "--limit",
                "9",
            ],
            episodes(root, max_gap_s=300, min_windows=3, min_confidence=0.6).head(9),
        ),
    ]
    for options, expected in cases:
        assert run(config_path, *options, "-o", name) == 0
        found = pd.read_parquet(name)
        as_text: Any = {c: str for c in ("channel", "station") if c in expected}
        pd.testing.assert_frame_equal(found.astype(as_text), expected.astype(as_text), check_dtype=False)
        assert len(found) > 5


def test_the_ending_makes_maps_and_catalogs(
    continuous: Asked, config_path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config_path, "--label", "1", "-o", str(tmp_path / "w.geojson")) == 0
    assert run(config_path, "--label", "1", "--episodes", "-o", str(tmp_path / "e.geojson")) == 0
    windows, found = (json.loads((tmp_path / f"{name}.geojson").read_text()) for name in "we")
    assert windows["features"][0]["properties"]["windows"] == len(
        query(continuous.root, label=1, channel="*S000*")
    )
    assert found["features"][0]["properties"]["episodes"] == len(
        episodes(continuous.root, label=1, channel="*S000*")
    )
    assert run(config_path, "--episodes", "--label", "3", "-o", str(tmp_path / "e.xml")) == 0
    assert len(obspy.read_events(str(tmp_path / "e.xml"))) > 10
    capsys.readouterr()
    assert run(config_path, "-o", str(tmp_path / "w.xml")) == 2
    assert "give --episodes" in capsys.readouterr().err
    assert run(config_path, "--max-gap", "3") == 2
    assert run(config_path, "--count-by", "hour", "-o", str(tmp_path / "h.geojson")) == 2
    assert run(config_path, "-o", str(tmp_path / "w.xlsx")) == 1
    assert run(config_path, "--count-by", "label", "--episodes") == 2
    assert run(config_path, "--hours", "25") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.geojson", "e.xml", "w.geojson"]
