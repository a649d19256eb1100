"""Day against hour of the day: the rhythm of each cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scaledec.report.canvas import new_figure
from scaledec.report.figures.parts import days, line_colour, number_text, time_axis
from scaledec.report.palette import BACKGROUND, mixed

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

__all__ = ["day_hour_maps"]

_WIDTH_IN, _COLUMNS, _ROW_IN = 11.0, 3, 1.75


def day_hour_maps(
    counts: npt.NDArray[np.int64],
    *,
    start: np.datetime64,
    names: Sequence[str],
    colours: Sequence[str],
    days_per_column: int = 1,
) -> Figure:
    """Draw a map a cluster: days from left to right, hours of the day (UTC) from bottom to top.

    White is no window, the darkest colour the 99th percentile of the cluster's cells.

    Parameters
    ----------
    counts
        Windows, shape (cluster, day, 24); the first day begins at ``start``, a midnight.
    days_per_column
        Days that are summed into one of ``counts``'s.
    """
    n_rows = -(-len(counts) // _COLUMNS)
    with new_figure((_WIDTH_IN, 0.62 + _ROW_IN * n_rows)) as figure:
        height = figure.get_figheight()
        grid = figure.add_gridspec(
            n_rows,
            _COLUMNS,
            left=0.6 / _WIDTH_IN,
            right=1 - 0.25 / _WIDTH_IN,
            top=1 - 0.32 / height,
            bottom=0.5 / height,
            wspace=0.2,
            hspace=0.55,
        )
        edges = start + np.array([0, counts.shape[1] * days_per_column], "timedelta64[D]")
        first, last = days(edges)
        for k, values in enumerate(counts):
            axes = figure.add_subplot(grid[k // _COLUMNS, k % _COLUMNS])
            there = values[values > 0]
            largest = max(1.0, float(np.percentile(there, 99))) if there.size else 1.0
            axes.imshow(
                values.T,
                origin="lower",
                aspect="auto",
                extent=(first, last, 0, 24),
                vmin=0,
                vmax=largest,
                cmap=_to_white(colours[k]),
                interpolation="nearest",
            )
            axes.set_yticks([0, 6, 12, 18, 24])
            time_axis(axes, edges[0], edges[1], told=True, ticks=5)
            axes.tick_params(axis="x", labelsize=7)
            axes.set_xlabel("")
            axes.set_title(names[k], loc="left", fontsize=8.5, pad=4, weight="bold")
            told = f"darkest: {number_text(largest)}" if there.size else "no window"
            axes.set_title(told, loc="right", fontsize=7, pad=4, color="#555555")
            if k % _COLUMNS == 0:
                axes.set_ylabel("hour (UTC)")
        what = "day" if days_per_column == 1 else f"{days_per_column} days"
        text = f"{what} from left to right (from {np.datetime_as_string(start, unit='D')}), windows an hour"
        figure.text(0.6 / _WIDTH_IN, 0.14 / height, text, fontsize=8.5, va="center")
        return figure


def _to_white(colour: str) -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap

    # The pale background would hardly differ from white.
    full = "#4f6577" if colour == BACKGROUND else colour
    steps = ["#ffffff", mixed(full, "#ffffff", 0.75), full, mixed(line_colour(full), "#000000", 0.35)]
    return LinearSegmentedColormap.from_list("cluster", steps)
