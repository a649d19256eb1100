"""The labels of one run: what every window is, how surely, and what each cluster looks like."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

import google_crc32c
import numpy as np
import numpy.typing as npt
import zarr

from scaledec.errors import StoreConflictError, StoreNotFoundError
from scaledec.grid import SpectrogramGrid, WindowGrid
from scaledec.location import Location
from scaledec.store.axes import (
    CHANNEL_COORDINATES,
    ChannelCoordinates,
    Extent,
    axis_variables,
    read_extent,
    read_values,
    united,
)
from scaledec.store.open import clean_partial_files, open_group, store_errors
from scaledec.store.region import write_region
from scaledec.store.shard import inner_length
from scaledec.store.template import Variable, check_same, publish, read_settings
from scaledec.vocabulary import ChannelId, JsonValue

__all__ = ["UNLABELLED", "LabelBlock", "LabelStore", "LabelTemplate"]

UNLABELLED = -1
"""Label of a window that has none: too few real samples, or not labelled yet."""

FORMAT = 1
"""Raised when the layout on disk changes."""

_REMEDY = "labels of another kind need another run name (run: ...) or another root"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTemplate:
    """The structure of a label store without its extent, and the clusters it speaks of."""

    run: str
    fingerprint: str
    """Of the run: windows, model, training and clustering settings."""
    method: str
    """How windows were assigned: dec, idec, kmeans or gmm."""
    grid: SpectrogramGrid
    windows: WindowGrid
    segments_per_shard: int
    centroid: npt.NDArray[Any]
    """Shape (cluster, latent)."""
    prototype: npt.NDArray[Any]
    """Shape (cluster, frame, frequency): the decoded centroids."""
    prototype_units: str
    embedding: bool
    """Whether each window's embedding is stored."""
    confidence: str
    """What ``confidence`` means, in words."""
    distance: str = "distance from the window's embedding to its cluster's centroid"
    cluster_names: tuple[str, ...] | None = None

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
        return {
            "scaledec_kind": "labels",
            "scaledec_format": FORMAT,
            "scaledec_run": self.run,
            "scaledec_fingerprint": self.fingerprint,
            "scaledec_method": self.method,
            "scaledec_grid": json.dumps({"grid": dataclasses.asdict(self.grid)}, sort_keys=True),
            "scaledec_windows": json.dumps({"windows": dataclasses.asdict(self.windows)}, sort_keys=True),
            "scaledec_segments_per_shard": self.segments_per_shard,
            "scaledec_n_clusters": self.n_clusters,
            "scaledec_latent": self.latent,
            "scaledec_embedding": self.embedding,
        }


@dataclass(frozen=True, slots=True)
class LabelBlock:
    """The labels of one region: segments ``[first_time_index, first_time_index + segment)`` of a channel."""

    channel_index: int
    first_time_index: int
    label: npt.NDArray[np.int16]
    """Shape (segment, window); :data:`UNLABELLED` where there is none."""
    confidence: npt.NDArray[np.float32]
    """Shape (segment, window); NaN where there is no label."""
    distance: npt.NDArray[np.float32]
    """Shape (segment, window); NaN where there is no label."""
    embedding: npt.NDArray[np.float32] | None = None
    """Shape (segment, window, latent); NaN where there is no label."""

    @property
    def checksum(self) -> int:
        """CRC-32C of label, confidence, distance and (where there is one) embedding."""
        crc = int(google_crc32c.value(np.ascontiguousarray(self.label)))
        for values in (self.confidence, self.distance, self.embedding):
            if values is not None:
                crc = int(google_crc32c.extend(crc, np.ascontiguousarray(values)))
        return crc


