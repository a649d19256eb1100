"""What of the archive is left to compute: one task a segment of a channel. Reads listings only, no data.

A plan may hold millions of tasks: it keeps eight bytes of each, and makes a task when it is asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import overload

import numpy as np
import numpy.typing as npt

from scaledec.archive.listing import Listing, Neighbourhood, distinct
from scaledec.archive.stations import Stations
from scaledec.config import Config, cube_fingerprint
from scaledec.errors import ConfigError, StoreNotFoundError
from scaledec.grid import EventGrid, Grid, SpectrogramGrid
from scaledec.places import Places
from scaledec.stages.cube_settings import make_preprocessor
from scaledec.stages.cube_stations import OutsideEpochs, StationRules, rules_of
from scaledec.stages.event_inputs import NO_OTHER_INPUTS, EventInputs, OtherInputs
from scaledec.stages.segment_inputs import CHANGED, OPEN_EDGES, UNREAD, segment_fingerprint, standing
from scaledec.store.cubes import open_cube
from scaledec.vocabulary import ChannelId, CubeTask, TaskResult, format_time

__all__ = ["FILTER_LIBRARIES_BYTES", "LEDGER_DETAILS", "CubePlan", "CubeTasks", "plan_cube"]

LEDGER_DETAILS = (OPEN_EDGES, UNREAD, CHANGED)
"""The details of the ledger's results that planning looks at."""

# Interpreter and libraries of one worker: torch, zarr, pymseed, distributed.
_PROCESS_BYTES = 270 * 2**20
FILTER_LIBRARIES_BYTES = 70 * 2**20
"""Of scipy.signal, which a worker loads if it has to filter: whether a channel is decimated is not known
before it is read."""
# Decoded samples (int32) for one byte of miniSEED: Steim2 packs quiet days to about a byte a sample.
_DECODED_PER_BYTE = 4
# A filter holds its input and its output, and blocks in between.
_FILTER_BYTES = 16 * 2**20
# A batch of frames that stays in a core's cache; of very long ones at least sixteen, in double precision.
_TRANSFORM_BYTES = 8 * 2**20
_LEAST_BATCH = 16
_BYTES_PER_POINT = 32


@dataclass(frozen=True, slots=True)
class CubePlan:
    """The tasks that are left, where they lie in the cube, and what they cost."""

    channels: tuple[ChannelId, ...]
    """The cube's channel axis: the channels that are there in their order, then the new ones, sorted."""
    start_ns: int
    """Start of the cube's first segment."""
    n_segments: int
    tasks: CubeTasks
    """Left to do; by channel, then time; where objects hold several channels by station, time, channel."""
    n_done: int
    """Tasks whose segments are up to date, those without samples included."""
    n_kept: int
    """Of these, segments whose files the archive lists no more: they stay as they were computed."""
    bytes_to_read: int
    """Of the distinct objects that the tasks left may read."""
    objects_to_read: int
    bytes_to_write: int
    """Power and coverage before compression."""
    memory_per_task: int
    """Bytes that one worker process holds at most while it computes the largest task, libraries included."""
    outside: tuple[OutsideEpochs, ...] = ()
    """What the archive lists and station metadata rule out, by channel; not planned."""
    unlocated: tuple[ChannelId, ...] = ()
    """Channels without coordinates, where origins have windows at their arrivals: they have none."""

    @property
    def n_outside(self) -> int:
        """Segments that are not planned because their channel did not operate then."""
        return sum(found.n_segments for found in self.outside)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Everything about a plan's tasks but which of them are left."""

    listing: Listing
    channels: tuple[ChannelId, ...]
    start_ns: int
    segment_ns: int
    rules: StationRules
    """What station metadata decides."""
    names: list[str] = field(repr=False)
    """Start of each segment, as keys have it."""
    events: EventInputs | None = None
    """Of a cube of events."""

    def key(self, channel: ChannelId, time_index: int) -> str:
        return f"{channel}/{self.names[time_index]}"

    def near(self, channel: ChannelId, time_indices: Sequence[int]) -> Iterator[Neighbourhood]:
        return self.listing.neighbourhoods(channel, self.start_ns, self.segment_ns, time_indices)

    def begin_ns(self, near: Neighbourhood) -> int:
        return self.start_ns + near.time_index * self.segment_ns

    def is_planned(self, channel: ChannelId, near: Neighbourhood) -> bool:
        return self.rules.plans(channel, self.begin_ns(near), has_own=bool(near.own))

    def other_inputs(self, channel: ChannelId, near: Neighbourhood) -> OtherInputs:
        """What the segment depends on beside its own objects and its station's metadata."""
        return NO_OTHER_INPUTS if self.events is None else self.events.of(channel, near.time_index)

    def fingerprint(
        self, channel: ChannelId, near: Neighbourhood, digests: Sequence[bytes] | Mapping[int, bytes]
    ) -> str:
        begin_ns = self.begin_ns(near)
        settings = self.rules.settings(self.rules.responses(channel, begin_ns), begin_ns)
        before, own, after = (
            [digests[number] for number in side] for side in (near.before, near.own, near.after)
        )
        other = self.other_inputs(channel, near)
        if own and other.digest:
            own.append(other.digest)
        return segment_fingerprint(settings, before, own, after)

    def task(self, channel_index: int, near: Neighbourhood) -> CubeTask:
        channel = self.channels[channel_index]
        other = self.other_inputs(channel, near)
        numbers = (*near.before, *near.own, *near.after)
        digests = {number: self.listing.digest(channel, number) for number in numbers}
        return CubeTask(
            key=self.key(channel, near.time_index),
            fingerprint=self.fingerprint(channel, near, digests),
            channel=channel,
            channel_index=channel_index,
            time_index=near.time_index,
            start_ns=self.begin_ns(near),
            objects=tuple([self.listing.object(channel, number) for number in numbers]),
            neighbours=(len(near.before), len(near.after)),
            responses=self.rules.responses(channel, self.begin_ns(near)),
            **other.fields,
        )


