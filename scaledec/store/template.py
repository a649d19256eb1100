"""Publish the structure of a store: data first, metadata last, one atomic switch for readers.

The hierarchy is built in memory by zarr-python, consolidated there, and copied object by object. The
last object is the root's ``zarr.json``, which carries the metadata of every array: a reader sees the whole
old structure or the whole new one. A process killed on the way leaves the old one in force, and the
next :func:`publish` writes everything again.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import BloscCodec
from zarr.core.buffer import Buffer
from zarr.errors import ZarrUserWarning
from zarr.storage import MemoryStore

from scaledec.errors import StoreConflictError, StoreError
from scaledec.location import Location
from scaledec.store.open import open_store, put_object
from scaledec.store.shard import COMPRESSION_LEVEL
from scaledec.vocabulary import JsonValue

__all__ = ["Variable", "check_same", "fixed_strings", "plane_variables", "publish", "time_attributes"]

# Coordinates grow in place: their chunks keep this length, so a reader of the old length reads on.
_COORDINATE_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Variable:
    """One array of a store: either a small one with its values, or a large one that tasks fill."""

    name: str
    dimensions: tuple[str, ...]
    attributes: Mapping[str, JsonValue]
    values: npt.NDArray[Any] | None = None
    """The whole content; ``None`` for an array written by regions."""
    shape: tuple[int, ...] = ()
    shard: tuple[int, ...] = ()
    chunk: tuple[int, ...] = ()
    dtype: str = ""
    fill: float = field(default=0)

    def create(self, group: zarr.Group) -> None:
        """Create the array in a group, values included."""
        if self.values is not None:
            self._create_small(group, self.values)
            return
        codec = BloscCodec(
            typesize=np.dtype(self.dtype).itemsize,
            cname="zstd",
            clevel=COMPRESSION_LEVEL,
            shuffle="bitshuffle",
        )
        group.create_array(
            self.name,
            shape=self.shape,
            shards=self.shard,
            chunks=self.chunk,
            dtype=self.dtype,
            fill_value=self.fill,
            compressors=codec,
            dimension_names=self.dimensions,
            attributes=dict(self.attributes),
        )

    def _create_small(self, group: zarr.Group, values: npt.NDArray[Any]) -> None:
        growing = values.ndim == 1
        chunks = (_COORDINATE_CHUNK,) if growing else values.shape
        array = group.create_array(
            self.name,
            shape=values.shape,
            chunks=tuple(max(1, n) for n in chunks),
            dtype=values.dtype,
            fill_value=np.nan if values.dtype.kind == "f" else None,
            dimension_names=self.dimensions,
            attributes=dict(self.attributes),
            # A chunk that is not stored would leave an older one in force.
            config={"write_empty_chunks": True},
        )
        array[...] = values


def publish(location: Location, variables: Sequence[Variable], attributes: Mapping[str, JsonValue]) -> None:
    """Create the store at a location, or bring its structure to the given one; values of large arrays stay.

    Raises
    ------
    StoreError
        If an object cannot be written.
    """
    objects: dict[str, Buffer] = {}
    group = zarr.create_group(MemoryStore(store_dict=objects), attributes=dict(attributes))
    for variable in variables:
        variable.create(group)
    with warnings.catch_warnings():
        # Consolidated metadata extends format 3: readers that do not know it read each array's own.
        warnings.simplefilter("ignore", ZarrUserWarning)
        zarr.consolidate_metadata(group.store)
    store = open_store(location, read_only=False)
    for key in sorted(objects, key=_publishing_order):
        put_object(store, key, [objects[key].to_bytes()])


def _publishing_order(key: str) -> tuple[int, str]:
    if key == "zarr.json":
        return 2, key
    return int(key.endswith("zarr.json")), key


def check_same(
    location: Location, existing: Mapping[str, JsonValue], wanted: Mapping[str, JsonValue], remedy: str
) -> None:
    """Raise :class:`StoreConflictError` naming every setting that differs, with both values.

    Parameters
    ----------
    existing, wanted
        Attributes of the store there and of the store wanted; values that are JSON text of mappings are
        compared key by key.
    remedy
        What to do, added to the message.
    """
    there, here = _flatten(existing), _flatten(wanted)
    differing = [name for name in sorted({*there, *here}) if there.get(name) != here.get(name)]
    if not differing:
        return
    settings = [name for name in differing if not name.endswith("fingerprint")] or differing
    shown = "; ".join(f"{name}: {there.get(name)!r} there, {here.get(name)!r} wanted" for name in settings)
    raise StoreConflictError(f"{location} was made with other settings ({shown}); {remedy}")


def _flatten(attributes: Mapping[str, JsonValue], prefix: str = "") -> dict[str, JsonValue]:
    flat: dict[str, JsonValue] = {}
    for name, value in attributes.items():
        if isinstance(value, str) and value.startswith("{"):
            value = json.loads(value)
            name = ""
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{name}." if name else prefix))
        else:
            flat[f"{prefix}{name}"] = json.loads(json.dumps(value))
    return flat


def time_attributes(long_name: str) -> dict[str, JsonValue]:
    """CF attributes of instants stored as int64 nanoseconds of UTC."""
    return {
        "standard_name": "time",
        "long_name": long_name,
        "units": "nanoseconds since 1970-01-01",
        "calendar": "proleptic_gregorian",
    }


def fixed_strings(values: Sequence[str]) -> npt.NDArray[Any]:
    """Strings in the one string type that Zarr format 3 specifies (variable length UTF-8)."""
    return np.array(list(values), dtype=np.dtypes.StringDType())


def plane_variables(planes: Sequence[str]) -> list[Variable]:
    """The axis of components stacked in a window; nothing where there are none."""
    if not planes:
        return []
    attributes: dict[str, JsonValue] = {"long_name": "component of the sensor, by its code's last letter"}
    return [Variable("plane", ("plane",), attributes, fixed_strings(planes))]


def read_settings(attributes: Mapping[str, Any], location: Location, kind: str) -> dict[str, Any]:
    """The ``scaledec_*`` attributes of a store of the given kind; ``StoreError`` for any other store."""
    if attributes.get("scaledec_kind") != kind:
        raise StoreError(
            f"{location} is no scaledec {kind} (its scaledec_kind is {attributes.get('scaledec_kind')!r}); "
            "choose another root or remove what lies there"
        )
    return {name: value for name, value in attributes.items() if name.startswith("scaledec_")}
