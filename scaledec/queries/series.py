"""Which classes go with an environmental time series: correlations per class, with lag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, Unpack

import numpy as np
import numpy.typing as npt
import pandas as pd

from scaledec.errors import ConfigError
from scaledec.grid import EventGrid
from scaledec.location import Location
from scaledec.numerics.coincidence import adjusted_p_values
from scaledec.numerics.lags import LagScan, scan_lags
from scaledec.queries.counts import time_counts_of
from scaledec.queries.selection import Filters, chosen
from scaledec.queries.series_input import TimeSeries, read_series
from scaledec.queries.source import StoredLabels, has_names
from scaledec.vocabulary import NANOSECONDS_PER_SECOND

__all__ = ["How", "Measure", "SeriesJoin", "join_series"]

How: TypeAlias = Literal["mean", "max", "min", "rms", "std"]
Measure: TypeAlias = Literal["auto", "share", "count"]
Values: TypeAlias = npt.NDArray[np.float64]

# Of the usual number of windows in a bin: with fewer a share says little.
_LEAST_FILLED = 0.5
_FEWEST_BINS = 20


@dataclass(frozen=True, slots=True)
class SeriesJoin:
    """What goes with a time series."""

    classes: pd.DataFrame
    """A row a class, see :func:`join_series`."""
    lags: pd.DataFrame
    """A row a class and lag: label, lag_s, pearson, spearman."""
    bins: pd.DataFrame
    """Index time; ``series``, and a column a class: what was correlated, NaN where it is not known."""
    series: TimeSeries
    measure: str
    """``share`` or ``count``."""
    bin_s: float
    names: tuple[str, ...]
    """Of the classes, with their numbers, in the order of ``classes``."""
    n_clusters: int
    """Of the run."""
    chance: tuple[float, ...]
    """Of each class the strength of Spearman's correlation that the best lag exceeds by chance in 5 %."""


def join_series(
    root: str,
    series: str,
    *,
    column: str | None = None,
    at: Mapping[str, float | str] | None = None,
    freq: str = "1h",
    max_lag: str = "1D",
    how: How = "mean",
    measure: Measure = "auto",
    series_options: Mapping[str, Any] | None = None,
    **filters: Unpack[Filters],
) -> SeriesJoin:
    """Hold the classes of windows against a time series, bin by bin.

    Parameters
    ----------
    root
        As in the configuration.
    series, column, at, series_options
        The file, see :func:`~scaledec.queries.series_input.read_series`, and what fsspec needs to open it.
    freq
        Length of a bin: ``10min``, ``1h``, ``1D``.
    max_lag
        Lags up to this long either way are tried; ``0h``: none.
    how
        What of the series' values in a bin is taken. A series coarser than the bins is drawn straight
        between its values.
    measure
        ``share``: windows of the class over all labelled ones in the bin, which gaps do not change; bins
        with under half as many windows as usual are left out. ``count``: windows of the class.
        ``auto``: share where windows lie at a stride, count where they lie at events.
    filters
        As in :func:`~scaledec.queries.rows.query`.

    Returns
    -------
    SeriesJoin
        ``classes`` has label, name (where given), bins (known on both sides), pearson and spearman at lag 0,
        best_pearson and best_spearman with their lags in seconds (positive: the class follows the series),
        p_pearson and p_spearman of the best of all lags (by turning the series round, see
        :func:`~scaledec.numerics.lags.scan_lags`), and p_adjusted (Holm's over classes, of Spearman's).

    Raises
    ------
    ConfigError
        If series and labels share too little time, or an option is none.
    """
    source = StoredLabels.open(root, filters.get("run"), filters.get("storage_options"))
    asked = chosen(source.channels, source.names, filters).labels
    bin_ns, n_lags = _bin_ns(freq), _bin_ns(max_lag, zero=True) // _bin_ns(freq)
    counts = time_counts_of(source, freq, {**filters, "label": None})
    counts = _recorded(counts)
    kind = measure if measure != "auto" else "count" if isinstance(source.windows, EventGrid) else "share"
    found = read_series(Location(series, series_options or {}), column, at)
    start_ns = counts.index.to_numpy().astype("datetime64[ns]").astype(np.int64)
    values = _binned(found, start_ns, bin_ns, how)
    measured = _measured(counts.to_numpy(np.float64), kind, isinstance(source.windows, EventGrid))
    _check_shared(found, values, measured, start_ns, n_lags)
    labels = list(range(len(source.names))) if asked is None else sorted(set(asked))
    scans = [scan_lags(measured[:, label], values, n_lags) for label in labels]
    lag_s = np.arange(-n_lags, n_lags + 1, dtype=np.float64) * (bin_ns / NANOSECONDS_PER_SECOND)
    known = np.isfinite(values)[:, None] & np.isfinite(measured)
    return SeriesJoin(
        classes=_classes(source, labels, scans, known.sum(axis=0), lag_s),
        lags=_lag_table(labels, scans, lag_s),
        bins=_bin_table(counts.index, values, measured, labels),
        series=found,
        measure=kind,
        bin_s=bin_ns / NANOSECONDS_PER_SECOND,
        names=tuple(f"{label} {source.names[label]}" for label in labels),
        n_clusters=len(source.names),
        chance=tuple(scan.chance_spearman for scan in scans),
    )


