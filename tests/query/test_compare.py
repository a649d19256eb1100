"""Two runs against each other; the oracle is scikit-learn on all labels at once."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn import metrics

from scaledec.cli.main import _verbs
from scaledec.errors import ConfigError, StoreNotFoundError
from scaledec.grid import WindowGrid
from scaledec.numerics.metrics.agreement import hungarian_accuracy
from scaledec.numerics.metrics.tables import (
    adjusted_rand_index_of,
    matched_clusters,
    mutual_information_of,
)
from scaledec.places import Places
from scaledec.queries.compare import compare
from scaledec.store.labels import LabelStore
from scaledec.store.names import ClusterName, write_names
from tests.catalog.making import CHANNELS, EVENTS, GRID, SHARD, WINDOWS, fill, make_store, random_block


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Run b is run a with 0 and 2 exchanged and a third drawn anew, of fewer days and channels."""
    folder = str(tmp_path_factory.mktemp("compare"))
    places = Places.at(folder)
    store = make_store(places, "a")
    fill(places, store, "a")
    other = make_store(places, "b", channels=CHANNELS[:4], n_days=40)
    rng = np.random.default_rng(3)
    for index in range(4):
        for first in range(0, 40, SHARD):
            block = random_block(store, index, first)
            renamed = np.where(block.label >= 0, 2 - block.label, -1)
            drawn = rng.integers(-1, 3, block.label.shape)
            label = np.where(rng.random(block.label.shape) < 0.3, drawn, renamed).astype(np.int16)
            other.write_region(dataclasses.replace(block, label=label))
    write_names(places.run("b"), {1: ClusterName("wind")})
    return folder


def flattened(root: str) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]:
    a, b = (
        np.stack([LabelStore.open(Places.at(root).labels(run)).read_region(i, 0, 40).label for i in range(4)])
        for run in "ab"
    )
    return a, b


def test_table_and_measures_are_those_of_scikit_learn_on_the_flattened_labels(root: str) -> None:
    found = compare(root, "a", "b")
    a, b = flattened(root)
    both = (a >= 0) & (b >= 0)
    np.testing.assert_array_equal(found.table, metrics.cluster.contingency_matrix(a[both], b[both]))
    assert found.labelled_once == (((a >= 0) & (b < 0)).sum(), ((a < 0) & (b >= 0)).sum())
    assert found.n_windows == both.sum()
    assert found.adjusted_rand_index == pytest.approx(
        metrics.adjusted_rand_score(a[both], b[both]), abs=1e-12
    )
    nmi = metrics.normalized_mutual_info_score(a[both], b[both])
    assert found.normalised_mutual_information == pytest.approx(nmi, abs=1e-12)
    assert found.matches == [(0, 2), (1, 1), (2, 0)]
    assert found.changed == pytest.approx(1 - hungarian_accuracy(a[both], b[both]))
    assert 0.1 < found.changed < 0.4


def test_channels_and_times_may_be_chosen(root: str) -> None:
    found = compare(root, "b", "a", channel="XX.A.*.*", start="2020-02-01", end="2020-02-20")
    a, b = (labels[[2, 3], 7:26] for labels in flattened(root))
    both = (a >= 0) & (b >= 0)
    np.testing.assert_array_equal(found.table, metrics.cluster.contingency_matrix(b[both], a[both]))


@pytest.mark.parametrize("seed", range(20))
def test_measures_of_a_table_are_those_of_the_labels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, rng.integers(1, 5, 2)[:, None], (2, rng.integers(1, 60)))
    table = np.zeros((5, 5), np.int64)
    np.add.at(table, (a, b), 1)
    assert adjusted_rand_index_of(table) == pytest.approx(metrics.adjusted_rand_score(a, b), abs=1e-12)
    assert mutual_information_of(table) == pytest.approx(metrics.normalized_mutual_info_score(a, b), abs=1e-9)
    assert sum(table[pair] for pair in matched_clusters(table)) == hungarian_accuracy(a, b) * len(a)


