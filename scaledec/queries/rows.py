"""The labelled windows that fit a question, one row each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from scaledec.errors import StoreError
from scaledec.places import Places
from scaledec.queries.selection import Instant, Selection, chosen_channels, chosen_instant, chosen_labels
from scaledec.stages.readahead import read_ahead
from scaledec.store.datasets import newest_run, open_labels
from scaledec.store.labels import LabelStore
from scaledec.store.names import default_name
from scaledec.store.open import store_errors
from scaledec.vocabulary import NANOSECONDS_PER_SECOND

__all__ = ["query"]

# Blocks read at the same time: reading waits for the store, not for the processor.
_READERS = 4


def query(
    root: str,
    *,
    run: str | None = None,
    channel: str | Sequence[str] | None = None,
    label: int | str | Sequence[int | str] | None = None,
    start: Instant | None = None,
    end: Instant | None = None,
    min_confidence: float | None = None,
    limit: int | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """The labelled windows that fit, one row each, by channel and time.

    Read block by block: what lies outside the channels and times asked for is not read, and memory holds
    the rows found and a few blocks.

    Parameters
    ----------
    root, storage_options
        As in the configuration.
    run
        Name of the run; ``None``: the newest.
    channel
        Glob over NET.STA.LOC.CHA, or several of them.
    label
        Cluster by number or by the name it was given, or several of them.
    start, end
        Windows that start at or after ``start`` and before ``end`` (ISO 8601 or datetime, UTC).
    min_confidence
        Least confidence, 0 to 1.
    limit
        At most this many windows, the first ones by channel and time.

    Returns
    -------
    pandas.DataFrame
        ``channel`` (categorical), ``start`` and ``end`` (datetime64[ns], UTC), ``label``, ``confidence``,
        ``distance``, and ``name`` where the clusters were given names.

    Raises
    ------
    StoreNotFoundError
        If there are no labels, or none of that run.
    ConfigError
        If a filter can fit nothing: no such channel or label, ``start`` not before ``end``.

    Examples
    --------
    >>> query("demo", channel="CM.*.*.HHZ", label=3, min_confidence=0.9)  # doctest: +SKIP
    """
    run = run or newest_run(root, storage_options)
    dataset = open_labels(root, run, storage_options)
    store = LabelStore.open(Places.at(root, storage_options).labels(run))
    names = _names(dataset)
    wanted = Selection(
        channels=chosen_channels(channel, store.extent.channels),
        labels=chosen_labels(label, names),
        start_ns=chosen_instant("start", start),
        end_ns=chosen_instant("end", end),
        min_confidence=min_confidence,
        limit=limit,
    )
    return _table(store, list(_found(store, dataset, wanted)), names)


@dataclass(frozen=True, slots=True)
class _Block:
    channel_index: int
    first: int
    stop: int


def _found(store: LabelStore, dataset: xr.Dataset, wanted: Selection) -> Iterator[pd.DataFrame]:
    """Rows of one block after another, until there are enough."""
    blocks = _blocks(store, wanted)
    left = wanted.limit
    for rows in read_ahead(lambda block: _find(store, dataset, wanted, block), blocks, ahead=_READERS):
        if len(rows):
            yield rows if left is None else rows.head(left)
        if left is not None:
            left -= len(rows)
            if left <= 0:
                return


def _blocks(store: LabelStore, wanted: Selection) -> Iterator[_Block]:
    """Shards that can hold a window asked for, clipped to the segments that can."""
    extent, segment_ns = store.extent, store.grid.segment_ns
    first, stop = 0, extent.n_segments
    if wanted.start_ns is not None:
        first = max(first, (wanted.start_ns - extent.start_ns) // segment_ns)
    if wanted.end_ns is not None:
        stop = min(stop, -((extent.start_ns - wanted.end_ns) // segment_ns))
    step = store.segments_per_shard
    for channel in wanted.channels:
        index = extent.channels.index(channel)
        for shard in range(first - first % step, stop, step):
            yield _Block(index, max(first, shard), min(stop, shard + step))


def _find(store: LabelStore, dataset: xr.Dataset, wanted: Selection, block: _Block) -> pd.DataFrame:
    """The windows of a block that fit, by time; confidence and distance are read only if a label fits."""
    selected = dataset.isel(channel=block.channel_index, time=slice(block.first, block.stop))
    channel = store.extent.channels[block.channel_index]
    with store_errors(f"labels of {channel} in {store.location}", "read"):
        try:
            label = selected["label"].to_numpy()
            start_ns = store.start_ns(block.channel_index, block.first, block.stop)
            fits = wanted.fits(label, start_ns)
            if not fits.any():
                return _NOTHING
            confidence = selected["confidence"].to_numpy()
            if wanted.min_confidence is not None:
                fits &= confidence >= wanted.min_confidence
            distance = selected["distance"].to_numpy()
        except (ValueError, RuntimeError) as error:
            raise StoreError(
                f"labels of {channel} in {store.location} are damaged: {error}; `verify` lists all that is"
            ) from error
    return pd.DataFrame(
        {
            "channel": block.channel_index,
            "start": start_ns[fits],
            "label": label[fits],
            "confidence": confidence[fits],
            "distance": distance[fits],
        }
    )


_NOTHING = pd.DataFrame(
    {
        "channel": np.empty(0, np.int64),
        "start": np.empty(0, np.int64),
        "label": np.empty(0, np.int16),
        "confidence": np.empty(0, np.float32),
        "distance": np.empty(0, np.float32),
    }
)


def _table(store: LabelStore, parts: Sequence[pd.DataFrame], names: Sequence[str]) -> pd.DataFrame:
    table = pd.concat(parts, ignore_index=True) if parts else _NOTHING.copy()
    start_ns = table["start"].to_numpy()
    length_ns = round(store.windows.length_s * NANOSECONDS_PER_SECOND)
    channels = pd.Index([str(channel) for channel in store.extent.channels])
    table["channel"] = pd.Categorical.from_codes(table["channel"].to_numpy(), channels)
    table["channel"] = table["channel"].cat.remove_unused_categories()
    table["start"] = start_ns.view("datetime64[ns]")
    table.insert(2, "end", (start_ns + length_ns).view("datetime64[ns]"))
    if any(name != default_name(k) for k, name in enumerate(names)):
        # Several clusters may share a name.
        table["name"] = pd.Categorical(np.array(names, dtype=object)[table["label"].to_numpy()])
    return table


def _names(dataset: xr.Dataset) -> list[str]:
    return [str(name) for name in dataset["cluster_name"].to_numpy()]