def _bin_ns(text: str, *, zero: bool = False) -> int:
    try:
        length = int(pd.Timedelta(text).value)
    except ValueError:
        length = -1
    if length < (0 if zero else 1):
        raise ConfigError(f"{text!r} is no length of time; expected one such as 10min, 1h or 1D")
    return length


def _recorded(counts: pd.DataFrame) -> pd.DataFrame:
    """From the first bin with a window to the last: a store may reach far beyond what was recorded."""
    filled = np.flatnonzero(counts.to_numpy().sum(axis=1))
    if not len(filled):
        raise ConfigError("no labelled window fits")
    return counts.iloc[filled[0] : filled[-1] + 1]


def _measured(counts: Values, kind: str, of_events: bool) -> Values:
    """What is correlated of each class, shape (bin, class)."""
    windows = counts.sum(axis=1)
    if kind == "count":
        # Where windows lie at a stride, a bin without any is a gap.
        return counts if of_events else np.where(windows[:, None] > 0, counts, np.nan)
    usual = float(np.median(windows[windows > 0])) if (windows > 0).any() else 1.0
    filled = windows >= _LEAST_FILLED * usual
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(filled[:, None], counts / windows[:, None], np.nan)


def _binned(series: TimeSeries, start_ns: npt.NDArray[np.int64], bin_ns: int, how: How) -> Values:
    """One value a bin; NaN where the series has none."""
    n = len(start_ns)
    place = (series.time_ns - start_ns[0]) // bin_ns
    inside = (place >= 0) & (place < n)
    step = np.median(np.diff(series.time_ns)) if len(series.time_ns) > 1 else 0
    if step > bin_ns:
        return _between(series, start_ns + bin_ns // 2, 1.5 * float(step))
    grouped = pd.Series(series.value[inside]).groupby(place[inside])
    reduced = (grouped.agg(lambda v: np.sqrt(np.mean(v**2))) if how == "rms" else grouped.agg(how)).astype(
        float
    )
    return np.asarray(reduced.reindex(range(n)).to_numpy(np.float64), np.float64)


def _between(series: TimeSeries, at_ns: npt.NDArray[np.int64], longest_ns: float) -> Values:
    """Straight between neighbouring values, but not over gaps."""
    after = np.searchsorted(series.time_ns, at_ns)
    inside = (after > 0) & (after < len(series.time_ns))
    after = np.clip(after, 1, len(series.time_ns) - 1)
    near = series.time_ns[after] - series.time_ns[after - 1] <= longest_ns
    values = np.interp(at_ns, series.time_ns, series.value)
    return np.asarray(np.where(inside & near, values, np.nan), np.float64)


def _check_shared(
    series: TimeSeries, values: Values, measured: Values, start_ns: npt.NDArray[np.int64], n_lags: int
) -> None:
    n = int(np.count_nonzero(np.isfinite(values) & np.isfinite(measured).any(axis=1)))
    if n < max(_FEWEST_BINS, 2 * n_lags):
        first, last = (pd.Timestamp(int(t)).isoformat() for t in (series.time_ns[0], series.time_ns[-1]))
        begin, end = (pd.Timestamp(int(t)).isoformat() for t in (start_ns[0], start_ns[-1]))
        raise ConfigError(
            f"{series.name} ({first} to {last}) and the labels ({begin} to {end}) share {n} bins; lags of up "
            f"to {n_lags} bins need at least {max(_FEWEST_BINS, 2 * n_lags)}: use shorter bins or lags"
        )


def _classes(
    source: StoredLabels, labels: Sequence[int], scans: Sequence[LagScan], known: Any, lag_s: Values
) -> pd.DataFrame:
    table = pd.DataFrame({"label": labels, "bins": [int(known[label]) for label in labels]})
    if has_names(source.names):
        table.insert(1, "name", [source.names[label] for label in labels])
    middle = len(lag_s) // 2
    for name in ("pearson", "spearman"):
        curves = [np.asarray(getattr(scan, name)) for scan in scans]
        best = [scan.best(curve) for scan, curve in zip(scans, curves, strict=True)]
        at = [None if lag is None else lag + middle for lag in best]
        table[name] = [curve[middle] for curve in curves]
        table[f"best_{name}"] = [
            np.nan if i is None else curve[i] for i, curve in zip(at, curves, strict=True)
        ]
        table[f"lag_{name}_s"] = [np.nan if i is None else lag_s[i] for i in at]
        table[f"p_{name}"] = [getattr(scan, f"p_{name}") for scan in scans]
    return table.assign(p_adjusted=adjusted_p_values(table["p_spearman"].tolist()))


def _bin_table(index: pd.Index[Any], values: Values, measured: Values, labels: Sequence[int]) -> pd.DataFrame:
    columns: dict[Any, Values] = {"series": values}
    columns.update((label, measured[:, label]) for label in labels)
    return pd.DataFrame(columns, index=index)


def _lag_table(labels: Sequence[int], scans: Sequence[LagScan], lag_s: Values) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"label": label, "lag_s": lag_s, "pearson": scan.pearson, "spearman": scan.spearman})
        for label, scan in zip(labels, scans, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)
