"""How well clusters are set apart: silhouettes of windows, before and after, in embedding and data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scaledec.report.canvas import new_figure
from scaledec.report.figures.parts import text_in
from scaledec.report.palette import mixed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SilhouettePanel", "silhouette_panels"]

_WIDTH_IN = 11.0


@dataclass(frozen=True, slots=True)
class SilhouettePanel:
    """Silhouettes of one labelling in one space."""

    title: str
    label: npt.NDArray[np.int64]
    """Shape (window,)."""
    silhouette: npt.NDArray[np.float64]
    """Shape (window,)."""


def silhouette_panels(
    panels: Sequence[SilhouettePanel], *, names: Sequence[str], colours: Sequence[str]
) -> Figure:
    """Draw a panel a labelling and space; in each every cluster's windows, sorted, with their mean.

    Clusters of different labellings share no names, so panels tell those of the run by name, others by
    number alone.

    Parameters
    ----------
    panels
        At most four.
    names, colours
        Of the run's clusters.
    """
    tall_in = max(3.0, 0.24 * len(names) + 0.9)
    left_in, gap_in = 0.25 + text_in(names, 8), 0.45
    each_in = (_WIDTH_IN - left_in - 0.15 - gap_in * (len(panels) - 1)) / len(panels)
    with new_figure((_WIDTH_IN, tall_in + 0.95)) as figure:
        height = figure.get_figheight()
        for number, panel in enumerate(panels):
            left = left_in + number * (each_in + gap_in)
            axes = figure.add_axes((left / _WIDTH_IN, 0.5 / height, each_in / _WIDTH_IN, tall_in / height))
            _panel(axes, panel, names, colours, named=number == 0)
        return figure


def _panel(
    axes: Axes, panel: SilhouettePanel, names: Sequence[str], colours: Sequence[str], *, named: bool
) -> None:
    for k, colour in enumerate(colours):
        values = np.sort(panel.silhouette[panel.label == k])
        if values.size:
            # Every cluster has the same height, whatever the number of its windows.
            y = k + 0.42 - 0.84 * (np.arange(values.size) + 0.5) / values.size
            axes.fill_betweenx(y, 0.0, values, color=colour, linewidth=0, step="mid")
            mean = float(values.mean())
            axes.plot([mean, mean], [k - 0.42, k + 0.42], color=mixed(colour, "#000000", 0.5), linewidth=1.6)
    overall = _mean_of_means(panel)
    axes.axvline(overall, color="#333333", linewidth=0.9, linestyle="--")
    axes.axvline(0.0, color="#999999", linewidth=0.6)
    axes.set_title(f"{panel.title}\nmean of clusters {_signed(overall)}", fontsize=8.5, loc="left", pad=5)
    axes.set_ylim(len(colours) - 0.4, -0.6)
    axes.set_xlim(-1.0, 1.0)
    axes.set_xticks([-1.0, -0.5, 0.0, 0.5, 1.0], labels=["−1", "−0.5", "0", "0.5", "1"])
    axes.set_xlabel("silhouette")
    size = 8 if len(names) <= 16 else 6.5
    labels = list(names) if named else [str(k) for k in range(len(names))]
    axes.set_yticks(np.arange(len(names)), labels=labels, fontsize=size)
    axes.tick_params(axis="y", length=0)


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _mean_of_means(panel: SilhouettePanel) -> float:
    means = [panel.silhouette[panel.label == k].mean() for k in np.unique(panel.label)]
    return float(np.mean(means)) if means else 0.0
