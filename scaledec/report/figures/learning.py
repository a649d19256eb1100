"""How training went: losses of both phases, and how many labels still changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scaledec.report.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ClusteringCurve", "PretrainingCurve", "learning_curves"]

_WIDTH_IN = 11.0
_BLUE, _ORANGE, _GREEN = "#0072b2", "#d55e00", "#117733"

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PretrainingCurve:
    """Losses by epoch, NaN where there was none."""

    epoch: Values
    training: Values
    validation: Values


@dataclass(frozen=True, slots=True)
class ClusteringCurve:
    """What was measured at each refresh of the target, NaN where it was not."""

    step: Values
    reconstruction: Values
    divergence: Values
    """KL of target and assignment."""
    label_change: Values
    """Share of windows whose label changed since the refresh before."""
    effective_clusters: Values
    tolerance: float
    """Of label change, below which training stops."""


def learning_curves(pretraining: PretrainingCurve | None, clustering: ClusteringCurve | None) -> Figure:
    """Draw the losses of both phases and the change of labels; a phase that is not there says so."""
    with new_figure((_WIDTH_IN, 3.2)) as figure:
        grid = figure.add_gridspec(
            1, 3, left=0.06, right=0.935, top=0.88, bottom=0.17, wspace=0.5, width_ratios=[1.1, 1, 1]
        )
        first, second, third = (figure.add_subplot(grid[0, column]) for column in range(3))
        if pretraining is None or not pretraining.epoch.size:
            _say(first, "no metrics of pretraining are kept")
        else:
            _pretraining(first, pretraining)
        if clustering is None or not clustering.step.size:
            for axes in (second, third):
                _say(axes, "no metrics of clustering are kept")
        else:
            _losses(second, clustering)
            _changes(third, clustering)
        titles = ("pretraining", "clustering: losses", "clustering: labels")
        for axes, title in zip((first, second, third), titles, strict=True):
            axes.set_title(title, loc="left", weight="bold", fontsize=9)
        return figure


def _pretraining(axes: Axes, curve: PretrainingCurve) -> None:
    axes.plot(curve.epoch, curve.training, color=_BLUE, linewidth=1.4, label="training")
    axes.set_ylabel("loss")
    axes.set_xlabel("epoch")
    if np.isfinite(curve.validation).any():
        axes.plot(curve.epoch, curve.validation, color=_ORANGE, linewidth=1.4, label="held out")
        best = int(np.nanargmin(curve.validation))
        axes.plot(curve.epoch[best], curve.validation[best], "o", color=_ORANGE, markersize=5, label="best")
    _room_above(axes)
    axes.legend(loc="upper right", ncols=3, columnspacing=1.0, handlelength=1.2)


def _losses(axes: Axes, curve: ClusteringCurve) -> None:
    axes.set_xlabel("step")
    axes.plot(
        curve.step, curve.reconstruction, color=_BLUE, linewidth=1.4, marker=".", label="reconstruction"
    )
    axes.set_ylabel("reconstruction loss", color=_BLUE)
    if not np.isfinite(curve.reconstruction).any():
        axes.set_yticks([])
        axes.set_ylabel("no decoder is trained", color=_BLUE)
    beside = _beside(axes)
    beside.plot(curve.step, curve.divergence, color=_ORANGE, linewidth=1.4, marker=".", label="divergence")
    beside.set_ylabel("KL divergence", color=_ORANGE)
    for one in (axes, beside):
        one.margins(x=0.03)


def _changes(axes: Axes, curve: ClusteringCurve) -> None:
    axes.set_xlabel("step")
    axes.plot(curve.step, 100 * curve.label_change, color=_BLUE, linewidth=1.4, marker=".")
    axes.set_ylabel("labels changed (%)", color=_BLUE)
    axes.set_ylim(bottom=0)
    if np.isfinite(curve.label_change).any():
        axes.axhline(100 * curve.tolerance, color=_BLUE, linewidth=0.8, linestyle=":")
        axes.text(
            1.0,
            100 * curve.tolerance,
            f"stops below {100 * curve.tolerance:g}% ",
            transform=axes.get_yaxis_transform(),
            fontsize=7,
            ha="right",
            va="bottom",
            color=_BLUE,
        )
    beside = _beside(axes)
    beside.plot(curve.step, curve.effective_clusters, color=_GREEN, linewidth=1.4, marker=".")
    beside.set_ylabel("effective number of clusters", color=_GREEN)
    low, high = np.nanmin(curve.effective_clusters), np.nanmax(curve.effective_clusters)
    beside.set_ylim(min(low - 0.1, 0.9 * low), max(high + 0.1, 1.05 * high))


def _beside(axes: Axes) -> Axes:
    """A second vertical axis."""
    beside = axes.twinx()
    beside.spines["right"].set_visible(True)
    return beside


def _room_above(axes: Axes) -> None:
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.18 * (high - low))


def _say(axes: Axes, text: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="#777777", fontsize=8)
