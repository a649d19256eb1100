"""How far windows lie from their centroid, and what embeddings look like along the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scaledec.report.canvas import new_figure
from scaledec.report.figures.parts import colour_bar, legend_height_in, line_colour, put_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FEWEST_FOR_DENSITY", "distance_curves", "sorted_embeddings"]

FEWEST_FOR_DENSITY = 20
"""Windows of a cluster below which its density is not drawn: it would show the smoothing alone."""

_WIDTH_IN = 11.0
_COLUMNS = 4


def distance_curves(
    distances: Sequence[npt.NDArray[np.float32]], *, names: Sequence[str], colours: Sequence[str]
) -> Figure:
    """Draw density (left) and cumulative share (right) of the distances of each cluster's windows.

    The axis ends at the largest 99th percentile. Densities are each to their own height, so that narrow
    and wide clusters can both be seen.

    Parameters
    ----------
    distances
        Of windows to their own centroid, one array a cluster; empty ones are left out.
    """
    there = [d for d in distances if d.size]
    end = max((float(np.percentile(d, 99)) for d in there), default=1.0) or 1.0
    legend_in = legend_height_in(names, _WIDTH_IN - 1.0)
    with new_figure((_WIDTH_IN, 3.7 + legend_in)) as figure:
        height = figure.get_figheight()
        grid = figure.add_gridspec(
            1,
            2,
            left=0.065,
            right=0.985,
            top=1 - 0.2 / height,
            bottom=(0.62 + legend_in) / height,
            wspace=0.14,
        )
        density, cumulative = (figure.add_subplot(grid[0, column]) for column in (0, 1))
        for values, colour in zip(distances, colours, strict=True):
            if values.size >= FEWEST_FOR_DENSITY:
                _density(density, values, line_colour(colour), end)
            if values.size:
                order = np.concatenate([[0.0], np.sort(values)])
                share = np.arange(order.size) / values.size
                cumulative.step(order, share, where="post", color=line_colour(colour), linewidth=1.4)
        for axes in (density, cumulative):
            axes.set_xlim(0.0, end)
            axes.set_xlabel("distance to the centroid, in the embedding (no unit)")
        density.set_ylim(0.0, 1.05)
        density.set_ylabel("density, highest point = 1")
        cumulative.set_ylim(0.0, 1.01)
        cumulative.set_ylabel("share of windows at most this far")
        cumulative.grid(axis="y", color="#e3e8ec", linewidth=0.6)
        shown = [line_colour(colour) for colour in colours]
        put_legend(figure, names, shown, left_in=0.72, width_in=_WIDTH_IN - 1.0, top_in=legend_in - 0.02)
        return figure


def sorted_embeddings(
    embeddings: Sequence[npt.NDArray[np.floating[Any]]],
    *,
    names: Sequence[str],
    colours: Sequence[str],
) -> Figure:
    """Draw a panel a cluster: a row a window, sorted by distance to the centroid, nearest at the top.

    Parameters
    ----------
    embeddings
        Of each cluster's windows, at least one, nearest first, in standard deviations of the training set,
        shape (window, latent).
    """
    n_rows = -(-len(embeddings) // _COLUMNS)
    with new_figure((_WIDTH_IN, 1.1 + 1.95 * n_rows)) as figure:
        height = figure.get_figheight()
        grid = figure.add_gridspec(
            n_rows,
            _COLUMNS,
            left=0.065,
            right=0.985,
            top=1 - 0.32 / height,
            bottom=0.98 / height,
            wspace=0.22,
            hspace=0.42,
        )
        for k, rows in enumerate(embeddings):
            axes = figure.add_subplot(grid[k // _COLUMNS, k % _COLUMNS])
            axes.set_title(names[k], fontsize=8.5, loc="left", weight="bold", color=line_colour(colours[k]))
            image = axes.imshow(
                rows,
                aspect="auto",
                cmap="PuOr_r",
                vmin=-3,
                vmax=3,
                interpolation="nearest",
                extent=(-0.5, rows.shape[1] - 0.5, 100.0, 0.0),
            )
            axes.set_yticks([0, 50, 100])
            _dimensions(axes, rows.shape[1])
            if k % _COLUMNS == 0:
                axes.set_ylabel("nearer windows (%)")
            if k + _COLUMNS >= len(embeddings):
                axes.set_xlabel("dimension of the embedding")
        label = "standard deviations from the mean of the training set"
        colour_bar(figure, image, (0.72, 0.42, 3.2), label)
        return figure


def _density(axes: Axes, values: npt.NDArray[np.float32], colour: str, end: float) -> None:
    """A histogram smoothed by a Gaussian of about Silverman's width."""
    width = max(0.9 * float(np.std(values)) * values.size**-0.2, end / 400)
    x = np.linspace(0.0, end, 400)
    counts, edges = np.histogram(values, bins=800, range=(0.0, end))
    middle = (edges[1:] + edges[:-1]) / 2
    # Reflected at zero: a distance is never negative.
    kernel = np.exp(-0.5 * ((x[:, None] - middle) / width) ** 2)
    kernel += np.exp(-0.5 * ((x[:, None] + middle) / width) ** 2)
    density = kernel @ counts
    axes.plot(x, density / max(density.max(), 1e-300), color=colour, linewidth=1.4)


def _dimensions(axes: Axes, latent: int) -> None:
    step = max(1, -(-latent // 9))
    axes.set_xticks(np.arange(0, latent, step), labels=[str(d) for d in range(0, latent, step)])
    axes.tick_params(labelsize=7)
