from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scaledec.errors import ConfigError, StoreError, StoreNotFoundError
from scaledec.ledger.ledger import Ledger
from scaledec.location import Location
from scaledec.places import Places
from scaledec.queries.rows import query
from scaledec.queries.tables import write_table
from scaledec.store.labels import LabelBlock, LabelStore, LabelTemplate
from scaledec.vocabulary import TaskResult, WindowState
from tests.stages.small_cubes import START_NS, channels_of, small_config

N_CHANNELS, N_SEGMENTS, N_CLUSTERS = 4, 5, 3


def make_labels(root: Path, run: str = "first", *, names: tuple[str, ...] | None = None) -> LabelStore:
    """Random labels of every window, one in ten without a label; the last segments not labelled at all."""
    config = small_config(root)
    grid, windows = config.spectrogram_grid, config.window_grid
    template = LabelTemplate(
        run=run,
        fingerprint="f",
        method="kmeans",
        grid=grid,
        windows=windows,
        segments_per_shard=2,
        centroid=np.zeros((N_CLUSTERS, 2)),
        prototype=np.zeros((N_CLUSTERS, windows.length, grid.n_frequencies)),
        prototype_units="1",
        embedding=False,
        confidence="soft assignment",
        cluster_names=names,
    )
    channels = channels_of(N_CHANNELS)
    place = Location(str(root / "labels" / f"{run}.zarr"))
    store = LabelStore.create_or_extend(place, template, channels, START_NS, N_SEGMENTS)
    rng = np.random.default_rng(1)
    for channel_index in range(N_CHANNELS):
        for first in (0, 2):
            shape = (2, windows.n_windows)
            label = rng.integers(0, N_CLUSTERS, shape).astype(np.int16)
            label[rng.random(shape) < 0.1] = -1
            values = np.where(label >= 0, rng.random((3, *shape)), np.nan).astype(np.float32)
            state = np.where(label >= 0, WindowState.LABELLED, WindowState.NO_DATA).astype(np.uint8)
            store.write_region(
                LabelBlock(channel_index, first, label, values[0], values[1], values[2], state)
            )
    Ledger(Places.at(str(root)).label_ledger(run)).append([TaskResult("key", "fingerprint", "done")])
    return store


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("query")
    make_labels(root)
    return root


@pytest.fixture(scope="module")
def everything(root: Path) -> pd.DataFrame:
    """All labelled windows, made the plain way from the whole arrays."""
    store = LabelStore.open(Location(str(root / "labels" / "first.zarr")))
    rows = []
    for channel_index, channel in enumerate(store.extent.channels):
        block = store.read_region(channel_index, 0, N_SEGMENTS)
        for segment, window in np.argwhere(block.label >= 0):
            start = pd.Timestamp(START_NS + segment * 600 * 10**9 + window * 8 * 10**9)
            rows.append(
                {
                    "channel": str(channel),
                    "start": start,
                    "end": start + pd.Timedelta(seconds=16),
                    "label": block.label[segment, window],
                    "confidence": block.confidence[segment, window],
                    "distance": block.distance[segment, window],
                    "outlier": block.outlier[segment, window],
                }
            )
    return pd.DataFrame(rows).sort_values(["channel", "start"], ignore_index=True)


def assert_equal(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    expected = expected.reset_index(drop=True)
    pd.testing.assert_frame_equal(
        found.astype({"channel": str}), expected.astype({"channel": str}), check_dtype=False
    )


FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "label >= 0"),
    ({"label": 1}, "label == 1"),
    ({"label": [0, 2]}, "label == 0 or label == 2"),
    ({"min_confidence": 0.9}, "confidence >= 0.9"),
    ({"channel": "XX.*.*.HHN"}, "channel.str.endswith('HHN')"),
    ({"channel": ["XX.S00..HHN", "XX.S01..HHZ"]}, "channel == 'XX.S00..HHN' or channel == 'XX.S01..HHZ'"),
    ({"start": "2020-01-01T00:12:08"}, "start >= '2020-01-01T00:12:08'"),
    ({"end": dt.datetime(2020, 1, 1, 0, 30)}, "start < '2020-01-01T00:30'"),
    (
        {"start": "2020-01-01T00:15", "end": "2020-01-01T00:15:10", "label": [0, 1, 2]},
        "'2020-01-01T00:15' <= start < '2020-01-01T00:15:10'",
    ),
    ({"min_outlier": 0.5, "min_confidence": 0.2}, "outlier >= 0.5 and confidence >= 0.2"),
    ({"hours": "0"}, "start.dt.hour == 0"),
    ({"hours": "23-1"}, "start.dt.hour == 23 or start.dt.hour == 0"),
    ({"hours": (1, 24), "label": 0}, "start.dt.hour >= 1 and label == 0"),
    ({"start": "2021-01-01"}, "label < 0"),
    ({"end": "2019-01-01"}, "label < 0"),
]


@pytest.mark.parametrize(("filters", "expression"), FILTERS, ids=[str(f) for f, _ in FILTERS])
def test_each_filter_keeps_what_a_filter_of_the_whole_table_keeps(
    root: Path, everything: pd.DataFrame, filters: dict[str, Any], expression: str
) -> None:
    assert_equal(query(str(root), **filters), everything.query(expression, engine="python"))