class CubeTasks(Sequence[CubeTask]):
    """The tasks of a plan, each made when it is asked for."""

    def __init__(self, frame: _Frame, places: npt.NDArray[np.int32]) -> None:
        self._frame = frame
        self._places = places
        """Shape (task, 2): indices of channel and segment."""

    @property
    def places(self) -> npt.NDArray[np.int32]:
        """Indices (channel, segment) of the tasks in their order, shape (task, 2)."""
        return self._places

    def in_order(self, order: npt.NDArray[np.int64]) -> CubeTasks:
        """The same tasks, those of the given numbers, in that order."""
        return CubeTasks(self._frame, self._places[order])

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[CubeTask]:
        frame = self._frame
        for channel_index, places in itertools.groupby(self._places.tolist(), key=itemgetter(0)):
            near = frame.near(frame.channels[channel_index], [time_index for _, time_index in places])
            yield from map(partial(frame.task, channel_index), near)

    @overload
    def __getitem__(self, index: int) -> CubeTask: ...
    @overload
    def __getitem__(self, index: slice) -> CubeTasks: ...
    def __getitem__(self, index: int | slice) -> CubeTask | CubeTasks:
        if isinstance(index, slice):
            return CubeTasks(self._frame, self._places[index])
        place = self._places[index]
        (task,) = CubeTasks(self._frame, place[np.newaxis])
        return task


def plan_cube(
    config: Config, listing: Listing, done: Mapping[str, TaskResult], stations: Stations | None = None
) -> CubePlan:
    """Plan every segment for which the archive lists an object, leaving out what is up to date.

    What makes a segment be computed again: see :mod:`scaledec.stages.segment_inputs`. Where ``stations``
    knows a channel, segments wholly outside its epochs are left out; those partly inside stay whole. The
    time axis begins where the cube there begins, or, for a new one, with the segment that holds the first
    instant listed.

    Parameters
    ----------
    config
        The configuration.
    listing
        Of its archive.
    done
        Newest result of every task of the cube's ledger, with the :data:`LEDGER_DETAILS`.
    stations
        Metadata of the channels, if there is any.

    Raises
    ------
    ConfigError
        If ``spectrogram.bandpass_hz`` does not fit, whatever the channels' rates.
    """
    grid = config.spectrogram_grid
    if isinstance(grid, SpectrogramGrid):
        _check_filters(config)
    channels, start_ns, n_segments = _axes(config, listing, grid)
    segment_ns = grid.segment_ns
    frame = _Frame(
        listing,
        channels,
        start_ns,
        segment_ns,
        rules_of(config, stations),
        [format_time(start_ns + index * segment_ns) for index in range(n_segments)],
        EventInputs.of_config(config, listing, stations, start_ns) if config.windows.of_events else None,
    )
    left = _Left()
    listed = _listed(listing, start_ns, n_segments, segment_ns)
    for channel_index, channel in enumerate(channels):
        left.look(frame, channel_index, channel, done, listed)
    item_bytes = 2 if config.spectrogram.dtype == "float16" else 4
    segment_bytes = _frames(config) * (grid.n_frequencies * item_bytes + 1)
    tasks = CubeTasks(frame, left.places())
    n_objects, n_bytes = distinct(left.digests, left.sizes)
    if n_objects < sum(map(len, left.sizes)):
        tasks = tasks.in_order(_sharers_together(tasks.places, channels))
    return CubePlan(
        channels=channels,
        start_ns=start_ns,
        n_segments=n_segments,
        tasks=tasks,
        n_done=left.n_done,
        n_kept=left.n_kept,
        bytes_to_read=n_bytes,
        objects_to_read=n_objects,
        bytes_to_write=len(tasks) * segment_bytes,
        memory_per_task=_memory(left.largest, grid, segment_bytes) + _ahead(config)
        if isinstance(grid, SpectrogramGrid)
        else 0,
        outside=frame.rules.outside,
        unlocated=() if frame.events is None else frame.events.unlocated,
    )