class LabelStore:
    """An open label store; made by :meth:`create_or_extend` (coordinator) or :meth:`open` (anyone)."""

    def __init__(self, location: Location, group: zarr.Group) -> None:
        self.location = location
        self.attributes = read_settings(group.attrs.asdict(), location, "labels")
        self._group = group
        names = ["label", "confidence", "distance", "embedding"]
        self._arrays = {name: cast("zarr.Array[Any]", group[name]) for name in names if name in group}

    @classmethod
    def open(cls, location: Location, mode: Literal["r", "r+"] = "r") -> LabelStore:
        """Open the label store at a location; ``StoreNotFoundError`` if there is none."""
        return cls(location, open_group(location, mode))

    @classmethod
    def create_or_extend(
        cls,
        location: Location,
        template: LabelTemplate,
        channels: Sequence[ChannelId],
        start_ns: int,
        n_segments: int,
        coordinates: ChannelCoordinates | None = None,
    ) -> LabelStore:
        """Make sure a label store with the cube's axes lies at ``location``; coordinator only.

        Parameters
        ----------
        channels, start_ns, n_segments
            Of the cube, so that an index means the same in both.
        coordinates
            ``cube.channel_coordinates()``, copied beside the channels.

        Raises
        ------
        StoreConflictError
            If labels of another structure lie there, or of a cube with other axes.
        """
        clean_partial_files(location)
        wanted = Extent(tuple(channels), start_ns, n_segments)
        created = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")
        try:
            there = cls.open(location)
        except StoreNotFoundError:
            extent = wanted
        else:
            check_same(location, there.structure(), template.structure(), _REMEDY)
            extent = united(location, there.extent, wanted, template.grid.segment_ns)
            _check_axes(location, extent, wanted)
            created = there.created
        attributes: dict[str, JsonValue] = {
            "Conventions": "CF-1.11",
            "title": f"Clusters of spectrogram windows, run {template.run}",
            **template.structure(),
            "scaledec_created": created,
        }
        axes = axis_variables(extent, template.grid.segment_ns, coordinates or {})
        publish(location, [*axes, *_clusters(template), *_regions(template, extent)], attributes)
        return cls.open(location, "r+")

    def structure(self) -> dict[str, JsonValue]:
        """Root attributes that must be equal for new segments to fit in."""
        return {name: value for name, value in self.attributes.items() if name != "scaledec_created"}

    @property
    def created(self) -> str:
        """When the store was first made, ISO 8601 in UTC."""
        return str(self.attributes["scaledec_created"])

    @property
    def run(self) -> str:
        """Name of the run."""
        return str(self.attributes["scaledec_run"])

    @property
    def grid(self) -> SpectrogramGrid:
        """Samples, frames and frequencies of a segment."""
        return SpectrogramGrid(**json.loads(self.attributes["scaledec_grid"])["grid"])

    @property
    def windows(self) -> WindowGrid:
        """Where windows lie on the frames of a segment."""
        return WindowGrid(**json.loads(self.attributes["scaledec_windows"])["windows"])

    @property
    def segments_per_shard(self) -> int:
        """Segments of one channel in one shard."""
        return int(self.attributes["scaledec_segments_per_shard"])

    @cached_property
    def extent(self) -> Extent:
        """How far the axes reach."""
        return read_extent(self._group, self.location)

    @property
    def centroid(self) -> npt.NDArray[np.float32]:
        """Shape (cluster, latent)."""
        return read_values(self._group, "centroid", self.location)

    @property
    def prototype(self) -> npt.NDArray[np.float32]:
        """Shape (cluster, frame, frequency)."""
        return read_values(self._group, "prototype", self.location)

    def write_region(self, block: LabelBlock) -> int:
        """Write one whole shard (clipped at the last segment); writing it again gives the same bytes.

        Returns
        -------
        int
            The block's checksum.

        Raises
        ------
        ValueError
            If the block is no whole shard, or brings an embedding where none is stored, or the reverse.
        """
        values = {"confidence": block.confidence, "distance": block.distance, "embedding": block.embedding}
        stored, brought = "embedding" in self._arrays, block.embedding is not None
        if stored != brought:
            raise ValueError(
                f"{self.location} stores {'each' if stored else 'no'} window's embedding; "
                f"the block brings {'them' if brought else 'none'}"
            )
        stop = block.first_time_index + len(block.label)
        place = (slice(block.channel_index, block.channel_index + 1), slice(block.first_time_index, stop))
        # The label last: where there is one, what belongs to it is there too.
        for name, array in [*values.items(), ("label", block.label)]:
            if array is not None:
                region = (*place, *[slice(None)] * (array.ndim - 1))
                write_region(self._arrays[name], region, array[None])
        return block.checksum

    def read_region(self, channel_index: int, first_time_index: int, stop_time_index: int) -> LabelBlock:
        """The labels of segments ``[first_time_index, stop_time_index)`` of a channel."""
        with store_errors(f"labels of {self.location}", "read"):
            found = {
                name: np.asarray(array[channel_index, first_time_index:stop_time_index])
                for name, array in self._arrays.items()
            }
        return LabelBlock(channel_index, first_time_index, **found)

    def checksum(self, channel_index: int, first_time_index: int, stop_time_index: int) -> int:
        """The checksum of what is stored now."""
        return self.read_region(channel_index, first_time_index, stop_time_index).checksum


def _check_axes(location: Location, extent: Extent, wanted: Extent) -> None:
    if extent.start_ns != wanted.start_ns or extent.channels != wanted.channels:
        raise StoreConflictError(
            f"{location} has other channels or another start than the cube it should label; "
            "choose another run name (run: ...)"
        )


def _clusters(template: LabelTemplate) -> list[Variable]:
    frame_s = np.arange(template.windows.length) * template.windows.hop_s
    index: Mapping[str, JsonValue] = {"long_name": "cluster"}
    return [
        Variable("cluster", ("cluster",), index, np.arange(template.n_clusters, dtype=np.int16)),
        Variable(
            "window",
            ("window",),
            {"long_name": "start of the window after the segment's start", "units": "s"},
            template.windows.window_s,
        ),
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
            ("cluster", "frame", "frequency"),
            {"long_name": "window decoded from the centroid", "units": template.prototype_units},
            np.asarray(template.prototype, np.float32),
        ),
    ]


def _regions(template: LabelTemplate, extent: Extent) -> list[Variable]:
    names = template.cluster_names or tuple(f"cluster_{k}" for k in range(template.n_clusters))
    label: dict[str, JsonValue] = {
        "long_name": "cluster of the window",
        "flag_values": list(range(template.n_clusters)),
        "flag_meanings": " ".join(name.replace(" ", "_") for name in names),
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
