"""What a label store is made of, apart from its extent: attributes, clusters, arrays and their shards."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scaledec.grid import EventGrid, Grid, Windows, grid_to_json
from scaledec.store.axes import CHANNEL_COORDINATES, Extent
from scaledec.store.event_variables import NOT_A_TIME
from scaledec.store.names import default_name, flag_meanings
from scaledec.store.shard import inner_length
from scaledec.store.template import Variable, plane_variables, time_attributes
from scaledec.vocabulary import JsonValue, WindowState

__all__ = ["FORMAT", "REMEDY", "UNLABELLED", "LabelTemplate", "cluster_variables", "region_variables"]

UNLABELLED = -1
"""Label of a window that has none: too few real samples, or not labelled yet."""

FORMAT = 2
"""Raised when the layout on disk changes. 2: ``outlier`` and ``state`` beside the label."""

REMEDY = "labels of another kind need another run name (run: ...) or another root"


_OUTLIER: Mapping[str, JsonValue] = {
    "long_name": "how far outside the training windows of its cluster the window lies",
    "units": "1",
    "comment": "0 to 1: share of the cluster's training windows that lie nearer; above 1: distance over that "
    "of the farthest of them",
}
_STATE: Mapping[str, JsonValue] = {
    "long_name": "whether the window has a label, and if not, why",
    "flag_values": [int(state) for state in WindowState],
    "flag_meanings": " ".join(state.name.lower() for state in WindowState),
    "comment": "not_labelled also where a whole shard of segments holds no data",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTemplate:
    """The structure of a label store without its extent, and the clusters it speaks of."""

    run: str
    fingerprint: str
    """Of the run: windows, model, training and clustering settings."""
    method: str
    """How windows were assigned: dec, idec, kmeans or gmm."""
    grid: Grid
    windows: Windows
    segments_per_shard: int
    centroid: npt.NDArray[Any]
    """Shape (cluster, latent)."""
    prototype: npt.NDArray[Any]
    """Shape (cluster, [plane,] frame, frequency): the decoded centroids."""
    prototype_units: str
    embedding: bool
    """Whether each window's embedding is stored."""
    confidence: str
    """What ``confidence`` means, in words."""
    distance: str = "distance from the window's embedding to its cluster's centroid"
    cluster_names: tuple[str, ...] | None = None
    planes: tuple[str, ...] = ()
    """Components stacked in a window; channels are then sensors, ``NET.STA.LOC.HH?``."""
    components: Mapping[str, JsonValue] | None = None
    """How they are found in the cube and what a missing one becomes; for who reads windows again."""

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(self.centroid)

    @property
    def latent(self) -> int:
        """Dimensions of the embedding."""
        return int(self.centroid.shape[1])

    def structure(self) -> dict[str, JsonValue]:
        """Root attributes that must be equal for new segments to fit in."""
        stacked: dict[str, JsonValue] = (
            {"scaledec_components": json.dumps({"components": self.components})} if self.components else {}
        )
        return {
            **stacked,
            "scaledec_kind": "labels",
            "scaledec_format": FORMAT,
            "scaledec_run": self.run,
            "scaledec_fingerprint": self.fingerprint,
            "scaledec_method": self.method,
            "scaledec_grid": json.dumps(grid_to_json(self.grid), sort_keys=True),
            "scaledec_windows": json.dumps({"windows": dataclasses.asdict(self.windows)}, sort_keys=True),
            "scaledec_segments_per_shard": self.segments_per_shard,
            "scaledec_n_clusters": self.n_clusters,
            "scaledec_latent": self.latent,
            "scaledec_embedding": self.embedding,
        }


def cluster_variables(template: LabelTemplate) -> list[Variable]:
    """What each cluster is: its centroid and prototype, and the axes they and the windows lie on."""
    frame_s = np.arange(template.windows.length) * template.windows.hop_s
    index: Mapping[str, JsonValue] = {"long_name": "cluster"}
    return [
        Variable("cluster", ("cluster",), index, np.arange(template.n_clusters, dtype=np.int16)),
        _window_axis(template.windows),
        Variable(
            "frame",
            ("frame",),
            {"long_name": "start of the frame after the window's start", "units": "s"},
            frame_s,
        ),
        Variable(
            "frequency",
            ("frequency",),
            {"long_name": "frequency", "units": "Hz"},
            template.grid.frequency_hz,
        ),
        Variable(
            "centroid",
            ("cluster", "latent"),
            {"long_name": "centre of the cluster in the space of embeddings", "units": "1"},
            np.asarray(template.centroid, np.float32),
        ),
        Variable(
            "prototype",
            ("cluster", *(["plane"] if template.planes else []), "frame", "frequency"),
            {"long_name": "window decoded from the centroid", "units": template.prototype_units},
            np.asarray(template.prototype, np.float32),
        ),
        *plane_variables(template.planes),
    ]


def _window_axis(windows: Windows) -> Variable:
    if isinstance(windows, EventGrid):
        number: Mapping[str, JsonValue] = {"long_name": "number of the event in its segment; see onset"}
        return Variable("window", ("window",), number, np.arange(windows.n_windows))
    start: Mapping[str, JsonValue] = {
        "long_name": "start of the window after the segment's start",
        "units": "s",
    }
    return Variable("window", ("window",), start, windows.window_s)


def region_variables(template: LabelTemplate, extent: Extent) -> list[Variable]:
    """The arrays that labelling tasks fill."""
    names = template.cluster_names or tuple(map(default_name, range(template.n_clusters)))
    label: dict[str, JsonValue] = {
        "long_name": "cluster of the window",
        "flag_values": list(range(template.n_clusters)),
        "flag_meanings": flag_meanings(names),
        "comment": f"{UNLABELLED} where the window has no label",
    }
    regions = [
        _region(template, extent, "label", "int16", UNLABELLED, label),
        _region(
            template,
            extent,
            "confidence",
            "float32",
            np.nan,
            {"long_name": template.confidence, "units": "1"},
        ),
        _region(
            template, extent, "distance", "float32", np.nan, {"long_name": template.distance, "units": "1"}
        ),
    ]
    regions += [
        _region(template, extent, "outlier", "float32", np.nan, _OUTLIER),
        _region(template, extent, "state", "uint8", WindowState.NOT_LABELLED, _STATE),
    ]
    if isinstance(template.windows, EventGrid):
        instants = time_attributes("first sample of the event's window (UTC)")
        regions.append(_region(template, extent, "onset", "int64", NOT_A_TIME, instants))
    if template.embedding:
        long_name: dict[str, JsonValue] = {"long_name": "embedding of the window", "units": "1"}
        regions.append(_region(template, extent, "embedding", "float32", np.nan, long_name, latent=True))
    return regions


def _region(
    template: LabelTemplate,
    extent: Extent,
    name: str,
    dtype: str,
    fill: float,
    attributes: Mapping[str, JsonValue],
    *,
    latent: bool = False,
) -> Variable:
    row = (template.windows.n_windows, *([template.latent] if latent else []))
    inner = inner_length(template.segments_per_shard, int(np.prod(row)) * np.dtype(dtype).itemsize)
    return Variable(
        name,
        ("channel", "time", "window", *(["latent"] if latent else [])),
        {**attributes, "coordinates": " ".join(CHANNEL_COORDINATES)},
        shape=(len(extent.channels), extent.n_segments, *row),
        shard=(1, template.segments_per_shard, *row),
        chunk=(1, inner, *row),
        dtype=dtype,
        fill=fill,
    )
