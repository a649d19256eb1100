"""How many windows of each class: by station, channel, hour, day, ... and along time.

Counted piece by piece: memory holds the answer and a few pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
import pandas as pd

from scaledec.errors import ConfigError
from scaledec.queries.scan import Found, scan
from scaledec.queries.selection import HOUR_NS, Filters, chosen
from scaledec.queries.source import Source, StoredLabels, has_names

__all__ = ["BY", "SEASONS", "WEEKDAYS", "count_by", "counts_in_time", "counts_of", "time_counts_of"]

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SEASONS = ("DJF", "MAM", "JJA", "SON")
"""Meteorological: December, January and February first."""

_HOURS = 24
_DAY_NS = _HOURS * HOUR_NS
# Rows that are gathered before equal ones are added up.
_MOST_ROWS = 1_000_000
_MOST_CELLS = 50_000_000

Column = npt.NDArray[np.int64]


def _month_of(hour: Column) -> Column:
    """Months since 1970."""
    return np.asarray((hour // _HOURS).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64))


_OF_HOUR: Mapping[str, Callable[[Column], Column]] = {
    "hour": lambda hour: hour,
    "hour_of_day": lambda hour: hour % _HOURS,
    "day": lambda hour: hour // _HOURS,
    "weekday": lambda hour: (hour // _HOURS + 3) % 7,  # 1970 began on a Thursday
    "month": _month_of,
    "season": lambda hour: (_month_of(hour) + 1) % 12 // 3,
}
"""From hours since 1970 to what is counted by."""

BY = ("label", "station", "channel", *_OF_HOUR)
"""What can be counted by."""


def count_by(root: str, by: Sequence[str], **filters: Unpack[Filters]) -> pd.DataFrame:
    """How many labelled windows there are of each combination that occurs.

    Parameters
    ----------
    root
        As in the configuration.
    by
        Any of ``label``, ``station`` (NET.STA), ``channel``, ``hour`` (its start), ``hour_of_day`` (0 to 23),
        ``day``, ``weekday``, ``month`` (their first instants) and ``season`` (DJF, MAM, JJA, SON, of any
        year); all times are those in UTC at which windows start.
    filters
        As in :func:`~scaledec.queries.rows.query`.

    Returns
    -------
    pandas.DataFrame
        A column each of ``by``, ``name`` where ``label`` is among them and clusters were given names, and
        ``windows``; sorted by the columns in their order.

    Raises
    ------
    ConfigError
        If something else is to be counted by, or a filter can fit nothing.

    Examples
    --------
    >>> count_by("demo", ["label", "station"], min_confidence=0.9)  # doctest: +SKIP
    """
    source = StoredLabels.open(root, filters.get("run"), filters.get("storage_options"))
    return counts_of(source, by, filters)


def counts_of(source: Source, by: Sequence[str], filters: Filters) -> pd.DataFrame:
    """As :func:`count_by`, of labels that are open."""
    unknown = [name for name in by if name not in BY]
    if unknown or not by or len(set(by)) < len(by):
        raise ConfigError(
            f"cannot count by {', '.join(unknown) or 'nothing or twice'}: expected some of {', '.join(BY)}"
        )
    wanted = chosen(source.channels, source.names, filters)
    stations = sorted({channel.station_key for channel in source.channels})
    channels = sorted(map(str, source.channels))
    tick_ns = _tick_ns(by)
    n_labels = len(source.names) if "label" in by else 1

    def make(found: Found) -> list[Column]:
        label = found.label if "label" in by else np.zeros(1, np.int64)
        hour, label, windows = _tally(found.start_ns, label, tick_ns, n_labels)
        channel = source.channels[found.piece.channel_index]
        known = {
            "label": label,
            "station": np.full(len(hour), stations.index(channel.station_key)),
            "channel": np.full(len(hour), channels.index(str(channel))),
        }
        hour = hour * (tick_ns // HOUR_NS)
        return [*(known[name] if name in known else _OF_HOUR[name](hour) for name in by), windows]

    total = _added_up(scan(source, wanted, make), len(by))
    return _table(source.names, by, {"station": stations, "channel": channels}, total)


def counts_in_time(root: str, freq: str = "1h", **filters: Unpack[Filters]) -> pd.DataFrame:
    """How many labelled windows of each class start in each stretch of time.

    Parameters
    ----------
    root
        As in the configuration.
    freq
        Length of a stretch as pandas writes it: ``10min``, ``1h``, ``1D``, counted from the start of 1970
        (UTC); or a calendar's: ``MS`` (months), ``W``, ``QS``, ``YS``.
    filters
        As in :func:`~scaledec.queries.rows.query`.

    Returns
    -------
    pandas.DataFrame
        Index ``time``: the start of every stretch of the archive, or from ``start`` to ``end``. A column a
        label that was asked for; 0 where no window of it starts.

    Raises
    ------
    ConfigError
        If ``freq`` is none or makes too many stretches to hold, or a filter can fit nothing.

    Examples
    --------
    >>> counts_in_time("demo", "1D", label=[2, 3]).plot()  # doctest: +SKIP
    """
    source = StoredLabels.open(root, filters.get("run"), filters.get("storage_options"))
    return time_counts_of(source, freq, filters)


def time_counts_of(source: Source, freq: str, filters: Filters) -> pd.DataFrame:
    """As :func:`counts_in_time`, of labels that are open."""
    wanted = chosen(source.channels, source.names, filters)
    offset = _offset(freq)
    tick_ns = _fixed_ns(offset)
    if tick_ns is None:
        return time_counts_of(source, "1D", filters).resample(offset).sum()
    first_ns, end_ns = source.span_ns
    first = (first_ns if wanted.start_ns is None else wanted.start_ns) // tick_ns
    stop = -(-(end_ns if wanted.end_ns is None else wanted.end_ns) // tick_ns)
    n_labels = len(source.names)
    labels = range(n_labels) if wanted.labels is None else sorted(set(wanted.labels))
    if (stop - first) * n_labels > _MOST_CELLS:
        raise ConfigError(
            f"freq is {freq!r}: {stop - first:,} stretches of {n_labels} classes; ask for longer"
        )
    table = np.zeros((max(0, stop - first), n_labels), np.int64)
    for tick, label, windows in scan(
        source, wanted, lambda found: _tally(found.start_ns, found.label, tick_ns, n_labels)
    ):
        table[tick - first, label] += windows
    index = pd.DatetimeIndex((np.arange(first, stop) * tick_ns).astype("datetime64[ns]"), name="time")
    return pd.DataFrame(table, index=index, columns=pd.Index(range(n_labels), name="label"))[list(labels)]


def _offset(freq: str) -> pd.offsets.BaseOffset:
    try:
        offset = pd.tseries.frequencies.to_offset(freq)
    except ValueError:
        offset = None
    if offset is None or offset.n <= 0:
        raise ConfigError(f"freq is {freq!r}; expected a length of time such as 10min, 1h, 1D or MS")
    return offset


def _fixed_ns(offset: pd.offsets.BaseOffset) -> int | None:
    """Nanoseconds of a length that is always the same; ``None`` for a calendar's."""
    if isinstance(offset, pd.offsets.Day):
        return offset.n * _DAY_NS
    return int(offset.nanos) if isinstance(offset, pd.offsets.Tick) else None


