"""One window, and one class: what they look like, and where the next of a kind is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scaledec.errors import StoreConflictError, StoreError
from scaledec.explore.detail import Place
from scaledec.explore.opened import Opened, OpenedRun, Span
from scaledec.stages.readahead import read_ahead
from scaledec.stages.window_reader import open_windows
from scaledec.vocabulary import ChannelId

__all__ = ["ClassCard", "Place", "class_card", "neighbour", "place_of", "window_power"]

# Shards looked at for the nearest windows of a class: a bounded choice, evenly over channels and time.
_MOST_SHARDS = 48
_READERS = 4


@dataclass(frozen=True, slots=True, eq=False)
class ClassCard:
    """What a class looks like."""

    prototype: npt.NDArray[np.float32]
    """The decoded centroid, shape ([plane,] frame, frequency)."""
    nearest: tuple[tuple[Place, float], ...]
    """Windows nearest to the centroid, and how near."""
    looked_at: int
    """Windows of the class among which these are the nearest."""
    is_all: bool
    """Whether that is all there are."""


def place_of(run: OpenedRun, channel: ChannelId, start_ns: int) -> Place | None:
    """The window of a channel that begins at an instant; ``None`` if none does."""
    extent = run.store.extent
    channel_index = extent.channels.index(channel)
    segment = (start_ns - extent.start_ns) // run.segment_ns
    if not 0 <= segment < extent.n_segments:
        return None
    found = np.flatnonzero(run.store.start_ns(channel_index, segment, segment + 1)[0] == start_ns)
    return Place(channel_index, segment, int(found[0]), start_ns) if found.size else None


def window_power(opened: Opened, run: OpenedRun, place: Place) -> npt.NDArray[np.float32] | str:
    """A window as the network saw it, shape ([plane,] frame, frequency); or why it cannot be shown."""
    if opened.cube is None:
        return opened.no_cube
    channel = run.channels[place.channel_index]
    index = place.channel_index
    if run.components is None:
        if channel not in opened.cube.channels:
            return f"the cube does not hold {channel}"
        index = opened.cube.channel_index(channel)
    try:
        reader = open_windows(opened.cube, run.store.windows, run.components)
        _, power = reader.read(index, place.segment, np.array([place.number]), 1)
    except (StoreError, StoreConflictError) as error:
        return str(error)
    if not len(power):
        return "the cube no longer holds every value of this window"
    return np.asarray(power[0], np.float32)


def neighbour(run: OpenedRun, place: Place, label: int, step: int) -> Place | None:
    """The next window of a class on the same channel, or with ``step`` -1 the one before; shard by shard."""
    for first, stop in _shards_from(run, place.segment, step):
        found = _of_class(run, place.channel_index, first, stop, label)
        later = found.start_ns > place.start_ns if step > 0 else found.start_ns < place.start_ns
        chosen = np.flatnonzero(later)
        if chosen.size:
            return found.place(int(chosen[0] if step > 0 else chosen[-1]))
    return None


def class_card(run: OpenedRun, label: int, *, n_nearest: int = 4, span: Span | None = None) -> ClassCard:
    """The prototype of a class and the windows nearest to its centroid.

    Of a long archive a bounded number of shards is looked at, spread evenly over channels and time.

    Parameters
    ----------
    run
        Whose labels.
    label
        The class.
    n_nearest
        Windows wanted.
    span
        Only windows that start in it; ``None``: any.
    """
    span = span or run.span
    shards = _all_shards(run, span)
    chosen = (
        [
            shards[i]
            for i in np.unique(np.linspace(0, len(shards) - 1, min(len(shards), _MOST_SHARDS)).astype(int))
        ]
        if shards
        else []
    )
    best: list[tuple[Place, float]] = []
    looked_at = 0

    def read(shard: tuple[int, int, int]) -> _Found:
        return _of_class(run, *shard, label)

    for found in read_ahead(read, chosen, ahead=_READERS):
        inside = np.flatnonzero((found.start_ns >= span.start_ns) & (found.start_ns < span.end_ns))
        looked_at += inside.size
        nearest = inside[np.argsort(found.distance[inside], kind="stable")[:n_nearest]]
        best += [(found.place(int(i)), float(found.distance[i])) for i in nearest]
        best = sorted(best, key=lambda one: one[1])[:n_nearest]
    prototype = np.asarray(run.dataset["prototype"].isel(cluster=label).to_numpy(), np.float32)
    return ClassCard(prototype, tuple(best), looked_at, len(chosen) == len(shards))


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Windows of one class in a shard, by time; arrays of shape (window,)."""

    channel_index: int
    segment: npt.NDArray[np.int64]
    number: npt.NDArray[np.int64]
    start_ns: npt.NDArray[np.int64]
    distance: npt.NDArray[np.float32]

    def place(self, index: int) -> Place:
        return Place(
            self.channel_index, int(self.segment[index]), int(self.number[index]), int(self.start_ns[index])
        )


def _of_class(run: OpenedRun, channel_index: int, first: int, stop: int, label: int) -> _Found:
    part = run.dataset[["label", "distance"]].isel(channel=channel_index, time=slice(first, stop))
    segment, number = np.nonzero(part["label"].to_numpy() == label)
    if not segment.size:
        nothing = np.empty(0, np.int64)
        return _Found(channel_index, nothing, nothing, nothing, np.empty(0, np.float32))
    start_ns = run.store.start_ns(channel_index, first, stop)[segment, number]
    return _Found(
        channel_index, segment + first, number, start_ns, part["distance"].to_numpy()[segment, number]
    )


def _shards_from(run: OpenedRun, segment: int, step: int) -> Iterator[tuple[int, int]]:
    """The shard of a segment and those after it, or before it."""
    size, n = run.store.segments_per_shard, run.store.extent.n_segments
    first = segment - segment % size
    while 0 <= first < n:
        yield first, min(n, first + size)
        first += step * size


def _all_shards(run: OpenedRun, span: Span) -> Sequence[tuple[int, int, int]]:
    """(channel, first, stop) of the shards that reach into a span."""
    extent, size = run.store.extent, run.store.segments_per_shard
    first = max(0, (span.start_ns - extent.start_ns) // run.segment_ns)
    stop = min(extent.n_segments, -((extent.start_ns - span.end_ns) // run.segment_ns))
    return [
        (channel, shard, min(extent.n_segments, shard + size))
        for shard in range(first - first % size, stop, size)
        for channel in range(len(extent.channels))
    ]
