"""Windows like another one: the nearest of all embeddings, whatever order they are read in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import NearestNeighbors

from scaledec.errors import ConfigError
from scaledec.ledger.ledger import Ledger
from scaledec.places import Places
from scaledec.queries import similar as module
from scaledec.queries.similar import similar
from scaledec.store.labels import LabelStore
from scaledec.store.names import ClusterName, write_names
from scaledec.vocabulary import TaskResult, WindowState
from tests.store.making import HHN, HHZ, START_NS, label_block, label_template

N_SEGMENTS = 6
LENGTH = pd.Timedelta(seconds=60)
GAP = (1, 3, slice(10, 20))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two channels of 6 segments of 120 windows that overlap by half, random embeddings, one gap."""
    root = str(tmp_path_factory.mktemp("similar"))
    places = Places.at(root)
    store = LabelStore.create_or_extend(
        places.labels("run"), label_template(), [HHZ, HHN], START_NS, N_SEGMENTS
    )
    for channel_index in range(2):
        for first, n in ((0, 4), (4, 2)):
            block = label_block(first + 10 * channel_index, n, channel_index=channel_index)
            block = replace(block, first_time_index=first)
            if (channel_index, first) == (1, 0):
                assert block.embedding is not None
                block.embedding[GAP[1], GAP[2]] = np.nan
                block.state[GAP[1], GAP[2]] = WindowState.NO_DATA
            store.write_region(block)
    Ledger(places.label_ledger("run")).append([TaskResult("key", "fingerprint", "done")])
    return root


@pytest.fixture(scope="module")
def everything(root: str) -> pd.DataFrame:
    """Every embedding, by the whole arrays."""
    store = LabelStore.open(Places.at(root).labels("run"))
    parts = []
    for index, channel in enumerate((HHZ, HHN)):
        block = store.read_region(index, 0, N_SEGMENTS)
        assert block.embedding is not None
        starts = store.start_ns(index, 0, N_SEGMENTS).reshape(-1).view("datetime64[ns]")
        part = pd.DataFrame({"channel": str(channel), "start": starts})
        part["z"] = pd.Series(list(block.embedding.reshape(-1, 5)), dtype=object)
        part["label"] = block.label.reshape(-1)
        parts.append(part[np.isfinite(block.embedding).all(axis=2).reshape(-1)])
    return pd.concat(parts, ignore_index=True)


def nearest(table: pd.DataFrame, point: Any, k: int) -> pd.DataFrame:
    """By scikit-learn."""
    z = np.stack(table["z"].to_list()).astype(np.float64)
    distance, rows = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(z).kneighbors([point])
    found: pd.DataFrame = table.iloc[rows[0]].assign(embedding_distance=distance[0]).reset_index(drop=True)
    return found


def assert_found(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert found["channel"].astype(str).tolist() == expected["channel"].tolist()
    assert found["start"].tolist() == expected["start"].tolist()
    assert found["label"].tolist() == expected["label"].tolist()
    assert (found["end"] - found["start"] == LENGTH).all()
    np.testing.assert_allclose(found["embedding_distance"], expected["embedding_distance"], rtol=1e-6)


@pytest.mark.parametrize("block_bytes", [1, 16 * 2**20])
def test_windows_nearest_to_a_centroid_are_those_of_an_independent_search(
    root: str, everything: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    monkeypatch.setattr(module, "_BLOCK_BYTES", block_bytes)
    centroid = LabelStore.open(Places.at(root).labels("run")).centroid[1]
    assert_found(similar(root, nearest_to=1, limit=37), nearest(everything, centroid, 37))


def test_a_window_is_found_by_any_time_in_it_and_is_not_like_itself(
    root: str, everything: pd.DataFrame
) -> None:
    row = everything.iloc[700]
    expected = nearest(everything, row["z"], 26).iloc[1:].reset_index(drop=True)
    assert expected["start"].ne(row["start"]).any()
    # Windows begin every 30 s and last 60: the one that holds a time and started last is meant.
    for after_s in (0, 29):
        moment = (row["start"] + pd.Timedelta(seconds=after_s)).isoformat()
        assert_found(similar(root, like=(row["channel"], moment), limit=25), expected)


def test_neighbours_in_time_can_be_left_out(root: str, everything: pd.DataFrame) -> None:
    row = everything.iloc[200]
    near = (everything["start"] - row["start"]).abs() <= pd.Timedelta(hours=2)
    others = everything[~(near & (everything["channel"] == row["channel"]))]
    found = similar(root, like=(row["channel"], row["start"].isoformat()), limit=40, apart_s=7200)
    assert_found(found, nearest(others, row["z"], 40))


def test_the_search_can_be_confined_to_channels_and_times(root: str, everything: pd.DataFrame) -> None:
    start, end = pd.Timestamp("2020-01-01T01:10"), pd.Timestamp("2020-01-01T03:50")
    kept = everything[
        (everything["channel"] == str(HHN)) & (everything["start"] >= start) & (everything["start"] < end)
    ]
    centroid = LabelStore.open(Places.at(root).labels("run")).centroid[2]
    found = similar(
        root, nearest_to=2, channel="*.HHN", start=start.isoformat(), end=end.isoformat(), limit=1000
    )
    assert_found(found, nearest(kept, centroid, len(kept)))


def test_names_of_clusters_are_understood_and_shown(root: str) -> None:
    run = Places.at(root).run("run")
    write_names(run, {1: ClusterName("tremor", "")})
    try:
        found = similar(root, nearest_to="tremor", limit=30)
        assert found["start"].equals(similar(root, nearest_to=1, limit=30)["start"])
        assert set(found["name"][found["label"] == 1]) == {"tremor"}
    finally:
        write_names(run, {})


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, "either a cluster"),
        ({"nearest_to": 1, "like": ("x", "y")}, "either a cluster"),
        ({"nearest_to": 7}, "labels 0 to 2"),
        ({"like": ("CM.BAR2.00.HHX", "2020-01-01")}, r"nearest: CM\.BAR2\.00\.HH"),
        ({"like": ("CM.BAR2.00.HH?", "2020-01-01")}, r"no channel is named 'CM\.BAR2\.00\.HH\?'"),
        ({"like": (str(HHZ), "soon")}, "expected a time"),
        ({"like": (str(HHZ), "2021-01-01")}, "no window lies there"),
        ({"like": (str(HHN), "2020-01-01T03:07:00")}, "it is no data"),
        ({"nearest_to": 1, "limit": 0}, "limit is 0"),
    ],
)
def test_what_is_not_there_is_said(root: str, asked: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        similar(root, **asked)


def test_a_run_without_embeddings_says_what_to_set(tmp_path: Path) -> None:
    places = Places.at(str(tmp_path))
    LabelStore.create_or_extend(
        places.labels("bare"), label_template(embedding=False), [HHZ], START_NS, N_SEGMENTS
    )
    with pytest.raises(ConfigError, match=r"label\.embedding: true"):
        similar(str(tmp_path), run="bare", nearest_to=0)