def test_measures_hold_for_more_windows_than_pairs_fit_in_64_bits() -> None:
    small = np.array([[50, 3, 0], [4, 30, 1], [0, 2, 10]])
    # Agreement of a table does not depend on its size, once pairs within a window no longer count.
    large = small * 10**9
    assert adjusted_rand_index_of(large) == pytest.approx(adjusted_rand_index_of(small * 10**5), abs=1e-6)
    assert mutual_information_of(large) == pytest.approx(mutual_information_of(small))


def test_a_run_is_itself(root: str) -> None:
    found = compare(root, "a", "a")
    assert (found.changed, found.adjusted_rand_index) == (0, 1)
    assert found.normalised_mutual_information == pytest.approx(1)
    assert found.matches == [(0, 0), (1, 1), (2, 2)]


def test_windows_that_are_not_the_same_are_refused(root: str, tmp_path: Path) -> None:
    places = Places.at(str(tmp_path))
    half = WindowGrid.from_lengths(GRID, length_s=3600, stride_s=1800, min_coverage=1)
    for run, windows in [("hourly", WINDOWS), ("half", half)]:
        store = make_store(places, run, windows=windows, n_days=1)
        fill(places, store, run)
    with pytest.raises(ConfigError, match=r"other windows.*windows: .*stride"):
        compare(str(tmp_path), "hourly", "half")
    with pytest.raises(StoreNotFoundError, match="runs there: half, hourly"):
        compare(str(tmp_path), "hourly", "third")
    make_store(places, "elsewhere", channels=CHANNELS[:1], n_days=1)
    make_store(places, "here", channels=CHANNELS[1:], n_days=1)
    with pytest.raises(ConfigError, match="share no channel"):
        compare(str(tmp_path), "here", "elsewhere")
    with pytest.raises(ConfigError, match="share no time"):
        compare(root, "a", "b", start="2030-01-01")


def test_events_that_were_found_anew_are_refused(tmp_path: Path) -> None:
    places = Places.at(str(tmp_path))
    for run, seed in [("a", 0), ("same", 0), ("anew", 1)]:
        fill(places, make_store(places, run, windows=EVENTS, n_days=8), run, seed=seed)
    assert compare(str(tmp_path), "a", "same").changed == 0
    with pytest.raises(ConfigError, match="found anew"):
        compare(str(tmp_path), "a", "anew")


def test_the_verb_prints_the_table_and_writes_all_of_it(root: str, tmp_path: Path) -> None:
    config = tmp_path / "my.yaml"
    config.write_text(f"root: {root}\nrun: b\narchive: {{url: nowhere}}\n")
    runner = CliRunner()
    shown = runner.invoke(_verbs, ["compare", str(config), "a"], catch_exceptions=False)
    assert shown.exit_code == 0
    found = compare(root, "a", "b")
    assert shown.stdout.splitlines()[-3:] == [
        f"  0 cluster_0 = 2 cluster_2 ({found.table[0, 2]} windows)",
        f"  1 cluster_1 = 1 wind ({found.table[1, 1]} windows)",
        f"  2 cluster_2 = 0 cluster_0 ({found.table[2, 0]} windows)",
    ]
    for ending in ("csv", "json"):
        output = tmp_path / f"pairs.{ending}"
        runner.invoke(_verbs, ["compare", str(config), "a", "b", "-o", str(output)], catch_exceptions=False)
    pairs = pd.read_csv(tmp_path / "pairs.csv")
    assert pairs["windows"].sum() == found.n_windows
    assert pairs.loc[pairs["matched"], ["label_a", "label_b"]].to_numpy().tolist() == [[0, 2], [1, 1], [2, 0]]
    document = json.loads((tmp_path / "pairs.json").read_text())
    assert document["share_changed"] == pytest.approx(found.changed)
    assert len(document["pairs"]) == len(pairs)
