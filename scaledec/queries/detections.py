"""The detections of an event cube as a table: when, how strong, how long, where the peak is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from scaledec.errors import ConfigError, StoreNotFoundError
from scaledec.places import Places
from scaledec.queries.selection import Instant, chosen_channels, chosen_instant
from scaledec.stages.readahead import read_ahead
from scaledec.store.cubes import open_cube
from scaledec.store.event_cube import EventCubeStore
from scaledec.store.event_variables import NOT_A_TIME, PROPERTIES
from scaledec.vocabulary import NANOSECONDS_PER_SECOND

__all__ = ["detections"]

# Segments read at the same time: reading waits for the store, not for the processor.
_READERS = 4


def detections(
    root: str,
    *,
    channel: str | Sequence[str] | None = None,
    start: Instant | None = None,
    end: Instant | None = None,
    limit: int | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """The events of the cube below ``root``, one row each, by channel and time.

    Only segments of the channels and times asked for are read, and of those no power.

    Parameters
    ----------
    root, storage_options
        As in the configuration.
    channel
        Glob over NET.STA.LOC.CHA, or several of them. Channels of one station share their detections,
        unless each was told to detect for itself.
    start, end
        Events whose windows begin at or after ``start`` and before ``end`` (ISO 8601 or datetime, UTC).
    limit
        At most this many, the first ones by channel and time.

    Returns
    -------
    pandas.DataFrame
        ``channel`` (categorical); ``onset`` (first sample of the window), ``detected`` (of the trigger or
        the pick) and ``peak`` (of power inside the band) as datetime64[ns] in UTC; ``duration_s``,
        ``value`` (largest of the detector's function), ``peak_power_db``; ``dropped``, the number of
        weaker events in the same segment for which there was no room.

    Raises
    ------
    StoreNotFoundError
        If there is no cube, or one without events.
    ConfigError
        If a filter can fit nothing.

    Examples
    --------
    >>> detections("ross", channel="XH.*.*.HHZ", start="2015-01-01", limit=100)  # doctest: +SKIP
    """
    cube = open_cube(Places.at(root, storage_options).cube)
    if not isinstance(cube, EventCubeStore):
        raise StoreNotFoundError(
            f"{cube.location} is continuous: only windows.mode triggered or catalog makes detections"
        )
    start_ns, end_ns = chosen_instant("start", start), chosen_instant("end", end)
    if start_ns is not None and end_ns is not None and start_ns >= end_ns:
        raise ConfigError("start is not before end: no event can lie between them")
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}; expected at least 1")
    indices = [cube.channel_index(found) for found in chosen_channels(channel, cube.channels)]
    parts: list[pd.DataFrame] = []
    left = limit
    places = _places(cube, indices, start_ns, end_ns)
    for rows in read_ahead(lambda place: _rows(cube, *place, start_ns, end_ns), places, ahead=_READERS):
        parts.append(rows if left is None else rows.head(left))
        if left is not None and (left := left - len(parts[-1])) <= 0:
            break
    return _table(cube, parts)


def _places(
    cube: EventCubeStore, channels: Sequence[int], start_ns: int | None, end_ns: int | None
) -> Iterator[tuple[int, int]]:
    """Channel and segment of everything that may hold an event asked for, by listing alone."""
    first = 0 if start_ns is None else (start_ns - cube.start_ns) // cube.segment_ns
    stop = cube.n_segments if end_ns is None else -((cube.start_ns - end_ns) // cube.segment_ns)
    for channel_index in channels:
        for time_index in sorted(cube.stored_segments(channel_index)):
            if first <= time_index < stop:
                yield channel_index, time_index


def _rows(
    cube: EventCubeStore, channel_index: int, time_index: int, start_ns: int | None, end_ns: int | None
) -> pd.DataFrame:
    onset = cube.read_onsets(channel_index, time_index)
    onset = onset[onset != NOT_A_TIME]
    known = cube.read_detections(channel_index, time_index, len(onset)).astype(np.float64)
    value = dict(zip(PROPERTIES, known.T, strict=True))
    fits = np.ones(len(onset), bool)
    if start_ns is not None:
        fits &= onset >= start_ns
    if end_ns is not None:
        fits &= onset < end_ns
    columns = {
        "channel": np.full(len(onset), channel_index),
        "onset": onset,
        "detected": _later(onset, value["detected"]),
        "peak": _later(onset, value["peak"]),
        "duration_s": value["duration"],
        "value": value["value"],
        "peak_power_db": value["peak_power"],
        "dropped": value["dropped"].astype(np.int64),
    }
    return pd.DataFrame({name: column[fits] for name, column in columns.items()})


def _later(onset: npt.NDArray[np.int64], seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Instants so many seconds after the onsets; ``NOT_A_TIME`` where that is unknown."""
    unknown = np.isnan(seconds)
    # Kept as float32: good to 10 microseconds over a minute, so nothing finer is told.
    after = np.rint(np.where(unknown, 0.0, seconds) * 1e5).astype(np.int64) * (
        NANOSECONDS_PER_SECOND // 10**5
    )
    return np.where(unknown, NOT_A_TIME, onset + after)


def _table(cube: EventCubeStore, parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    empty = np.empty(0, np.int64)
    columns = ["channel", "onset", "detected", "peak", "duration_s", "value", "peak_power_db", "dropped"]
    filled = [part for part in parts if len(part)]
    table = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(dict.fromkeys(columns, empty))
    for name in ("onset", "detected", "peak"):
        table[name] = table[name].to_numpy().view("datetime64[ns]")
    names = pd.Index([str(channel) for channel in cube.channels])
    table["channel"] = pd.Categorical.from_codes(table["channel"].to_numpy(), names)
    table["channel"] = table["channel"].cat.remove_unused_categories()
    return table
