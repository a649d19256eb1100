"""One pass over the labels of an archive: counts over time and channel, and a random sample of each cluster.

Memory holds counts, samples and a few blocks, whatever the number of windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from scaledec.errors import StoreError
from scaledec.report.gather.reservoir import ClusterSample, Reservoir
from scaledec.stages.readahead import read_ahead
from scaledec.store.event_variables import NOT_A_TIME
from scaledec.store.labels import UNLABELLED, LabelStore
from scaledec.store.open import store_errors
from scaledec.vocabulary import ChannelId, WindowState

__all__ = ["HOUR_NS", "ArchiveScan", "scan_labels"]

HOUR_NS = 3_600_000_000_000

Counts = npt.NDArray[np.int64]

# Blocks read at the same time: decoding them leaves the processor to others only in part.
_READERS = 3
# Parts of the time axis a timeline is divided into: about one and a half pixels each.
_MOST_BINS = 900


@dataclass(frozen=True, slots=True)
class ArchiveScan:
    """What one pass over the labels of a run found."""

    channels: tuple[ChannelId, ...]
    start_ns: int
    """Start of the first segment."""
    end_ns: int
    """End of the last one."""
    hourly: Counts
    """Windows by cluster and hour since the start, shape (cluster, hour)."""
    binned: Counts
    """Windows by channel, part of the time axis and cluster, shape (channel, part, cluster + 1); the last
    ones have no label."""
    states: Counts
    """Windows by :class:`~scaledec.vocabulary.WindowState`; those that no event fills are left out."""
    part_ns: int
    """Length of these parts; the last one may reach beyond the end."""
    samples: tuple[ClusterSample, ...]
    """A random sample of each cluster's windows."""

    @property
    def counts(self) -> Counts:
        """Windows of each cluster, shape (cluster,)."""
        return np.asarray(self.hourly.sum(axis=1))

    @property
    def n_labelled(self) -> int:
        """Windows that have a label."""
        return int(self.hourly.sum())

    @property
    def n_unlabelled(self) -> int:
        """Windows that could have been and have none."""
        return int(self.binned[..., -1].sum())

    @property
    def by_channel(self) -> Counts:
        """Windows by channel and cluster, shape (channel, cluster)."""
        return np.asarray(self.binned[..., :-1].sum(axis=1))

    @property
    def by_hour_of_day(self) -> Counts:
        """Windows by cluster and hour of the day (UTC), shape (cluster, 24)."""
        first = self.start_ns // HOUR_NS % 24
        hours = (first + np.arange(self.hourly.shape[1])) % 24
        found = np.zeros((len(self.hourly), 24), np.int64)
        np.add.at(found.T, hours, self.hourly.T)
        return found


def scan_labels(store: LabelStore, dataset: xr.Dataset, *, sample: int = 4000, seed: int = 0) -> ArchiveScan:
    """Read every label once.

    Parameters
    ----------
    store, dataset
        The same labels, opened both ways.
    sample
        Windows of each cluster that are kept with their confidence and distance.
    seed
        Of that choice.

    Raises
    ------
    StoreError
        If labels are damaged.
    """
    extent, n_clusters = store.extent, len(store.centroid)
    end_ns = extent.start_ns + extent.n_segments * store.grid.segment_ns
    n_hours = -(-(end_ns - extent.start_ns) // HOUR_NS)
    part_ns = -(-(end_ns - extent.start_ns) // min(_MOST_BINS, extent.n_segments * store.windows.n_windows))
    n_bins = -(-(end_ns - extent.start_ns) // part_ns)
    # The last windows of a segment, and events, start inside it: every start lies in the extent.
    hourly = np.zeros((n_clusters, n_hours), np.int64)
    binned = np.zeros((len(extent.channels), n_bins, n_clusters + 1), np.int64)
    states = np.zeros(len(WindowState), np.int64)
    reservoir = Reservoir(n_clusters, sample, seed)
    for block in read_ahead(lambda place: _read(store, dataset, *place), _places(store), ahead=_READERS):
        bins = (block.start_ns - extent.start_ns) // part_ns
        states += np.bincount(block.state, minlength=len(states))
        known = np.where(block.label == UNLABELLED, n_clusters, block.label)
        binned[block.channel] += _table(bins, known, binned.shape[1:])
        block = block.labelled()
        _count_hours(hourly, block.label, (block.start_ns - extent.start_ns) // HOUR_NS)
        reservoir.add(block.channel, block.start_ns, block.label, block.confidence, block.distance)
    samples = reservoir.samples()
    return ArchiveScan(extent.channels, extent.start_ns, end_ns, hourly, binned, states, part_ns, samples)


@dataclass(frozen=True, slots=True)
class _Block:
    """Windows of one channel, flat; those that do not exist (no event) are left out."""

    channel: int
    start_ns: npt.NDArray[np.int64]
    state: npt.NDArray[np.uint8]
    label: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]
    distance: npt.NDArray[np.float32]

    def labelled(self) -> _Block:
        """Those that have a label."""
        return self.where(self.label != UNLABELLED)

    def where(self, kept: npt.NDArray[np.bool_]) -> _Block:
        """Those that are kept; the block itself if all are."""
        if kept.all():
            return self
        arrays = [getattr(self, field.name)[kept] for field in fields(self)[1:]]
        return _Block(self.channel, *arrays)


def _places(store: LabelStore) -> Iterator[tuple[int, int, int]]:
    """Channel, first and last segment (exclusive) of every shard."""
    step, n_segments = store.segments_per_shard, store.extent.n_segments
    for channel in range(len(store.extent.channels)):
        for first in range(0, n_segments, step):
            yield channel, first, min(first + step, n_segments)


def _read(store: LabelStore, dataset: xr.Dataset, channel: int, first: int, stop: int) -> _Block:
    selected = dataset.isel(channel=channel, time=slice(first, stop))
    with store_errors(f"labels of {store.extent.channels[channel]} in {store.location}", "read"):
        try:
            found: list[npt.NDArray[Any]] = [
                selected[name].to_numpy().reshape(-1) for name in ("state", "label", "confidence", "distance")
            ]
            start_ns = store.start_ns(channel, first, stop).reshape(-1)
        except (ValueError, RuntimeError) as error:
            raise StoreError(
                f"labels of {store.extent.channels[channel]} in {store.location} are damaged: {error}; "
                "`scaledec verify` lists all that is"
            ) from error
    block = _Block(channel, start_ns, found[0], found[1].astype(np.int64), *found[2:])
    return block.where(start_ns != NOT_A_TIME)


def _count_hours(hourly: Counts, label: npt.NDArray[np.int64], hours: npt.NDArray[np.int64]) -> None:
    """Add windows to their hours; the table of a block is as long as the block, not as the archive."""
    if len(hours):
        first, stop = int(hours.min()), int(hours.max()) + 1
        hourly[:, first:stop] += _table(label, hours - first, (len(hourly), stop - first))


def _table(
    rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], shape: tuple[int, ...]
) -> npt.NDArray[np.int64]:
    """How often each pair occurs, shape (row, column)."""
    n_rows, n_columns = shape
    return np.bincount(rows * n_columns + columns, minlength=n_rows * n_columns).reshape(n_rows, n_columns)
