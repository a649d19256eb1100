"""What a user of xarray sees."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import zarr

from scaledec.errors import StoreNotFoundError
from scaledec.ledger.ledger import Ledger
from scaledec.places import Places
from scaledec.store.datasets import flatten_time, newest_run, open_cube, open_labels, open_training_set
from scaledec.store.labels import LabelStore
from scaledec.vocabulary import TaskResult
from tests.store.making import GRID, HHN, HHZ, START_NS, full, label_block, label_template, make_cube, power
from tests.store.test_training import write as write_training_set


@pytest.fixture
def root(tmp_path: Path) -> str:
    places = Places.at(str(tmp_path))
    cube = make_cube(places.cube)
    cube.write_segment(1, 2, power(0), full())
    cube.set_channel_coordinates({"latitude": {HHZ: 5.25}})
    for run in ("first", "second", "another"):
        store = LabelStore.create_or_extend(
            places.labels(run), label_template(run=run), [HHZ, HHN], START_NS, 3, cube.channel_coordinates()
        )
        store.write_region(label_block(0, 3, channel_index=1))
        Ledger(places.label_ledger(run)).append([TaskResult("key", "fingerprint", "done")])
    return str(tmp_path)


def test_the_cube_opens_with_times_units_and_coordinates(root: str) -> None:
    cube = open_cube(root)
    assert cube.power.dims == ("channel", "time", "frame", "frequency")
    assert cube.time.to_numpy()[2] == np.datetime64("2020-01-01T02:00:00", "ns")
    assert cube.power.attrs["units"] == "dB"
    assert cube.frequency.attrs["units"] == "Hz"
    assert float(cube.latitude.sel(channel=str(HHZ))) == 5.25
    found = cube.power.sel(channel=str(HHN), time="2020-01-01T02:00:00")
    np.testing.assert_array_equal(found, power(0))


def test_a_long_cube_opens_without_reading_its_frames(tmp_path: Path) -> None:
    make_cube(Places.at(str(tmp_path)).cube, n_segments=20_000)
    cube = open_cube(str(tmp_path))
    assert cube.sizes["time"] * cube.sizes["frame"] == 60_000_000
    assert sum(variable.nbytes for variable in cube.coords.values()) < 2**20


def test_labels_stay_integers_and_name_their_clusters(root: str) -> None:
    labels = open_labels(root, "first")
    assert labels.label.dtype == np.int16
    assert labels.label.attrs["flag_values"] == [0, 1, 2]
    assert labels.label.attrs["flag_meanings"].split() == ["cluster_0", "cluster_1", "cluster_2"]
    np.testing.assert_array_equal(labels.label.isel(channel=1), label_block(0, 3).label)
    assert (labels.label.isel(channel=0) == -1).all()
    assert labels.prototype.dims == ("cluster", "frame", "frequency")


def test_the_run_that_labelled_last_is_the_default(root: str) -> None:
    assert newest_run(root) == "another"
    assert open_labels(root).attrs["scaledec_run"] == "another"


def test_a_run_that_is_not_there_is_answered_with_those_that_are(root: str, tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match=r"'third'.*another, first, second"):
        open_labels(root, "third")
    with pytest.raises(StoreNotFoundError, match="run the label stage first"):
        open_labels(str(tmp_path / "empty"))
    with pytest.raises(StoreNotFoundError, match="no Zarr store"):
        open_cube(str(tmp_path / "empty"))


def test_the_flat_time_axis_counts_frames_and_windows(root: str) -> None:
    flat = flatten_time(open_cube(root))
    assert flat.power.dims == ("channel", "time", "frequency")
    assert flat.sizes["time"] == 3 * GRID.n_frames
    expected = np.datetime64("2020-01-01", "ns") + np.arange(9000) * np.timedelta64(1200, "ms")
    np.testing.assert_array_equal(flat.time, expected)
    np.testing.assert_array_equal(flat.power[1, 6000:], power(0))
    labels = flatten_time(open_labels(root).isel(channel=1))
    np.testing.assert_array_equal(labels.label, label_block(0, 3).label.reshape(-1))
    with pytest.raises(ValueError, match="expected time together with frame or window"):
        flatten_time(open_cube(root).isel(time=0))


def test_a_reader_that_knows_no_consolidated_metadata_reads_the_same(root: str) -> None:
    plain = zarr.open_group(os.path.join(root, "cube.zarr"), mode="r", use_consolidated=False)  # noqa: PTH118
    quick = zarr.open_group(os.path.join(root, "cube.zarr"), mode="r", use_consolidated=True)  # noqa: PTH118
    assert sorted(plain.array_keys()) == sorted(quick.array_keys())
    for name, array in plain.arrays():
        assert str(array.metadata.to_dict()) == str(quick[name].metadata.to_dict())


def test_the_training_set_of_a_run_opens(root: str) -> None:
    write_training_set(Places.at(root).training_set("first"), n=20)
    found = open_training_set(root, "first")
    assert found.windows.dims == ("sample", "frame", "frequency")
    assert found.time.dtype == "datetime64[ns]"
