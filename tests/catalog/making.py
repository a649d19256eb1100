"""Small label stores over several months and networks, with the ledger that the label stage writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from scaledec.grid import EventGrid, SpectrogramGrid, WindowGrid
from scaledec.ledger.ledger import Ledger
from scaledec.places import Places
from scaledec.stages.label_region import write_block
from scaledec.store.axes import ChannelCoordinates
from scaledec.store.event_variables import NOT_A_TIME
from scaledec.store.labels import LabelBlock, LabelStore, LabelTemplate
from scaledec.vocabulary import ChannelId, LabelTask, WindowState, parse_time, task_key

DAY_NS = 86_400 * 10**9
START_NS = parse_time("2020-01-25")
N_DAYS = 45  # to the 9th of March
SHARD = 8
N_CLUSTERS = 3
CHANNELS = tuple(map(ChannelId.parse, ["XX.B..HHZ", "01.A.00.HHZ", "XX.A..HHZ", "XX.A..HHN", "XX.C.10.HHZ"]))
# A frame every two minutes, windows of an hour.
GRID = SpectrogramGrid.from_lengths(sampling_rate_hz=1, segment_s=86_400, window_s=240, overlap=0.5)
WINDOWS = WindowGrid.from_lengths(GRID, length_s=3600, stride_s=None, min_coverage=1)
EVENTS = EventGrid.from_lengths(GRID, length_s=3600, max_events=12, min_coverage=1)


def make_store(
    places: Places,
    run: str = "first",
    *,
    channels: Sequence[ChannelId] = CHANNELS,
    n_days: int = N_DAYS,
    windows: WindowGrid | EventGrid = WINDOWS,
    coordinates: ChannelCoordinates | None = None,
) -> LabelStore:
    """An empty label store; stations stand a degree apart, unless coordinates are given."""
    template = LabelTemplate(
        run=run,
        fingerprint="f",
        method="kmeans",
        grid=GRID,
        windows=windows,
        segments_per_shard=SHARD,
        centroid=np.zeros((N_CLUSTERS, 2)),
        prototype=np.zeros((N_CLUSTERS, windows.length, GRID.n_frequencies)),
        prototype_units="1",
        embedding=False,
        confidence="soft assignment",
    )
    apart = {
        "latitude": {channel: 10.0 + i for i, channel in enumerate(channels)},
        "longitude": {channel: 20.0 + i for i, channel in enumerate(channels)},
    }
    return LabelStore.create_or_extend(
        places.labels(run),
        template,
        channels,
        START_NS,
        n_days,
        apart if coordinates is None else coordinates,
    )


def random_block(store: LabelStore, channel_index: int, first: int, seed: int = 0) -> LabelBlock:
    """One in ten windows without a label; events at odd times, in the order of time."""
    rng = np.random.default_rng((seed, channel_index, first))
    n = min(SHARD, store.extent.n_segments - first)
    shape = (n, store.windows.n_windows)
    label = rng.integers(0, N_CLUSTERS, shape).astype(np.int16)
    label[rng.random(shape) < 0.1] = -1
    values = np.where(label >= 0, rng.random((3, *shape)), np.nan).astype(np.float32)
    onset = None
    if isinstance(store.windows, EventGrid):
        start = START_NS + (first + np.arange(n))[:, None] * DAY_NS
        onset = start + np.sort(rng.integers(0, DAY_NS, shape), axis=1)
        onset[:, -2:] = NOT_A_TIME
        label[:, -2:] = -1
    state = np.where(label >= 0, WindowState.LABELLED, WindowState.NO_DATA).astype(np.uint8)
    confidence, distance, outlier = values
    return LabelBlock(channel_index, first, label, confidence, distance, outlier, state, onset=onset)


def fill(places: Places, store: LabelStore, run: str = "first", *, seed: int = 0) -> None:
    """Label everything as the label stage does."""
    for index in range(len(store.extent.channels)):
        for first in range(0, store.extent.n_segments, SHARD):
            label_shard(places, store, index, first, run, seed=seed)


def label_shard(
    places: Places, store: LabelStore, index: int, first: int, run: str = "first", *, seed: int = 0
) -> None:
    block = random_block(store, index, first, seed)
    channel = store.extent.channels[index]
    key = task_key(channel, store.extent.start_ns + first * DAY_NS)
    task = LabelTask(key, f"{seed}", channel, index, first, first + len(block.label))
    Ledger(places.label_ledger(run)).append([write_block(store, task, block)])


def expected_rows(store: LabelStore) -> pd.DataFrame:
    """All labelled windows, made the plain way from the whole arrays."""
    rows: list[dict[str, Any]] = []
    for index, channel in enumerate(store.extent.channels):
        block = store.read_region(index, 0, store.extent.n_segments)
        start_ns = store.start_ns(index, 0, store.extent.n_segments)
        for at in zip(*np.nonzero(block.label >= 0), strict=True):
            start = pd.Timestamp((int(start_ns[at]) + 500) // 1000, unit="us")
            rows.append(
                {
                    "network": channel.network,
                    "station": channel.station,
                    "location": channel.location,
                    "channel": str(channel),
                    "start": start,
                    "end": start + pd.Timedelta(hours=1),
                    "label": block.label[at],
                    "confidence": block.confidence[at],
                    "distance": block.distance[at],
                    "outlier": block.outlier[at],
                    "year": start.year,
                    "month": start.month,
                }
            )
    table = pd.DataFrame(rows)
    for name in ("start", "end"):
        table[name] = table[name].astype("datetime64[us]")
    return table.sort_values(["channel", "start"], ignore_index=True)


def sorted_rows(found: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """Rows that some reader gave, in the order and types of :func:`expected_rows`."""
    typed = found.copy()
    for name in ("network", "station", "location", "channel"):
        typed[name] = typed[name].astype(str)
    for name in ("start", "end"):
        typed[name] = typed[name].astype("datetime64[us]")
    for name in ("year", "month"):
        typed[name] = typed[name].astype(int)
    return typed.sort_values(["channel", "start"], ignore_index=True)[list(columns)]
