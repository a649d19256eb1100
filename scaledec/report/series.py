"""Figure: classes beside an environmental time series, and how they correlate with it at each lag."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from scaledec.report.canvas import drawable, new_figure, save_figure, shortened
from scaledec.report.figures.parts import days, line_colour, time_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

    from scaledec.queries.series import SeriesJoin

__all__ = ["draw_series", "series_figure"]

_WIDTH_IN, _ROW_IN, _TOP_IN, _BOTTOM_IN = 11.0, 0.95, 0.5, 0.6
_SERIES_COLOUR = "#333333"
_CHANCE_COLOUR = "#8a8a8a"
_HOUR_S, _DAY_S = 3600.0, 86_400.0


def draw_series(path: Path, found: SeriesJoin, colours: Sequence[str]) -> Path:
    """Write :func:`series_figure` as PNG or SVG; ``colours`` of all clusters of the run, index = label."""
    units = f" ({found.series.units})" if found.series.units else ""
    figure = series_figure(
        bins=found.bins,
        lags=found.lags,
        names=found.names,
        chance=found.chance,
        series=f"{found.series.name}{units}",
        measure=found.measure,
        colours=colours,
    )
    return save_figure(figure, path)


def series_figure(
    *,
    bins: pd.DataFrame,
    lags: pd.DataFrame,
    names: Sequence[str],
    chance: Sequence[float],
    series: str,
    measure: str,
    colours: Sequence[str],
) -> Figure:
    """Draw the series above a row a class: bins over time at the left, correlation by lag at the right.

    Parameters
    ----------
    bins, lags, chance
        As :class:`~scaledec.queries.series.SeriesJoin` has them.
    names
        Of the classes, in the order of the columns of ``bins``.
    series
        Its name and units.
    measure
        ``share`` or ``count``.
    colours
        Of all clusters of the run, index = label.
    """
    labels = [int(label) for label in bins.columns if label != "series"]
    lines = [line_colour(colours[label]) for label in labels]
    n_rows = 1 + len(labels)
    size = _WIDTH_IN, _TOP_IN + _BOTTOM_IN + _ROW_IN * n_rows
    with new_figure(size) as figure:
        grid = figure.add_gridspec(
            n_rows,
            2,
            width_ratios=(3.1, 1),
            left=0.75 / size[0],
            right=1 - 0.15 / size[0],
            top=1 - _TOP_IN / size[1],
            bottom=_BOTTOM_IN / size[1],
            hspace=0.32,
            wspace=0.17,
        )
        span = _span(bins)
        top = figure.add_subplot(grid[0, 0])
        _draw_bins(top, bins, bins["series"].to_numpy(), _SERIES_COLOUR, series, span, told=False)
        limit = _limit(lags, chance)
        for row, (label, colour, name) in enumerate(zip(labels, lines, names, strict=True), start=1):
            is_last = row == len(labels)
            left = figure.add_subplot(grid[row, 0])
            _draw_bins(left, bins, bins[label].to_numpy(), colour, name, span, told=is_last)
            left.set_ylim(bottom=0)
            right = figure.add_subplot(grid[row, 1])
            _draw_lags(right, lags[lags["label"] == label], colour, chance[row - 1], limit, told=is_last)
        _tell(figure, grid[0, 1], measure)
        return figure


def _span(bins: pd.DataFrame) -> tuple[np.datetime64, np.datetime64]:
    instants = bins.index.to_numpy()
    return instants[0], instants[-1] + (instants[1] - instants[0])


def _draw_bins(
    axes: Axes,
    bins: pd.DataFrame,
    values: npt.NDArray[np.float64],
    colour: str,
    title: str,
    span: tuple[np.datetime64, np.datetime64],
    *,
    told: bool,
) -> None:
    instants = bins.index.to_numpy()
    middle = instants + (instants[1] - instants[0]) / 2
    alone = np.isfinite(values) & ~np.isfinite(np.roll(values, 1)) & ~np.isfinite(np.roll(values, -1))
    axes.plot(days(middle), values, color=colour, linewidth=0.9)
    # A line through one bin between gaps has no length.
    axes.plot(days(middle[alone]), values[alone], ".", color=colour, markersize=2)
    time_axis(axes, *span, told=told)
    axes.locator_params(axis="y", nbins=3)
    axes.set_title(drawable(shortened(title, 70)), loc="left", color=colour, pad=2)


def _limit(lags: pd.DataFrame, chance: Sequence[float]) -> float:
    """The same for all classes, so that weak curves look weak."""
    strongest = np.nanmax([0.1, *np.abs(lags["spearman"].fillna(0)), *np.nan_to_num(chance)])
    return float(min(1.05, 1.12 * strongest))


def _draw_lags(
    axes: Axes, curve: pd.DataFrame, colour: str, chance: float, limit: float, *, told: bool
) -> None:
    """Spearman's correlation by lag, its best, and what the best reaches by chance."""
    lag_s = curve["lag_s"].to_numpy()
    unit, length = ("days", _DAY_S) if lag_s[-1] >= 4 * _DAY_S else ("hours", _HOUR_S)
    values = curve["spearman"].to_numpy()
    axes.axhline(0, color="#bbbbbb", linewidth=0.6)
    axes.axvline(0, color="#bbbbbb", linewidth=0.6)
    if np.isfinite(chance):
        axes.axhspan(-chance, chance, color=_CHANCE_COLOUR, alpha=0.18, linewidth=0)
    axes.plot(lag_s / length, values, color=colour, linewidth=1.2, marker="." if len(lag_s) < 4 else None)
    if np.isfinite(values).any():
        best = int(np.nanargmax(np.abs(values)))
        axes.plot(lag_s[best] / length, values[best], "o", color=colour, markersize=4)
        text = f"{values[best]:+.2f} at {lag_s[best] / length:+g} {unit[:-1] if unit == 'hours' else 'day'}"
        axes.set_title(text.replace("hour", "h").replace(" day", " d"), loc="right", color=colour, pad=2)
    axes.set_ylim(-limit, limit)
    axes.margins(x=0.02)
    axes.locator_params(axis="y", nbins=4)
    if told:
        axes.set_xlabel(f"lag ({unit}); right: the class follows")
    else:
        axes.tick_params(labelbottom=False)


def _tell(figure: Figure, place: SubplotSpec, measure: str) -> None:
    """What the columns show, where the series has no curve of its own."""
    axes = figure.add_subplot(place)
    axes.set_axis_off()
    what = "share of labelled windows" if measure == "share" else "windows"
    lines = (
        f"left, by bin: {what}",
        "right: Spearman's rank correlation",
        "with the series at each lag;",
        "grey: what the best of all lags",
        "stays below by chance, 95 %",
    )
    axes.text(0.0, 1.0, "\n".join(lines), va="top", ha="left", fontsize=8, color="#555555")