class _Left:
    """What is found to be left, channel by channel."""

    def __init__(self) -> None:
        self.n_done = self.n_kept = 0
        self.largest = 0
        """Bytes of the files that one task holds at a time, at most."""
        self.digests: list[npt.NDArray[np.uint64]] = []
        """Of the objects that the tasks may read, for each channel."""
        self.sizes: list[npt.NDArray[np.int64]] = []
        self._places: list[npt.NDArray[np.int32]] = []

    def look(
        self,
        frame: _Frame,
        channel_index: int,
        channel: ChannelId,
        done: Mapping[str, TaskResult],
        time_indices: range,
    ) -> None:
        """Sort the segments of one channel into done and left."""
        if not frame.listing.has(channel):
            return
        digests, sizes = frame.listing.digests(channel), frame.listing.sizes(channel)
        used = np.zeros(len(sizes), bool)
        left: list[int] = []
        for near in frame.near(channel, time_indices):
            if not frame.is_planned(channel, near):
                continue
            result = done.get(frame.key(channel, near.time_index)) if done else None
            found = standing(frame.fingerprint(channel, near, digests), result) if result else "left"
            if found != "left":
                self.n_done += 1
                self.n_kept += found == "kept"
                continue
            left.append(near.time_index)
            numbers = [*near.before, *near.own, *near.after]
            used[numbers] = True
            # Of the segment's own file and its two neighbours at most two are held decoded at any time.
            self.largest = max(self.largest, sum(sorted(sizes[number] for number in numbers)[-2:]))
        chosen = np.flatnonzero(used).tolist()
        self.digests.append(np.frombuffer(b"".join([digests[n] for n in chosen]), np.uint64))
        self.sizes.append(np.array([sizes[n] for n in chosen], np.int64))
        self._places.append(np.array([(channel_index, index) for index in left], np.int32).reshape(-1, 2))

    def places(self) -> npt.NDArray[np.int32]:
        """Indices (channel, segment) of the tasks that are left, shape (task, 2)."""
        return np.concatenate([np.empty((0, 2), np.int32), *self._places])


def _listed(listing: Listing, start_ns: int, n_segments: int, segment_ns: int) -> range:
    """The segments that the listing's time touches."""
    first, end = listing.span
    return range(
        max(0, (first - start_ns) // segment_ns), min(n_segments, -(-(end - start_ns) // segment_ns))
    )


def _axes(config: Config, listing: Listing, grid: Grid) -> tuple[tuple[ChannelId, ...], int, int]:
    """Channels, start and length of the cube with what the archive lists now."""
    first_ns, end_ns = listing.span
    start_ns = first_ns // grid.segment_ns * grid.segment_ns
    channels = listing.channels
    try:
        there = open_cube(Places.at(config.root, config.storage_options).cube)
    except StoreNotFoundError:
        there = None
    if there is not None and there.fingerprint == cube_fingerprint(config):
        known = set(there.channels)
        channels = (*there.channels, *(channel for channel in channels if channel not in known))
        # A listing that begins before the cube is refused, with the remedy, where the cube is extended.
        start_ns = min(start_ns, there.start_ns)
    n_segments = max(1, -(-(end_ns - start_ns) // grid.segment_ns))
    if there is not None and there.start_ns == start_ns:
        n_segments = max(n_segments, there.n_segments)
    return channels, start_ns, n_segments


def _frames(config: Config) -> int:
    """The most frames that a segment stores."""
    windows = config.window_grid
    if isinstance(windows, EventGrid):
        return windows.max_events * windows.length
    return config.spectrogram_grid.n_frames


def _check_filters(config: Config) -> None:
    """Refuse now what every task would refuse, whatever its channel's rate."""
    try:
        make_preprocessor(config.spectrogram, config.spectrogram.sampling_rate_hz)
    except ValueError as error:
        raise ConfigError(f"spectrogram.bandpass_hz: {error}") from error


def _sharers_together(places: npt.NDArray[np.int32], channels: Sequence[ChannelId]) -> npt.NDArray[np.int64]:
    """The order by station, time and channel: objects are those of stations."""
    stations = {name: number for number, name in enumerate(sorted({c.station_key for c in channels}))}
    station = np.array([stations[channel.station_key] for channel in channels])[places[:, 0]]
    return np.lexsort((places[:, 0], places[:, 1], station))


def _ahead(config: Config) -> int:
    """Bytes of objects that a worker fetches while it computes."""
    return 0 if config.archive.location.is_local else config.archive.access.read_ahead_bytes


def _memory(largest_files: int, grid: SpectrogramGrid, segment_bytes: int) -> int:
    """Bytes of a worker at its largest task: files and decoded samples, float32 samples, power, shard."""
    at_target = 4 * (grid.samples_per_segment + grid.tail_samples)
    decoded = max(_DECODED_PER_BYTE * largest_files, at_target)
    samples = decoded + at_target
    return (
        _PROCESS_BYTES
        + FILTER_LIBRARIES_BYTES
        + largest_files
        + decoded
        + samples
        + 2 * segment_bytes
        + _FILTER_BYTES
        + max(_TRANSFORM_BYTES, _LEAST_BATCH * grid.nfft * _BYTES_PER_POINT)
    )
