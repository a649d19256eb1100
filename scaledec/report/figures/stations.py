"""A map of stations: where each cluster happens, on plain longitude and latitude."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scaledec.report.canvas import drawable, new_figure
from scaledec.report.figures.parts import legend_height_in, put_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["station_map"]

_WIDTH_IN = 9.0
_KM_A_DEGREE = 111.195
_PIE_IN = 0.42
_MOST_NAMES = 60
_LEAST_DEGREES = 0.01


def station_map(
    longitude: npt.NDArray[np.float64],
    latitude: npt.NDArray[np.float64],
    shares: npt.NDArray[np.float64],
    *,
    stations: Sequence[str],
    names: Sequence[str],
    colours: Sequence[str],
) -> Figure:
    """Draw a pie of shares at every station; a degree is as long in both directions as it is there.

    Parameters
    ----------
    longitude, latitude
        Degrees, shape (station,), all finite.
    shares
        Of the clusters, shape (station, cluster); rows of zeros for stations without windows.
    stations
        Their names.
    names, colours
        Of the clusters.
    """
    west_east, south_north = _extent(longitude, latitude)
    aspect = 1.0 / max(0.05, float(np.cos(np.radians(np.mean(south_north)))))
    plot_in = _WIDTH_IN - 1.1
    tall_in = plot_in * aspect * (south_north[1] - south_north[0]) / (west_east[1] - west_east[0])
    legend_in = legend_height_in(names, plot_in)
    with new_figure((_WIDTH_IN, 0.2 + tall_in + 0.62 + legend_in)) as figure:
        height = figure.get_figheight()
        axes = figure.add_axes(
            (0.85 / _WIDTH_IN, (0.6 + legend_in) / height, plot_in / _WIDTH_IN, tall_in / height)
        )
        axes.set_xlim(*west_east)
        axes.set_ylim(*south_north)
        axes.grid(color="#e3e8ec", linewidth=0.6)
        axes.set_axisbelow(True)
        for side in axes.spines.values():
            side.set_visible(True)
        axes.set_xlabel("longitude (°E)")
        axes.set_ylabel("latitude (°N)")
        axes.ticklabel_format(useOffset=False, style="plain")
        inch = (west_east[1] - west_east[0]) / plot_in
        size = _PIE_IN * min(1.0, (12 / len(stations)) ** 0.35)
        for place in range(len(stations)):
            where = (float(longitude[place]), float(latitude[place]))
            _pie(axes, where, shares[place], colours, (size * inch / 2, size * inch / 2 / aspect))
        _names(axes, longitude, latitude, stations, offset=size * inch / 2, plot_in=(plot_in, tall_in))
        _scale_bar(axes, west_east, south_north)
        put_legend(figure, names, colours, left_in=0.85, width_in=plot_in, top_in=legend_in - 0.02)
        return figure


def _extent(
    longitude: npt.NDArray[np.float64], latitude: npt.NDArray[np.float64]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits of longitude and latitude around all stations, at least a kilometre or two."""
    cosine = max(0.05, float(np.cos(np.radians(latitude.mean()))))
    across = max(float(np.ptp(longitude)) * cosine, _LEAST_DEGREES)
    along = max(float(np.ptp(latitude)), _LEAST_DEGREES)
    # Never taller than wide: a screen is not.
    tall = max(along, 0.4 * across) * 1.3
    wide = max(1.25 * across, 1.35 * tall)
    middle = (
        float(longitude.max() + longitude.min()) / 2,
        float(latitude.max() + latitude.min()) / 2,
    )
    half = wide / cosine / 2
    return (middle[0] - half, middle[0] + half), (middle[1] - tall / 2, middle[1] + tall / 2)


def _pie(
    axes: Axes,
    where: tuple[float, float],
    shares: npt.NDArray[np.float64],
    colours: Sequence[str],
    radii: tuple[float, float],
) -> None:
    from matplotlib.patches import Ellipse, Polygon

    total = shares.sum()
    edges = np.concatenate([[0.0], np.cumsum(shares / total)]) if total else np.zeros(len(shares) + 1)
    for k, colour in enumerate(colours):
        if edges[k + 1] > edges[k]:
            turn = (
                2 * np.pi * np.linspace(edges[k], edges[k + 1], max(3, int(90 * (edges[k + 1] - edges[k]))))
            )
            x = where[0] + radii[0] * np.sin(turn)
            y = where[1] + radii[1] * np.cos(turn)
            corners = np.column_stack([np.append(x, where[0]), np.append(y, where[1])])
            axes.add_patch(Polygon(corners, facecolor=colour, edgecolor="none", zorder=3))
    axes.add_patch(
        Ellipse(
            where,
            2 * radii[0],
            2 * radii[1],
            facecolor="none" if total else "white",
            edgecolor="#333333",
            linewidth=0.7,
            zorder=4,
        )
    )


def _names(
    axes: Axes,
    longitude: npt.NDArray[np.float64],
    latitude: npt.NDArray[np.float64],
    stations: Sequence[str],
    *,
    offset: float,
    plot_in: tuple[float, float],
) -> None:
    """Beside each station, from the north down, where no name and no other station is in the way."""
    if len(stations) > _MOST_NAMES:
        return
    low, high = axes.get_xlim()
    bottom, top = axes.get_ylim()
    x_in, y_in = (high - low) / plot_in[0], (top - bottom) / plot_in[1]
    taken: list[tuple[float, float, float, float]] = []
    pie = (offset, offset / x_in * y_in)
    for x, y in zip(longitude, latitude, strict=True):
        taken.append((x - pie[0], y - pie[1], x + pie[0], y + pie[1]))
    for place in np.argsort(-latitude, kind="stable").tolist():
        text = drawable(stations[place])
        wide, tall = 0.065 * len(text) * x_in, 0.13 * y_in
        x, y = float(longitude[place]), float(latitude[place])
        spots = (
            (x + pie[0] * 1.15, y - tall / 2),
            (x - pie[0] * 1.15 - wide, y - tall / 2),
            (x - wide / 2, y + pie[1] * 1.15),
            (x - wide / 2, y - pie[1] * 1.15 - tall),
        )
        for left, foot in spots:
            box = (left, foot, left + wide, foot + tall)
            inside = low < box[0] and box[2] < high and bottom < box[1] and box[3] < top
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                axes.text(left, foot + tall / 2, text, fontsize=7.5, va="center", zorder=5)
                break


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _scale_bar(axes: Axes, west_east: tuple[float, float], south_north: tuple[float, float]) -> None:
    """A length of round kilometres near the lower left corner, as long as it is at that latitude."""
    low, high = south_north
    y = low + 0.05 * (high - low)
    km_a_degree = _KM_A_DEGREE * max(0.05, float(np.cos(np.radians(y))))
    room_km = 0.25 * (west_east[1] - west_east[0]) * km_a_degree
    power = 10.0 ** np.floor(np.log10(room_km))
    long_km = next(step * power for step in (5, 2, 1) if step * power <= room_km)
    x = west_east[0] + 0.03 * (west_east[1] - west_east[0])
    axes.plot([x, x + long_km / km_a_degree], [y, y], color="#222222", linewidth=2.0, solid_capstyle="butt")
    text = f"{long_km:g} km" if long_km >= 1 else f"{1000 * long_km:g} m"
    axes.text(x + long_km / km_a_degree / 2, y + 0.015 * (high - low), text, ha="center", fontsize=7.5)
