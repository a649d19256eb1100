"""What several figures share: legends, time axes, frames, and colours of lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scaledec.report.palette import mixed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "colour_bar",
    "days",
    "frame_axes",
    "legend_height_in",
    "legend_rows",
    "line_colour",
    "number_text",
    "put_legend",
    "text_in",
    "time_axis",
]

_LEGEND_ROW_IN = 0.2
_LEGEND_CHARACTER_IN = 0.072
_LEGEND_MARK_IN = 0.34
# Perceived lightness (0 to 1) above which a line on white is hard to see.
_LIGHT = 0.66


def line_colour(colour: str) -> str:
    """The same hue, dark enough for a thin line or a number on white."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    lightness = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return mixed(colour, "#16202a", 0.45) if lightness > _LIGHT else colour


def number_text(value: float) -> str:
    """A count as short text: ``950``, ``12.3k``, ``4.5M``."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g}{letter}"
    return f"{value:.0f}"


def frame_axes(axes: Axes, colour: str, width: float = 1.6) -> None:
    """All four sides in a colour."""
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_edgecolor(colour)
        spine.set_linewidth(width)


def legend_rows(names: Sequence[str], width_in: float) -> list[list[int]]:
    """Which entries of a legend stand in which row, so that no row is wider than the room there is."""
    rows: list[list[int]] = [[]]
    used = 0.0
    for number, name in enumerate(names):
        wide = _LEGEND_MARK_IN + _LEGEND_CHARACTER_IN * len(name)
        if rows[-1] and used + wide > width_in:
            rows.append([])
            used = 0.0
        rows[-1].append(number)
        used += wide
    return rows


def put_legend(
    figure: Figure,
    names: Sequence[str],
    colours: Sequence[str],
    *,
    left_in: float,
    top_in: float,
    width_in: float,
) -> None:
    """Squares of colour with names, row by row, the first row's middle ``top_in`` above the figure's foot."""
    width, height = figure.get_size_inches()
    for number, row in enumerate(legend_rows(names, width_in)):
        y = (top_in - number * _LEGEND_ROW_IN) / height
        x_in = left_in
        for entry in row:
            figure.text(
                x_in / width,
                y,
                "\u25a0",
                color=colours[entry],
                fontsize=11,
                va="center",
                ha="left",
            )
            figure.text((x_in + 0.15) / width, y, names[entry], fontsize=8, va="center", ha="left")
            x_in += _LEGEND_MARK_IN + _LEGEND_CHARACTER_IN * len(names[entry])


def text_in(texts: Sequence[str], size: float) -> float:
    """Inches that the longest of some texts takes at most, at a size in points."""
    return 0.0092 * size * max((len(text) for text in texts), default=0)


def legend_height_in(names: Sequence[str], width_in: float) -> float:
    """Inches that :func:`put_legend` takes."""
    return _LEGEND_ROW_IN * len(legend_rows(names, width_in))


def time_axis(
    axes: Axes, start: np.datetime64, end: np.datetime64, *, told: bool = True, ticks: int = 9
) -> None:
    """A time axis from start to end, in Matplotlib's days; ``told``: with its numbers and its label."""
    import matplotlib.dates

    # These publish no types.
    mdates: Any = matplotlib.dates
    axes.set_xlim(*(float(mdates.date2num(moment)) for moment in (start, end)))
    axes.xaxis_date()
    locator = mdates.AutoDateLocator(minticks=2, maxticks=ticks)
    formatter = mdates.ConciseDateFormatter(locator, show_offset=False)
    # A day is said with its month, a month with its year: a tick at midnight would otherwise read "05".
    formatter.formats[2] = formatter.zero_formats[2] = formatter.zero_formats[3] = "%d %b"
    formatter.formats[1] = "%b %Y"
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(formatter)
    if told:
        axes.set_xlabel(f"time (UTC), from {np.datetime_as_string(start, unit='m').replace('T', ' ')}")
    else:
        axes.tick_params(labelbottom=False)


def days(moments: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Instants (datetime64) as Matplotlib's days."""
    import matplotlib.dates

    mdates: Any = matplotlib.dates
    return np.asarray(mdates.date2num(moments), np.float64)


def colour_bar(
    figure: Figure, image: Any, place_in: tuple[float, float, float], label: str, *, extend: str = "both"
) -> None:
    """A horizontal bar of colours at (left, bottom, width) inches."""
    width, height = figure.get_size_inches()
    left, bottom, long = place_in
    axes = figure.add_axes((left / width, bottom / height, long / width, 0.08 / height))
    bar = figure.colorbar(image, cax=axes, orientation="horizontal", extend=extend)
    bar.outline.set_linewidth(0.5)
    axes.tick_params(length=2, pad=1.5, labelsize=7.5)
    axes.set_xlabel(label, labelpad=2, fontsize=8)
