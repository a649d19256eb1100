"""A training at the end of an epoch: learning curve, reconstructions, the embedding from its broad side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scaledec.report.canvas import new_figure, save_figure
from scaledec.stages.pretrain_sight import Sight

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_training"]

_TRAINED, _HELD_OUT, _POINT = "#8fb0d0", "#1f4e79", "#2a5d8f"
_ROWS = ("held-out window", "reconstruction")


def draw_training(path: Path, history: Sequence[Mapping[str, Any]], sight: Sight) -> Path:
    """Draw what is known of a training so far.

    Parameters
    ----------
    path
        A .png or .svg file.
    history
        The metrics of each epoch.
    sight
        What the network makes of held-out windows after the last of them.
    """
    n = len(sight.windows)
    with new_figure((6.4 + 1.1 * n, 3.2)) as figure:
        figure.suptitle(f"after epoch {sight.epoch}", fontsize=9.5, x=0.01, ha="left")
        grid = figure.add_gridspec(2, n + 2, width_ratios=[2.6, *[1.0] * n, 2.6])
        _curve(figure.add_subplot(grid[:, 0]), history)
        for column, pair in enumerate(zip(sight.windows, sight.reconstructions, strict=True), start=1):
            low, high = np.percentile(pair[0][0], [1, 99])
            for row, stack in enumerate(pair):
                panel = figure.add_subplot(grid[row, column])
                panel.imshow(stack[0].T, origin="lower", aspect="auto", vmin=low, vmax=high, cmap="viridis")
                panel.set(xticks=[], yticks=[], ylabel=_ROWS[row] if column == 1 else "")
        _scatter(figure.add_subplot(grid[:, n + 1]), sight.embedding)
        figure.set_layout_engine("constrained")
        return save_figure(figure, path)


def _curve(panel: Axes, history: Sequence[Mapping[str, Any]]) -> None:
    epochs = [m["epoch"] for m in history]
    for name, told, colour in (
        ("train_loss", "trained on", _TRAINED),
        ("validation_loss", "held out", _HELD_OUT),
    ):
        marker = "o" if len(epochs) == 1 else ""
        panel.plot(epochs, [m[name] for m in history], color=colour, label=told, linewidth=1.4, marker=marker)
    panel.set(yscale="log", xlabel="epoch", title="mean squared error")
    # A logarithmic axis would write formulas, which figures here do not have.
    panel.yaxis.set_major_formatter("{x:.3g}")
    panel.yaxis.set_minor_formatter("{x:.3g}")
    panel.locator_params(axis="x", integer=True)
    panel.legend(loc="upper right")


def _scatter(panel: Axes, embedding: npt.NDArray[np.float32]) -> None:
    """The embedding along its two widest axes."""
    centred = embedding.astype(np.float64) - embedding.mean(axis=0, dtype=np.float64)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    # Which way an axis points is chance; a picture should not turn over from one epoch to the next.
    axes *= np.where(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)] < 0, -1, 1)[:, None]
    x = centred @ axes.T
    if x.shape[1] == 1:
        x = np.column_stack([x, np.zeros(len(x))])
    share = 100 * np.square(x).sum(axis=0) / max(float(np.square(centred).sum()), 1e-300)
    panel.scatter(x[:, 0], x[:, 1], s=3.0, alpha=0.4, color=_POINT, linewidths=0)
    panel.set(
        title=f"{len(x)} held-out windows, embedded",
        xlabel=f"widest axis ({share[0]:.0f} %)",
        ylabel=f"second axis ({share[1]:.0f} %)",
    )
