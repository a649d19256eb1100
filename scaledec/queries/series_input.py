"""Environmental time series from files: CSV, NetCDF, Zarr, miniSEED."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from scaledec.errors import ConfigError, ScaledecError, StoreError
from scaledec.location import Location
from scaledec.store.open import open_store, store_errors
from scaledec.vocabulary import NANOSECONDS_PER_SECOND

__all__ = ["TimeSeries", "read_series"]

_TIMES = ("time", "datetime", "date", "timestamp", "utc")
_MINISEED = (".mseed", ".ms", ".seed", ".miniseed")
_NETCDF = (".nc", ".nc4", ".cdf", ".netcdf")


@dataclass(frozen=True, slots=True)
class TimeSeries:
    """Values of one quantity at instants, ascending."""

    name: str
    units: str
    """Empty where the file does not say."""
    time_ns: npt.NDArray[np.int64]
    """Nanoseconds of UTC."""
    value: npt.NDArray[np.float64]
    """Of the same shape; what is not known is left out."""


def read_series(
    location: Location, column: str | None = None, at: Mapping[str, float | str] | None = None
) -> TimeSeries:
    """Read one quantity of a file; the ending of its name says in which format it is.

    Parameters
    ----------
    location
        ``.csv`` or ``.txt`` (a line of names, a column of ISO 8601 times in UTC), ``.nc``, ``.zarr``,
        ``.mseed`` (the samples of one channel).
    column
        The column or variable (in miniSEED: the channel); may be left out where there is one.
    at
        Values of further dimensions of a variable, the nearest of which are taken: a point of a grid.

    Raises
    ------
    ConfigError
        If the file holds no such series, or several.
    StoreError
        If it cannot be read.
    """
    ending = Path(location.url.rstrip("/")).suffix.lower()
    try:
        if ending in _MINISEED:
            found = _from_miniseed(location, column)
        elif ending in (".zarr", *_NETCDF):
            found = _from_dataset(location, ending, column, at or {})
        else:
            found = _from_csv(location, column)
    except ScaledecError:
        raise
    except (ValueError, KeyError, OSError, TypeError) as error:
        raise StoreError(f"{location} cannot be read as a time series: {location.told(error)}") from error
    return _in_order(found, location)


def _in_order(found: TimeSeries, location: Location) -> TimeSeries:
    known = np.isfinite(found.value)
    if not known.any():
        raise ConfigError(f"{found.name} of {location} has no value")
    order = np.argsort(found.time_ns[known], kind="stable")
    return TimeSeries(found.name, found.units, found.time_ns[known][order], found.value[known][order])


def _from_csv(location: Location, column: str | None) -> TimeSeries:
    table = pd.read_csv(io.BytesIO(location.read_bytes()), skipinitialspace=True, comment="#")
    table.columns = [str(name).strip() for name in table.columns]
    time = next((name for name in table.columns if name.lower() in _TIMES), str(table.columns[0]))
    instants = pd.to_datetime(table[time], utc=True, format="ISO8601")
    numeric = [name for name in table.columns if name != time and pd.api.types.is_numeric_dtype(table[name])]
    name = _the_one(numeric, column, location)
    time_ns = instants.dt.tz_localize(None).to_numpy().astype("datetime64[ns]").astype(np.int64)
    return TimeSeries(name, "", time_ns, table[name].to_numpy(np.float64))


def _from_dataset(
    location: Location, ending: str, column: str | None, at: Mapping[str, float | str]
) -> TimeSeries:
    with _opened(location, ending) as dataset:
        timed = [str(name) for name, variable in dataset.data_vars.items() if _time_of(dataset, variable)]
        name = _the_one(timed, column, location)
        variable = dataset[name]
        time = _time_of(dataset, variable)
        variable = _at(variable, at, location)
        more = [str(dimension) for dimension in variable.dims if dimension != time]
        if more:
            raise ConfigError(
                f"{name} of {location} has the dimensions {_listed(variable.dims)}; say where: "
                + " ".join(f"--at {dimension}=VALUE" for dimension in more)
            )
        instants = dataset[time].to_numpy().astype("datetime64[ns]").astype(np.int64)
        values = variable.to_numpy().astype(np.float64)
        return TimeSeries(name, str(variable.attrs.get("units", "")), instants, values)


def _at(variable: xr.DataArray, at: Mapping[str, float | str], location: Location) -> xr.DataArray:
    """The values at a place: those nearest to a number, those named by a text."""
    for dimension, wanted in at.items():
        if dimension not in variable.dims:
            raise ConfigError(
                f"{variable.name} of {location} has no dimension {dimension!r}; "
                f"it has {_listed(variable.dims)}"
            )
        nearest = None if isinstance(wanted, str) else "nearest"
        variable = variable.sel({dimension: wanted}, method=nearest)
    return variable


def _listed(names: Iterable[Hashable]) -> str:
    return ", ".join(map(str, names))


def _opened(location: Location, ending: str) -> xr.Dataset:
    if ending == ".zarr":
        with store_errors(location, "open"):
            store = open_store(location, read_only=True)
            try:
                dataset: xr.Dataset = xr.open_zarr(store, chunks=None, consolidated=True)
            except (KeyError, ValueError):
                # Its metadata lie with each array alone.
                dataset = xr.open_zarr(store, chunks=None, consolidated=False)
            return dataset
    if location.is_local:
        with store_errors(location, "open"):
            return xr.open_dataset(location.path)
    with tempfile.NamedTemporaryFile(suffix=ending) as copy:
        copy.write(location.read_bytes())
        copy.flush()
        return xr.open_dataset(copy.name).load()


def _time_of(dataset: xr.Dataset, variable: xr.DataArray) -> str:
    """The dimension of a variable along which instants lie; empty if it has none."""
    for dimension in map(str, variable.dims):
        if dimension in dataset.coords and np.issubdtype(dataset[dimension].dtype, np.datetime64):
            return dimension
    return ""


def _from_miniseed(location: Location, column: str | None) -> TimeSeries:
    from scaledec.archive.miniseed import read_pieces

    pieces = read_pieces(location.read_bytes(), name=str(location)).pieces
    name = _the_one(sorted({str(piece.channel) for piece in pieces}), column, location)
    chosen = [piece for piece in pieces if str(piece.channel) == name]
    times = [piece.start_ns + _after_ns(len(piece.samples), piece.sampling_rate_hz) for piece in chosen]
    values = np.concatenate([np.asarray(piece.samples, np.float64) for piece in chosen])
    return TimeSeries(name, "counts", np.concatenate(times), values)


def _after_ns(n: int, rate_hz: float) -> npt.NDArray[np.int64]:
    return np.rint(np.arange(n) * NANOSECONDS_PER_SECOND / rate_hz).astype(np.int64)


def _the_one(known: list[Any], wanted: str | None, location: Location) -> str:
    """The column that is meant."""
    if wanted is None and len(known) == 1:
        return str(known[0])
    if wanted in known:
        return str(wanted)
    there = ", ".join(map(str, known)) or "none"
    raise ConfigError(
        f"{location} has these series: {there}; "
        + ("say which" if wanted is None else f"{wanted!r} is none of them")
    )
