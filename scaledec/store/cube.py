"""The cube: spectrograms of all channels and segments, one shard a segment of a channel."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

import google_crc32c
import numpy as np
import numpy.typing as npt
import zarr

from scaledec.errors import StoreError, StoreNotFoundError
from scaledec.grid import SpectrogramGrid
from scaledec.location import Location
from scaledec.store.axes import (
    CHANNEL_COORDINATES,
    ChannelCoordinates,
    Extent,
    axis_variables,
    read_coordinates,
    read_extent,
    united,
)
from scaledec.store.open import clean_partial_files, open_group, store_errors
from scaledec.store.region import write_region
from scaledec.store.shard import inner_length
from scaledec.store.template import (
    Variable,
    check_same,
    publish,
    read_settings,
)
from scaledec.vocabulary import ChannelId, JsonValue, format_time

__all__ = ["CubeStore", "CubeTemplate", "segment_checksum"]

FORMAT = 1
"""Raised when the layout on disk changes."""

_REMEDY = "one cube holds one kind of spectrogram: choose another root, or the settings it was made with"


@dataclass(frozen=True, slots=True)
class CubeTemplate:
    """The structure of a cube without its extent: what must be equal for new segments to fit in."""

    grid: SpectrogramGrid
    scale: Literal["db", "linear"]
    dtype: Literal["float16", "float32"]
    fingerprint: str
    settings: Mapping[str, JsonValue]
    """The spectrogram section as JSON values: stored, and compared key by key when the cube grows."""

    def attributes(self) -> dict[str, JsonValue]:
        """Root attributes, as JSON text where they nest so that any reader can carry them."""
        return {
            "scaledec_kind": "cube",
            "scaledec_format": FORMAT,
            "scaledec_fingerprint": self.fingerprint,
            "scaledec_scale": self.scale,
            "scaledec_dtype": self.dtype,
            "scaledec_grid": json.dumps({"grid": dataclasses.asdict(self.grid)}, sort_keys=True),
            "scaledec_settings": json.dumps({"spectrogram": self.settings}, sort_keys=True),
        }

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> CubeTemplate:
        """Read back what :meth:`attributes` gave."""
        return cls(
            grid=SpectrogramGrid(**json.loads(attributes["scaledec_grid"])["grid"]),
            scale=attributes["scaledec_scale"],
            dtype=attributes["scaledec_dtype"],
            fingerprint=attributes["scaledec_fingerprint"],
            settings=json.loads(attributes["scaledec_settings"])["spectrogram"],
        )


def segment_checksum(power: npt.NDArray[Any], coverage: npt.NDArray[np.uint8]) -> int:
    """CRC-32C of a segment's power and coverage as they lie in memory, little-endian."""
    # The arrays themselves: it takes neither a memoryview nor, without a copy of 17 MB, bytes.
    crc = google_crc32c.value(np.ascontiguousarray(power))
    return int(google_crc32c.extend(crc, np.ascontiguousarray(coverage)))


