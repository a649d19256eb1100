"""Windows as the network sees them, their embedding, and what it makes of the embedding alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scaledec.report.canvas import new_figure, shortened
from scaledec.report.figures.panels import name_planes, show_window
from scaledec.report.figures.parts import colour_bar, frame_axes, line_colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Reconstruction", "reconstructions"]

_COLUMN_IN, _LEFT_IN, _RIGHT_IN = 1.32, 1.0, 0.1
_WINDOW_IN, _BARS_IN, _HEAD_IN, _FOOT_IN = 1.05, 0.5, 0.42, 1.05


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """One window through the network."""

    name: str
    """Of its cluster."""
    colour: str
    given: npt.NDArray[np.float32]
    """Normalised, shape ([plane,] frame, frequency)."""
    embedding: npt.NDArray[np.float64]
    """Standard deviations from the mean of the training set, shape (latent,)."""
    made: npt.NDArray[np.float32]
    """Of the embedding alone, as :attr:`given`."""


def reconstructions(
    windows: Sequence[Reconstruction],
    *,
    frame_s: npt.NDArray[np.float64],
    frequency_hz: npt.NDArray[np.float64],
    planes: Sequence[str] = (),
) -> Figure:
    """Draw a column a window: input, embedding, reconstruction; all spectrograms to one scale.

    Parameters
    ----------
    frame_s, frequency_hz
        Start of each frame after the window's start, s; frequencies in Hz.
    planes
        Names of the components, where windows have several.
    """
    window_in = _WINDOW_IN * max(1.0, 0.6 * len(planes))
    parts_in = [window_in, _BARS_IN, window_in]
    gap_in = 0.16
    width = max(_LEFT_IN + _RIGHT_IN + _COLUMN_IN * len(windows), 6.4)
    right = (_LEFT_IN + _COLUMN_IN * len(windows)) / width
    values = np.concatenate([np.abs(w.given).reshape(-1) for w in windows])
    edge = max(1e-6, float(np.nanpercentile(values, 99)))
    reach = max(1.0, *(float(np.abs(w.embedding).max()) for w in windows))
    with new_figure((width, _HEAD_IN + sum(parts_in) + 2 * gap_in + _FOOT_IN)) as figure:
        height = figure.get_figheight()
        grid = figure.add_gridspec(
            3,
            len(windows),
            left=_LEFT_IN / width,
            right=right,
            top=1 - _HEAD_IN / height,
            bottom=_FOOT_IN / height,
            height_ratios=parts_in,
            hspace=3 * gap_in / sum(parts_in),
            wspace=0.1,
        )
        for column, window in enumerate(windows):
            for row, power in ((0, window.given), (2, window.made)):
                axes = figure.add_subplot(grid[row, column])
                shown = show_window(axes, power, frame_s, frequency_hz, -edge, edge, "RdBu_r")
                frame_axes(axes, window.colour, 1.6)
                axes.locator_params(axis="both", nbins=4)
                axes.tick_params(labelsize=7, pad=1.5)
                if row == 0:
                    axes.set_title(shortened(window.name, 16), fontsize=8, weight="bold", pad=5)
                    axes.set_xticklabels([])
                else:
                    axes.set_xlabel("time (s)", labelpad=1)
                if column:
                    axes.set_yticklabels([])
                elif planes:
                    name_planes(axes, planes, frequency_hz)
                else:
                    axes.set_ylabel("Hz", labelpad=1)
            bars = figure.add_subplot(grid[1, column])
            bars.bar(np.arange(len(window.embedding)), window.embedding, color=line_colour(window.colour))
            bars.axhline(0.0, color="#888888", linewidth=0.5)
            bars.set_ylim(-reach, reach)
            bars.set_xticks([])
            bars.spines["bottom"].set_visible(False)
            if column:
                bars.set_yticklabels([])
        for row, text in enumerate(("input", "embedding", "from the\nembedding")):
            box = grid[row, 0].get_position(figure)
            y = (box.y0 + box.y1) / 2
            figure.text(
                0.24 / width, y, text, fontsize=7.5, weight="bold", rotation=90, ha="center", va="center"
            )
        colour_bar(figure, shown, (_LEFT_IN, 0.46, 2.6), "normalised power (no unit)")
        return figure
