"""The labelled windows that fit a question, one row each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from scaledec.queries.scan import Found, scan
from scaledec.queries.selection import Filters, Instant, Selection, chosen
from scaledec.queries.source import Source, StoredLabels, has_names, length_ns

__all__ = ["query", "rows_of"]


def query(
    root: str,
    *,
    run: str | None = None,
    channel: str | Sequence[str] | None = None,
    label: int | str | Sequence[int | str] | None = None,
    start: Instant | None = None,
    end: Instant | None = None,
    hours: str | tuple[int, int] | None = None,
    min_confidence: float | None = None,
    min_outlier: float | None = None,
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
    hours
        Hours of the day in UTC in which windows start: ``"22-4"`` from 22:00 to before 04:00; several
        with commas.
    min_confidence
        Least confidence, 0 to 1.
    min_outlier
        Least outlier score.
    limit
        At most this many windows, the first ones by channel and time.

    Returns
    -------
    pandas.DataFrame
        ``channel`` (categorical), ``start`` and ``end`` (datetime64[ns], UTC), ``label``, ``confidence``,
        ``distance``, ``outlier`` where the run has it, and ``name`` where the clusters were given names.

    Raises
    ------
    StoreNotFoundError
        If there are no labels, or none of that run.
    ConfigError
        If a filter can fit nothing: no such channel or label, ``start`` not before ``end``.

    Examples
    --------
    >>> query("demo", channel="CM.*.*.HHZ", label=3, hours="22-4", min_confidence=0.9)  # doctest: +SKIP
    """
    filters = Filters(
        channel=channel,
        label=label,
        start=start,
        end=end,
        hours=hours,
        min_confidence=min_confidence,
        min_outlier=min_outlier,
    )
    return rows_of(StoredLabels.open(root, run, storage_options), filters, limit)


def rows_of(source: Source, filters: Filters, limit: int | None = None) -> pd.DataFrame:
    """As :func:`query`, of labels that are open."""
    wanted = chosen(source.channels, source.names, filters, limit=limit)
    values = [name for name in ("confidence", "distance", "outlier") if source.has(name)]
    return _table(source, list(_found(source, wanted, values)), values)


def _found(source: Source, wanted: Selection, values: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Rows of one piece after another, until there are enough."""
    left = wanted.limit
    for rows in scan(source, wanted, _rows, needs=values):
        yield rows if left is None else rows.head(left)
        if left is not None:
            left -= len(rows)
            if left <= 0:
                return


def _rows(found: Found) -> pd.DataFrame:
    first = {"channel": np.full(len(found), found.piece.channel_index), "start": found.start_ns}
    return pd.DataFrame({**first, "label": found.label, **found.values})


def _table(source: Source, parts: Sequence[pd.DataFrame], values: Sequence[str]) -> pd.DataFrame:
    types = {"channel": "i8", "start": "i8", "label": "i2"} | dict.fromkeys(values, "f4")
    nothing = pd.DataFrame({name: np.empty(0, dtype) for name, dtype in types.items()})
    table = pd.concat(parts, ignore_index=True) if parts else nothing
    start_ns = table["start"].to_numpy()
    channels = pd.Index([str(channel) for channel in source.channels])
    table["channel"] = pd.Categorical.from_codes(table["channel"].to_numpy(), channels)
    table["channel"] = table["channel"].cat.remove_unused_categories()
    table["start"] = start_ns.view("datetime64[ns]")
    table.insert(2, "end", (start_ns + length_ns(source.windows)).view("datetime64[ns]"))
    if has_names(source.names):
        # Several clusters may share a name.
        table["name"] = pd.Categorical(np.array(source.names, dtype=object)[table["label"].to_numpy()])
    return table
