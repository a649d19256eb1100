"""The two axes that cube and labels share: channels, and segments in time; both grow at their end only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import zarr

from scaledec.errors import StoreConflictError
from scaledec.location import Location
from scaledec.store.open import store_errors
from scaledec.store.template import Variable, fixed_strings, time_attributes
from scaledec.vocabulary import ChannelId, JsonValue, format_time

__all__ = [
    "CHANNEL_COORDINATES",
    "ChannelCoordinates",
    "Extent",
    "axis_variables",
    "read_coordinates",
    "read_extent",
    "read_values",
    "united",
]

CHANNEL_COORDINATES: Mapping[str, Mapping[str, JsonValue]] = {
    "latitude": {"standard_name": "latitude", "long_name": "station latitude", "units": "degrees_north"},
    "longitude": {"standard_name": "longitude", "long_name": "station longitude", "units": "degrees_east"},
    "elevation_m": {"long_name": "station elevation above sea level", "units": "m", "positive": "up"},
    "sampling_rate_hz": {"long_name": "native sampling rate of the channel", "units": "Hz"},
}
"""What is known of each channel, with CF attributes; NaN where it is not."""

ChannelCoordinates: TypeAlias = Mapping[str, Mapping[ChannelId, float]]
"""From a name in :data:`CHANNEL_COORDINATES` to the value of each channel, in the name's unit."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How far the axes reach."""

    channels: tuple[ChannelId, ...]
    start_ns: int
    n_segments: int


def axis_variables(extent: Extent, segment_ns: int, known: ChannelCoordinates) -> list[Variable]:
    """The coordinates along channel and time."""
    time = extent.start_ns + np.arange(extent.n_segments, dtype=np.int64) * segment_ns
    names = fixed_strings([str(channel) for channel in extent.channels])
    return [
        Variable(
            "channel",
            ("channel",),
            {"long_name": "FDSN source, NET.STA.LOC.CHA", "cf_role": "timeseries_id"},
            names,
        ),
        Variable("time", ("time",), {**time_attributes("start of the segment (UTC)"), "axis": "T"}, time),
        *(
            Variable(name, ("channel",), attributes, _per_channel(extent, known.get(name, {})))
            for name, attributes in CHANNEL_COORDINATES.items()
        ),
    ]


def _per_channel(extent: Extent, known: Mapping[ChannelId, float]) -> npt.NDArray[np.float64]:
    return np.array([known.get(channel, np.nan) for channel in extent.channels], dtype=np.float64)


def read_values(group: zarr.Group, name: str, location: Location) -> npt.NDArray[Any]:
    """A small array of a store, whole."""
    with store_errors(f"{name} of {location}", "read"):
        return np.asarray(cast("zarr.Array[Any]", group[name])[...])


def read_extent(group: zarr.Group, location: Location) -> Extent:
    """How far the axes of a store reach."""
    names = read_values(group, "channel", location)
    time = read_values(group, "time", location)
    channels = tuple(ChannelId.parse(str(name)) for name in names)
    return Extent(channels, int(time[0]) if len(time) else 0, len(time))


def read_coordinates(
    group: zarr.Group, location: Location, channels: tuple[ChannelId, ...]
) -> dict[str, dict[ChannelId, float]]:
    """What a store knows of its channels; NaN where it does not."""
    return {
        name: dict(zip(channels, read_values(group, name, location).tolist(), strict=True))
        for name in CHANNEL_COORDINATES
    }


def united(location: Location, there: Extent, wanted: Extent, segment_ns: int) -> Extent:
    """The smallest extent that begins as ``there`` does and holds ``wanted``.

    Raises
    ------
    StoreConflictError
        If ``wanted`` starts earlier, or not on the grid of segments.
    """
    distance = wanted.start_ns - there.start_ns
    if distance < 0 or distance % segment_ns:
        raise StoreConflictError(
            f"{location} starts at {format_time(there.start_ns)}; a start of {format_time(wanted.start_ns)} "
            + ("lies before it" if distance < 0 else "is no whole number of segments after it")
            + ": a store grows at its end only; set archive.start to that time, or choose another root"
        )
    known = set(there.channels)
    new = tuple(channel for channel in wanted.channels if channel not in known)
    stop = max(there.n_segments, distance // segment_ns + wanted.n_segments)
    return Extent((*there.channels, *new), there.start_ns, stop)
