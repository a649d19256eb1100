"""The label store: regions come back, the axes are the cube's, clusters are described."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from scaledec.errors import StoreConflictError
from scaledec.location import Location
from scaledec.store.labels import UNLABELLED, LabelStore
from scaledec.vocabulary import WindowState
from tests.store.making import HHN, HHZ, LHZ, START_NS, WINDOWS, files, label_block, label_template

AXES = [HHZ, HHN], START_NS, 6


def test_a_region_comes_back_as_it_was_written(place: Location) -> None:
    store = LabelStore.create_or_extend(place, label_template(), *AXES)
    block = label_block(4, 2, channel_index=1)
    assert store.write_region(block) == block.checksum == store.checksum(1, 4, 6)
    found = LabelStore.open(place).read_region(1, 4, 6)
    for name in ("label", "confidence", "distance", "outlier", "state", "embedding"):
        np.testing.assert_array_equal(getattr(found, name), getattr(block, name))
    assert store.stored_regions(1) == {4}


def test_what_is_not_labelled_is_minus_one_and_nan(tmp_path: Path) -> None:
    store = LabelStore.create_or_extend(Location(str(tmp_path / "run.zarr")), label_template(), *AXES)
    block = store.read_region(0, 0, 6)
    assert (block.label == UNLABELLED).all()
    assert block.embedding is not None
    for values in (block.confidence, block.distance, block.outlier, block.embedding):
        assert np.isnan(values).all()
    assert (block.state == WindowState.NOT_LABELLED).all()


def test_a_block_must_be_a_whole_shard(tmp_path: Path) -> None:
    store = LabelStore.create_or_extend(Location(str(tmp_path / "run.zarr")), label_template(), *AXES)
    with pytest.raises(ValueError, match="cuts a shard of 4"):
        store.write_region(label_block(2, 4))
    with pytest.raises(ValueError, match="cuts a shard of 4"):
        store.write_region(label_block(0, 3))


def test_embeddings_are_stored_where_they_are_asked_for_and_only_there(tmp_path: Path) -> None:
    location = Location(str(tmp_path / "run.zarr"))
    store = LabelStore.create_or_extend(location, label_template(embedding=False), *AXES)
    store.write_region(label_block(0, 4, embedding=False))
    assert store.read_region(0, 0, 4).embedding is None
    with pytest.raises(ValueError, match="stores no window's embedding; the block brings them"):
        store.write_region(label_block(0, 4))


def test_writing_again_gives_the_same_files(tmp_path: Path) -> None:
    location = Location(str(tmp_path / "run.zarr"))
    store = LabelStore.create_or_extend(location, label_template(), *AXES)
    store.write_region(label_block(0, 4))
    before = files(location.path)
    store.write_region(label_block(0, 4))
    LabelStore.create_or_extend(location, label_template(), *AXES)
    assert files(location.path) == before


def test_a_grown_store_keeps_its_labels(tmp_path: Path) -> None:
    location = Location(str(tmp_path / "run.zarr"))
    store = LabelStore.create_or_extend(location, label_template(), *AXES)
    checksum = store.write_region(label_block(4, 2))
    grown = LabelStore.create_or_extend(location, label_template(), [HHZ, HHN, LHZ], START_NS, 9)
    assert grown.checksum(0, 4, 6) == checksum
    block = label_block(4, 4)
    grown.write_region(block)
    np.testing.assert_array_equal(grown.read_region(0, 4, 8).label, block.label)


def make_older(location: Location) -> None:
    """As version 1 left it: neither outlier scores nor states."""
    for name in ("outlier", "state"):
        shutil.rmtree(Path(location.path) / name)
    root = Path(location.path) / "zarr.json"
    values = json.loads(root.read_text())
    values["attributes"]["scaledec_format"] = 1
    for name in ("outlier", "state"):
        del values["consolidated_metadata"]["metadata"][name]
    root.write_text(json.dumps(values))


def test_labels_of_an_earlier_version_are_named_and_brought_up_to_date_in_place(tmp_path: Path) -> None:
    location = Location(str(tmp_path / "run.zarr"))
    store = LabelStore.create_or_extend(location, label_template(), *AXES)
    block = label_block(0, 4)
    store.write_region(block)
    make_older(location)
    assert not LabelStore.is_current(location)
    with pytest.raises(StoreConflictError, match=r"format 1; expected 2: run `scaledec label`"):
        LabelStore.open(location)
    renewed = LabelStore.create_or_extend(location, label_template(), *AXES).read_region(0, 0, 4)
    np.testing.assert_array_equal(renewed.label, block.label)
    assert (renewed.state == WindowState.NOT_LABELLED).all()
    assert LabelStore.open(location, "r+").write_region(block) == block.checksum


def test_labels_of_a_later_version_are_left_alone(tmp_path: Path) -> None:
    location = Location(str(tmp_path / "run.zarr"))
    LabelStore.create_or_extend(location, label_template(), *AXES)
    root = Path(location.path) / "zarr.json"
    root.write_text(root.read_text().replace('"scaledec_format": 2', '"scaledec_format": 3'))
    with pytest.raises(StoreConflictError, match="a newer version"):
        LabelStore.open(location)
    with pytest.raises(StoreConflictError, match="scaledec_format: 3 there, 2 wanted"):
        LabelStore.create_or_extend(location, label_template(), *AXES)


def test_a_model_trained_again_replaces_the_description_of_the_clusters(tmp_path: Path) -> None:
    location = Location(str(tmp_path / "run.zarr"))
    LabelStore.create_or_extend(location, label_template(), *AXES)
    moved = label_template(centroid=np.ones((3, 5), np.float32))
    store = LabelStore.create_or_extend(location, moved, *AXES)
    np.testing.assert_array_equal(store.centroid, np.ones((3, 5)))
    assert store.prototype.shape == (3, WINDOWS.length, 13)


def test_labels_of_another_structure_or_cube_are_refused(tmp_path: Path) -> None:
    location = Location(str(tmp_path / "run.zarr"))
    LabelStore.create_or_extend(location, label_template(), *AXES)
    with pytest.raises(StoreConflictError, match="segments_per_shard: 4 there, 8 wanted"):
        LabelStore.create_or_extend(location, label_template(segments_per_shard=8), *AXES)
    other = dataclasses.replace(WINDOWS, stride=5)
    with pytest.raises(StoreConflictError, match=r"windows\.stride: 25 there, 5 wanted"):
        LabelStore.create_or_extend(location, label_template(windows=other), *AXES)
    with pytest.raises(StoreConflictError, match="other channels"):
        LabelStore.create_or_extend(location, label_template(), [HHN, HHZ], START_NS, 6)
