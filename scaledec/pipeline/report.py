"""The verb `report`: a run as one HTML page with all its figures."""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from scaledec.config import Config, load_config, parse_config, run_name
from scaledec.errors import StoreNotFoundError
from scaledec.pipeline.record import without_credentials
from scaledec.places import Places

__all__ = ["config_of_run", "default_folder", "write_report"]

_TOLD = ("scaledec", "torch", "numpy", "zarr", "dask", "ray")


def write_report(
    source: Config | str | os.PathLike[str],
    run: str | None = None,
    *,
    folder: str | os.PathLike[str] | None = None,
    waveforms: bool = True,
    series: str | None = None,
    series_column: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Path:
    """Write a run as one HTML page, and each figure as PNG and SVG; return the page.

    Parameters
    ----------
    source
        A configuration, the path of one (``.yaml``, ``.yml``), or a root.
    run
        Name of the run; ``None``: the configuration's, or the newest of a root.
    folder
        Where to write; made if it is not there. ``None``: ``report-RUN`` in the current folder.
    waveforms
        Whether raw samples of the windows shown are cut from the archive.
    series, series_column
        A time series (CSV, NetCDF, Zarr, miniSEED) to show beside the clusters, and which column of it.
    storage_options
        For a root.

    Raises
    ------
    StoreNotFoundError
        If the run has no labels.

    Examples
    --------
    >>> write_report("demo/demo.yaml")  # doctest: +SKIP
    PosixPath('report-idec-7-599d82b0/index.html')
    """
    from scaledec.report.gather.view import RunView
    from scaledec.report.sections.series import SeriesSource
    from scaledec.report.write import ReportOptions
    from scaledec.report.write import write_report as write

    config, run = _resolved(source, run, storage_options or {})
    places = Places.at(config.root, config.storage_options)
    settings = yaml.safe_dump(
        without_credentials(config.model_dump(mode="json")), sort_keys=False, allow_unicode=True
    )
    shown = None if series is None else SeriesSource(series, series_column)
    options = ReportOptions(settings, _versions(places, run), waveforms, shown)
    return write(RunView(config, run), Path(folder) if folder else default_folder(run), options)


def default_folder(run: str) -> Path:
    """Where a report goes that nobody gave a folder for."""
    return Path(f"report-{run}")


def config_of_run(root: str, run: str, storage_options: Mapping[str, Any]) -> Config:
    """The configuration that a run keeps, with its root where it lies now.

    Raises
    ------
    StoreNotFoundError
        If the run keeps none.
    """
    place = Places.at(root, storage_options).run(run).child("config.yaml")
    try:
        text = place.read_bytes().decode()
    except StoreNotFoundError as error:
        raise StoreNotFoundError(f"no run {run!r} below {root}: {place} is not there") from error
    config = parse_config(text, source=str(place))
    return config.model_copy(update={"root": root, "storage_options": dict(storage_options), "run": run})


def _resolved(
    source: Config | str | os.PathLike[str], run: str | None, storage_options: Mapping[str, Any]
) -> tuple[Config, str]:
    if isinstance(source, Config):
        return source, run or run_name(source)
    text = os.fspath(source)
    if text.endswith((".yaml", ".yml")):
        config = load_config(text)
        return config, run or run_name(config)
    from scaledec.store.datasets import newest_run

    run = run or newest_run(text, storage_options)
    return config_of_run(text, run, storage_options), run


def _versions(places: Places, run: str) -> dict[str, str]:
    """Of the newest command that worked on the run; of now, where no record tells."""
    for name in sorted(_records(places), reverse=True):
        try:
            record = json.loads(places.records.child(name).read_bytes())
        except ValueError:
            # Torn by a kill while it was written: it tells nothing.
            continue
        if record.get("run") == run and "versions" in record:
            return {name: record["versions"][name] for name in _TOLD if name in record["versions"]}
    return {name: importlib.metadata.version(name) for name in _TOLD}


def _records(places: Places) -> Sequence[str]:
    return [name for name in places.records.list_names() if name.endswith(".json")]
