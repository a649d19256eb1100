"""The cube: spectrograms of all channels and segments, one shard a segment of a channel."""

from __future__ import annotations

from typing import Any, cast

import google_crc32c
import numpy as np
import numpy.typing as npt
import zarr

from scaledec.errors import StoreError
from scaledec.location import Location
from scaledec.store.cube_base import Cube
from scaledec.store.cube_template import CubeTemplate
from scaledec.store.open import store_errors, stored_shards
from scaledec.store.region import write_region

__all__ = ["CubeStore", "CubeTemplate", "segment_checksum"]


def segment_checksum(power: npt.NDArray[Any], coverage: npt.NDArray[np.uint8]) -> int:
    """CRC-32C of a segment's power and coverage as they lie in memory, little-endian."""
    # The arrays themselves: it takes neither a memoryview nor, without a copy of 17 MB, bytes.
    crc = google_crc32c.value(np.ascontiguousarray(power))
    return int(google_crc32c.extend(crc, np.ascontiguousarray(coverage)))


class CubeStore(Cube):
    """A cube of continuous spectrograms: how to read and write the frames of a segment."""

    kind = "cube"
    shard_arrays = ("power", "coverage")

    def __init__(self, location: Location, group: zarr.Group) -> None:
        super().__init__(location, group)
        self._power = cast("zarr.Array[Any]", group["power"])
        self._coverage = cast("zarr.Array[Any]", group["coverage"])

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

    def clear(self, channel_index: int, time_index: int) -> None:
        """See :meth:`.Cube.clear`."""
        power = np.full((self.grid.n_frames, self.grid.n_frequencies), np.nan, self._power.dtype)
        self.write_segment(channel_index, time_index, power, np.zeros(self.grid.n_frames, np.uint8))

    def stored_segments(self, channel_index: int) -> set[int]:
        """Time indices of the segments of a channel that have power stored, by listing alone."""
        return stored_shards(self.location, "power", channel_index, "0/0")

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
