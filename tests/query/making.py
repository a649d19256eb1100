"""Small label stores to ask, and the same windows as a plain table."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

from scaledec.grid import EventGrid
from scaledec.ledger.ledger import Ledger
from scaledec.places import Places
from scaledec.store.event_variables import NOT_A_TIME
from scaledec.store.labels import LabelBlock, LabelStore
from scaledec.synthetic.labels import SimulatedLabels
from scaledec.vocabulary import TaskResult, WindowState, parse_time

SETTINGS = SimulatedLabels(
    stations=2,
    segments=20,
    segment_s=21_600,
    window_s=256,
    classes=4,
    start="2020-02-27",
    segments_per_shard=3,
    unlabelled=0.1,
)
"""Four channels, five days over the end of a leap February, 84 windows of 256 s in a segment of 6 h."""


def write_event_labels(root: Path, *, max_events: int = 9) -> LabelStore:
    """Labels of up to nine events a segment, some within a window's length of one another."""
    windows = EventGrid(40, max_events, 0.64, 1.0)
    template = SETTINGS.template
    prototype = template.prototype[:, : windows.length]
    template = dataclasses.replace(template, windows=windows, prototype=prototype, run="events")
    places, channels = Places.at(str(root)), SETTINGS.channels
    start_ns = parse_time(SETTINGS.start)
    store = LabelStore.create_or_extend(
        places.labels("events"), template, channels, start_ns, SETTINGS.segments
    )
    step, segment_ns = SETTINGS.segments_per_shard, template.grid.segment_ns
    for channel_index in range(len(channels)):
        for first in range(0, SETTINGS.segments, step):
            n = min(step, SETTINGS.segments - first)
            rng = np.random.default_rng([channel_index, first])
            offset = np.sort(rng.integers(0, segment_ns, (n, max_events)) // 7 ** rng.integers(0, 6), axis=1)
            onset = start_ns + (first + np.arange(n))[:, None] * segment_ns + offset
            onset[np.arange(max_events) >= rng.integers(0, max_events + 1, (n, 1))] = NOT_A_TIME
            label = rng.integers(-1, 4, onset.shape).astype(np.int16)
            label[onset == NOT_A_TIME] = -1
            there = label >= 0
            confidence, distance = np.where(there, rng.random((2, *onset.shape)), np.nan).astype(np.float32)
            state = np.where(there, WindowState.LABELLED, WindowState.NO_DATA).astype(np.uint8)
            outlier = distance * np.float32(3)
            store.write_region(
                LabelBlock(channel_index, first, label, confidence, distance, outlier, state, onset=onset)
            )
    Ledger(places.label_ledger("events")).append([TaskResult("events", "events", "done")])
    return store


def windows_of(store: LabelStore) -> pd.DataFrame:
    """Every labelled window of a store, by channel and time, from its arrays as a whole."""
    rows = []
    for channel_index, channel in enumerate(store.extent.channels):
        block = store.read_region(channel_index, 0, store.extent.n_segments)
        start_ns = store.start_ns(channel_index, 0, store.extent.n_segments)
        there = block.label >= 0
        rows.append(
            pd.DataFrame(
                {
                    "channel": str(channel),
                    "station": channel.station_key,
                    "start": start_ns[there].astype("datetime64[ns]"),
                    "label": block.label[there],
                    "confidence": block.confidence[there],
                    "distance": block.distance[there],
                    "outlier": block.outlier[there],
                }
            )
        )
    return pd.concat(rows).sort_values(["channel", "start"], kind="stable", ignore_index=True)
