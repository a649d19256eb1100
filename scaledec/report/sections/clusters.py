"""What each cluster is: the table of clusters, the gallery, and the dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scaledec.report.figures.dashboard import DashboardRow, centroid_dashboard, quartiles
from scaledec.report.figures.gallery import GalleryRow, GalleryWindow, cluster_gallery, gallery_limits
from scaledec.report.gather.examples import PERCENTILES, Example, ExampleReader, outwards
from scaledec.report.gather.view import RunView
from scaledec.report.gather.waveforms import WaveformReader
from scaledec.report.sections.section import AT_ONCE, Picture, Section, Table, numbered
from scaledec.vocabulary import format_time

__all__ = ["dashboard_section", "gallery_section", "table_of_clusters"]

_DECIBELS = {
    None: "dB of 1 count²/Hz",
    "displacement": "dB of 1 m²/Hz",
    "velocity": "dB of 1 (m/s)²/Hz",
    "acceleration": "dB of 1 (m/s²)²/Hz",
}


def table_of_clusters(view: RunView) -> Table:
    """A row a cluster: its name, how many windows, how sure, how far, what people noted."""
    looks, scan = view.looks, view.scan
    total = max(1, scan.n_labelled)
    has_notes = any(looks.notes)
    rows = []
    for k, name in enumerate(looks.full_names):
        sample = scan.samples[k]
        row = [name, f"{scan.counts[k]:,}", f"{scan.counts[k] / total:.2%}"]
        row += [f"{np.median(v):.3g}" if len(v) else "–" for v in (sample.confidence, sample.distance)]
        rows.append([*row, looks.notes[k]] if has_notes else row)
    head = ["cluster", "windows", "share", "median confidence", "median distance"]
    return Table([*head, "note"] if has_notes else head, rows, looks.colours)


def gallery_section(view: RunView, *, waveforms: bool = True) -> Section:
    """Decoded centroids and windows from the nearest outwards."""
    cutter = WaveformReader(view.config.archive, view.places.index) if waveforms else None
    reader = ExampleReader(view.labels, view.cube, cutter)
    order = [k for k in np.argsort(-view.scan.counts, kind="stable").tolist() if view.scan.counts[k]]
    examples = {k: _examples(view, reader, k) for k in order}
    scaled = _standardised(view)
    rows = [_gallery_row(view, k, examples[k], scaled) for k in order]
    missing = [] if view.cube is not None else ["The cube is gone: there is no power to show."]
    if cutter is not None and cutter.reason:
        missing.append(f"Waveforms are not shown: {cutter.reason}.")
    elif rows and not any(e.waveform is not None for found in examples.values() for e in found):
        missing.append("The archive gave no waveforms of these windows.")
    empty = [view.looks.full_names[k] for k in np.flatnonzero(view.scan.counts == 0)]
    if empty:
        missing.append(f"No window of the archive is in {', '.join(empty)}.")
    return Section(
        "gallery",
        "What each cluster looks like",
        "Left: the centroid, decoded. Then windows of the archive by their distance to it in the "
        "embedding, from the nearest to one that is farther away than nine in ten. Above each its "
        "waveform (counts, mean removed, to its own scale), below it its embedding.",
        _galleries(view, rows) if rows else (),
        missing=" ".join(missing),
    )


def dashboard_section(view: RunView) -> Section:
    """Spectrum, confidence, hours and stations of each cluster."""
    rows = [_dashboard_row(view, k) for k in range(view.looks.n_clusters)]
    units = _power_units(view)
    pictures = [
        Picture(
            numbered("dashboard", first, len(rows)),
            "Spectrum, confidence, hours of the day and stations of "
            + ", ".join(row.name for row in rows[first : first + AT_ONCE]),
            lambda first=first: centroid_dashboard(  # type: ignore[misc]
                rows[first : first + AT_ONCE],
                frequency_hz=view.labels.grid.frequency_hz,
                power_units=units,
            ),
        )
        for first in range(0, len(rows), AT_ONCE)
    ]
    return Section(
        "dashboard",
        "Clusters in numbers",
        "The centroid's spectrum is the decoded centroid, mean over its frames. Power is that of training "
        "windows: median and the middle half. Shares are of a station's own labelled windows.",
        pictures,
        missing="" if view.windows is not None else "The training set is gone: no spectra of windows.",
    )


def _examples(view: RunView, reader: ExampleReader, cluster: int) -> list[Example]:
    sample = view.scan.samples[cluster]
    return [reader.read(sample, position) for position in outwards(sample).tolist()]


def _gallery_row(
    view: RunView, cluster: int, examples: Sequence[Example], scaled: _Scale | None
) -> GalleryRow:
    embeddings: Sequence[npt.NDArray[np.float64] | None] = [None] * len(examples)
    if scaled is not None and view.model is not None and examples:
        found = view.model.embed(np.stack([example.power for example in examples]))
        # What is not in the cube would be embedded as silence.
        there = [bool(np.isfinite(example.power).any()) for example in examples]
        embeddings = [row if seen else None for row, seen in zip(scaled.apply(found), there, strict=True)]
    n = int(view.scan.counts[cluster])
    windows = [
        GalleryWindow(
            f"{example.channel.station} {format_time(example.start_ns)[:16].replace('T', ' ')}",
            example.distance,
            example.power,
            None if example.waveform is None else example.waveform.samples,
            embedding,
        )
        for example, embedding in zip(examples, embeddings, strict=True)
    ]
    return GalleryRow(
        view.looks.names[cluster],
        view.looks.colours[cluster],
        f"{n:,} windows, {n / max(1, view.scan.n_labelled):.2%}",
        view.labels.prototype[cluster],
        windows,
        None if scaled is None else scaled.apply(view.labels.centroid[cluster]),
    )


def _galleries(view: RunView, rows: Sequence[GalleryRow]) -> list[Picture]:
    limits = gallery_limits(rows)
    columns = ["nearest", *(f"farther than {p}%" for p in PERCENTILES[1:])]
    windows = view.labels.windows
    return [
        Picture(
            numbered("gallery", first, len(rows)),
            "Decoded centroid and windows of " + ", ".join(r.name for r in rows[first : first + AT_ONCE]),
            lambda first=first: cluster_gallery(  # type: ignore[misc]
                rows[first : first + AT_ONCE],
                columns=columns,
                frame_s=np.arange(windows.length, dtype=np.float64) * windows.hop_s,
                frequency_hz=view.labels.grid.frequency_hz,
                power_units=_power_units(view),
                planes=view.labels.planes,
                limits=limits,
            ),
        )
        for first in range(0, len(rows), AT_ONCE)
    ]


def _dashboard_row(view: RunView, cluster: int) -> DashboardRow:
    scan = view.scan
    spectra = None
    if view.windows is not None and view.assigned is not None:
        mine = view.assigned.label[view.windows.position] == cluster
        spectra = quartiles(view.windows.windows[mine])
    prototype = np.asarray(view.labels.prototype[cluster], np.float64)
    return DashboardRow(
        name=view.looks.names[cluster],
        colour=view.looks.colours[cluster],
        n_windows=int(scan.counts[cluster]),
        share=float(scan.counts[cluster] / max(1, scan.n_labelled)),
        prototype=prototype.reshape(-1, prototype.shape[-1]).mean(axis=0),
        spectra=spectra,
        confidence=scan.samples[cluster].confidence,
        by_hour=scan.by_hour_of_day[cluster],
        by_station=[(name, int(n[cluster]), int(n.sum())) for name, n in view.by_station.items()],
    )


class _Scale:
    """Embeddings in standard deviations from the mean of the training set."""

    def __init__(self, z_ND: npt.NDArray[Any]) -> None:
        z = np.asarray(z_ND, np.float64)
        self._mean, self._deviation = z.mean(axis=0), np.maximum(z.std(axis=0), 1e-12)

    def apply(self, z: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        return np.asarray((np.asarray(z, np.float64) - self._mean) / self._deviation)


def _standardised(view: RunView) -> _Scale | None:
    return None if view.assigned is None or not len(view.assigned.row) else _Scale(view.assigned.embedding)


def _power_units(view: RunView) -> str:
    return "dB" if view.cube is None else _DECIBELS[view.cube.template.quantity]
