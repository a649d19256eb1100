"""The training set: sampled windows and where each came from, one store a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from types import TracebackType
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import zarr

from scaledec.errors import StoreNotFoundError
from scaledec.grid import EventGrid, Windows
from scaledec.location import Location
from scaledec.store.axes import read_values
from scaledec.store.open import clean_partial_files, open_group, remove_store, store_errors
from scaledec.store.region import write_region
from scaledec.store.template import fixed_strings, publish, read_settings
from scaledec.store.training_template import (
    ORIGIN,
    TRAIN,
    VALIDATION,
    TrainingTemplate,
    assigned_variables,
    origin_variables,
)
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId

__all__ = ["TRAIN", "VALIDATION", "TrainingStore", "TrainingTemplate", "TrainingWriter"]


class TrainingStore:
    """A finished training set; made by :class:`TrainingWriter`, opened by :meth:`open`."""

    def __init__(self, location: Location, group: zarr.Group) -> None:
        self.location = location
        attributes = read_settings(group.attrs.asdict(), location, "training set")
        window = json.loads(attributes["scaledec_window"])
        self._group = group
        self._windows = cast("zarr.Array[Any]", group["windows"])
        self.template = TrainingTemplate(
            frames=window["frames"],
            hop_s=window["hop_s"],
            frequency_hz=tuple(read_values(group, "frequency", location).tolist()),
            scale=attributes["scaledec_scale"],
            dtype=attributes["scaledec_dtype"],
            fingerprint=attributes["scaledec_fingerprint"],
            planes=tuple(map(str, read_values(group, "plane", location))) if "plane" in group else (),
            onset="onset" in group,
        )

    @classmethod
    def open(cls, location: Location) -> TrainingStore:
        """Open a finished training set; ``StoreNotFoundError`` if there is none or it was left unfinished."""
        group = open_group(location)
        if group.attrs.get("scaledec_complete") is False:
            raise StoreNotFoundError(f"the training set at {location} was left unfinished; build it again")
        return cls(location, group)

    @classmethod
    def create(cls, location: Location, template: TrainingTemplate, n: int) -> TrainingWriter:
        """Start a training set of at most ``n`` windows, in place of any that lies there."""
        return TrainingWriter(location, template, n)

    @property
    def n(self) -> int:
        """Number of windows."""
        return int(self._windows.shape[0])

    @property
    def fingerprint(self) -> str:
        """Of everything that decided which windows are in it."""
        return self.template.fingerprint

    @cached_property
    def channels(self) -> tuple[ChannelId, ...]:
        """The channel of each window."""
        return tuple(
            ChannelId.parse(str(name)) for name in read_values(self._group, "channel", self.location)
        )

    @cached_property
    def segment_start_ns(self) -> npt.NDArray[np.int64]:
        """Start of the segment each window starts in, shape (sample,)."""
        return read_values(self._group, "time", self.location)

    @cached_property
    def window_index(self) -> npt.NDArray[np.int32]:
        """Index of each window in its segment, shape (sample,)."""
        return read_values(self._group, "window", self.location)

    def start_ns(self, windows: Windows) -> npt.NDArray[np.int64]:
        """First sample of each window in nanoseconds of UTC, shape (sample,).

        Parameters
        ----------
        windows
            Where windows lie in a segment.
        """
        if isinstance(windows, EventGrid):
            return read_values(self._group, "onset", self.location)
        after = np.rint(windows.window_s * NANOSECONDS_PER_SECOND).astype(np.int64)
        return np.asarray(self.segment_start_ns + after[self.window_index])

    @cached_property
    def split(self) -> npt.NDArray[np.uint8]:
        """:data:`TRAIN` or :data:`VALIDATION` of each window, shape (sample,)."""
        return read_values(self._group, "split", self.location)

    def read(self, first: int = 0, stop: int | None = None) -> npt.NDArray[Any]:
        """Windows ``[first, stop)`` as stored, shape (sample, [plane,] frame, frequency)."""
        with store_errors(f"windows of {self.location}", "read"):
            return np.asarray(self._windows[first : self.n if stop is None else stop])

    def iter_blocks(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """All windows shard by shard: the index of the first one, and the windows."""
        step = self.template.samples_per_shard
        for first in range(0, self.n, step):
            yield first, self.read(first, min(first + step, self.n))

    def assignments(self) -> dict[str, npt.NDArray[Any]]:
        """What :meth:`add_assignments` has added."""
        known = {"windows", "frame", "frequency", "plane", *ORIGIN}
        names = sorted(name for name, _ in self._group.arrays() if name not in known)
        return {name: read_values(self._group, name, self.location) for name in names}

    def add_assignments(self, arrays: Mapping[str, npt.NDArray[Any]]) -> TrainingStore:
        """Add arrays with one entry or row a window (replacing those of the same name).

        Parameters
        ----------
        arrays
            Shape (sample,), or (sample, latent) where the name begins with ``embedding``, else
            (sample, cluster).

        Returns
        -------
        TrainingStore
            The store, opened again.

        Raises
        ------
        ValueError
            If an array has another number of entries than there are windows.
        """
        for name, values in arrays.items():
            if len(values) != self.n:
                raise ValueError(f"{name} has {len(values)} entries for {self.n} windows of {self.location}")
        origin = {name: read_values(self._group, name, self.location) for name in self.template.origin}
        samples = {**origin_variables(origin), **assigned_variables({**self.assignments(), **arrays})}
        variables = self.template.variables(self.n, samples)
        publish(self.location, variables, self.template.attributes(complete=True))
        return TrainingStore.open(self.location)


class TrainingWriter:
    """Appends windows in order; a context manager. Left by an exception, the store stays unfinished."""

    def __init__(self, location: Location, template: TrainingTemplate, n: int) -> None:
        self._location = location
        self._template = template
        self._capacity = n
        self._n = 0
        self._waiting: list[npt.NDArray[Any]] = []
        self._n_waiting = 0
        self._origin: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in template.origin}
        clean_partial_files(location)
        remove_store(location)
        shards = -(-max(n, 1) // template.samples_per_shard)
        self._publish(shards * template.samples_per_shard, {}, complete=False)

    def __enter__(self) -> TrainingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()

    def append(
        self,
        windows: npt.NDArray[Any],
        *,
        channels: Sequence[ChannelId],
        segment_start_ns: npt.NDArray[np.int64] | Sequence[int],
        window_index: npt.NDArray[np.int32] | Sequence[int],
        split: npt.NDArray[np.uint8] | Sequence[int],
        onset_ns: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """Add windows, shape (sample, [plane,] frame, frequency), and where each came from.

        Raises
        ------
        ValueError
            If lengths differ, or more windows come than were announced.
        """
        origin: dict[str, npt.NDArray[Any]] = {
            "channel": fixed_strings([str(channel) for channel in channels]),
            "time": np.asarray(segment_start_ns, np.int64),
            "window": np.asarray(window_index, np.int32),
            "split": np.asarray(split, np.uint8),
        }
        if onset_ns is not None:
            origin["onset"] = onset_ns
        lengths = {"windows": len(windows), **{name: len(values) for name, values in origin.items()}}
        if set(origin) != set(self._origin):
            raise ValueError(f"got {sorted(origin)} of each window; expected {sorted(self._origin)}")
        if len(set(lengths.values())) != 1 or self._n + self._n_waiting + len(windows) > self._capacity:
            raise ValueError(
                f"got {lengths} after {self._n + self._n_waiting} windows of at most {self._capacity}; "
                "expected equal lengths and no more windows than announced"
            )
        for name, values in origin.items():
            self._origin[name].append(values)
        self._waiting.append(np.asarray(windows, dtype=self._template.dtype))
        self._n_waiting += len(windows)
        while self._n_waiting >= self._template.samples_per_shard:
            self._write(self._template.samples_per_shard)

    def close(self) -> TrainingStore:
        """Write what is left, then the metadata that makes the training set visible."""
        total = self._n + self._n_waiting
        if self._n_waiting:
            # The last shard may be partly filled: the array must end where the windows do.
            self._publish(total, {}, complete=False)
            self._write(self._n_waiting)
        empty = fixed_strings([])
        origin = {name: np.concatenate(parts) if parts else empty for name, parts in self._origin.items()}
        self._publish(total, origin, complete=True)
        return TrainingStore.open(self._location)

    def _write(self, count: int) -> None:
        block = np.concatenate(self._waiting)
        array = cast("zarr.Array[Any]", self._group["windows"])
        everything = [slice(None)] * (block.ndim - 1)
        write_region(array, (slice(self._n, self._n + count), *everything), block[:count])
        self._n += count
        self._n_waiting = len(block) - count
        self._waiting = [block[count:]]

    def _publish(self, n: int, origin: Mapping[str, npt.NDArray[Any]], *, complete: bool) -> None:
        variables = self._template.variables(n, origin_variables(origin))
        publish(self._location, variables, self._template.attributes(complete=complete))
        self._group = open_group(self._location, "r+")
