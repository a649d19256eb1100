"""Clusters beside what was measured of the world: tide, wind, temperature, waves."""

from __future__ import annotations

from dataclasses import dataclass

from scaledec.errors import ScaledecError
from scaledec.queries.series import SeriesJoin, join_series
from scaledec.report.gather.scan import HOUR_NS
from scaledec.report.gather.view import RunView
from scaledec.report.sections.section import Picture, Section, Table
from scaledec.report.series import series_figure

__all__ = ["SeriesSource", "series_section"]

# Hours of labels from which bins are days: an hour is narrower than a pixel then.
_LONG_HOURS = 24 * 120


@dataclass(frozen=True, slots=True)
class SeriesSource:
    """A time series and what of it is taken."""

    url: str
    """CSV, NetCDF, Zarr or miniSEED."""
    column: str | None = None
    """Column, variable or channel, where there are several."""


def series_section(view: RunView, source: SeriesSource | None) -> Section:
    """The series, a row a cluster, and their correlations by lag."""
    title = "Environment"
    if source is None:
        return Section(
            "environment",
            title,
            "",
            missing="No series was given: `scaledec report CONFIG --series wind.csv` shows one.",
        )
    is_long = (view.scan.end_ns - view.scan.start_ns) // HOUR_NS > _LONG_HOURS
    freq, max_lag = ("1D", "30D") if is_long else ("1h", "1D")
    try:
        found = join_series(
            view.config.root,
            source.url,
            column=source.column,
            freq=freq,
            max_lag=max_lag,
            run=view.run,
            storage_options=view.config.storage_options,
        )
    except ScaledecError as error:
        return Section("environment", title, "", missing=f"The series is not shown: {error}.")
    units = f" ({found.series.units})" if found.series.units else ""
    return Section(
        "environment",
        title,
        f"Left: {found.series.name}{units} and each cluster, by bins of {'a day' if is_long else 'an hour'}. "
        "Right: Spearman's correlation at each lag; positive lags: the cluster follows the series. Grey is "
        "what the best of all lags stays below by chance, 95 times in 100.",
        [
            Picture(
                "environment",
                f"{found.series.name} and clusters over time, and their correlation by lag",
                lambda: series_figure(
                    bins=found.bins,
                    lags=found.lags,
                    names=[view.looks.names[label] for label in _labels(found)],
                    chance=found.chance,
                    series=f"{found.series.name}{units}",
                    measure=found.measure,
                    colours=view.looks.colours,
                ),
            )
        ],
        [_table(view, found)],
    )


def _labels(found: SeriesJoin) -> list[int]:
    return [int(label) for label in found.classes["label"]]


def _table(view: RunView, found: SeriesJoin) -> Table:
    """Correlation at no lag and at the best one, and the chance of one as strong."""
    rows = []
    for row in found.classes.to_dict("records"):
        numbers = [row["spearman"], row["best_spearman"], row["lag_spearman_s"] / 3600, row["p_adjusted"]]
        forms = ("+.2f", "+.2f", "+g", ".3f")
        told = [format(v, form) if v == v else "–" for v, form in zip(numbers, forms, strict=True)]
        rows.append([view.looks.full_names[int(row["label"])], f"{row['bins']:,}", *told])
    head = ["cluster", "bins", "Spearman, no lag", "best", "at lag (h)", "p (Holm)"]
    return Table(head, rows, [view.looks.colours[label] for label in _labels(found)])
