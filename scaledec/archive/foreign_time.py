"""The time axis of a foreign cube: a few values at a time, whatever its length."""

from __future__ import annotations

import warnings
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from scaledec.archive.time_runs import TimeRun, regular_runs
from scaledec.errors import ArchiveError, UnreadableInputError
from scaledec.vocabulary import NANOSECONDS_PER_SECOND

__all__ = ["TimeAxis"]

_CACHED_CHUNKS = 8
_SAMPLED = 1024
_AWAY = 0.3
"""Of a hop: how far a frame inside a run may lie from its place; more would be nearer to another frame."""


class TimeAxis:
    """Starts of frames, from an array of the store or from a known first instant.

    Parameters
    ----------
    n
        Frames.
    name
        Of the store, for errors.
    array, units, offset_ns
        The coordinate, its CF units where it carries none, and what is subtracted from it.
    start_ns
        Instead of an array: the first frame's start; the rest follow at the hop.
    """

    def __init__(
        self,
        n: int,
        name: str,
        *,
        array: zarr.Array[Any] | None = None,
        units: str | None = None,
        offset_ns: int = 0,
        start_ns: int = 0,
    ) -> None:
        self.n = n
        self._name, self._array, self._offset_ns, self._start_ns = name, array, offset_ns, start_ns
        self._attributes = {} if array is None else array.attrs.asdict()
        if units is not None:
            self._attributes["units"] = units
        self._chunk = lru_cache(_CACHED_CHUNKS)(self._read_chunk)

    def times_ns(self, first: int, stop: int) -> npt.NDArray[np.int64]:
        """Starts of frames ``[first, stop)``; only of an axis with stored times."""
        assert self._array is not None
        step = self._array.chunks[0]
        parts = [self._chunk(number) for number in range(first // step, -(-stop // step))]
        offset = first // step * step
        return np.concatenate(parts)[first - offset : stop - offset]

    @cached_property
    def hop_s(self) -> float | None:
        """The hop by the first frames, to nine digits; ``None`` if no stored times tell."""
        if self._array is None or self.n < 2:
            return None
        steps = np.diff(self.times_ns(0, min(self.n, _SAMPLED)))
        hop_ns = float(np.median(steps))
        if hop_ns <= 0:
            raise ArchiveError(
                f"{self._name}: its time coordinate does not advance from frame to frame (it is of type "
                f"{self._array.dtype}); set archive.cube.dims.time: null and archive.cube.start"
            )
        # Times rounded to a coarser unit spread around the hop: the mean of a gapless start says more.
        near = steps[np.abs(steps - hop_ns) < hop_ns / 2]
        return float(f"{near.mean() / NANOSECONDS_PER_SECOND:.9g}")

    def runs(self, hop_ns: float) -> tuple[TimeRun, ...]:
        """Where frames follow one another at the hop; see :func:`regular_runs`."""
        if self._array is None:
            return (TimeRun(0, self.n, self._start_ns),)
        try:
            return regular_runs(lambda index: int(self.times_ns(index, index + 1)[0]), self.n, hop_ns)
        except ArchiveError as error:
            raise ArchiveError(f"{self._name}: {error}") from error

    def check(self, run: TimeRun, first: int, stop: int, hop_ns: float) -> None:
        """Raise ``UnreadableInputError`` if a frame is far from where its run has it."""
        if self._array is None:
            return
        expected = run.start_ns + (np.arange(first, stop) - run.first) * hop_ns
        away = np.abs(self.times_ns(first, stop) - expected)
        if (away > _AWAY * hop_ns).any():
            worst = first + int(away.argmax())
            raise UnreadableInputError(
                f"{self._name}: frame {worst} lies {away.max() / NANOSECONDS_PER_SECOND:g} s from where the "
                f"hop of {hop_ns / NANOSECONDS_PER_SECOND:g} s puts it, between frames that fit it: the time "
                "axis is not regular there"
            )

    def _read_chunk(self, number: int) -> npt.NDArray[np.int64]:
        assert self._array is not None
        step = self._array.chunks[0]
        try:
            values = np.asarray(self._array[number * step : (number + 1) * step])
        except Exception as error:  # codecs and object stores raise exceptions of their own
            raise ArchiveError(
                f"{self._name}: its time coordinate cannot be read: {type(error).__name__}: {error}"
            ) from error
        return self._in_nanoseconds(values) - self._offset_ns

    def _in_nanoseconds(self, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        if values.dtype.kind != "M":
            values = self._decoded(values)
        if np.isnat(values).any():
            raise ArchiveError(f"{self._name}: its time coordinate holds values that are no times (NaT)")
        return values.astype("datetime64[ns]").astype(np.int64)

    def _decoded(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Numbers with CF units as datetime64."""
        import xarray as xr

        if "since" not in str(self._attributes.get("units")):
            raise ArchiveError(
                f"{self._name}: its time coordinate holds numbers without units; set "
                'archive.cube.time_units, e.g. "seconds since 2020-07-06T00:00:00"'
            )
        raw = xr.Dataset({"time": ("frame", values, self._attributes)})
        try:
            with warnings.catch_warnings():
                # A chunk of the axis alone tells xarray less than the whole; what it makes of it is checked.
                warnings.simplefilter("ignore")
                decoded = xr.decode_cf(raw)["time"].values
        except (ValueError, OverflowError) as error:
            raise ArchiveError(f"{self._name}: its time coordinate cannot be decoded: {error}") from error
        if decoded.dtype.kind != "M":
            raise ArchiveError(
                f"{self._name}: its times ({self._attributes['units']}) lie beyond 1678 to 2262, or use "
                "another calendar than the standard one"
            )
        return np.asarray(decoded)
