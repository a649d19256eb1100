"""Embeddings in two dimensions, and the share of each cluster beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scaledec.report.canvas import new_figure
from scaledec.report.figures.parts import line_colour, text_in
from scaledec.report.palette import BACKGROUND

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["embedding_maps"]

_WIDTH_IN, _MAP_IN = 11.0, 3.5


def embedding_maps(
    maps: Sequence[tuple[str, npt.NDArray[np.float64]]],
    label: npt.NDArray[np.int64],
    *,
    names: Sequence[str],
    colours: Sequence[str],
) -> Figure:
    """Draw maps of the same windows side by side, coloured by cluster, and a bar of shares.

    Parameters
    ----------
    maps
        Title (what was projected, and how), and coordinates, shape (window, 2).
    label
        Cluster of each window, shape (window,).
    names, colours
        Of the clusters.
    """
    share_in = 1.3 + text_in(names, 7.5)
    each_in = (_WIDTH_IN - share_in - 0.3) / len(maps)
    tall_in = min(each_in, _MAP_IN)
    with new_figure((_WIDTH_IN, max(tall_in, 0.2 * len(names) + 0.4) + 0.5)) as figure:
        height = figure.get_figheight()
        for number, (title, points) in enumerate(maps):
            left = 0.1 + number * each_in
            axes = figure.add_axes(
                (left / _WIDTH_IN, 0.12 / height, (each_in - 0.15) / _WIDTH_IN, (height - 0.5) / height)
            )
            _map(axes, points, label, names, colours)
            axes.set_title(title, loc="left", fontsize=8.5, weight="bold", pad=5)
        left = (_WIDTH_IN - 1.1) / _WIDTH_IN
        axes = figure.add_axes((left, 0.12 / height, 0.98 - left, (height - 0.5) / height))
        _shares(axes, label, names, colours)
        return figure


def _map(
    axes: Axes,
    points: npt.NDArray[np.float64],
    label: npt.NDArray[np.int64],
    names: Sequence[str],
    colours: Sequence[str],
) -> None:
    """The largest clusters first, so that small ones lie on top; numbers at the medians."""
    counts = np.bincount(label, minlength=len(names))
    size = float(np.clip(12000 / max(1, len(label)), 2.0, 14.0))
    for k in np.argsort(-counts, kind="stable").tolist():
        mine = points[label == k]
        colour = "#b9c6d2" if colours[k] == BACKGROUND else colours[k]
        axes.scatter(mine[:, 0], mine[:, 1], s=size, color=colour, linewidths=0, rasterized=True)
    for k in np.flatnonzero(counts).tolist():
        x, y = np.median(points[label == k], axis=0)
        axes.text(
            x,
            y,
            str(k),
            fontsize=8,
            weight="bold",
            ha="center",
            va="center",
            color=line_colour(colours[k]),
            bbox={"boxstyle": "circle,pad=0.18", "facecolor": "white", "alpha": 0.8, "linewidth": 0},
        )
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color("#cfd6dc")


def _shares(axes: Axes, label: npt.NDArray[np.int64], names: Sequence[str], colours: Sequence[str]) -> None:
    share = np.bincount(label, minlength=len(names)) / max(1, len(label))
    place = np.arange(len(names))
    axes.barh(place, 100 * share, color=list(colours), height=0.75)
    small = 7.5 if len(names) <= 16 else 6.0
    for k in place.tolist():
        axes.text(100 * share[k], k, f" {100 * share[k]:.2g}%", va="center", fontsize=small - 0.5)
    axes.set_yticks(place, labels=list(names), fontsize=small)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 100 * max(float(share.max(initial=0)), 1e-3) * 1.6)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.set_title("share of this sample", fontsize=8, loc="right", pad=5)
