"""The training set: a seeded sample of the cube's windows, equal over channels, split without leaks.

First the coverage of randomly ordered segments is read until enough usable windows are known; then the
split is drawn over whole (station, segment) groups; then the power of the chosen segments is read, one after
another, and the windows are written in the order channel, segment, window.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from scaledec.config import Config, cube_fingerprint, hash_json
from scaledec.errors import TrainingError
from scaledec.grid import EventGrid
from scaledec.location import Location
from scaledec.stages.readahead import read_ahead
from scaledec.stages.sampling import Group, share_equally, split_groups
from scaledec.stages.sensors import Components, Sensor, sensors_of
from scaledec.stages.window_reader import WindowReader, open_windows
from scaledec.store.cube import CubeStore
from scaledec.store.cube_base import Cube
from scaledec.store.event_cube import EventCubeStore
from scaledec.store.training import TRAIN, VALIDATION, TrainingStore, TrainingTemplate

__all__ = [
    "LEAST_WINDOWS",
    "SAMPLING_ALGORITHM",
    "Draw",
    "build_training_set",
    "draw_windows",
    "training_fingerprint",
]

SAMPLING_ALGORITHM = 1
"""Raised whenever the code samples other windows from the same cube and settings."""

_log = logging.getLogger(__name__)

# A segment costs one read however many windows are taken from it; so many keep reading cheap while the
# sample still spreads over many days.
_WINDOWS_PER_SEGMENT = 32
_READERS = 4
_STREAM_SPLIT = 2**31  # seed stream of the split; channels use their own index

LEAST_WINDOWS = 8
"""Fewest windows of a split: fewer teach and prove nothing."""


@dataclass(frozen=True, slots=True)
class Draw:
    """The windows to take from one segment."""

    channel_index: int
    time_index: int
    validation: bool
    candidates: npt.NDArray[np.int64]
    """Usable windows in random order: the first finite ones are taken."""
    wanted: int


_Windows: TypeAlias = tuple[Draw, npt.NDArray[np.int64], npt.NDArray[Any]]
"""A draw, the numbers of its windows (window,), and their power (window, frame, frequency)."""


def build_training_set(
    config: Config,
    cube: CubeStore | EventCubeStore,
    location: Location,
    *,
    segments: Collection[tuple[int, int]] | None = None,
) -> TrainingStore:
    """Sample windows of the cube and write them to a new training store.

    The same configuration and cube give the same bytes. Memory holds a few segments, never the sample.

    Parameters
    ----------
    config
        ``pretrain.windows``, ``validation`` and ``seed``, and the window grid.
    cube
        The cube to sample.
    location
        Where the training store goes; what lies there is replaced.
    segments
        Indices (channel, time) of the segments that hold power; ``None``: look at all.

    Raises
    ------
    TrainingError
        If the cube holds too few usable windows, or they cannot be split.
    """
    draws = draw_windows(config, cube, segments=segments)
    n = sum(draw.wanted for draw in draws)
    if n < config.pretrain.windows:
        _log.warning("the cube holds %d usable windows of the %d asked for", n, config.pretrain.windows)
    components = Components.of(config.windows)
    reader = open_windows(cube, config.window_grid, components)
    sensors = sensors_of(cube.channels, components)
    at_events = isinstance(config.window_grid, EventGrid)
    with TrainingStore.create(location, _template(config, cube), n) as writer:
        for draw, chosen, power in read_ahead(lambda draw: _read_draw(reader, draw), draws, ahead=_READERS):
            if len(chosen):
                place = draw.channel_index, draw.time_index
                writer.append(
                    power,
                    channels=[sensors[draw.channel_index].id] * len(chosen),
                    segment_start_ns=np.full(len(chosen), cube.segment_start_ns(draw.time_index)),
                    window_index=chosen.astype(np.int32),
                    split=np.full(len(chosen), VALIDATION if draw.validation else TRAIN, np.uint8),
                    onset_ns=reader.start_ns(*place)[chosen] if at_events else None,
                )
    return TrainingStore.open(location)


def training_fingerprint(config: Config) -> str:
    """Hash of the settings that decide which windows are sampled, and their values, given a cube.

    The cube's extent is left out: a model stays what it is while new days arrive.
    """
    pretrain = config.pretrain
    sampling = [pretrain.windows, pretrain.validation, pretrain.seed, *pretrain.exclude]
    return hash_json([SAMPLING_ALGORITHM, cube_fingerprint(config), config.windows.deciding(), sampling])


def _template(config: Config, cube: Cube) -> TrainingTemplate:
    components = Components.of(config.windows)
    return TrainingTemplate(
        frames=config.window_grid.length,
        hop_s=cube.grid.hop_s,
        frequency_hz=tuple(cube.grid.frequency_hz.tolist()),
        scale=cube.template.scale,
        dtype=cube.template.dtype,
        fingerprint=training_fingerprint(config),
        planes=() if components is None else components.planes,
        onset=isinstance(config.window_grid, EventGrid),
    )


def draw_windows(
    config: Config, cube: CubeStore | EventCubeStore, *, segments: Collection[tuple[int, int]] | None = None
) -> tuple[Draw, ...]:
    """Choose the windows of the training set from coverage alone, in the order channel, segment.

    Raises
    ------
    TrainingError
        If too few windows are usable, or they cannot be split.
    """
    seed = config.pretrain.seed % 2**64
    components = Components.of(config.windows)
    reader = open_windows(cube, config.window_grid, components)
    named = _by_channel(segments)
    channels = [
        _Channel(
            index,
            sensor.id.station_key,
            _segments_of(sensor, config.pretrain.exclude, cube.n_segments, named),
            np.random.default_rng([seed, index]),
        )
        for index, sensor in enumerate(sensors_of(cube.channels, components))
    ]
    _visit(reader, channels, config.pretrain.windows)
    split_rng = np.random.default_rng([seed, _STREAM_SPLIT])
    held_out = _split(channels, config.pretrain.windows, config.pretrain.validation, split_rng)
    _leave_out_windows_across_the_split(reader, channels, held_out)
    draws = tuple(_draws(channels, config.pretrain.windows, held_out))
    _check_enough(config, draws)
    return draws


class _Channel:
    """Segments of a channel or sensor in random order, and the usable windows of those looked at so far."""

    def __init__(self, index: int, station: str, segments: Sequence[int], rng: np.random.Generator) -> None:
        self.index = index
        self.station = station
        self.rng = rng
        self.order = [segments[place] for place in rng.permutation(len(segments))]
        self.usable: dict[int, npt.NDArray[np.int64]] = {}

    @property
    def complete(self) -> bool:
        """Whether every segment was looked at."""
        return len(self.usable) == len(self.order)

    @property
    def n_usable(self) -> int:
        """Usable windows known so far."""
        return sum(map(len, self.usable.values()))

    def missing(self, target: int) -> int:
        """Windows still to be found to take ``target`` with no more than a few from each segment."""
        if self.complete:
            return 0
        return max(0, target - sum(min(len(found), _WINDOWS_PER_SEGMENT) for found in self.usable.values()))

    def next_segments(self, missing: int) -> list[int]:
        """Segments to look at next: more each time that too little was found."""
        seen = len(self.usable)
        count = max(-(-missing // _WINDOWS_PER_SEGMENT), seen)
        return self.order[seen : seen + count]


def _segments_of(
    sensor: Sensor, exclude: Sequence[str], n_segments: int, segments: Mapping[int, set[int]] | None
) -> Sequence[int]:
    """Segments that a sensor may give windows from, ascending; ``segments`` names those of each channel."""
    if any(map(sensor.id.matches, exclude)):
        return ()
    if segments is None:
        return range(n_segments)
    return sorted(set[int]().union(*(segments.get(channel, set()) for channel in sensor.sources)))


def _by_channel(segments: Collection[tuple[int, int]] | None) -> Mapping[int, set[int]] | None:
    if segments is None:
        return None
    times: defaultdict[int, set[int]] = defaultdict(set)
    for channel_index, time_index in segments:
        times[channel_index].add(time_index)
    return times


def _visit(reader: WindowReader, channels: Sequence[_Channel], total: int) -> None:
    """Look at the coverage of segments until every channel can give its share, or has no more."""

    def look(place: tuple[_Channel, int]) -> npt.NDArray[np.int64]:
        channel, time_index = place
        return reader.covered(channel.index, time_index)

    with ThreadPoolExecutor(_READERS) as pool:
        while True:
            room = [channel.n_usable if channel.complete else total for channel in channels]
            shares = share_equally(total, room)
            missing = [channel.missing(int(share)) for channel, share in zip(channels, shares, strict=True)]
            places = [
                (channel, time_index)
                for channel, count in zip(channels, missing, strict=True)
                if count
                for time_index in channel.next_segments(count)
            ]
            if not places:
                return
            for (channel, time_index), found in zip(places, pool.map(look, places), strict=True):
                channel.usable[time_index] = found


def _split(
    channels: Sequence[_Channel], total: int, share: float, rng: np.random.Generator
) -> dict[Group, bool]:
    """Whether each group that may give windows is held out for validation."""
    weights: dict[Group, int] = defaultdict(int)
    for channel, counts in _shares(channels, total):
        for time_index, count in counts.items():
            if len(channel.usable[time_index]):
                # A segment that gives none for now may have to stand in for another one later.
                weights[_group(channel, time_index)] += max(1, count)
    held_out = split_groups(weights, share, rng)
    return {group: group in held_out for group in weights}


def _shares(channels: Sequence[_Channel], total: int) -> Iterator[tuple[_Channel, dict[int, int]]]:
    """How many windows each segment of each channel gives: equal over channels, then over segments."""
    totals = share_equally(total, [channel.n_usable for channel in channels])
    for channel, n in zip(channels, totals, strict=True):
        times = sorted(channel.usable)
        counts = share_equally(int(n), [len(channel.usable[time]) for time in times])
        yield channel, {time: int(count) for time, count in zip(times, counts, strict=True)}


def _group(channel: _Channel, time_index: int) -> Group:
    return channel.station, time_index


def _leave_out_windows_across_the_split(
    reader: WindowReader, channels: Sequence[_Channel], held_out: Mapping[Group, bool]
) -> None:
    """Drop windows that use samples of the next segment where that one is in the other split."""
    for channel in channels:
        for time_index, usable in channel.usable.items():
            here = held_out.get(_group(channel, time_index))
            if here is not held_out.get(_group(channel, time_index + 1), here):
                across = reader.reach_on(channel.index, time_index, usable)
                channel.usable[time_index] = usable[~across]


def _draws(channels: Sequence[_Channel], total: int, held_out: Mapping[Group, bool]) -> Iterator[Draw]:
    for channel, counts in _shares(channels, total):
        for time_index, count in counts.items():
            if count:
                candidates = channel.rng.permutation(channel.usable[time_index])
                validation = held_out[_group(channel, time_index)]
                yield Draw(channel.index, time_index, validation, candidates, count)


def _check_enough(config: Config, draws: Sequence[Draw]) -> None:
    for validation, name in ((False, "training"), (True, "validation")):
        n = sum(draw.wanted for draw in draws if draw.validation is validation)
        if n < LEAST_WINDOWS:
            raise TrainingError(
                f"{n} usable windows for {name}; expected at least {LEAST_WINDOWS}: raise pretrain.windows "
                f"(now {config.pretrain.windows}), widen archive.start, archive.end or archive.channels, or "
                f"lower windows.min_coverage (now {config.windows.min_coverage:g})"
            )


def _read_draw(reader: WindowReader, draw: Draw) -> _Windows:
    """The windows of one segment in the order of time; those with a value that is not finite are replaced."""
    chosen, power = reader.read(draw.channel_index, draw.time_index, draw.candidates, draw.wanted)
    order = np.argsort(chosen)
    return draw, chosen[order], power[order]
