"""A report on disk: every figure as PNG and SVG, and the page that holds them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scaledec.grid import EventGrid
from scaledec.progress import track
from scaledec.report.canvas import save_figure
from scaledec.report.gather.scan import ArchiveScan
from scaledec.report.gather.view import RunView
from scaledec.report.page import PageHead, page_html
from scaledec.report.sections.agreement import contingency_section, metric_section, truth_section
from scaledec.report.sections.clusters import dashboard_section, gallery_section, table_of_clusters
from scaledec.report.sections.place import map_section
from scaledec.report.sections.section import Section
from scaledec.report.sections.series import SeriesSource, series_section
from scaledec.report.sections.space import (
    distance_section,
    projection_section,
    silhouette_section,
    sorted_section,
)
from scaledec.report.sections.time import heatmap_section, over_time_section, timeline_section
from scaledec.report.sections.training import curves_section, reconstruction_section, selection_section
from scaledec.store.open import store_errors
from scaledec.transport.redact import url_without_secrets
from scaledec.vocabulary import WindowState, format_time

__all__ = ["ReportOptions", "write_report"]

_FIGURES = "figures"


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What is told or left out."""

    settings: str
    """The configuration as text, without anything secret."""
    versions: Mapping[str, str]
    """Of the libraries that the run was made with."""
    waveforms: bool = True
    """Whether raw samples of the gallery's windows are cut from the archive."""
    series: SeriesSource | None = None
    """An environmental time series that is shown beside the clusters."""


def write_report(view: RunView, folder: Path, options: ReportOptions) -> Path:
    """Write ``index.html`` and ``figures/*.png``, ``*.svg`` into a folder, which is made; return the page.

    Raises
    ------
    StoreError
        If the folder cannot be written, or the run's stores cannot be read.
    """
    makers = _makers(options)
    sections: list[Section] = []
    images: dict[str, Path] = {}
    with track("report", total=len(makers), unit="parts") as progress:
        for make in makers:
            section = make(view)
            images |= _draw(section, folder)
            sections.append(section)
            progress.advance()
    page = folder / "index.html"
    with store_errors(page, "write"):
        page.write_text(page_html(_head(view, options), sections, images, _FIGURES), encoding="utf-8")
    return page


def _makers(options: ReportOptions) -> Sequence[Callable[[RunView], Section]]:
    """The parts of a report in their order."""
    return (
        lambda view: gallery_section(view, waveforms=options.waveforms),
        dashboard_section,
        over_time_section,
        timeline_section,
        heatmap_section,
        map_section,
        lambda view: series_section(view, options.series),
        distance_section,
        sorted_section,
        projection_section,
        silhouette_section,
        reconstruction_section,
        curves_section,
        selection_section,
        contingency_section,
        truth_section,
        metric_section,
    )


def _draw(section: Section, folder: Path) -> dict[str, Path]:
    """Write the figures of a section; the PNG of each, by name."""
    images = {}
    for picture in section.pictures:
        figure = picture.draw()
        for ending in ("svg", "png"):
            path = folder / _FIGURES / f"{picture.name}.{ending}"
            with store_errors(path, "write"):
                images[picture.name] = save_figure(figure, path)
    return images


def _head(view: RunView, options: ReportOptions) -> PageHead:
    archive = view.config.archive
    start, end = (format_time(t)[:16].replace("T", " ") for t in (view.scan.start_ns, view.scan.end_ns))
    return PageHead(
        f"Run {view.run}",
        f"{', '.join(archive.channels)} of {url_without_secrets(archive.url)}, {start} to {end} UTC",
        _facts(view, options),
        table_of_clusters(view),
        options.settings,
    )


def _facts(view: RunView, options: ReportOptions) -> dict[str, str]:
    scan, windows, grid = view.scan, view.labels.windows, view.labels.grid
    stations = {channel.station_key for channel in scan.channels}
    per_cluster = list(zip(scan.counts.tolist(), scan.samples, strict=True))
    confidence = np.concatenate([sample.confidence for sample in scan.samples])
    if isinstance(windows, EventGrid):
        cut = f"{windows.length_s:g} s at events"
    else:
        cut = f"{windows.length_s:g} s every {windows.stride * windows.hop_s:g} s"
    counts = scan.counts
    facts = {
        "Method": f"{view.labels.attributes['scaledec_method']}, {len(counts)} clusters",
        "Windows": _windows_told(scan),
        "Window": f"{cut}, {windows.length} frames x {grid.n_frequencies} frequencies",
        "Band": f"{grid.frequency_hz[0]:.3g} to {grid.frequency_hz[-1]:.3g} Hz",
        "Stations": f"{len(stations)}, with {len(scan.channels)} channels",
        "Time": f"{(scan.end_ns - scan.start_ns) / 86400e9:.4g} days",
    }
    if confidence.size:
        weight = np.concatenate(
            [np.full(len(v.distance), n / max(1, len(v.distance))) for n, v in per_cluster]
        )
        facts["Confidence"] = f"median {_weighted_median(confidence, weight):.2f}"
    if view.training is not None:
        facts["Training set"] = f"{view.training.n:,} windows"
    model = view.config.model
    facts["Network"] = f"{model.preset or 'default'}, embedding of {view.labels.centroid.shape[1]} numbers"
    facts["Fingerprint"] = str(view.labels.attributes["scaledec_fingerprint"])
    facts["Versions"] = ", ".join(f"{name} {version}" for name, version in options.versions.items())
    return facts


def _windows_told(scan: ArchiveScan) -> str:
    """How many windows there are, and why some have no label."""
    without = {
        state.name.lower().replace("_", " "): int(scan.states[state])
        for state in WindowState
        if state != WindowState.LABELLED and scan.states[state]
    }
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in without.items())
    return f"{scan.n_labelled:,} labelled" + (f"; without a label: {reasons}" if reasons else "")


def _weighted_median(values: npt.NDArray[np.float32], weight: npt.NDArray[np.float64]) -> float:
    order = np.argsort(values, kind="stable")
    upto = np.cumsum(weight[order])
    return float(values[order[np.searchsorted(upto, upto[-1] / 2)]])
