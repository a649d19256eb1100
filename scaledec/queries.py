"""Questions to the labels of a run: which class, where, when, how sure."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from scaledec.errors import ConfigError, StoreError
from scaledec.places import Places
from scaledec.stages.readahead import read_ahead
from scaledec.store.datasets import newest_run, open_labels
from scaledec.store.labels import LabelStore
from scaledec.store.names import default_name
from scaledec.store.open import store_errors
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId, parse_time

__all__ = ["Instant", "chosen_channels", "chosen_instant", "query", "write_table"]

# Blocks read at the same time: reading waits for the store, not for the processor.
_READERS = 4

Instant = str | dt.date | dt.datetime


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
    wanted = _Wanted(
        channels=chosen_channels(channel, store.extent.channels),
        labels=_labels(label, names),
        start_ns=chosen_instant("start", start),
        end_ns=chosen_instant("end", end),
        min_confidence=min_confidence,
        limit=limit,
    )
    return _table(store, list(_found(store, dataset, wanted)), names)


def write_table(table: pd.DataFrame, path: str) -> None:
    """Write a table as its ending says: .csv, .parquet, .json (records) or .jsonl (one record a line).

    Raises
    ------
    ConfigError
        If the ending is another one.
    StoreError
        If it cannot be written.
    """
    as_json: dict[str, Any] = {"orient": "records", "date_format": "iso", "date_unit": "us"}
    writers: dict[str, Callable[[Path], object]] = {
        ".csv": lambda to: table.to_csv(to, index=False, date_format="%Y-%m-%dT%H:%M:%S.%fZ"),
        ".parquet": lambda to: table.to_parquet(to, index=False),
        ".json": lambda to: _in_utc(table).to_json(to, **as_json),
        ".jsonl": lambda to: _in_utc(table).to_json(to, lines=True, **as_json),
    }
    target = Path(path)
    writer = writers.get(target.suffix.lower())
    if writer is None:
        raise ConfigError(f"cannot tell how to write {path!r}; expected an ending of {', '.join(writers)}")
    partial = target.with_name(f".{target.name}.partial")
    with store_errors(target, "write"):
        try:
            writer(partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def _in_utc(table: pd.DataFrame) -> pd.DataFrame:
    """The same instants with their time zone, which text must name."""
    instants = table.select_dtypes("datetime")
    return table.assign(**{name: instants[name].dt.tz_localize("UTC") for name in instants.columns})


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The filters, checked."""

    channels: tuple[ChannelId, ...]
    """In the order of their names."""
    labels: tuple[int, ...] | None
    start_ns: int | None
    end_ns: int | None
    min_confidence: float | None
    limit: int | None

    def __post_init__(self) -> None:
        if self.start_ns is not None and self.end_ns is not None and self.start_ns >= self.end_ns:
            raise ConfigError("start is not before end: no window can start between them")
        if self.min_confidence is not None and not 0 <= self.min_confidence <= 1:
            raise ConfigError(f"min_confidence is {self.min_confidence:g}; expected 0 to 1")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit is {self.limit}; expected at least 1")


@dataclass(frozen=True, slots=True)
class _Block:
    channel_index: int
    first: int
    stop: int


def _found(store: LabelStore, dataset: xr.Dataset, wanted: _Wanted) -> Iterator[pd.DataFrame]:
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


def _blocks(store: LabelStore, wanted: _Wanted) -> Iterator[_Block]:
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


def _find(store: LabelStore, dataset: xr.Dataset, wanted: _Wanted, block: _Block) -> pd.DataFrame:
    """The windows of a block that fit, by time; confidence and distance are read only if a label fits."""
    selected = dataset.isel(channel=block.channel_index, time=slice(block.first, block.stop))
    channel = store.extent.channels[block.channel_index]
    with store_errors(f"labels of {channel} in {store.location}", "read"):
        try:
            label = selected["label"].to_numpy()
            start_ns = store.start_ns(block.channel_index, block.first, block.stop)
            fits = _fitting(wanted, label, start_ns)
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


def _fitting(
    wanted: _Wanted, label: npt.NDArray[np.int16], start_ns: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    fits = np.asarray(label >= 0 if wanted.labels is None else np.isin(label, wanted.labels))
    if wanted.start_ns is not None:
        fits &= start_ns >= wanted.start_ns
    if wanted.end_ns is not None:
        fits &= start_ns < wanted.end_ns
    return fits


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


def chosen_channels(
    patterns: str | Sequence[str] | None, known: Sequence[ChannelId]
) -> tuple[ChannelId, ...]:
    """Channels that match any pattern, by name."""
    if patterns is None:
        return tuple(sorted(known, key=str))
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    found = {channel for channel in known for pattern in patterns if channel.matches(pattern)}
    if found:
        return tuple(sorted(found, key=str))
    names = [str(channel) for channel in known]
    near = [
        name for pattern in patterns for name in difflib.get_close_matches(pattern, names, n=3, cutoff=0.4)
    ]
    hint = "nearest: " + ", ".join(dict.fromkeys(near)) if near else "there are: " + ", ".join(names[:5])
    raise ConfigError(f"no channel matches {', '.join(map(repr, patterns))}; {hint}")


def _labels(label: int | str | Sequence[int | str] | None, names: Sequence[str]) -> tuple[int, ...] | None:
    if label is None:
        return None
    wanted = [label] if isinstance(label, int | np.integer | str) else list(label)
    if not wanted:
        raise ConfigError(f"no label asked for; this run has the labels 0 to {len(names) - 1}")
    return tuple(cluster for one in wanted for cluster in _clusters(one, names))


def _clusters(label: int | str, names: Sequence[str]) -> list[int]:
    """The clusters that a number or a name stands for."""
    if isinstance(label, str) and not label.isdecimal():
        found = [k for k, name in enumerate(names) if name == label]
        if not found:
            near = difflib.get_close_matches(label, names, n=3, cutoff=0.0)
            raise ConfigError(f"no cluster is named {label!r}; nearest: {', '.join(near)}")
        return found
    if not 0 <= int(label) < len(names):
        raise ConfigError(f"label {label} asked for; this run has the labels 0 to {len(names) - 1}")
    return [int(label)]


def chosen_instant(name: str, value: Instant | None) -> int | None:
    """Nanoseconds of an instant that a person gave; ``ConfigError`` naming it if it is none."""
    if value is None:
        return None
    try:
        return parse_time(value)
    except (ValueError, AttributeError) as error:
        raise ConfigError(
            f"{name} is {value!r}; expected a time such as 2019-07-04T12:00:00 (UTC)"
        ) from error
