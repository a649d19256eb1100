"""The cube: spectrograms of all channels and segments, one shard a segment of a channel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, cast

import google_crc32c
import numpy as np
import numpy.typing as npt
import zarr

from scaledec.errors import StoreError, StoreNotFoundError
from scaledec.grid import Grid
from scaledec.location import Location
from scaledec.store.axes import (
    ChannelCoordinates,
    Extent,
    read_coordinates,
    read_extent,
    united,
)
from scaledec.store.cube_template import REMEDY, CubeTemplate, publish_cube
from scaledec.store.open import clean_partial_files, foreign_names, open_group, store_errors, stored_shards
from scaledec.store.region import write_region
from scaledec.store.template import (
    check_same,
    read_settings,
)
from scaledec.vocabulary import ChannelId, format_time

__all__ = ["CubeStore", "CubeTemplate", "segment_checksum"]


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

    def __reduce__(self) -> tuple[Any, ...]:
        # Opened again where it arrives: sessions and caches of a store stay in their process.
        return CubeStore.open, (self.location, "r" if self._group.read_only else "r+")

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
            publish_cube(location, template, wanted, {})
        else:
            check_same(location, there.template.attributes(), template.attributes(), REMEDY)
            extent = united(location, there.extent, wanted, there.segment_ns)
            if extent != there.extent:
                publish_cube(location, template, extent, there.channel_coordinates())
        return cls.open(location, "r+")

    @property
    def grid(self) -> Grid:
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
            publish_cube(self.location, self.template, self.extent, known)

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

    def stored_segments(self, channel_index: int) -> set[int]:
        """Time indices of the segments of a channel that have power stored, by listing alone."""
        return stored_shards(self.location, "power", channel_index, "0/0")

    def foreign_names(self) -> list[str]:
        """Keys among the shards that are none of this cube's segments: nobody reads them."""
        return [
            name
            for array in ("power", "coverage")
            for name in foreign_names(self.location, array, len(self.channels), self.n_segments)
        ]

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
        coverage = self.read_coverage(channel_index, time_index, first=first, stop=stop)
        if first == 0 and len(coverage) >= self.grid.n_frames:
            self._check_both_stored(channel_index, time_index, power, coverage)
        return power, coverage

    def read_coverage(
        self, channel_index: int, time_index: int, *, first: int = 0, stop: int | None = None
    ) -> npt.NDArray[np.uint8]:
        """The coverage of frames ``[first, stop)`` alone, as :meth:`read_frames` gives it."""
        return self._read(self._coverage, channel_index, time_index, first, stop)

    def _check_both_stored(
        self, channel_index: int, time_index: int, power: npt.NDArray[Any], coverage: npt.NDArray[np.uint8]
    ) -> None:
        # A power cut may leave a shard empty, and Zarr takes an empty or absent shard for fill values.
        n_frames = self.grid.n_frames
        covered, there = coverage[:n_frames] > 0, ~np.isnan(power[:n_frames, 0])
        if covered.any() != there.any() and not (covered & there).any():
            lost = "power" if covered.any() else "coverage"
            raise StoreError(
                f"{self._place(channel_index, time_index)} is damaged: its {lost} is not stored; "
                "`scaledec verify` lists all that is"
            )

    def _place(self, channel_index: int, time_index: int) -> str:
        start = format_time(self.segment_start_ns(time_index))
        return f"segment {start} of {self.channels[channel_index]} in {self.location}"

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
        place = self._place(channel_index, time_index)
        with store_errors(place, "read"):
            try:
                return np.asarray(array[channel_index, time_index, frames])
            except (ValueError, RuntimeError) as error:
                raise StoreError(
                    f"{place} is damaged: {error}; `scaledec verify` lists all that is"
                ) from error
