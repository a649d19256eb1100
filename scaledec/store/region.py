"""Write whole shards of an array, and refuse anything else."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from scaledec.errors import StoreError
from scaledec.store.open import delete_object, put_object
from scaledec.store.shard import ShardEncoder

__all__ = ["write_region"]


def write_region(array: zarr.Array[Any], region: tuple[slice, ...], values: npt.NDArray[Any]) -> None:
    """Write ``values`` to a region that consists of whole shards; rewriting gives the same bytes.

    Two tasks that write parts of one shard overwrite each other's part, so a region that cuts a shard
    is a mistake of the plan and is refused.

    Parameters
    ----------
    array
        An array made by this package, opened ``r+``.
    region
        One slice a dimension, aligned to shards (a stop at the array's edge is aligned).
    values
        Of the region's shape; cast to the array's dtype.

    Raises
    ------
    ValueError
        If the region cuts a shard, leaves the array, or has another shape than ``values``.
    StoreError
        If the shards cannot be written.
    """
    encoder = ShardEncoder.of(array)
    bounds = [_check_slice(array, axis, part) for axis, part in enumerate(region)]
    shape = tuple(stop - start for start, stop in bounds)
    if len(bounds) != array.ndim or values.shape != shape:
        raise ValueError(f"region {region} of {array.name} has shape {shape}; the values have {values.shape}")
    values = np.ascontiguousarray(values, dtype=array.dtype)
    steps = [range(start, stop, n) for (start, stop), n in zip(bounds, encoder.shard, strict=True)]
    for corner in itertools.product(*steps):
        key = _key(array, tuple(c // n for c, n in zip(corner, encoder.shard, strict=True)))
        inside = tuple(
            slice(c - start, min(c - start + n, stop - start))
            for c, n, (start, stop) in zip(corner, encoder.shard, bounds, strict=True)
        )
        _write_shard(array, key, encoder.encode(values[inside]))


def _key(array: zarr.Array[Any], shard: tuple[int, ...]) -> str:
    return f"{array.path}/{array.metadata.encode_chunk_key(shard)}"


def _write_shard(array: zarr.Array[Any], key: str, parts: list[bytes] | None) -> None:
    if array.read_only:
        raise StoreError(
            f"{array.store}/{array.path} was opened for reading; open it with mode 'r+' to write"
        )
    if parts is None:
        delete_object(array.store, key)
    else:
        put_object(array.store, key, parts)


def _check_slice(array: zarr.Array[Any], axis: int, part: slice) -> tuple[int, int]:
    length = array.shape[axis]
    shard = (array.shards or array.chunks)[axis]
    start, stop, step = part.indices(length)
    given = (part.start or 0, length if part.stop is None else part.stop)
    names = array.metadata.dimension_names  # type: ignore[union-attr]
    name = names[axis] if names else f"axis {axis}"
    if given != (start, stop) or step != 1 or start >= stop:
        raise ValueError(
            f"region {part} along {name} is not inside {array.name}, which has length {length} there"
        )
    if start % shard or (stop % shard and stop != length):
        raise ValueError(
            f"region [{start}, {stop}) along {name} of {array.name} cuts a shard of {shard}: another task "
            "may write the rest of it at the same time and one of the two is lost; "
            f"write [{start - start % shard}, "
            f"{min(length, -(-stop // shard) * shard)})"
        )
    return start, stop
