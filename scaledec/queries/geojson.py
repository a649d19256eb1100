"""Stations as GeoJSON points (RFC 7946), each with how much of every class it has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd
import xarray as xr

from scaledec.queries.tables import write_whole
from scaledec.vocabulary import ChannelId

__all__ = ["station_features", "write_geojson"]


def write_geojson(counts: pd.DataFrame, dataset: xr.Dataset, path: str) -> int:
    """Write :func:`station_features`; return how many stations have no coordinates."""
    features = station_features(counts, dataset)
    write_whole(path, lambda to: to.write_text(json.dumps(features, ensure_ascii=False, indent=1)))
    return sum(feature["geometry"] is None for feature in features["features"])


def station_features(counts: pd.DataFrame, dataset: xr.Dataset) -> dict[str, Any]:
    """A point a station of the counts.

    Parameters
    ----------
    counts
        Columns ``station`` (NET.STA), ``label`` and ``windows`` (or ``episodes``).
    dataset
        From :func:`~scaledec.store.datasets.open_labels`: coordinates of channels, names of clusters.

    Returns
    -------
    dict
        A FeatureCollection. Properties: ``station``, the total, and ``classes``, from the names of
        clusters to their numbers there. A station whose coordinates are not known has no geometry.
    """
    what = "windows" if "windows" in counts else "episodes"
    names = [str(name) for name in dataset["cluster_name"].to_numpy()]
    points = _points(dataset)
    features = []
    for station, own in counts.groupby("station", observed=True):
        numbers = dict(zip(own["label"].tolist(), own[what].tolist(), strict=True))
        classes: dict[str, int] = {}
        for label, name in enumerate(names):  # several clusters may share a name
            classes[name] = classes.get(name, 0) + numbers.get(label, 0)
        properties = {"station": str(station), what: int(own[what].sum()), "classes": classes}
        geometry = points.get(str(station))
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return {"type": "FeatureCollection", "features": features}


def _points(dataset: xr.Dataset) -> Mapping[str, dict[str, Any]]:
    """Where each station is, by the first of its channels that knows."""
    columns = ("channel", "longitude", "latitude", "elevation_m")
    points: dict[str, dict[str, Any]] = {}
    for channel, *place in zip(*(dataset[name].to_numpy().tolist() for name in columns), strict=True):
        known = [round(value, 6) for value in place if value == value]
        if len(known) >= 2 and place[0] == place[0] and place[1] == place[1]:
            points.setdefault(ChannelId.parse(channel).station_key, {"type": "Point", "coordinates": known})
    return points
