"""A line a cluster: what it sounds like, how sure it is, when in the day and where it happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scaledec.report.canvas import new_figure, shortened
from scaledec.report.figures.parts import line_colour, number_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["DashboardRow", "centroid_dashboard", "quartiles"]

_WIDTH_IN, _ROW_IN, _TOP_IN, _FOOT_IN = 11.0, 1.32, 0.3, 0.5
_MOST_STATIONS = 8


@dataclass(frozen=True, slots=True)
class DashboardRow:
    """What a dashboard shows of one cluster."""

    name: str
    colour: str
    n_windows: int
    share: float
    """Of all labelled windows."""
    prototype: npt.NDArray[np.float64]
    """The decoded centroid's normalised power, mean over its frames (and planes), shape (frequency,)."""
    spectra: npt.NDArray[np.float64] | None
    """Quartiles of the power of its training windows, shape (3, frequency)."""
    confidence: npt.NDArray[np.float32]
    """Of a random sample of its windows."""
    by_hour: npt.NDArray[np.int64]
    """Windows by hour of the day, UTC, shape (24,)."""
    by_station: Sequence[tuple[str, int, int]]
    """Station, its windows of this cluster, all its labelled windows."""


def centroid_dashboard(
    rows: Sequence[DashboardRow], *, frequency_hz: npt.NDArray[np.float64], power_units: str
) -> Figure:
    """Draw for each cluster its share, spectrum, confidence, hours of the day and stations.

    Parameters
    ----------
    rows
        Clusters from top to bottom.
    frequency_hz
        Hz, shape (frequency,).
    power_units
        Of the spectra.
    """
    with new_figure((_WIDTH_IN, _TOP_IN + _FOOT_IN + _ROW_IN * len(rows))) as figure:
        height = figure.get_figheight()
        grid = figure.add_gridspec(
            len(rows),
            7,
            left=0.008,
            right=0.985,
            top=1 - _TOP_IN / height,
            bottom=_FOOT_IN / height,
            width_ratios=[0.95, 1.25, 1.25, 1.0, 1.1, 0.12, 1.0],
            wspace=0.4,
            hspace=0.5,
        )
        for number, row in enumerate(rows):
            last = number == len(rows) - 1
            panels = [figure.add_subplot(grid[number, column]) for column in (0, 1, 2, 3, 4, 6)]
            _head(panels[0], row)
            _prototype(panels[1], row, frequency_hz)
            _spectra(panels[2], row, frequency_hz)
            _confidence(panels[3], row)
            _hours(panels[4], row)
            _stations(panels[5], row)
            labels = ("frequency (Hz)", "frequency (Hz)", "confidence", "hour of the day (UTC)")
            for axes, label in zip(panels[1:5], labels, strict=True):
                axes.tick_params(labelsize=7, pad=1.5)
                if last:
                    axes.set_xlabel(label, labelpad=2)
            if number == 0:
                titles = (
                    "spectrum of the centroid",
                    f"power ({power_units})",
                    "how sure",
                    "windows by hour",
                    "share at each station",
                )
                for axes, title in zip(panels[1:], titles, strict=True):
                    axes.set_title(title, fontsize=8, weight="bold", pad=6, loc="left")
        return figure


def _head(axes: Axes, row: DashboardRow) -> None:
    from matplotlib.patches import Rectangle

    axes.set_axis_off()
    patch = Rectangle((0.0, 0.08), 0.05, 0.84, color=row.colour, transform=axes.transAxes, linewidth=0)
    axes.add_patch(patch)
    lines = _wrapped(row.name, 15)
    for number, line in enumerate(lines):
        y = 0.80 - 0.17 * number
        axes.text(0.11, y, line, transform=axes.transAxes, fontsize=9, weight="bold", va="center")
    y = 0.80 - 0.17 * len(lines) - 0.03
    axes.text(0.11, y, f"{row.share:.2%} of windows", transform=axes.transAxes, fontsize=7.5, va="center")
    text = f"{number_text(row.n_windows)} windows"
    axes.text(0.11, y - 0.16, text, transform=axes.transAxes, fontsize=7.5, va="center", color="#555555")


