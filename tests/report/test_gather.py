"""What figures show is what the stores hold: counts by brute force, samples by their statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scaledec.places import Places
from scaledec.report.gather.examples import outwards
from scaledec.report.gather.reservoir import ClusterSample, Reservoir
from scaledec.report.gather.scan import scan_labels
from scaledec.report.gather.view import RunView
from scaledec.store.datasets import open_labels
from scaledec.store.labels import LabelStore
from scaledec.synthetic.labels import SimulatedLabels, write_simulated_labels
from scaledec.vocabulary import WindowState
from tests.report.making import RUN, Made, make_run


def every_window(store: LabelStore) -> pd.DataFrame:
    """One row a window that exists, read whole."""
    rows: list[pd.DataFrame] = []
    for channel in range(len(store.extent.channels)):
        block = store.read_region(channel, 0, store.extent.n_segments)
        start = store.start_ns(channel, 0, store.extent.n_segments).reshape(-1)
        table = pd.DataFrame({"channel": channel, "start": start, "label": block.label.reshape(-1)})
        rows.append(table.loc[start != np.iinfo(np.int64).min])
    return pd.concat(rows, ignore_index=True)


@pytest.mark.parametrize("events", [False, True])
def test_a_scan_counts_what_a_table_of_all_windows_counts(tmp_path: Path, events: bool) -> None:
    config = make_run(
        tmp_path, Made(events=events, cube=False, training=False, model=False, segments=30, stations=3)
    )
    store = LabelStore.open(Places.at(config.root).labels(RUN))
    scan = scan_labels(store, open_labels(config.root, RUN), sample=50)
    table = every_window(store)
    known = table[table["label"] >= 0]
    assert scan.n_labelled == len(known)
    assert scan.n_unlabelled == len(table) - len(known)
    assert scan.states[WindowState.LABELLED] == len(known)
    assert scan.states[WindowState.NO_DATA] == len(table) - len(known)
    times = known["start"].to_numpy().view("datetime64[ns]")
    hour = pd.DatetimeIndex(times).hour
    day_hour = (known["start"] - scan.start_ns) // 3_600_000_000_000
    for k in range(3):
        mine = (known["label"] == k).to_numpy()
        assert scan.by_hour_of_day[k].tolist() == np.bincount(hour[mine], minlength=24).tolist()
        assert scan.hourly[k].tolist() == np.bincount(day_hour[mine], minlength=60).tolist()
        for channel in range(3):
            assert scan.by_channel[channel, k] == (mine & (known["channel"] == channel)).sum()
        sample = scan.samples[k]
        assert len(sample.distance) == min(50, mine.sum())
        assert (np.diff(sample.distance) >= 0).all()
        pairs = set(zip(known["channel"][mine], known["start"][mine], strict=True))
        assert set(zip(sample.channel.tolist(), sample.start_ns.tolist(), strict=True)) <= pairs


def test_years_of_labels_are_counted_in_parts_of_equal_length(tmp_path: Path) -> None:
    settings = SimulatedLabels(stations=1, channels_per_station=1, segments=4000, window_s=8640.0)
    store = write_simulated_labels(str(tmp_path), settings)
    scan = scan_labels(store, open_labels(str(tmp_path), settings.run))
    assert scan.n_labelled + scan.n_unlabelled == 4000 * 10
    per_part = scan.binned.sum(axis=(0, 2))
    assert len(per_part) == 900
    assert np.ptp(per_part[:-1]) <= 1
    assert scan.hourly.sum() == scan.by_hour_of_day.sum() == scan.n_labelled


def test_a_reservoir_gives_every_window_of_a_cluster_the_same_chance() -> None:
    rng = np.random.default_rng(0)
    drawn = np.zeros(1000)
    for seed in range(300):
        reservoir = Reservoir(2, 100, seed)
        for first in range(0, 1000, 250):
            start = np.arange(first, first + 250)
            values = rng.random(250).astype(np.float32)
            reservoir.add(0, start, np.zeros(250, np.int64), values, values)
        sample, other = reservoir.samples()
        drawn[sample.start_ns] += 1
        assert len(sample.start_ns) == 100
        assert len(other.start_ns) == 0
    # 300 draws with a chance of 0.1: a standard deviation of 5.2 around 30; blocks alike to 1.5.
    assert drawn.min() > 5
    assert drawn.max() < 62
    assert np.abs(drawn.reshape(4, 250).mean(axis=1) - 30).max() < 2


def test_windows_outwards_lie_at_the_percentiles_of_distance() -> None:
    def sample(n: int) -> ClusterSample:
        distance = np.arange(n, dtype=np.float32)
        return ClusterSample(np.zeros(n, np.int64), np.arange(n), distance, distance)

    assert outwards(sample(101), (0, 10, 50, 90)).tolist() == [0, 10, 50, 90]
    assert outwards(sample(2)).tolist() == [0, 1]
    assert outwards(sample(0)).tolist() == []


def test_a_sample_of_training_windows_holds_the_windows_of_its_rows(tmp_path: Path) -> None:
    config = make_run(tmp_path, Made(cube=False, model=False, metrics=False))
    view = RunView(config, RUN)
    assert view.training is not None
    assert view.assigned is not None
    assert view.windows is not None
    rows = view.assigned.row[view.windows.position]
    np.testing.assert_array_equal(view.windows.windows, view.training.read()[rows].astype(np.float32))
    counts = np.bincount(view.assigned.label[view.assigned.stratified(90, 0)])
    assert counts.tolist() == [30, 30, 30]
    uniform = view.assigned.uniform(100, 0)
    assert len(np.unique(uniform)) == 100


def test_the_largest_cluster_is_pale_only_where_it_holds_most_windows(tmp_path: Path) -> None:
    view = RunView(make_run(tmp_path, Made(cube=False, model=False, metrics=False)), RUN)
    assert view.assigned is not None
    share = (view.assigned.label == 0).mean()
    assert (view.looks.colours[0] == "#d5dfe8") == (share > 0.5)
    assert view.looks.names == ("cluster 0", "cluster 1", "cluster 2")