def _tick_ns(by: Sequence[str]) -> int:
    """The longest time that need not be divided to count by these: whole hours."""
    if {"hour", "hour_of_day"} & set(by):
        return HOUR_NS
    # Without any time, windows of a piece are all one.
    return _DAY_NS if set(by) & set(_OF_HOUR) else 10**6 * HOUR_NS


def _tally(
    start_ns: Column, label: npt.NDArray[Any], tick_ns: int, n_labels: int
) -> tuple[Column, Column, Column]:
    """Ticks since 1970, labels, and how many windows there are of both together."""
    tick = start_ns // tick_ns
    first = int(tick.min())
    code = (tick - first) * n_labels + label
    if int(code.max()) < 4 * len(code) + 1000:
        all_counts = np.bincount(code)
        codes = np.flatnonzero(all_counts)
        counts = all_counts[codes]
    else:
        codes, counts = np.unique(code, return_counts=True)
    return codes // n_labels + first, codes % n_labels, counts


@dataclass(slots=True)
class _Rows:
    """Rows of numbers with a count as the last one; equal rows are added up when there are many."""

    n_columns: int
    waiting: list[list[Column]] = field(default_factory=list)
    n_waiting: int = 0

    def add(self, columns: list[Column]) -> None:
        self.waiting.append(columns)
        self.n_waiting += len(columns[-1])

    def sum(self) -> pd.DataFrame:
        """Every different row once, sorted."""
        columns = [np.concatenate(parts) for parts in zip(*self.waiting, strict=True)]
        *keys, windows = columns or [np.empty(0, np.int64)] * (self.n_columns + 1)
        frame = pd.DataFrame(dict(enumerate(keys))).assign(windows=windows)
        added = frame.groupby(list(range(self.n_columns)), sort=True)["windows"].sum().reset_index()
        self.waiting = [[added[name].to_numpy() for name in added.columns]]
        self.n_waiting = len(added)
        return added


def _added_up(parts: Iterator[list[Column]], n_columns: int) -> pd.DataFrame:
    rows, most = _Rows(n_columns), _MOST_ROWS
    for columns in parts:
        rows.add(columns)
        if rows.n_waiting > most:
            # An answer that is itself long is not added up again at every piece.
            most = max(_MOST_ROWS, 2 * len(rows.sum()))
    return rows.sum()


def _table(
    names: Sequence[str], by: Sequence[str], places: Mapping[str, Sequence[str]], total: pd.DataFrame
) -> pd.DataFrame:
    texts: Mapping[str, Sequence[str]] = {**places, "weekday": WEEKDAYS, "season": SEASONS}
    instants = {"hour": "datetime64[h]", "day": "datetime64[D]", "month": "datetime64[M]"}
    columns: dict[str, Any] = {}
    for number, name in enumerate(by):
        values = total[number].to_numpy()
        if name in texts:
            ordered = name in ("weekday", "season")
            columns[name] = pd.Categorical.from_codes(values, pd.Index(texts[name]), ordered=ordered)
        elif name in instants:
            columns[name] = values.astype(instants[name]).astype("datetime64[ns]")
        else:
            columns[name] = values.astype(np.int16)
        if name == "label" and has_names(names):
            columns["name"] = pd.Categorical(np.array(names, dtype=object)[values])
    return pd.DataFrame({**columns, "windows": total["windows"].to_numpy()})
