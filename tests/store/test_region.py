"""Regions are whole shards, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from scaledec.errors import StoreError
from scaledec.location import Location
from scaledec.store.region import write_region
from scaledec.store.shard import inner_length
from scaledec.store.template import Variable, publish


@pytest.fixture
def array(tmp_path: Path) -> Any:
    """Shape (3, 10) in shards of (1, 4), chunks of (1, 2)."""
    variable = Variable(
        "x", ("channel", "time"), {}, shape=(3, 10), shard=(1, 4), chunk=(1, 2), dtype="int16", fill=-1
    )
    publish(Location(str(tmp_path / "x.zarr")), [variable], {})
    return zarr.open_group(str(tmp_path / "x.zarr"), mode="r+")["x"]


def test_several_whole_shards_are_written_at_once(array: Any) -> None:
    values = np.arange(16, dtype=np.int16).reshape(2, 8)
    write_region(array, (slice(1, 3), slice(0, 8)), values)
    np.testing.assert_array_equal(array[1:3, :8], values)
    assert (array[0] == -1).all()
    assert (array[:, 8:] == -1).all()


def test_the_last_shard_ends_where_the_array_does(array: Any) -> None:
    write_region(array, (slice(0, 1), slice(8, 10)), np.array([[7, 8]]))
    np.testing.assert_array_equal(array[0, 8:], [7, 8])


@pytest.mark.parametrize("part", [slice(1, 4), slice(0, 3), slice(2, 10), slice(4, 9)])
def test_a_region_that_cuts_a_shard_is_refused_with_the_one_that_does_not(array: Any, part: slice) -> None:
    width = part.stop - part.start
    with pytest.raises(
        ValueError, match=r"along time of /x cuts a shard of 4: another task.*write \[\d, \d+\)"
    ):
        write_region(array, (slice(0, 1), part), np.zeros((1, width), np.int16))
    assert (array[:] == -1).all()


def test_a_region_outside_the_array_or_of_another_shape_is_refused(array: Any) -> None:
    with pytest.raises(ValueError, match="not inside"):
        write_region(array, (slice(0, 1), slice(8, 12)), np.zeros((1, 4), np.int16))
    with pytest.raises(ValueError, match=r"shape \(1, 4\); the values have \(1, 2\)"):
        write_region(array, (slice(0, 1), slice(0, 4)), np.zeros((1, 2), np.int16))


def test_an_array_of_another_encoding_is_refused(tmp_path: Path) -> None:
    group = zarr.create_group(str(tmp_path / "other.zarr"))
    array: Any = group.create_array("x", shape=(4,), chunks=(2,), dtype="i2")
    with pytest.raises(StoreError, match="not encoded as scaledec encodes"):
        write_region(array, (slice(0, 2),), np.zeros(2, np.int16))


@pytest.mark.parametrize(
    ("length", "row"), [(67500, 258), (3000, 26), (1, 10_000_000), (86400, 2), (68175, 258)]
)
def test_inner_chunks_divide_the_shard_and_are_near_a_megabyte(length: int, row: int) -> None:
    inner = inner_length(length, row)
    assert length % inner == 0
    assert inner == length or inner == 1 or 2**20 <= inner * row <= 2.3 * 2**20