def _wrapped(text: str, most: int) -> list[str]:
    """At most two lines."""
    if len(text) <= most:
        return [text]
    cut = text.rfind(" ", 0, most + 1)
    cut = cut if cut > most // 2 else most
    return [text[:cut], shortened(text[cut:].strip(), most)]


def _prototype(axes: Axes, row: DashboardRow, frequency_hz: npt.NDArray[np.float64]) -> None:
    axes.axhline(0.0, color="#bbbbbb", linewidth=0.6)
    axes.plot(frequency_hz, row.prototype, color=line_colour(row.colour), linewidth=1.2)
    axes.set_xlim(frequency_hz[0], frequency_hz[-1])
    axes.locator_params(axis="y", nbins=3)


def _spectra(axes: Axes, row: DashboardRow, frequency_hz: npt.NDArray[np.float64]) -> None:
    if row.spectra is None or not np.isfinite(row.spectra).any():
        _say(axes, "no training window\nof this cluster")
        return
    low, middle, high = row.spectra
    colour = line_colour(row.colour)
    axes.fill_between(frequency_hz, low, high, color=colour, alpha=0.25, linewidth=0)
    axes.plot(frequency_hz, middle, color=colour, linewidth=1.2)
    axes.set_xlim(frequency_hz[0], frequency_hz[-1])
    axes.locator_params(axis="y", nbins=3)


def _confidence(axes: Axes, row: DashboardRow) -> None:
    if not len(row.confidence):
        _say(axes, "no window")
        return
    axes.hist(row.confidence, bins=20, range=(0.0, 1.0), color=row.colour, edgecolor="none")
    median = float(np.median(row.confidence))
    axes.axvline(median, color=line_colour(row.colour), linewidth=0.9, linestyle="--")
    left = median > 0.5
    axes.text(
        median + (-0.04 if left else 0.04),
        0.99,
        f"median {median:.2f}",
        transform=axes.get_xaxis_transform(),
        fontsize=6.5,
        ha="right" if left else "left",
        va="top",
    )
    axes.set_xlim(0.0, 1.0)
    # Room for the words above the bars.
    axes.set_ylim(0.0, 1.22 * axes.get_ylim()[1])
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def _hours(axes: Axes, row: DashboardRow) -> None:
    axes.bar(np.arange(24) + 0.5, row.by_hour, width=1.0, color=row.colour, edgecolor="white", linewidth=0.3)
    axes.set_xlim(0, 24)
    axes.set_xticks([0, 6, 12, 18, 24])
    largest = max(1, int(row.by_hour.max(initial=0)))
    axes.set_ylim(0, largest * 1.05)
    axes.set_yticks([0, largest], labels=["0", number_text(largest)])


def _stations(axes: Axes, row: DashboardRow) -> None:
    told = sorted(row.by_station, key=lambda item: -item[1] / max(1, item[2]))[:_MOST_STATIONS]
    shares = [100 * n / max(1, total) for _, n, total in told]
    axes.barh(np.arange(len(told)), shares, color=row.colour, edgecolor="none", height=0.72)
    size = 6.5 if len(told) > 5 else 7
    axes.set_yticks(np.arange(len(told)), labels=[name for name, _, _ in told], fontsize=size)
    axes.tick_params(axis="y", length=0, pad=2)
    axes.set_ylim(max(len(told), 4) - 0.5, -0.5)
    axes.set_xlim(0, max([*shares, 1e-6]) * 1.35)
    for place, share in enumerate(shares):
        axes.text(share, place, f" {share:.2g}%", va="center", fontsize=size - 0.5, color="#555555")
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    left_out = len(row.by_station) - len(told)
    if left_out:
        axes.text(
            1.0, -0.02, f"and {left_out} more", transform=axes.transAxes, fontsize=6, ha="right", va="top"
        )


def _say(axes: Axes, text: str) -> None:
    axes.set_axis_off()
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=7.5, color="#777777"
    )


def quartiles(windows: npt.NDArray[Any]) -> npt.NDArray[np.float64] | None:
    """Quartiles over windows and frames of their power, shape (3, frequency); ``None`` without windows.

    Parameters
    ----------
    windows
        Shape (window, [plane,] frame, frequency).
    """
    if not len(windows):
        return None
    rows = windows.reshape(-1, windows.shape[-1]).astype(np.float64)
    return np.asarray(np.nanpercentile(rows, (25, 50, 75), axis=0))
