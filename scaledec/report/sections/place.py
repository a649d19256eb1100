"""Where clusters happen."""

from __future__ import annotations

import numpy as np

from scaledec.report.figures.stations import station_map
from scaledec.report.gather.view import RunView
from scaledec.report.sections.section import Picture, Section, Table

__all__ = ["map_section"]

_MOST_ROWS = 200


def map_section(view: RunView) -> Section:
    """The map of stations, and shares of clusters at each as a table."""
    stations = list(view.by_station)
    counts = np.array([view.by_station[name] for name in stations]).reshape(len(stations), -1)
    places = view.station_places
    known = [i for i, name in enumerate(stations) if name in places]
    pictures = []
    if known:
        where = np.array([places[stations[i]] for i in known])
        pictures.append(
            Picture(
                "map",
                "Stations on longitude and latitude, each a pie of its clusters",
                lambda: station_map(
                    where[:, 0],
                    where[:, 1],
                    counts[known].astype(np.float64),
                    stations=[stations[i] for i in known],
                    names=view.looks.names,
                    colours=view.looks.colours,
                ),
            )
        )
    missing = ""
    if len(known) < len(stations):
        lost = ", ".join(name for i, name in enumerate(stations) if i not in set(known))
        missing = (
            f"No coordinates of {lost}: name StationXML in `archive.stationxml` and run `scaledec cube`."
            if len(lost) < 200
            else f"No coordinates of {len(stations) - len(known)} of {len(stations)} stations."
        )
    return Section(
        "map",
        "Stations",
        "A pie shows the shares of a station's labelled windows. A degree of longitude is drawn as long as "
        "it is at the middle latitude.",
        pictures,
        [_table(view)],
        missing,
    )


def _table(view: RunView) -> Table:
    """Shares of clusters at each station."""
    rows = []
    for name, counts in list(view.by_station.items())[:_MOST_ROWS]:
        total = int(counts.sum())
        shares = [f"{n / total:.1%}" if total else "–" for n in counts]
        rows.append([name, f"{total:,}", *shares])
    return Table(["station", "windows", *view.looks.full_names], rows)
