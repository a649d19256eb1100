"""Where the labels of a question are read from, piece by piece: a label store.

A piece is some segments of a channel: small enough to hold several, and read by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from scaledec.grid import EventGrid, Windows
from scaledec.places import Places
from scaledec.queries.selection import Selection
from scaledec.store.datasets import newest_run, open_labels
from scaledec.store.labels import LabelStore
from scaledec.store.names import default_name
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId

__all__ = ["Piece", "Source", "StoredLabels", "has_names", "length_ns", "step_ns"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Segments ``[first, stop)`` of a channel, by their indices."""

    channel_index: int
    first: int
    stop: int


class Source(Protocol):
    """Labels that can be asked. Methods may be called from several threads at once."""

    @property
    def channels(self) -> tuple[ChannelId, ...]:
        """What ``Piece.channel_index`` counts."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Of the clusters."""
        ...

    @property
    def windows(self) -> Windows:
        """Where windows lie in a segment."""
        ...

    @property
    def span_ns(self) -> tuple[int, int]:
        """Start of the first segment and end of the last."""
        ...

    def has(self, name: str) -> bool:
        """Whether this is known of each window."""
        ...

    def pieces(self, wanted: Selection) -> Iterator[Piece]:
        """What can hold a window asked for, channel after channel, by time."""
        ...

    def read(self, name: str, piece: Piece) -> npt.NDArray[Any]:
        """``label``, ``confidence``, ... of every window of a piece, shape (window,)."""
        ...

    def start_ns(self, piece: Piece) -> npt.NDArray[Any]:
        """Start of every window of a piece in nanoseconds of UTC, shape (window,)."""
        ...


@dataclass(frozen=True, slots=True)
class StoredLabels:
    """The labels of a run in its store."""

    store: LabelStore
    names: tuple[str, ...]

    @classmethod
    def open(
        cls, root: str, run: str | None = None, storage_options: Mapping[str, Any] | None = None
    ) -> StoredLabels:
        """The labels of a run, of the newest one by default.

        Raises
        ------
        StoreNotFoundError
            If there are no labels, or none of that run.
        """
        run = run or newest_run(root, storage_options)
        named = open_labels(root, run, storage_options)["cluster_name"].to_numpy()
        store = LabelStore.open(Places.at(root, storage_options).labels(run))
        return cls(store, tuple(map(str, named)))

    @property
    def channels(self) -> tuple[ChannelId, ...]:
        """The store's channel axis."""
        return self.store.extent.channels

    @property
    def windows(self) -> Windows:
        """Where windows lie in a segment."""
        return self.store.windows

    @property
    def span_ns(self) -> tuple[int, int]:
        """Start of the first segment and end of the last."""
        extent = self.store.extent
        return extent.start_ns, extent.start_ns + extent.n_segments * self.store.grid.segment_ns

    def has(self, name: str) -> bool:
        """Whether this is stored of each window."""
        return self.store.has(name)

    def pieces(self, wanted: Selection) -> Iterator[Piece]:
        """Shards that can hold a window asked for, clipped to the segments that can."""
        extent, segment_ns = self.store.extent, self.store.grid.segment_ns
        index = {channel: number for number, channel in enumerate(extent.channels)}
        first, stop = 0, extent.n_segments
        if wanted.start_ns is not None:
            first = max(first, (wanted.start_ns - extent.start_ns) // segment_ns)
        if wanted.end_ns is not None:
            stop = min(stop, -((extent.start_ns - wanted.end_ns) // segment_ns))
        step = self.store.segments_per_shard
        for channel in wanted.channels:
            for shard in range(first - first % step, stop, step):
                yield Piece(index[channel], max(first, shard), min(stop, shard + step))

    def read(self, name: str, piece: Piece) -> npt.NDArray[Any]:
        """Values of every window of a piece, shape (window,)."""
        return self.store.read(name, piece.channel_index, piece.first, piece.stop).reshape(-1)

    def start_ns(self, piece: Piece) -> npt.NDArray[Any]:
        """Start of every window of a piece, shape (window,)."""
        return self.store.start_ns(piece.channel_index, piece.first, piece.stop).reshape(-1)


def has_names(names: Sequence[str]) -> bool:
    """Whether a person gave any cluster a name."""
    return any(name != default_name(k) for k, name in enumerate(names))


def length_ns(windows: Windows) -> int:
    """Length of a window in nanoseconds."""
    return round(windows.length_s * NANOSECONDS_PER_SECOND)


def step_ns(windows: Windows) -> int:
    """From one window's start to that of the next one that follows it directly."""
    if isinstance(windows, EventGrid):
        return length_ns(windows)
    return round(windows.stride * windows.hop_s * NANOSECONDS_PER_SECOND)