@pytest.mark.parametrize("limit", [1, 60, 150, 10_000])
def test_a_limit_gives_the_first_rows(root: Path, everything: pd.DataFrame, limit: int) -> None:
    assert_equal(query(str(root), limit=limit), everything.head(limit))


def test_columns_have_the_same_types_with_and_without_rows(root: Path) -> None:
    full, empty = query(str(root)), query(str(root), start="2030-01-01")
    assert len(empty) == 0
    assert list(full.columns) == ["channel", "start", "end", "label", "confidence", "distance", "outlier"]
    assert full.drop(columns="channel").dtypes.equals(empty.drop(columns="channel").dtypes)
    assert full["start"].dtype == "datetime64[ns]"
    assert full["label"].dtype == np.int16


def test_segments_outside_the_times_asked_for_are_not_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: set[tuple[Any, ...]] = set()
    original = LabelStore.read

    def spy(store: LabelStore, name: str, *place: int) -> Any:
        read.add((name, *place))
        return original(store, name, *place)

    monkeypatch.setattr(LabelStore, "read", spy)
    query(str(root), channel="XX.S00.*", label=1, start="2020-01-01T00:10", end="2020-01-01T00:20")
    assert {place[1:] for place in read} == {(0, 1, 2), (1, 1, 2)}


def test_names_that_a_person_gave_come_with_the_rows(tmp_path: Path) -> None:
    make_labels(tmp_path, names=("quake", "tremor", "wind"))
    found = query(str(tmp_path), label=[0, 2])
    assert set(zip(found["label"], found["name"], strict=True)) == {(0, "quake"), (2, "wind")}


def test_the_newest_run_is_asked_unless_another_is_named(tmp_path: Path) -> None:
    make_labels(tmp_path, "zz-older", names=("a", "b", "c"))
    make_labels(tmp_path, "aa-newer")
    assert "name" not in query(str(tmp_path), limit=1)
    assert "name" in query(str(tmp_path), run="zz-older", limit=1)


@pytest.mark.parametrize(
    ("filters", "sentence"),
    [
        ({"channel": "XX.S00..HHE"}, r"no channel matches 'XX\.S00\.\.HHE'; nearest: XX\.S00\.\.HH"),
        ({"channel": "zz"}, r"there are: XX\.S00\.\.HHZ"),
        ({"label": 3}, "labels 0 to 2"),
        ({"label": -1}, "labels 0 to 2"),
        ({"start": "2020-01-02", "end": "2020-01-02"}, "start is not before end"),
        ({"start": "yesterday"}, "start is 'yesterday'; expected a time"),
        ({"min_confidence": 90}, "expected 0 to 1"),
        ({"limit": 0}, "expected at least 1"),
        ({"hours": "9-25"}, r"hours are '9-25'; expected hours of the day in UTC from 0 to 24"),
        ({"hours": "night"}, "22-4"),
        ({"hours": (7, 7)}, "'7-7'"),
    ],
)
def test_a_filter_that_can_fit_nothing_is_refused(root: Path, filters: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        query(str(root), **filters)


def test_an_unknown_run_is_answered_with_those_there_are(root: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="runs there: first"):
        query(str(root), run="second")
    with pytest.raises(StoreNotFoundError, match="label stage"):
        query(str(tmp_path))


def test_a_run_without_outlier_scores_says_so_instead_of_finding_nothing(tmp_path: Path) -> None:
    store = make_labels(tmp_path)
    for channel_index in range(N_CHANNELS):
        for first in (0, 2):
            block = store.read_region(channel_index, first, first + 2)
            unknown = np.full_like(block.outlier, np.nan)
            LabelStore.open(store.location, "r+").write_region(dataclasses.replace(block, outlier=unknown))
    with pytest.raises(ConfigError, match="no outlier score"):
        query(str(tmp_path), min_outlier=0.5)
    assert len(query(str(tmp_path))) > 0


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    store = make_labels(tmp_path)
    shard = store.location.path / "label" / "c" / "1" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(StoreError, match=r"XX\.S00\.\.HHN"):
        query(str(tmp_path))


def test_tables_come_back_from_each_format_as_they_were(root: Path, tmp_path: Path) -> None:
    table = query(str(root), limit=40)
    for ending in ("csv", "parquet", "json", "jsonl"):
        write_table(table, str(tmp_path / f"hits.{ending}"))
    assert_equal(pd.read_parquet(tmp_path / "hits.parquet"), table)
    csv = pd.read_csv(tmp_path / "hits.csv", parse_dates=["start", "end"], dtype={"confidence": "f4"})
    assert csv["start"].dt.tz is not None
    np.testing.assert_array_equal(csv["start"].dt.tz_localize(None), table["start"])
    np.testing.assert_array_equal(csv["confidence"], table["confidence"])
    records = json.loads((tmp_path / "hits.json").read_text())
    lines = [json.loads(line) for line in (tmp_path / "hits.jsonl").read_text().splitlines()]
    assert records == lines
    assert [record["channel"] for record in records] == list(table["channel"])
    assert pd.Timestamp(records[3]["end"]) == table["end"][3].tz_localize("UTC")
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".csv", ".json", ".jsonl", ".parquet"]


def test_an_ending_that_says_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.csv, \.parquet"):
        write_table(pd.DataFrame({"label": [1]}), str(tmp_path / "hits.xlsx"))


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="missing"):
        write_table(pd.DataFrame({"label": [1]}), str(tmp_path / "missing" / "hits.csv"))