class CubeStore:
    """An open cube: where each channel and segment lies, and how to read and write one.

    Made by :meth:`create_or_extend` (coordinator) or :meth:`open` (anyone). Sizes are those at opening.
    """

    def __init__(self, location: Location, group: zarr.Group) -> None:
        self.location = location
        settings = read_settings(group.attrs.asdict(), location, "cube")
        self.template = CubeTemplate.from_attributes(settings)
        self._power = cast("zarr.Array[Any]", group["power"])
        self._coverage = cast("zarr.Array[Any]", group["coverage"])
        self._group = group

    @classmethod
    def open(cls, location: Location, mode: Literal["r", "r+"] = "r") -> CubeStore:
        """Open the cube at a location; ``StoreNotFoundError`` if there is none."""
        return cls(location, open_group(location, mode))

    @classmethod
    def create_or_extend(
        cls,
        location: Location,
        template: CubeTemplate,
        channels: Sequence[ChannelId],
        start_ns: int,
        n_segments: int,
    ) -> CubeStore:
        """Make sure a cube with these channels and segments lies at ``location``; coordinator only.

        New channels go to the end of the channel axis, new segments to the end of the time axis; nothing
        that lies there moves or shrinks. A call that was killed half-way is completed by the next one.

        Raises
        ------
        StoreConflictError
            If a cube with other settings lies there, or one that starts later.
        """
        clean_partial_files(location)
        wanted = Extent(tuple(channels), start_ns, n_segments)
        try:
            there = cls.open(location)
        except StoreNotFoundError:
            _publish_cube(location, template, wanted, {})
        else:
            check_same(location, there.template.attributes(), template.attributes(), _REMEDY)
            extent = united(location, there.extent, wanted, there.segment_ns)
            if extent != there.extent:
                _publish_cube(location, template, extent, there.channel_coordinates())
        return cls.open(location, "r+")

    @property
    def grid(self) -> SpectrogramGrid:
        """Samples, frames and frequencies of a segment."""
        return self.template.grid

    @property
    def fingerprint(self) -> str:
        """Of the settings that decide the bytes of a segment."""
        return self.template.fingerprint

    @property
    def segment_ns(self) -> int:
        """Length of a segment in nanoseconds."""
        return self.grid.segment_ns

    @property
    def n_segments(self) -> int:
        """Segments along the time axis."""
        return int(self._power.shape[1])

    @cached_property
    def extent(self) -> Extent:
        """How far the axes reach."""
        return read_extent(self._group, self.location)

    @property
    def channels(self) -> tuple[ChannelId, ...]:
        """The channel axis, in order."""
        return self.extent.channels

    @property
    def start_ns(self) -> int:
        """Start of the first segment."""
        return self.extent.start_ns

    @cached_property
    def _channel_indices(self) -> dict[ChannelId, int]:
        return {channel: index for index, channel in enumerate(self.channels)}

    def channel_index(self, channel: ChannelId) -> int:
        """Position on the channel axis; ``KeyError`` for a channel that is not in the cube."""
        return self._channel_indices[channel]

    def segment_start_ns(self, time_index: int) -> int:
        """Start of a segment."""
        return self.start_ns + time_index * self.segment_ns

    def channel_coordinates(self) -> dict[str, dict[ChannelId, float]]:
        """Latitude, longitude, elevation_m and sampling_rate_hz of each channel; NaN where unknown."""
        return read_coordinates(self._group, self.location, self.channels)

    def set_channel_coordinates(self, values: ChannelCoordinates) -> None:
        """Fill in what has become known of channels (coordinator only); other values stay."""
        known = self.channel_coordinates()
        changed = False
        for name, new in values.items():
            for channel in self._channel_indices.keys() & new.keys():
                # A NaN differs from itself: asked whether it would be replaced by another one, say no.
                changed |= known[name][channel] != new[channel] and not np.isnan(new[channel])
                known[name][channel] = new[channel]
        if changed:
            _publish_cube(self.location, self.template, self.extent, known)

    def write_segment(
        self,
        channel_index: int,
        time_index: int,
        power: npt.NDArray[Any],
        coverage: npt.NDArray[np.uint8],
    ) -> int:
        """Write one segment of one channel whole; writing it again gives the same bytes.

        Parameters
        ----------
        power
            Shape (frame, frequency), in the cube's dtype and scale; NaN where there is no sample.
        coverage
            Shape (frame,): percent of real samples behind each frame.

        Returns
        -------
        int
            The :func:`segment_checksum` of what was written.
        """
        power = np.ascontiguousarray(power, dtype=self._power.dtype)
        coverage = np.ascontiguousarray(coverage, dtype=np.uint8)
        place = (slice(channel_index, channel_index + 1), slice(time_index, time_index + 1))
        everything = slice(None)
        write_region(self._power, (*place, everything, everything), power[None, None])
        write_region(self._coverage, (*place, everything), coverage[None, None])
        return segment_checksum(power, coverage)

    def checksum(self, channel_index: int, time_index: int) -> int:
        """The :func:`segment_checksum` of what is stored now; ``StoreError`` if it cannot be read."""
        return segment_checksum(*self.read_frames(channel_index, time_index))

    def read_frames(
        self, channel_index: int, time_index: int, *, first: int = 0, stop: int | None = None
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
        """Frames ``[first, stop)`` counted from a segment's start, reading on into the next segments.

        Returns
        -------
        power, coverage
            Shapes (stop - first, frequency) and (stop - first,); NaN and 0 beyond the cube's end.

        Raises
        ------
        StoreError
            If a shard is damaged or cannot be read.
        """
        power = self._read(self._power, channel_index, time_index, first, stop)
        return power, self.read_coverage(channel_index, time_index, first=first, stop=stop)

    def read_coverage(
        self, channel_index: int, time_index: int, *, first: int = 0, stop: int | None = None
    ) -> npt.NDArray[np.uint8]:
        """The coverage of frames ``[first, stop)`` alone, as :meth:`read_frames` gives it."""
        return self._read(self._coverage, channel_index, time_index, first, stop)

    def _read(
        self, array: zarr.Array[Any], channel_index: int, time_index: int, first: int, stop: int | None
    ) -> npt.NDArray[Any]:
        n_frames = self.grid.n_frames
        stop = n_frames if stop is None else stop
        pieces = []
        for index in range(time_index + first // n_frames, time_index + max(first, stop - 1) // n_frames + 1):
            offset = (index - time_index) * n_frames
            wanted = slice(max(first - offset, 0), min(stop - offset, n_frames))
            pieces.append(self._read_piece(array, channel_index, index, wanted))
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _read_piece(
        self, array: zarr.Array[Any], channel_index: int, time_index: int, frames: slice
    ) -> npt.NDArray[Any]:
        if time_index >= self.n_segments:
            return np.full((frames.stop - frames.start, *array.shape[3:]), array.fill_value, array.dtype)
        place = f"segment {format_time(self.segment_start_ns(time_index))} of {self.channels[channel_index]}"
        with store_errors(f"{place} in {self.location}", "read"):
            try:
                return np.asarray(array[channel_index, time_index, frames])
            except (ValueError, RuntimeError) as error:
                raise StoreError(
                    f"{place} in {self.location} is damaged: {error}; `scaledec verify` lists all that is"
                ) from error


def _publish_cube(
    location: Location,
    template: CubeTemplate,
    extent: Extent,
    known: ChannelCoordinates,
) -> None:
    attributes: dict[str, JsonValue] = {
        "Conventions": "CF-1.11",
        "title": "Spectrograms of continuous seismic records",
        **template.attributes(),
    }
    axes = axis_variables(extent, template.grid.segment_ns, known)
    publish(location, [*axes, *_grid_variables(template.grid), *_data(template, extent)], attributes)


def _grid_variables(grid: SpectrogramGrid) -> list[Variable]:
    return [
        Variable(
            "frame",
            ("frame",),
            {"long_name": "start of the frame after the segment's start", "units": "s"},
            grid.frame_s,
        ),
        Variable("frequency", ("frequency",), {"long_name": "frequency", "units": "Hz"}, grid.frequency_hz),
    ]


def _data(template: CubeTemplate, extent: Extent) -> list[Variable]:
    grid = template.grid
    frames, frequencies = grid.n_frames, grid.n_frequencies
    size = np.dtype(template.dtype).itemsize
    around = " ".join(CHANNEL_COORDINATES)
    decibel: dict[str, JsonValue] = {"units": "dB", "comment": "10 log10 of the power in counts2 Hz-1"}
    return [
        Variable(
            "power",
            ("channel", "time", "frame", "frequency"),
            {
                "long_name": "power spectral density of the ground motion record",
                **(decibel if template.scale == "db" else {"units": "counts2 Hz-1"}),
                "coordinates": around,
                "ancillary_variables": "coverage",
            },
            shape=(len(extent.channels), extent.n_segments, frames, frequencies),
            shard=(1, 1, frames, frequencies),
            chunk=(1, 1, inner_length(frames, frequencies * size), frequencies),
            dtype=template.dtype,
            fill=np.nan,
        ),
        Variable(
            "coverage",
            ("channel", "time", "frame"),
            {
                "long_name": "share of real samples behind the frame",
                "units": "percent",
                "coordinates": around,
            },
            shape=(len(extent.channels), extent.n_segments, frames),
            shard=(1, 1, frames),
            chunk=(1, 1, frames),
            dtype="uint8",
        ),
    ]
