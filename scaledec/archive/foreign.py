"""A spectrogram cube that another program wrote: Zarr format 2 or 3, dimensions in any order.

Only this module and the one beside it know that the archive is Zarr. Values come out as
(channel, frame, frequency) with ascending frequencies, packing and fill values resolved, NaN for gaps.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from scaledec.archive.foreign_time import TimeAxis
from scaledec.config.imported import ForeignCubeConfig
from scaledec.errors import ArchiveError, UnreadableInputError
from scaledec.location import Location
from scaledec.vocabulary import ChannelId, parse_time
from scaledec.zarr_access import open_store

__all__ = ["AXES", "ForeignCube", "open_foreign"]

AXES = ("time", "channel", "frequency")


@dataclass(frozen=True)
class ForeignCube:
    """An open foreign cube. Made by :func:`open_foreign`; holds no data but the small coordinates."""

    location: Location
    settings: ForeignCubeConfig
    power: zarr.Array[Any]
    order: tuple[str, ...]
    """Which of time, channel and frequency each dimension is."""
    root: zarr.Group | None
    """``None`` where the store is the array itself."""
    _attributes: Mapping[str, Any] = field(repr=False)

    def length(self, axis: str) -> int:
        """Length of the time, channel or frequency axis."""
        return int(self.power.shape[self.order.index(axis)])

    def chunk(self, axis: str) -> int:
        """Length of a chunk, the least that can be read, along an axis."""
        return int(self.power.chunks[self.order.index(axis)])

    def stored_chunk(self, axis: str) -> int:
        """Length of a stored object (a shard, where there are any) along an axis."""
        return int((self.power.shards or self.power.chunks)[self.order.index(axis)])

    @cached_property
    def time(self) -> TimeAxis:
        """The time axis; its values are read when asked for."""
        n, settings = self.length("time"), self.settings
        if settings.start is not None:
            return TimeAxis(n, str(self), start_ns=parse_time(settings.start))
        if settings.dims.time is None:
            raise ArchiveError(
                f"{self} has no time coordinate; set archive.cube.dims.time or archive.cube.start"
            )
        return TimeAxis(
            n,
            str(self),
            array=self._coordinate("time", settings.dims.time),
            units=settings.time_units,
            offset_ns=round(settings.time_offset_s * 1e9),
        )

    @cached_property
    def frequencies_hz(self) -> npt.NDArray[np.float64] | None:
        """Frequencies as they lie in the store; ``None`` if it does not tell."""
        name = self.settings.dims.frequency
        if name is None:
            return None
        values = self._values("frequency", name).astype(np.float64)
        if not np.isfinite(values).all() or len(set(values.tolist())) != len(values):
            raise ArchiveError(f"{self}: coordinate {name} is no axis of distinct frequencies")
        return values

    @cached_property
    def channels(self) -> tuple[ChannelId, ...]:
        """The channel axis in the store's order, named by the template or the coordinate."""
        template, name = self.settings.channel_ids, self.settings.dims.channel
        n = self.length("channel")
        if name is None and (template is None or "{value" in template):
            raise ArchiveError(
                f"{self} has no channel coordinate; set archive.cube.dims.channel, or name channels by their "
                'position: channel_ids: "DA.CABLE.{index:05d}.HSF"'
            )
        needed = template is None or "{value" in template
        values = self._values("channel", str(name)) if needed else np.arange(n)
        names = [_channel_name(template, i, value) for i, value in enumerate(values.tolist())]
        try:
            channels = tuple(map(ChannelId.parse, names))
        except ValueError as error:
            raise ArchiveError(
                f"{self}: {error}; name its channels by archive.cube.channel_ids, e.g. "
                '"DA.CABLE.{index:05d}.HSF"'
            ) from error
        if len(set(channels)) != n:
            raise ArchiveError(f"{self}: two of its {n} channels have the same name, e.g. {channels[0]}")
        return channels

    def read(
        self, frames: slice, channels: slice, frequencies: Sequence[int] | npt.NDArray[np.int64]
    ) -> npt.NDArray[Any]:
        """Values of a block as they are stored.

        Parameters
        ----------
        frames, channels
            Half-open ranges of indices in the store.
        frequencies
            Indices in the store, in the order wanted.

        Returns
        -------
        ndarray
            Shape (channel, frame, frequency), a view of what was read, as stored: see :meth:`unpacked`.

        Raises
        ------
        UnreadableInputError
            If a chunk is damaged or cannot be read.
        """
        wanted = np.asarray(frequencies)
        low, high = int(wanted.min()), int(wanted.max()) + 1
        place = {"time": frames, "channel": channels, "frequency": slice(low, high)}
        try:
            raw = np.asarray(self.power[tuple(place[axis] for axis in self.order)])
        except Exception as error:  # codecs and object stores raise exceptions of their own
            raise UnreadableInputError(
                f"cannot read frames {frames.start} to {frames.stop} of channels {channels.start} to "
                f"{channels.stop} of {self}: {type(error).__name__}: {error}"
            ) from error
        moved = raw.transpose([self.order.index(axis) for axis in ("channel", "time", "frequency")])
        return moved[:, :, _as_slice(wanted - low)]

    def unpacked(self, raw: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Stored values (..., frequency) as floating point in the store's scale, NaN where there is none.

        Resolves what CF attributes (``scale_factor``, ``add_offset``, ``_FillValue``) and the array's fill
        value stand for.
        """
        values = raw if raw.dtype.kind == "f" else raw.astype(np.float64)
        absent = np.zeros(raw.shape, bool)
        for name in ("_FillValue", "missing_value"):
            for value in _numbers(self._attributes.get(name)):
                absent |= raw == value
        fill = self.power.fill_value
        if fill is not None and raw.shape[-1] > 1 and not np.isnan(fill):
            # A chunk that is not stored reads as fill values; a frame of nothing else is a gap.
            absent |= (raw == fill).all(axis=-1, keepdims=True)
        scale, offset = self._attributes.get("scale_factor"), self._attributes.get("add_offset")
        if scale is not None or offset is not None:
            values = values * float(scale or 1.0) + float(offset or 0.0)
        return np.where(absent, np.nan, values) if absent.any() else values

    def _values(self, axis: str, name: str) -> npt.NDArray[Any]:
        coordinate = self._coordinate(axis, name)
        try:
            return np.asarray(coordinate[...])
        except Exception as error:  # codecs and object stores raise exceptions of their own
            raise ArchiveError(f"{self}: {name} cannot be read: {type(error).__name__}: {error}") from error

    def _coordinate(self, axis: str, name: str) -> zarr.Array[Any]:
        found = self.root.get(name) if self.root is not None else None
        if not isinstance(found, zarr.Array):
            raise ArchiveError(
                f"{self} has no {axis} coordinate {name!r}; it holds {_listed(self.root)}: correct "
                f"archive.cube.dims.{axis}"
            )
        if found.shape != (self.length(axis),):
            raise ArchiveError(
                f"{self}: coordinate {name} has shape {found.shape}; the {axis} axis of the array has "
                f"{self.length(axis)} values"
            )
        return found

    def __str__(self) -> str:
        return f"{self.location}/{self.settings.power}".rstrip("/")


def open_foreign(location: Location, settings: ForeignCubeConfig) -> ForeignCube:
    """Open a foreign cube; coordinates are read when asked for, power never here.

    Raises
    ------
    ArchiveError
        If there is no such array, or its dimensions are not those of the settings.
    """
    node = _open_node(location)
    root, power = (None, node) if isinstance(node, zarr.Array) else (node, node.get(settings.power))
    if not isinstance(power, zarr.Array):
        raise ArchiveError(
            f"{location} has no array {settings.power!r}; it holds {_listed(root)}: correct "
            "archive.cube.power"
        )
    if power.ndim != len(AXES):
        raise ArchiveError(
            f"{location}/{settings.power} has {power.ndim} dimensions of lengths {power.shape}; expected "
            "three: time, channel, frequency"
        )
    attributes = power.attrs.asdict()
    return ForeignCube(
        location, settings, power, _order(power, attributes, location, settings), root, attributes
    )


def _open_node(location: Location) -> zarr.Group | zarr.Array[Any]:
    store = open_store(location, read_only=True)
    try:
        return zarr.open(store, mode="r")
    except FileNotFoundError as error:
        raise ArchiveError(f"no Zarr store at {location}: correct archive.url") from error
    except Exception as error:  # object stores raise their client libraries' own exceptions
        raise ArchiveError(f"cannot open {location}: {type(error).__name__}: {error}") from error


def _order(
    power: zarr.Array[Any], attributes: Mapping[str, Any], location: Location, settings: ForeignCubeConfig
) -> tuple[str, ...]:
    """Which axis each dimension is, by the configuration or by the names in the store."""
    if settings.order is not None:
        return settings.order
    named = getattr(power.metadata, "dimension_names", None) or attributes.get("_ARRAY_DIMENSIONS")
    if named is None:
        raise ArchiveError(
            f"{location}/{settings.power} does not name its dimensions (lengths {power.shape}); set "
            "archive.cube.order, e.g. [time, channel, frequency]"
        )
    dims = {axis: getattr(settings.dims, axis) for axis in AXES}
    by_name = {str(name or axis).rpartition("/")[2]: axis for axis, name in dims.items()}
    order = tuple(by_name.get(str(name), "") for name in named)
    if sorted(order) != sorted(AXES):
        raise ArchiveError(
            f"{location}/{settings.power} has the dimensions {', '.join(map(str, named))}; archive.cube.dims "
            f"names {', '.join(f'{axis}: {name}' for axis, name in dims.items())}: correct it, or set "
            "archive.cube.order"
        )
    return order


def _as_slice(indices: npt.NDArray[np.int64]) -> slice | npt.NDArray[np.int64]:
    """Indices that follow one another, up or down, as a slice: a selection without a copy."""
    steps = np.diff(indices)
    if not len(steps) or not (np.abs(steps) == 1).all() or (steps != steps[0]).any():
        return indices
    step, stop = int(steps[0]), int(indices[-1] + steps[0])
    return slice(int(indices[0]), stop if stop >= 0 else None, step)


def _channel_name(template: str | None, index: int, value: Any) -> str:
    if template is None:
        return str(value)
    try:
        return template.format(index=index, value=value)
    except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise ArchiveError(
            f"archive.cube.channel_ids {template!r} cannot be filled with index {index} and value {value!r}: "
            f"{error}"
        ) from error


def _numbers(attribute: Any) -> list[float]:
    """Numbers of an attribute; xarray writes a float in format 3 as base64 of eight bytes."""
    if isinstance(attribute, str):
        attribute = np.frombuffer(base64.b64decode(attribute), "<f8")
    return [] if attribute is None else [float(value) for value in np.atleast_1d(attribute)]


def _listed(root: zarr.Group | None) -> str:
    names = [] if root is None else sorted(name for name, _ in root.members(max_depth=2))
    return ", ".join(names[:12]) or "nothing beside it"
