"""The products as xarray datasets: lazy, with decoded times, for anyone who knows xarray."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from scaledec.errors import StoreNotFoundError
from scaledec.location import Location
from scaledec.places import Places
from scaledec.store.names import flag_meanings, read_names
from scaledec.store.open import open_group, open_store, store_errors

__all__ = [
    "ROOT_ENCODING",
    "flatten_time",
    "newest_run",
    "open_cube",
    "open_dataset",
    "open_labels",
    "open_training_set",
    "run_names",
]

ROOT_ENCODING = "scaledec_places"
"""Key of ``Dataset.encoding`` where labels carry the places they belong to: kept by selections, never written
to a file."""


def open_cube(root: str, storage_options: Mapping[str, Any] | None = None) -> xr.Dataset:
    """The cube below ``root``: power (channel, time, frame, frequency) and coverage (channel, time, frame).

    Nothing but coordinates is read until values are asked for.

    Parameters
    ----------
    root
        Folder or URL given as ``root`` in the configuration.
    storage_options
        Passed to fsspec.

    Raises
    ------
    StoreNotFoundError
        If there is no cube.

    Examples
    --------
    >>> day = open_cube("demo").sel(channel="CM.BAR2..HHZ", time="2020-02-04")  # doctest: +SKIP
    """
    return open_dataset(Places.at(root, storage_options).cube)


def open_labels(
    root: str, run: str | None = None, storage_options: Mapping[str, Any] | None = None
) -> xr.Dataset:
    """The labels of a run below ``root``: label, confidence, distance (channel, time, window), and clusters.

    ``outlier`` is how far outside its cluster's training windows a window lies, ``state`` why one has none.
    ``cluster_name`` and the ``flag_meanings`` of ``label`` are the names that people gave the clusters.

    Parameters
    ----------
    root, storage_options
        As for :func:`open_cube`.
    run
        Name of the run; ``None``: the newest.

    Raises
    ------
    StoreNotFoundError
        If there are no labels, or none of that run; the runs there are named.
    """
    places = Places.at(root, storage_options)
    if run is None:
        run = newest_run(root, storage_options)
    elif run not in run_names(root, storage_options):
        known = ", ".join(run_names(root, storage_options)) or "none"
        raise StoreNotFoundError(f"no labels of run {run!r} below {places.root}; runs there: {known}")
    labels = _named(open_dataset(places.labels(run)), places.run(run))
    labels.encoding[ROOT_ENCODING] = places
    return labels


def open_training_set(
    root: str, run: str | None = None, storage_options: Mapping[str, Any] | None = None
) -> xr.Dataset:
    """The training set of a run: windows (sample, frame, frequency) and where each came from."""
    places = Places.at(root, storage_options)
    return open_dataset(places.training_set(run or newest_run(root, storage_options)))


def run_names(root: str, storage_options: Mapping[str, Any] | None = None) -> list[str]:
    """Sorted names of the runs below ``root`` that have a label store."""
    names = Places.at(root, storage_options).all_labels.list_names()
    return [name.removesuffix(".zarr") for name in names if name.endswith(".zarr")]


def newest_run(root: str, storage_options: Mapping[str, Any] | None = None) -> str:
    """The run that labelled last; ``StoreNotFoundError`` if there is none.

    The ledger tells, whose parts are named by the time they were begun: the stores themselves hold no
    clock, so that an interrupted run's bytes are those of an uninterrupted one.
    """
    places = Places.at(root, storage_options)
    names = run_names(root, storage_options)
    if not names:
        raise StoreNotFoundError(f"no labels below {places.root} yet: run the label stage first")
    return max(names, key=lambda name: (max(places.label_ledger(name).list_names(), default=""), name))


def flatten_time(dataset: xr.Dataset) -> xr.Dataset:
    """One flat time axis in place of (time, frame) or (time, window): select first, this reads the values.

    Parameters
    ----------
    dataset
        From :func:`open_cube` or :func:`open_labels`, or a selection of one.

    Returns
    -------
    xarray.Dataset
        Everything that has the inner axis, with ``time`` the start of each frame or window.

    Examples
    --------
    >>> flatten_time(open_cube("demo").isel(channel=0)).power.plot(x="time")  # doctest: +SKIP
    """
    if "onset" in dataset:
        raise ValueError("windows lie at events, whose times differ from channel to channel: see `onset`")
    inner = "window" if "window" in dataset.dims else "frame"
    if "time" not in dataset.dims or inner not in dataset.dims:
        raise ValueError(
            f"the dataset has dimensions {tuple(dataset.dims)}; expected time together with frame or window: "
            "select with slices or lists, which keep both"
        )
    offset = np.round(dataset[inner].to_numpy() * 1e9).astype("timedelta64[ns]")
    instants = (dataset["time"].to_numpy()[:, None] + offset).reshape(-1)
    kept = [name for name, variable in dataset.data_vars.items() if {"time", inner} <= set(variable.dims)]
    bare = dataset[kept].drop_vars(["time", inner])
    flat = bare.stack({"instant": ("time", inner)}, create_index=False).rename(instant="time")
    leading = [name for name in ("channel", "time") if name in flat.dims]
    return flat.assign_coords(time=("time", instants, dict(dataset["time"].attrs))).transpose(*leading, ...)


def _named(labels: xr.Dataset, run: Location) -> xr.Dataset:
    """Labels with the names that people gave, which may be newer than those in the store."""
    stored = str(labels["label"].attrs["flag_meanings"]).split()
    given = read_names(run)
    names = tuple(given[k].name if k in given else name for k, name in enumerate(stored))
    labels["label"].attrs["flag_meanings"] = flag_meanings(names)
    attributes = {"long_name": "name of the cluster"}
    return labels.assign_coords(cluster_name=("cluster", np.array(names, dtype=object), attributes))


def open_dataset(location: Location) -> xr.Dataset:
    """Any store of this package at a location, lazy."""
    open_group(location)  # says in one sentence what is missing or damaged
    with store_errors(location, "open"):
        store = open_store(location, read_only=True)
        dataset: xr.Dataset = xr.open_zarr(store, chunks=None, consolidated=True)
    return dataset
