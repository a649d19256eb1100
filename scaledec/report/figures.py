"""Figures of a clustering, from arrays: what the clusters look like, and when each of them happens.

Nothing here reads a store; :mod:`scaledec.report.pictures` does, and calls these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scaledec.report.canvas import new_figure, save_figure
from scaledec.report.palette import UNLABELLED_COLOUR
from scaledec.report.panels import name_planes, show_window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ClusterPicture", "TimelineRow", "cluster_gallery", "label_timeline"]

# Parts of the time axis a timeline is divided into: about one and a half pixels each.
_MOST_BINS = 900


@dataclass(frozen=True, slots=True)
class ClusterPicture:
    """What a gallery shows of one cluster."""

    name: str
    colour: str
    share: float
    """Of all labelled windows."""
    prototype: npt.NDArray[Any]
    """Decoded centroid, shape ([plane,] frame, frequency)."""
    windows: npt.NDArray[Any]
    """Windows that stand for it, dB, shape (window, [plane,] frame, frequency)."""
    captions: Sequence[str] = ()
    """Where and when each of these windows is."""


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """The labels of one channel over time."""

    name: str
    label: npt.NDArray[Any]
    """Shape (window,), -1 where there is none; windows follow one another at a constant stride."""
    truth: npt.NDArray[Any] | None = None
    """Shape (window,): the class each window truly is."""


def cluster_gallery(
    path: Path,
    clusters: Sequence[ClusterPicture],
    *,
    frame_s: npt.NDArray[np.float64],
    frequency_hz: npt.NDArray[np.float64],
    title: str = "",
    power_units: str = "dB",
    planes: Sequence[str] = (),
) -> Path:
    """Draw a row a cluster: its decoded centroid, then windows that stand for it.

    Parameters
    ----------
    path
        PNG to write.
    clusters
        Shown from top to bottom; all with windows of the same shape.
    frame_s
        Start of each frame after the window's start, s, shape (frame,).
    frequency_hz
        Hz, shape (frequency,).
    title
        Above the figure.
    power_units
        Of the windows.
    planes
        Names of the components, where windows have several.
    """
    n_windows = max(len(cluster.windows) for cluster in clusters)
    low, high = _colour_range(np.concatenate([c.windows.reshape(-1) for c in clusters]))
    edge = _prototype_edge(clusters)
    row_in = 1.42 * max(1.0, 0.6 * len(planes))
    with new_figure((2.9 + 1.75 * (n_windows + 1), 1.2 + row_in * len(clusters))) as figure:
        layout = figure.add_gridspec(
            len(clusters),
            n_windows + 2,
            width_ratios=[0.95, *[1.0] * (n_windows + 1)],
            left=0.012,
            right=0.988,
            top=1.0 - 0.62 / figure.get_figheight(),
            bottom=1.02 / figure.get_figheight(),
            wspace=0.07,
            hspace=0.26,
        )
        for row, cluster in enumerate(clusters):
            _tell_cluster(figure.add_subplot(layout[row, 0]), cluster)
            axes = figure.add_subplot(layout[row, 1])
            prototype = show_window(axes, cluster.prototype, frame_s, frequency_hz, -edge, edge, "RdBu_r")
            axes.set_ylabel("frequency (Hz)", labelpad=2)
            _frame_axes(axes, cluster.colour, 1.8)
            _label_last(axes, row == len(clusters) - 1)
            if planes:
                name_planes(axes, planes, frequency_hz)
            if row == 0:
                axes.set_title("decoded centroid", fontsize=8.5, pad=5)
            for column, window in enumerate(cluster.windows):
                axes = figure.add_subplot(layout[row, column + 2])
                shown = show_window(axes, window, frame_s, frequency_hz, low, high, "magma")
                axes.set_yticklabels([])
                _label_last(axes, row == len(clusters) - 1)
                if column < len(cluster.captions):
                    axes.set_title(cluster.captions[column], fontsize=7.0, pad=2.5, color="#555555")
        _colour_bar(figure, prototype, (0.14, "normalised power of the centroids"))
        _colour_bar(
            figure, shown, (0.60, f"power of windows, from the surest to the median one ({power_units})")
        )
        figure.text(0.012, 1.0 - 0.3 / figure.get_figheight(), title, fontsize=12, weight="bold", va="center")
        return save_figure(figure, path)


def label_timeline(
    path: Path,
    rows: Sequence[TimelineRow],
    *,
    start: np.datetime64,
    stride_s: float,
    names: Sequence[str],
    colours: Sequence[str],
    truth_names: Sequence[str] = (),
    truth_colours: Sequence[str] = (),
    title: str = "",
) -> Path:
    """Draw which share of each moment belongs to which class, a strip a channel.

    Where windows are shorter than a pixel a column shows the shares of its windows; grey is what has no
    label. Below a channel's labels stands the truth, if it is known.

    Parameters
    ----------
    path
        PNG to write.
    rows
        Channels from top to bottom, all over the same time.
    start
        Start of the first window, UTC.
    stride_s
        From one window to the next.
    names, colours
        Of the classes in the order they are stacked in, from the bottom up; index = label.
    truth_names, truth_colours
        Of the true classes.
    title
        Above the figure.
    """
    with_truth = any(row.truth is not None for row in rows)
    strip_in = 1.05 if with_truth else 0.8
    legend_in = 0.75 if with_truth else 0.5
    with new_figure((11.5, 1.15 + legend_in + strip_in * len(rows))) as figure:
        height = figure.get_figheight()
        layout = figure.add_gridspec(
            len(rows),
            1,
            left=0.125,
            right=0.98,
            top=1.0 - 0.6 / height,
            bottom=(0.5 + legend_in) / height,
            hspace=0.22,
        )
        n_windows = max(row.label.size for row in rows)
        end = start + np.timedelta64(round(n_windows * stride_s * 1e9), "ns")
        for number, row in enumerate(rows):
            axes = figure.add_subplot(layout[number])
            _strip(axes, row, (start, end), colours, truth_colours, last=number == len(rows) - 1)
        shown = list(zip(names, colours, strict=True))
        _legend(figure, [*shown, ("no label", UNLABELLED_COLOUR)], 0.125, (0.02 + legend_in - 0.25) / height)
        if with_truth:
            true = list(zip(truth_names, truth_colours, strict=True))
            figure.text(0.118, 0.155 / height, "truth", ha="right", va="center", fontsize=8.5)
            _legend(figure, true, 0.125, 0.155 / height)
        figure.text(
            0.118, (0.02 + legend_in - 0.25) / height, "labels", ha="right", va="center", fontsize=8.5
        )
        figure.text(0.125, 1.0 - 0.3 / height, title, fontsize=12, weight="bold", va="center")
        note = "height of a colour: its share of the windows of that moment"
        figure.text(0.98, 1.0 - 0.33 / height, note, fontsize=8, ha="right", va="center", color="#555555")
        return save_figure(figure, path)


def _colour_range(power: npt.NDArray[Any]) -> tuple[float, float]:
    finite = power[np.isfinite(power)].astype(np.float64)
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, (5.0, 99.3))
    return float(low), float(max(high, low + 1.0))


def _prototype_edge(clusters: Sequence[ClusterPicture]) -> float:
    values = np.concatenate([np.abs(cluster.prototype).reshape(-1) for cluster in clusters])
    return max(1e-6, float(np.percentile(values, 99.5)))


def _tell_cluster(axes: Axes, cluster: ClusterPicture) -> None:
    axes.set_axis_off()
    axes.add_patch(_rectangle(0.0, 0.30, 0.055, 0.42, cluster.colour, axes))
    axes.text(0.12, 0.60, cluster.name, transform=axes.transAxes, fontsize=9.5, weight="bold", va="center")
    axes.text(
        0.12, 0.40, f"{cluster.share:.1%} of windows", transform=axes.transAxes, fontsize=8, va="center"
    )


def _rectangle(x: float, y: float, width: float, height: float, colour: str, axes: Axes) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, color=colour, transform=axes.transAxes, linewidth=0)


def _frame_axes(axes: Axes, colour: str, width: float) -> None:
    for spine in axes.spines.values():
        spine.set_edgecolor(colour)
        spine.set_linewidth(width)


def _label_last(axes: Axes, last: bool) -> None:
    axes.locator_params(axis="x", nbins=4)
    axes.locator_params(axis="y", nbins=5)
    axes.tick_params(length=2.5, pad=2)
    if last:
        axes.set_xlabel("time (s)", labelpad=2)
    else:
        axes.set_xticklabels([])


def _colour_bar(figure: Figure, image: Any, place: tuple[float, str]) -> None:
    left, label = place
    height = figure.get_figheight()
    axes = figure.add_axes((left, 0.40 / height, 0.26, 0.09 / height))
    bar = figure.colorbar(image, cax=axes, orientation="horizontal", extend="both")
    bar.outline.set_linewidth(0.5)
    axes.tick_params(length=2, pad=1.5)
    axes.set_xlabel(label, labelpad=2, fontsize=8.5)


def _strip(
    axes: Axes,
    row: TimelineRow,
    span: tuple[np.datetime64, np.datetime64],
    colours: Sequence[str],
    truth_colours: Sequence[str],
    *,
    last: bool,
) -> None:
    import matplotlib.dates

    # These publish no types.
    mdates: Any = matplotlib.dates
    first, stop = (float(mdates.date2num(moment)) for moment in span)
    bottom = 0.0 if row.truth is None else 0.42
    axes.imshow(
        _stacked(row.label, colours),
        aspect="auto",
        extent=(first, stop, bottom, 1.0),
        interpolation="nearest",
    )
    if row.truth is not None:
        # A window without a label has a truth, but there was nothing to recover it from.
        known = np.where(row.label >= 0, row.truth, -1)
        image = _stacked(known, truth_colours)
        axes.imshow(image, aspect="auto", extent=(first, stop, 0.0, 0.36), interpolation="nearest")
        axes.text(1.003, 0.18, "truth", transform=axes.transAxes, fontsize=6.5, rotation=90, va="center")
        axes.text(1.003, 0.71, "labels", transform=axes.transAxes, fontsize=6.5, rotation=90, va="center")
    axes.set_xlim(first, stop)
    axes.set_ylim(0.0, 1.0)
    axes.set_yticks([])
    axes.set_ylabel(row.name, rotation=0, ha="right", va="center", fontsize=9, labelpad=6)
    axes.xaxis_date()
    locator = mdates.AutoDateLocator(minticks=4, maxticks=10)
    formatter = mdates.ConciseDateFormatter(locator, show_offset=False)
    # A day is said with its month: midnight's tick would otherwise read "05".
    formatter.formats[2] = formatter.zero_formats[2] = formatter.zero_formats[3] = "%d %b"
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(formatter)
    axes.tick_params(length=2.5, pad=2)
    if last:
        axes.set_xlabel(f"time (UTC), from {np.datetime_as_string(span[0], unit='m')}", labelpad=3)
    else:
        axes.set_xticklabels([])


def _stacked(label: npt.NDArray[Any], colours: Sequence[str], height: int = 120) -> npt.NDArray[np.float32]:
    """Columns of stacked colours, shape (height, column, 3), top row first: the shares of each moment."""
    from matplotlib.colors import to_rgb

    n_columns = min(label.size, _MOST_BINS)
    column = np.arange(label.size) * n_columns // label.size
    palette = np.array([*(to_rgb(colour) for colour in colours), to_rgb(UNLABELLED_COLOUR)], dtype=np.float32)
    known = np.where(label >= 0, label, len(colours)).astype(np.int64)
    counts = np.zeros((n_columns, len(palette)))
    np.add.at(counts, (column, known), 1.0)
    # The largest class (the background, as a rule) on top, so that rare ones stand on the ground.
    order = [*np.argsort(counts[:, :-1].sum(axis=0), kind="stable").tolist(), len(palette) - 1]
    upper = np.cumsum(counts[:, order], axis=1) / counts.sum(axis=1, keepdims=True)
    level = (np.arange(height)[::-1] + 0.5) / height
    place = (level[:, np.newaxis, np.newaxis] > upper[np.newaxis]).sum(axis=2)
    return np.asarray(palette[np.asarray(order)[np.minimum(place, len(order) - 1)]], dtype=np.float32)


def _legend(figure: Figure, entries: Sequence[tuple[str, str]], left: float, middle: float) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker="s", linestyle="", markersize=7, color=colour, label=name)
        for name, colour in entries
    ]
    figure.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(left - 0.008, middle),
        ncols=len(handles),
        frameon=False,
        fontsize=8.5,
        handletextpad=0.2,
        columnspacing=1.3,
        borderpad=0.0,
    )
