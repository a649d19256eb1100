"""Figures of a run, from its stores: the gallery of its clusters and the timeline of its labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scaledec.grid import EventGrid
from scaledec.report.figures import ClusterPicture, TimelineRow, cluster_gallery, label_timeline
from scaledec.report.palette import cluster_colours, family_colours
from scaledec.report.scoring import archive_truth, families_of_clusters
from scaledec.stages.sensors import Components
from scaledec.stages.window_reader import open_windows
from scaledec.store.cube import CubeStore
from scaledec.store.event_cube import EventCubeStore
from scaledec.store.labels import UNLABELLED, LabelStore
from scaledec.synthetic.families import FAMILY_NAMES
from scaledec.synthetic.truth import window_truth
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, format_time

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Appearance", "appearance", "draw_gallery", "draw_timeline"]

_DECIBELS = {
    None: "dB of 1 count²/Hz",
    "displacement": "dB of 1 m²/Hz",
    "velocity": "dB of 1 (m/s)²/Hz",
    "acceleration": "dB of 1 (m/s²)²/Hz",
}
# Windows of a cluster that are looked at to find typical ones.
_MOST_CANDIDATES = 20_000


@dataclass(frozen=True, slots=True)
class Appearance:
    """What the clusters of a run are called and how they are coloured."""

    names: tuple[str, ...]
    colours: tuple[str, ...]


def appearance(labels: LabelStore, truth: pd.DataFrame | None = None) -> Appearance:
    """Names and colours of clusters: their numbers, and the families they stand for where truth is known."""
    n_clusters = len(labels.centroid)
    if truth is None:
        return Appearance(tuple(f"cluster {k}" for k in range(n_clusters)), cluster_colours(n_clusters))
    found = archive_truth(labels, truth)
    families = families_of_clusters(found.family, found.label, n_clusters)
    names = tuple(f"{k} {family}" for k, family in enumerate(families))
    return Appearance(names, cluster_colours(n_clusters, families, family_colours(FAMILY_NAMES)))


def draw_gallery(
    path: Path,
    cube: CubeStore | EventCubeStore,
    labels: LabelStore,
    *,
    looks: Appearance | None = None,
    n_windows: int = 6,
    title: str = "",
) -> Path:
    """Draw each cluster's decoded centroid and windows of the archive, from its surest to its median one.

    Parameters
    ----------
    path
        PNG to write.
    cube, labels
        Of the same root.
    looks
        Names and colours; ``None``: by number.
    n_windows
        Windows a cluster.
    title
        Above the figure.
    """
    looks = appearance(labels) if looks is None else looks
    typical, counts = _typical_windows(labels, n_windows)
    order = np.argsort(-counts, kind="stable")
    prototypes = labels.prototype
    pictures = []
    for k in order.tolist():
        windows, captions = _read_windows(cube, labels, typical[k])
        pictures.append(
            ClusterPicture(
                looks.names[k],
                looks.colours[k],
                float(counts[k] / max(1, counts.sum())),
                prototypes[k],
                windows,
                captions,
            )
        )
    return cluster_gallery(
        path,
        pictures,
        frame_s=np.arange(labels.windows.length, dtype=np.float64) * labels.windows.hop_s,
        frequency_hz=labels.grid.frequency_hz,
        title=title or f"Clusters of run {labels.run}",
        power_units=_DECIBELS[cube.template.quantity],
        planes=labels.planes,
    )


def draw_timeline(
    path: Path,
    labels: LabelStore,
    *,
    looks: Appearance | None = None,
    truth: pd.DataFrame | None = None,
    title: str = "",
) -> Path:
    """Draw the labels of every channel over time, and the truth beneath them where it is known.

    Parameters
    ----------
    path
        PNG to write.
    labels
        Of any run.
    looks
        Names and colours; ``None``: by number, or by family where truth is known.
    truth
        Truth table of a synthetic archive.
    title
        Above the figure.
    """
    looks = appearance(labels, truth) if looks is None else looks
    windows, extent = labels.windows, labels.extent
    if isinstance(windows, EventGrid):
        raise ValueError(f"run {labels.run} labels events, which a timeline cannot show")
    length_ns = round(windows.length_s * NANOSECONDS_PER_SECOND)
    rows = []
    for index, channel in enumerate(extent.channels):
        label = labels.read_region(index, 0, extent.n_segments).label.reshape(-1)
        starts = labels.start_ns(index, 0, extent.n_segments).reshape(-1)
        true = None if truth is None else window_truth(truth, channel, starts, length_ns)
        rows.append(TimelineRow(str(channel), label, true))
    known = family_colours(FAMILY_NAMES)
    return label_timeline(
        path,
        rows,
        start=np.datetime64(extent.start_ns, "ns"),
        stride_s=labels.grid.segment_ns / NANOSECONDS_PER_SECOND / windows.n_windows,
        names=looks.names,
        colours=looks.colours,
        truth_names=FAMILY_NAMES,
        truth_colours=tuple(known.values()),
        title=title or f"Labels of run {labels.run}",
    )


def _typical_windows(
    labels: LabelStore, n_windows: int
) -> tuple[list[npt.NDArray[np.int64]], npt.NDArray[np.int64]]:
    """For each cluster typical windows as rows (channel, segment, window in it), and how many it has.

    The nearest ones alone would show a wide cluster by the mixtures of others around its centroid: these
    reach from the surest to the median one.
    """
    n_clusters, channels = len(labels.centroid), labels.extent.channels
    places: list[list[npt.NDArray[np.int64]]] = [[] for _ in range(n_clusters)]
    doubts: list[list[npt.NDArray[np.float32]]] = [[] for _ in range(n_clusters)]
    counts = np.zeros(n_clusters, dtype=np.int64)
    # An even choice from every channel, so that memory does not grow with the archive's length.
    most = _MOST_CANDIDATES // len(channels) + n_windows
    for channel in range(len(channels)):
        block = labels.read_region(channel, 0, labels.extent.n_segments)
        counts += np.bincount(block.label[block.label != UNLABELLED], minlength=n_clusters)
        for k in range(n_clusters):
            segment, window = np.nonzero(block.label == k)
            doubt = _doubt(block.confidence[segment, window], block.distance[segment, window])
            kept = np.argsort(doubt, kind="stable")[_even(len(doubt), most)]
            places[k].append(np.stack([np.full(kept.size, channel), segment[kept], window[kept]], axis=1))
            doubts[k].append(doubt[kept])
    chosen = []
    for place, doubt_of_place in zip(places, doubts, strict=True):
        order = np.argsort(np.concatenate(doubt_of_place), kind="stable")
        half = order[: (order.size + 1) // 2]
        chosen.append(np.concatenate(place)[half[_even(half.size, n_windows)]])
    return chosen, counts


def _even(n: int, most: int) -> npt.NDArray[np.int64]:
    """At most ``most`` indices below ``n``, evenly from the first to the last."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64)) if n else np.zeros(0, np.int64)


