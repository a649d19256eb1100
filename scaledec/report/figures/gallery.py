"""The gallery: of every cluster its decoded centroid, then windows from the nearest to it outwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scaledec.report.canvas import new_figure
from scaledec.report.figures.panels import name_planes, show_window
from scaledec.report.figures.parts import colour_bar, frame_axes, line_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec

__all__ = ["GalleryRow", "GalleryWindow", "cluster_gallery", "gallery_limits"]

_LEFT_IN, _RIGHT_IN, _TOP_IN, _FOOT_IN = 0.72, 0.12, 0.12, 1.06
_COLUMN_IN, _GAP = 1.46, 0.09
_HEAD_IN, _WAVEFORM_IN, _SPECTROGRAM_IN, _STRIP_IN, _BELOW_IN = 0.44, 0.4, 0.98, 0.13, 0.12
# Embeddings are shown in standard deviations; beyond this the colour does not change.
_STRIP_EDGE = 3.0


@dataclass(frozen=True, slots=True)
class GalleryWindow:
    """One window of a cluster."""

    caption: str
    """Where and when it is."""
    distance: float
    power: npt.NDArray[Any]
    """Shape ([plane,] frame, frequency); NaN where there is none."""
    samples: npt.NDArray[np.float32] | None = None
    """Its waveform over the length of the window, any sampling rate."""
    embedding: npt.NDArray[np.float64] | None = None
    """Standard deviations from the mean of the training set, shape (latent,)."""


@dataclass(frozen=True, slots=True)
class GalleryRow:
    """What a gallery shows of one cluster."""

    name: str
    colour: str
    note: str
    """How many windows it has, in words."""
    prototype: npt.NDArray[Any]
    """Decoded centroid, shape ([plane,] frame, frequency)."""
    windows: Sequence[GalleryWindow]
    centroid: npt.NDArray[np.float64] | None = None
    """As :attr:`GalleryWindow.embedding`."""


def cluster_gallery(
    rows: Sequence[GalleryRow],
    *,
    columns: Sequence[str],
    frame_s: npt.NDArray[np.float64],
    frequency_hz: npt.NDArray[np.float64],
    power_units: str,
    planes: Sequence[str] = (),
    limits: tuple[tuple[float, float], float] | None = None,
) -> Figure:
    """Draw a row a cluster: waveform above spectrogram above embedding, of its centroid and some windows.

    Parameters
    ----------
    rows
        Clusters from top to bottom; all with windows of the same shape.
    columns
        What the windows of each column are, in words.
    frame_s
        Start of each frame after the window's start, s, shape (frame,).
    frequency_hz
        Hz, shape (frequency,).
    power_units
        Of the windows.
    planes
        Names of the components, where windows have several.
    limits
        From :func:`gallery_limits`, where several figures share one scale.
    """
    spectrogram_in = _SPECTROGRAM_IN * max(1.0, 0.6 * len(planes))
    waveform_in = _WAVEFORM_IN if any(w.samples is not None for row in rows for w in row.windows) else 0.02
    has_strip = any(w.embedding is not None for row in rows for w in row.windows)
    parts_in = [waveform_in, spectrogram_in, _STRIP_IN if has_strip else 0.02]
    row_in = _HEAD_IN + sum(parts_in) + _BELOW_IN
    width = _LEFT_IN + _RIGHT_IN + _COLUMN_IN * (1 + len(columns))
    (low, high), edge = limits or gallery_limits(rows)
    with new_figure((width, _TOP_IN + _FOOT_IN + row_in * len(rows))) as figure:
        height = figure.get_figheight()
        for number, row in enumerate(rows):
            top_in = height - _TOP_IN - number * row_in
            grid = figure.add_gridspec(
                3,
                1 + len(columns),
                left=_LEFT_IN / width,
                right=1 - _RIGHT_IN / width,
                top=(top_in - _HEAD_IN) / height,
                bottom=(top_in - _HEAD_IN - sum(parts_in)) / height,
                height_ratios=parts_in,
                hspace=0.0,
                wspace=_GAP,
            )
            _head(figure, row, top_in, width, height)
            axes = figure.add_subplot(grid[1, 0])
            shown_prototype = show_window(axes, row.prototype, frame_s, frequency_hz, -edge, edge, "RdBu_r")
            frame_axes(axes, row.colour, 2.0)
            axes.set_title("decoded centroid", fontsize=7, pad=4, color="#555555")
            _tell_axes(axes, planes, frequency_hz)
            _strip(figure, grid, 0, row.centroid)
            for column, window in enumerate(row.windows):
                cell = (grid, column + 1)
                shown = _window(figure, cell, window, row, (frame_s, frequency_hz), (low, high))
                if number == 0:
                    x = (_LEFT_IN + _COLUMN_IN * (column + 1)) / width
                    figure.text(
                        x, 1 - 0.1 / height, columns[column], fontsize=7.5, va="center", weight="bold"
                    )
        last_in = height - _TOP_IN - len(rows) * row_in
        figure.text(
            _LEFT_IN / width,
            (last_in - 0.06) / height,
            f"each panel: {frame_s[-1] + frame_s[1] - frame_s[0]:.3g} s from left to right, "
            f"{frequency_hz[0]:.3g} to {frequency_hz[-1]:.3g} Hz from bottom to top",
            fontsize=8,
            va="center",
        )
        bar_in = (width - 2.4) / 3
        colour_bar(figure, shown_prototype, (_LEFT_IN, 0.48, bar_in), "decoded centroid (normalised power)")
        if any(row.windows for row in rows):
            colour_bar(figure, shown, (_LEFT_IN + bar_in + 0.6, 0.48, bar_in), f"power ({power_units})")
        if has_strip:
            label = "embedding, a cell a dimension (standard deviations)"
            colour_bar(figure, _strip_scale(), (_LEFT_IN + 2 * (bar_in + 0.6), 0.48, bar_in), label)
        return figure


def gallery_limits(rows: Sequence[GalleryRow]) -> tuple[tuple[float, float], float]:
    """Scales of power (lowest, highest) and of decoded centroids (their largest value) that fit all rows."""
    power = [w.power[np.isfinite(w.power)].astype(np.float64) for row in rows for w in row.windows]
    finite = np.concatenate(power) if power else np.empty(0)
    low, high = np.percentile(finite, (5.0, 99.3)) if finite.size else (0.0, 1.0)
    values = np.concatenate([np.abs(row.prototype).reshape(-1) for row in rows])
    edge = max(1e-6, float(np.nanpercentile(values, 99.5)))
    return (float(low), float(max(high, low + 1.0))), edge


def _head(figure: Figure, row: GalleryRow, top_in: float, width: float, height: float) -> None:
    y = (top_in - 0.2) / height
    figure.text(_LEFT_IN / width, y, row.name, fontsize=10, weight="bold", va="center")
    place = (0.12 / width, (top_in - 0.29) / height, 0.42 / width, 0.18 / height)
    patch = figure.add_axes(place)
    patch.set_facecolor(row.colour)
    patch.set_xticks([])
    patch.set_yticks([])
    frame_axes(patch, row.colour, 0.5)
    middle = (_LEFT_IN + _COLUMN_IN * 0.5) / width
    x = max(middle, (_LEFT_IN + 0.105 * len(row.name)) / width) + 0.02
    figure.text(x, y, row.note, fontsize=8.5, va="center", color="#555555")


def _window(
    figure: Figure,
    cell: tuple[GridSpec, int],
    window: GalleryWindow,
    row: GalleryRow,
    axis: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    limits: tuple[float, float],
) -> Any:
    grid, column = cell
    above = figure.add_subplot(grid[0, column])
    above.set_axis_off()
    # Without a place of its own the title would make room for the axis's exponent, which is not shown.
    above.set_title(window.caption, fontsize=6.5, pad=1.5, y=1.0, color="#555555")
    if window.samples is not None:
        _waveform(above, window.samples, line_colour(row.colour))
    axes = figure.add_subplot(grid[1, column])
    shown = show_window(axes, window.power, *axis, *limits, "magma")
    frame_axes(axes, "#666666", 0.6)
    axes.set_xticks([])
    axes.set_yticks([])
    if not np.isfinite(window.power).any():
        axes.text(0.5, 0.5, "not in the cube", transform=axes.transAxes, ha="center", fontsize=7)
    told = {"boxstyle": "round,pad=0.15", "facecolor": "#000000", "alpha": 0.45, "linewidth": 0}
    axes.text(
        0.97,
        0.94,
        f"d {window.distance:.3g}",
        transform=axes.transAxes,
        fontsize=6.5,
        color="white",
        ha="right",
        va="top",
        bbox=told,
    )
    _strip(figure, grid, column, window.embedding)
    return shown


def _waveform(axes: Axes, samples: npt.NDArray[np.float32], colour: str) -> None:
    axes.plot(np.linspace(0.0, 1.0, len(samples)), samples, color=colour, linewidth=0.45)
    axes.set_xlim(0.0, 1.0)
    largest = float(np.nanmax(np.abs(samples))) or 1.0
    axes.set_ylim(-1.1 * largest, 1.1 * largest)
    told = {"boxstyle": "square,pad=0.1", "facecolor": "white", "alpha": 0.75, "linewidth": 0}
    axes.text(
        0.0,
        0.0,
        f"±{_rounded(largest)}",
        transform=axes.transAxes,
        fontsize=5.5,
        va="bottom",
        color="#444444",
        bbox=told,
    )


def _rounded(value: float) -> str:
    """Two digits, without an exponent where that is short: ``260``, ``0.031``, ``3.1e+04``."""
    text = f"{value:.2g}"
    return f"{float(text):.0f}" if 100 <= value < 10_000 else text


def _strip(figure: Figure, grid: GridSpec, column: int, embedding: npt.NDArray[np.float64] | None) -> None:
    if embedding is None:
        return
    axes = figure.add_subplot(grid[2, column])
    axes.imshow(
        embedding[None],
        aspect="auto",
        cmap="PuOr_r",
        vmin=-_STRIP_EDGE,
        vmax=_STRIP_EDGE,
        interpolation="nearest",
    )
    axes.set_xticks([])
    axes.set_yticks([])
    frame_axes(axes, "#666666", 0.6)


def _strip_scale() -> Any:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    return ScalarMappable(Normalize(-_STRIP_EDGE, _STRIP_EDGE), "PuOr_r")


def _tell_axes(axes: Axes, planes: Sequence[str], frequency_hz: npt.NDArray[np.float64]) -> None:
    axes.set_xticks([])
    axes.locator_params(axis="y", nbins=4)
    axes.tick_params(axis="y", length=2.5, pad=2, labelsize=7)
    if planes:
        name_planes(axes, planes, frequency_hz)
    else:
        axes.set_ylabel("Hz", labelpad=1, fontsize=8)
