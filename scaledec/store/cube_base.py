"""What every cube has: its axes of channels and segments, and how they grow."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import zarr

from scaledec.errors import StoreNotFoundError
from scaledec.grid import Grid
from scaledec.location import Location
from scaledec.store.axes import (
    ChannelCoordinates,
    Extent,
    read_coordinates,
    read_extent,
    united,
)
from scaledec.store.cube_template import REMEDY, CubeKind, CubeTemplate, publish_cube
from scaledec.store.open import clean_partial_files, foreign_names, open_group
from scaledec.store.template import check_same, read_settings
from scaledec.vocabulary import ChannelId, format_time

__all__ = ["Cube"]


class Cube(ABC):
    """An open cube of either kind; sizes are those at opening.

    Made by :meth:`create_or_extend` (coordinator) or :meth:`open` (anyone).
    """

    kind: ClassVar[CubeKind]
    shard_arrays: ClassVar[tuple[str, ...]]
    """Arrays that tasks write."""

    def __init__(self, location: Location, group: zarr.Group) -> None:
        self.location = location
        settings = read_settings(group.attrs.asdict(), location, self.kind)
        self.template = CubeTemplate.from_attributes(settings)
        self._group = group

    def __reduce__(self) -> tuple[object, ...]:
        # Opened again where it arrives: sessions and caches of a store stay in their process.
        return type(self).open, (self.location, "r" if self._group.read_only else "r+")

    @classmethod
    def open(cls, location: Location, mode: Literal["r", "r+"] = "r") -> Self:
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
    ) -> Self:
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
        return self.extent.n_segments

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

    def foreign_names(self) -> list[str]:
        """Keys among the shards that are none of this cube's segments: nobody reads them."""
        return [
            name
            for array in self.shard_arrays
            for name in foreign_names(self.location, array, len(self.channels), self.n_segments)
        ]

    @abstractmethod
    def checksum(self, channel_index: int, time_index: int) -> int:
        """The checksum of what is stored of a segment now; ``StoreError`` if it cannot be read."""

    @abstractmethod
    def clear(self, channel_index: int, time_index: int) -> None:
        """Take away what is stored of a segment."""

    @abstractmethod
    def stored_segments(self, channel_index: int) -> set[int]:
        """Time indices of the segments of a channel that have power stored, by listing alone."""

    def ask_ahead(self, channel_index: int, time_index: int) -> None:
        """Have the operating system bring a segment's shards into memory; only where the cube is local."""
        if not hasattr(os, "posix_fadvise"):
            return  # It then does so while they are read.
        for array in self.shard_arrays:
            folder = self.location.child(array, "c", str(channel_index), str(time_index)).path
            # What cannot be opened is told by whoever reads it.
            with suppress(OSError):
                for path in filter(Path.is_file, folder.rglob("*")):
                    with path.open("rb") as shard:
                        os.posix_fadvise(shard.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)

    def _place(self, channel_index: int, time_index: int) -> str:
        start = format_time(self.segment_start_ns(time_index))
        return f"segment {start} of {self.channels[channel_index]} in {self.location}"
