"""A cube of events: windows that begin where something happened, one shard a segment of a channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import google_crc32c
import numpy as np
import numpy.typing as npt
import zarr

from scaledec.errors import StoreError
from scaledec.location import Location
from scaledec.store.cube_base import Cube
from scaledec.store.cube_template import EventRoom
from scaledec.store.event_variables import NOT_A_TIME, PROPERTIES
from scaledec.store.open import store_errors, stored_shards
from scaledec.store.region import write_region

__all__ = ["EventCubeStore", "SegmentEvents", "count_events"]


@dataclass(frozen=True, slots=True)
class SegmentEvents:
    """The events of one segment of one channel, in the order of time."""

    onset_ns: npt.NDArray[np.int64]
    """First sample of each window, nanoseconds of UTC, shape (event,)."""
    power: npt.NDArray[Any]
    """Shape (event, frame, frequency), in the cube's dtype and scale; NaN where there is no sample."""
    coverage: npt.NDArray[np.uint8]
    """Percent of real samples behind each frame, shape (event, frame)."""
    detection: npt.NDArray[np.float32]
    """Shape (event, property): see :data:`~scaledec.store.event_variables.PROPERTIES`."""

    def __len__(self) -> int:
        return len(self.onset_ns)

    def padded_onsets(self, n: int) -> npt.NDArray[np.int64]:
        """Onsets and, behind them, ``NOT_A_TIME``, shape (n,)."""
        padded = np.full(n, NOT_A_TIME)
        padded[: len(self)] = self.onset_ns
        return padded

    @property
    def checksum(self) -> int:
        """CRC-32C of onsets, power, coverage and detections as they lie in memory, little-endian."""
        crc = 0
        for values in (self.onset_ns, self.power, self.coverage, self.detection):
            crc = int(google_crc32c.extend(crc, np.ascontiguousarray(values)))
        return crc


class EventCubeStore(Cube):
    """A cube of events: how to read and write those of a segment."""

    kind = "event cube"
    shard_arrays = ("power", "coverage", "onset", "detection")

    def __init__(self, location: Location, group: zarr.Group) -> None:
        super().__init__(location, group)
        self._arrays = {name: cast("zarr.Array[Any]", group[name]) for name in self.shard_arrays}

    @property
    def room(self) -> EventRoom:
        """Frames of a window, and the most windows of a segment."""
        assert self.template.events is not None
        return self.template.events

    def none(self) -> SegmentEvents:
        """No events, in the shapes of this cube."""
        frames, frequencies = self.room.frames, self.grid.n_frequencies
        return SegmentEvents(
            np.empty(0, np.int64),
            np.empty((0, frames, frequencies), self.template.dtype),
            np.empty((0, frames), np.uint8),
            np.empty((0, len(PROPERTIES)), np.float32),
        )

    def write_segment(self, channel_index: int, time_index: int, events: SegmentEvents) -> int:
        """Write the events of one segment of one channel whole; writing them again gives the same bytes.

        Returns
        -------
        int
            The checksum of what was written.

        Raises
        ------
        ValueError
            If there is no room for so many.
        """
        most = self.room.max_events
        if len(events) > most:
            raise ValueError(f"{len(events)} events for a segment of {self.location}, which holds {most}")
        values = {
            "power": events.power.astype(self.template.dtype, copy=False),
            "coverage": events.coverage,
            "detection": events.detection,
            # The onset last: where there is one, what belongs to it is there too.
            "onset": events.onset_ns,
        }
        place = (slice(channel_index, channel_index + 1), slice(time_index, time_index + 1))
        for name, own in values.items():
            array = self._arrays[name]
            padded = np.full(array.shape[2:], array.fill_value, dtype=array.dtype)
            padded[: len(events)] = own
            write_region(array, (*place, *[slice(None)] * padded.ndim), padded[None, None])
        return events.checksum

    def read_onsets(self, channel_index: int, time_index: int) -> npt.NDArray[np.int64]:
        """Onsets in nanoseconds of UTC, shape (max_events,); ``NOT_A_TIME`` behind the last event."""
        return self._read("onset", channel_index, time_index, None)

    def read_coverage(self, channel_index: int, time_index: int, n_events: int) -> npt.NDArray[np.uint8]:
        """Coverage of the first events, shape (event, frame)."""
        return self._read("coverage", channel_index, time_index, n_events)

    def read_detections(self, channel_index: int, time_index: int, n_events: int) -> npt.NDArray[np.float32]:
        """How the first events were found, shape (event, property)."""
        return self._read("detection", channel_index, time_index, n_events)

    def read_segment(self, channel_index: int, time_index: int) -> SegmentEvents:
        """The events of a segment; ``StoreError`` if a shard is damaged or cannot be read."""
        onsets = self.read_onsets(channel_index, time_index)
        onsets = onsets[: count_events(onsets)]
        if not len(onsets):
            return self.none()
        power, coverage, detection = (
            self._read(name, channel_index, time_index, len(onsets))
            for name in ("power", "coverage", "detection")
        )
        covered = coverage > 0
        # A power cut may leave a shard empty, and Zarr takes an empty or absent shard for fill values.
        if covered.any() and np.isnan(power[..., 0][covered]).all():
            raise StoreError(
                f"{self._place(channel_index, time_index)} is damaged: its power is not stored; "
                "`scaledec verify` lists all that is"
            )
        return SegmentEvents(onsets, power, coverage, detection)

    def checksum(self, channel_index: int, time_index: int) -> int:
        """The checksum of what is stored now; ``StoreError`` if it cannot be read."""
        return self.read_segment(channel_index, time_index).checksum

    def clear(self, channel_index: int, time_index: int) -> None:
        """See :meth:`.Cube.clear`."""
        self.write_segment(channel_index, time_index, self.none())

    def stored_segments(self, channel_index: int) -> set[int]:
        """Time indices of the segments of a channel that have events stored, by listing alone."""
        return stored_shards(self.location, "onset", channel_index, "0")

    def _read(self, name: str, channel_index: int, time_index: int, stop: int | None) -> npt.NDArray[Any]:
        place = self._place(channel_index, time_index)
        with store_errors(place, "read"):
            try:
                return np.asarray(self._arrays[name][channel_index, time_index, :stop])
            except (ValueError, RuntimeError) as error:
                raise StoreError(
                    f"{place} is damaged: {error}; `scaledec verify` lists all that is"
                ) from error


def count_events(onsets: npt.NDArray[np.int64]) -> int:
    """How many of a segment's places hold an event."""
    return int(np.count_nonzero(onsets != NOT_A_TIME))
