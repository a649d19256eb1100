"""The training set: appended in order, visible when whole, with what clustering adds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr

from scaledec.errors import StoreNotFoundError
from scaledec.location import Location
from scaledec.store.training import TrainingStore, TrainingTemplate, TrainingWriter
from tests.store.making import HHN, HHZ, files

N = 3200


def template(**changes: Any) -> TrainingTemplate:
    values: dict[str, Any] = {
        "frames": 50,
        "hop_s": 1.28,
        "frequency_hz": tuple(np.arange(87) / 2.56),
        "scale": "db",
        "dtype": "float16",
        "fingerprint": "0011223344556677",
    }
    return TrainingTemplate(**{**values, **changes})


def windows(n: int = N) -> npt.NDArray[np.float16]:
    return np.random.default_rng(0).normal(size=(n, 50, 87)).astype(np.float16)


def append(writer: TrainingWriter, values: npt.NDArray[Any], first: int) -> None:
    index = np.arange(first, first + len(values))
    writer.append(
        values,
        channels=[(HHZ, HHN)[i % 2] for i in index],
        segment_start_ns=index * 10**9,
        window_index=(index * 2).tolist(),
        split=index % 5 == 0,
    )


def write(location: Location, n: int = N, step: int = 650) -> TrainingStore:
    with TrainingStore.create(location, template(), n + 10) as writer:
        values = windows(n)
        for first in range(0, n, step):
            append(writer, values[first : first + step], first)
    return TrainingStore.open(location)


def test_windows_come_back_in_order_with_where_they_came_from(place: Location) -> None:
    store = write(place)
    assert store.n == N > store.template.samples_per_shard
    np.testing.assert_array_equal(store.read(), windows())
    np.testing.assert_array_equal(np.concatenate([block for _, block in store.iter_blocks()]), windows())
    assert store.channels[:3] == (HHZ, HHN, HHZ)
    assert store.segment_start_ns.tolist() == [i * 10**9 for i in range(N)]
    assert store.window_index.tolist() == [2 * i for i in range(N)]
    assert store.split.sum() == N / 5
    assert store.template == template()


def test_the_same_windows_give_the_same_files_however_they_are_appended(tmp_path: Path) -> None:
    for name, step in (("a", 90), ("b", N)):
        write(Location(str(tmp_path / name)), step=step)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_a_training_set_that_was_not_finished_is_not_there(tmp_path: Path) -> None:
    location = Location(str(tmp_path / "training.zarr"))
    write(location)
    with pytest.raises(KeyboardInterrupt), TrainingStore.create(location, template(), N) as writer:  # noqa: PT012
        append(writer, windows(), 0)
        raise KeyboardInterrupt
    with pytest.raises(StoreNotFoundError, match="left unfinished"):
        TrainingStore.open(location)
    assert write(location, n=20).n == 20


def test_more_windows_than_announced_or_unequal_lengths_are_refused(tmp_path: Path) -> None:
    writer = TrainingStore.create(Location(str(tmp_path / "training.zarr")), template(), 5)
    with pytest.raises(ValueError, match="at most 5"):
        append(writer, windows(6), 0)
    with pytest.raises(ValueError, match="expected equal lengths"):
        writer.append(windows(2), channels=[HHZ], segment_start_ns=[0, 0], window_index=[0, 0], split=[0, 0])


def test_what_clustering_adds_lies_beside_the_windows(place: Location) -> None:
    store = write(place, n=30)
    label, embedding = np.arange(30, dtype=np.int16), np.ones((30, 9), np.float32)
    store = store.add_assignments({"label_kmeans": label, "embedding_pretrained": embedding})
    store = store.add_assignments({"label": label + 1, "label_kmeans": label - 1})
    found = TrainingStore.open(place).assignments()
    assert sorted(found) == ["embedding_pretrained", "label", "label_kmeans"]
    np.testing.assert_array_equal(found["label_kmeans"], label - 1)
    np.testing.assert_array_equal(found["embedding_pretrained"], embedding)
    np.testing.assert_array_equal(store.read(), windows(30))
    with pytest.raises(ValueError, match="29 entries for 30 windows"):
        store.add_assignments({"label": label[1:]})


def test_windows_of_several_planes_come_back_with_the_names_of_their_components(place: Location) -> None:
    values = np.random.default_rng(1).normal(size=(700, 3, 50, 87)).astype(np.float16)
    with TrainingStore.create(place, template(planes=("Z", "N", "E")), 700) as writer:
        for first in range(0, 700, 90):
            append(writer, values[first : first + 90], first)
    store = TrainingStore.open(place)
    np.testing.assert_array_equal(store.read(), values)
    assert store.template.planes == ("Z", "N", "E")
    again = store.add_assignments({"label": np.zeros(700, np.int16)})
    np.testing.assert_array_equal(again.read(650), values[650:])
    assert set(again.assignments()) == {"label"}
    dataset = xr.open_zarr(place.url, chunks=None, storage_options=dict(place.storage_options) or None)
    assert dataset["windows"].dims == ("sample", "plane", "frame", "frequency")
    assert list(dataset["plane"].values) == ["Z", "N", "E"]