def _doubt(confidence: npt.NDArray[np.float32], distance: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What windows are ranked by, shape (window,): one minus confidence; alike ones by their distance."""
    return np.asarray(np.round(1.0 - confidence, 3) + 1e-3 * distance / (1.0 + distance), dtype=np.float32)


def _read_windows(
    cube: CubeStore | EventCubeStore, labels: LabelStore, places: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[Any], Sequence[str]]:
    components = labels.components
    if components is not None:
        return _read_stacks(cube, labels, Components.from_json(components), places)
    reader = open_windows(cube, labels.windows)
    shape = len(places), labels.windows.length, labels.grid.n_frequencies
    windows = np.full(shape, np.nan, dtype=np.float32)
    captions = []
    for i, (channel, segment, window) in enumerate(places.tolist()):
        name = labels.extent.channels[channel]
        place = cube.channel_index(name), segment
        _, power = reader.read(*place, np.array([window]), 1)
        windows[i : i + len(power)] = power
        moment = format_time(int(reader.start_ns(*place)[window]))
        captions.append(f"{name.station} {moment[5:16].replace('T', ' ')}")
    return windows, captions


def _read_stacks(
    cube: CubeStore | EventCubeStore,
    labels: LabelStore,
    components: Components,
    places: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[Any], Sequence[str]]:
    """As :func:`_read_windows`, shape (window, plane, frame, frequency); a window that is gone stays NaN."""
    reader = open_windows(cube, labels.windows, components)
    shape = len(places), len(components.planes), labels.windows.length, labels.grid.n_frequencies
    windows = np.full(shape, np.nan, dtype=np.float32)
    captions = []
    for i, (sensor, segment, window) in enumerate(places.tolist()):
        _, power = reader.read(sensor, segment, np.array([window]), 1)
        windows[i : i + len(power)] = power
        moment = format_time(int(reader.start_ns(sensor, segment)[window]) // 10**9 * 10**9)
        captions.append(f"{labels.extent.channels[sensor].station} {moment[5:16].replace('T', ' ')}")
    return windows, captions
