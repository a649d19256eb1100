"""When each cluster happens: strips of shares by channel, and counts over time by cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scaledec.report.canvas import new_figure
from scaledec.report.figures.parts import (
    days,
    legend_height_in,
    line_colour,
    number_text,
    put_legend,
    text_in,
    time_axis,
)
from scaledec.report.palette import UNLABELLED_COLOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["TimelineRow", "counts_over_time", "label_timeline", "stacked_shares"]

_WIDTH_IN = 11.0
_LEFT_IN, _RIGHT_IN = 1.5, 0.3
_PLOT_IN = _WIDTH_IN - _LEFT_IN - _RIGHT_IN
# Height of the image a strip is drawn as, in pixels: enough for shares of one per cent.
_LEVELS = 100


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """The labels of one channel (or station) over time."""

    name: str
    counts: npt.NDArray[np.int64]
    """Windows by part of the time and cluster, shape (part, cluster + 1); the last have no label."""
    truth: npt.NDArray[np.int64] | None = None
    """The same by true class."""


def label_timeline(
    rows: Sequence[TimelineRow],
    *,
    span: tuple[np.datetime64, np.datetime64],
    names: Sequence[str],
    colours: Sequence[str],
    truth_names: Sequence[str] = (),
    truth_colours: Sequence[str] = (),
) -> Figure:
    """Draw which share of each moment belongs to which cluster, a strip a row.

    Grey is what has no label, white where there is no window at all. Below a row's labels stands the
    truth, if it is known.

    Parameters
    ----------
    rows
        From top to bottom, all over the same time.
    span
        Start and end of that time, UTC.
    names, colours
        Of the clusters, index = label.
    truth_names, truth_colours
        Of the true classes.
    """
    with_truth = any(row.truth is not None for row in rows)
    strip_in = min(0.62, max(0.16, 7.0 / len(rows))) * (1.6 if with_truth else 1.0)
    entries = [*names, "no label"], [*colours, UNLABELLED_COLOUR]
    legend_in = legend_height_in(entries[0], _PLOT_IN)
    truth_in = legend_height_in(truth_names, _PLOT_IN) + 0.08 if with_truth else 0.0
    foot_in = 0.62 + legend_in + truth_in
    with new_figure((_WIDTH_IN, 0.15 + foot_in + strip_in * len(rows))) as figure:
        height = figure.get_figheight()
        grid = figure.add_gridspec(
            len(rows),
            1,
            left=_LEFT_IN / _WIDTH_IN,
            right=1 - _RIGHT_IN / _WIDTH_IN,
            top=1 - 0.15 / height,
            bottom=foot_in / height,
            hspace=0.18 if strip_in > 0.3 else 0.08,
        )
        for number, row in enumerate(rows):
            axes = figure.add_subplot(grid[number])
            _strip(axes, row, span, colours, truth_colours)
            time_axis(axes, *span, told=number == len(rows) - 1)
            axes.set_ylabel(
                row.name,
                rotation=0,
                ha="right",
                va="center",
                fontsize=8.5 if strip_in > 0.25 else 6.5,
                labelpad=5,
            )
        put_legend(figure, *entries, left_in=_LEFT_IN, width_in=_PLOT_IN, top_in=truth_in + legend_in - 0.08)
        if with_truth:
            put_legend(
                figure,
                truth_names,
                truth_colours,
                left_in=_LEFT_IN,
                width_in=_PLOT_IN,
                top_in=truth_in - 0.16,
            )
            for text, y_in in (("labels", truth_in + legend_in - 0.08), ("truth", truth_in - 0.16)):
                x = (_LEFT_IN - 0.1) / _WIDTH_IN
                figure.text(x, y_in / height, text, ha="right", va="center", fontsize=8)
        return figure


def counts_over_time(
    counts: npt.NDArray[np.int64],
    *,
    start: np.datetime64,
    bin_s: float,
    names: Sequence[str],
    colours: Sequence[str],
    per: str,
) -> Figure:
    """Draw windows over time, a panel a cluster, each with its own scale.

    Parameters
    ----------
    counts
        Shape (cluster, part of the time).
    start, bin_s
        Of the first part, UTC; length of each in seconds.
    names, colours
        Of the clusters.
    per
        What a part is, in words (``hour``).
    """
    edges = start + (np.arange(counts.shape[1] + 1) * round(bin_s * 1e9)).astype("timedelta64[ns]")
    left_in = 0.5 + text_in(names, 8.5)
    with new_figure((_WIDTH_IN, 0.75 + 0.52 * len(counts))) as figure:
        height = figure.get_figheight()
        grid = figure.add_gridspec(
            len(counts),
            1,
            left=left_in / _WIDTH_IN,
            right=1 - 0.55 / _WIDTH_IN,
            top=1 - 0.28 / height,
            bottom=0.47 / height,
            hspace=0.28,
        )
        for k, values in enumerate(counts):
            axes = figure.add_subplot(grid[k])
            axes.stairs(values, days(edges), color=colours[k], fill=True)
            axes.stairs(values, days(edges), color=line_colour(colours[k]), linewidth=0.5)
            largest = max(1, int(values.max(initial=0)))
            axes.set_ylim(0, largest * 1.08)
            axes.set_yticks([0, largest], labels=["0", number_text(largest)])
            axes.tick_params(axis="y", labelsize=6.5)
            time_axis(axes, edges[0], edges[-1], told=k == len(counts) - 1)
            place = axes.get_position()
            y = (place.y0 + place.y1) / 2
            figure.text((left_in - 0.42) / _WIDTH_IN, y, names[k], fontsize=8.5, ha="right", va="center")
            total = f"{number_text(values.sum())}"
            axes.text(1.006, 0.5, total, transform=axes.transAxes, fontsize=7.5, va="center")
        figure.text(
            left_in / _WIDTH_IN,
            1 - 0.13 / height,
            f"windows per {per} (each panel to its own scale)",
            va="center",
        )
        figure.text(1 - 0.52 / _WIDTH_IN, 1 - 0.13 / height, "in all", va="center", fontsize=8)
        return figure


def _strip(
    axes: Axes,
    row: TimelineRow,
    span: tuple[np.datetime64, np.datetime64],
    colours: Sequence[str],
    truth_colours: Sequence[str],
) -> None:
    first, stop = days(np.array(span))
    bottom = 0.0 if row.truth is None else 0.44
    for counts, palette, low, high in (
        (row.counts, colours, bottom, 1.0),
        (row.truth, truth_colours, 0.0, 0.38),
    ):
        if counts is not None:
            image = stacked_shares(counts, palette)
            axes.imshow(image, aspect="auto", extent=(first, stop, low, high), interpolation="nearest")
    if row.truth is not None:
        for text, y in (("labels", 0.72), ("truth", 0.19)):
            axes.text(
                1.003, y, text, transform=axes.transAxes, fontsize=6, rotation=90, va="center", ha="left"
            )
    axes.set_ylim(0.0, 1.0)
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)


def stacked_shares(counts: npt.NDArray[np.int64], colours: Sequence[str]) -> npt.NDArray[np.float32]:
    """Columns of stacked colours, shape (level, part, 3), the top row first: the shares of each part.

    Parameters
    ----------
    counts
        Shape (part, class + 1); the last have no label. A part without any window is white.
    colours
        Of the classes.
    """
    from matplotlib.colors import to_rgb

    palette = np.array([to_rgb(c) for c in (*colours, UNLABELLED_COLOUR, "#ffffff")], dtype=np.float32)
    # The largest class (the background, as a rule) on top, so that rare ones stand on the ground.
    order = [*np.argsort(counts[:, :-1].sum(axis=0), kind="stable").tolist(), len(colours)]
    total = counts.sum(axis=1, keepdims=True)
    upper = np.cumsum(counts[:, order], axis=1) / np.maximum(total, 1)
    level = (np.arange(_LEVELS)[::-1] + 0.5) / _LEVELS
    place = (level[:, None, None] > upper[None]).sum(axis=2)
    shown = np.asarray([*order, len(colours) + 1])[np.minimum(place, len(order))]
    shown[:, total[:, 0] > 0] = np.asarray(order)[np.minimum(place, len(order) - 1)][:, total[:, 0] > 0]
    return np.asarray(palette[shown], dtype=np.float32)
