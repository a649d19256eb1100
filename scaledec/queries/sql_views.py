"""The views that SQL sees: the Parquet files of each run's catalog, its clusters, and the stations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from scaledec.errors import StoreNotFoundError
from scaledec.places import Places
from scaledec.store.axes import CHANNEL_COORDINATES
from scaledec.store.catalog import list_parts
from scaledec.store.datasets import open_labels
from scaledec.store.names import read_names
from scaledec.vocabulary import ChannelId

__all__ = ["create_views"]


def create_views(connection: Any, places: Places, runs: Sequence[str], run: str) -> None:
    """Make ``labels``, ``clusters``, ``stations`` and ``channels`` of a run, and a schema of every run's.

    Parameters
    ----------
    connection
        An in-memory DuckDB database.
    runs
        Those that have a catalog.
    run
        The one that is meant where no schema is named.

    Raises
    ------
    StoreNotFoundError
        If the catalog of a run is empty.
    """
    _register(connection, places)
    for name in runs:
        schema = _quoted(name)
        connection.execute(f"create schema {schema}")
        labels = open_labels(places.root.url, name, places.root.storage_options)
        clusters = _clusters(places, name, [str(given) for given in labels["cluster_name"].to_numpy()])
        channels = _channels(labels)
        tables = {"clusters": clusters, "channels": channels, "stations": _stations(channels)}
        for view, table in tables.items():
            connection.register("_table", table)
            connection.execute(f"create table {schema}.{view} as select * from _table")
            connection.unregister("_table")
        connection.execute(f"create view {schema}.labels as {_labels(places, name, clusters['name'])}")
    for view in ("labels", "clusters", "stations", "channels"):
        connection.execute(f"create view {view} as select * from {_quoted(run)}.{view}")


def _register(connection: Any, places: Places) -> None:
    """Let DuckDB read through the root's own client, with its credentials."""
    if not places.root.is_local:
        filesystem, _ = places.root.filesystem(patient=True)
        connection.register_filesystem(filesystem)


def _labels(places: Places, run: str, names: pd.Series[str]) -> str:
    """The query behind the view ``labels``."""
    catalog = places.catalog(run)
    parts = [key for key in list_parts(catalog) if key.endswith(".parquet")]
    if not parts:
        raise StoreNotFoundError(f"the catalog of run {run!r} at {catalog} is empty: no window has a label")
    files = ", ".join(_text(_url(places, catalog.child(key).url)) for key in parts)
    # Of a list, not joined: what is not asked for costs nothing.
    name = f"list_extract([{', '.join(map(_text, names))}], label + 1)"
    return (
        "select coalesce(network, '') as network, station, location, channel, start, \"end\", label, "
        f"{name} as name, columns('^(confidence|distance|outlier)$'), year, month "
        f"from read_parquet([{files}], hive_partitioning = true, "
        "hive_types = {'network': varchar, 'year': integer, 'month': integer})"
    )


def _url(places: Places, url: str) -> str:
    return url if not places.root.is_local else url.removeprefix("file://")


def _clusters(places: Places, run: str, names: Sequence[str]) -> pd.DataFrame:
    given = read_names(places.run(run))
    notes = [given[label].note if label in given else "" for label in range(len(names))]
    return pd.DataFrame({"label": np.arange(len(names), dtype=np.int16), "name": names, "note": notes})


def _channels(labels: Any) -> pd.DataFrame:
    """One row a channel: its parts and coordinates."""
    ids = [ChannelId.parse(str(name)) for name in labels["channel"].to_numpy()]
    known = {name: labels[name].to_numpy() for name in CHANNEL_COORDINATES if name in labels}
    return pd.DataFrame(
        {
            "network": [channel.network for channel in ids],
            "station": [channel.station for channel in ids],
            "location": [channel.location for channel in ids],
            "channel": [str(channel) for channel in ids],
            **known,
        }
    )


def _stations(channels: pd.DataFrame) -> pd.DataFrame:
    """One row a station: the coordinates of its first channel, and how many it has."""
    by_station = channels.groupby(["network", "station"], as_index=False, sort=True)
    first = by_station[["latitude", "longitude", "elevation_m"]].first()
    return first.assign(channels=by_station.size()["size"])


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
