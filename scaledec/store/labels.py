"""The labels of one run: what every window is, how surely, and what each cluster looks like."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

import google_crc32c
import numpy as np
import numpy.typing as npt
import zarr

from scaledec.errors import StoreConflictError, StoreError, StoreNotFoundError
from scaledec.grid import EventGrid, Grid, WindowGrid, Windows, grid_from_json
from scaledec.location import Location
from scaledec.store.axes import (
    ChannelCoordinates,
    Extent,
    axis_variables,
    read_extent,
    read_values,
    united,
)
from scaledec.store.label_template import (
    FORMAT,
    REMEDY,
    UNLABELLED,
    LabelTemplate,
    cluster_variables,
    region_variables,
)
from scaledec.store.open import (
    clean_partial_files,
    foreign_names,
    open_group,
    store_errors,
    stored_shards,
)
from scaledec.store.region import write_region
from scaledec.store.template import check_same, publish, read_settings
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId, JsonValue

__all__ = ["UNLABELLED", "LabelBlock", "LabelStore", "LabelTemplate"]


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
    outlier: npt.NDArray[np.float32]
    """Shape (segment, window), see :class:`~scaledec.numerics.clusters.TrainingReference`; NaN where there is
    no label."""
    state: npt.NDArray[np.uint8]
    """Shape (segment, window), :class:`~scaledec.vocabulary.WindowState`."""
    embedding: npt.NDArray[np.float32] | None = None
    """Shape (segment, window, latent); NaN where there is no label."""
    onset: npt.NDArray[np.int64] | None = None
    """First sample of each event's window in nanoseconds of UTC, shape (segment, window); ``None`` where
    windows lie at a stride."""

    @property
    def checksum(self) -> int:
        """CRC-32C of all arrays, embedding and onset where there are any."""
        crc = int(google_crc32c.value(np.ascontiguousarray(self.label)))
        for values in (self.confidence, self.distance, self.outlier, self.state, self.embedding, self.onset):
            if values is not None:
                crc = int(google_crc32c.extend(crc, np.ascontiguousarray(values)))
        return crc


class LabelStore:
    """An open label store; made by :meth:`create_or_extend` (coordinator) or :meth:`open` (anyone)."""

    def __init__(self, location: Location, group: zarr.Group) -> None:
        self.location = location
        self.attributes = read_settings(group.attrs.asdict(), location, "labels")
        self._group = group
        names = ["label", "confidence", "distance", "outlier", "state", "embedding", "onset"]
        self._arrays = {name: cast("zarr.Array[Any]", group[name]) for name in names if name in group}

    def __reduce__(self) -> tuple[Any, ...]:
        # Opened again where it arrives: sessions and caches of a store stay in their process.
        return LabelStore.open, (self.location, "r" if self._group.read_only else "r+")

    @classmethod
    def open(cls, location: Location, mode: Literal["r", "r+"] = "r") -> LabelStore:
        """Open the label store at a location.

        Raises
        ------
        StoreNotFoundError
            If there is none.
        StoreConflictError
            If a version of scaledec with another layout on disk made it.
        """
        store = cls(location, open_group(location, mode))
        if store.format != FORMAT:
            remedy = (
                "run `scaledec label` with its configuration again, which adds what is missing in place"
                if store.format < FORMAT
                else "a newer version of scaledec made it: use that one"
            )
            raise StoreConflictError(
                f"{location} has labels of format {store.format}; expected {FORMAT}: {remedy}"
            )
        return store

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
            If labels of another structure lie there, or of a cube with other axes. An older format is
            brought to this one: what it lacks is added, unfilled, until its shards are labelled again.
        """
        clean_partial_files(location)
        wanted = Extent(tuple(channels), start_ns, n_segments)
        try:
            there = cls(location, open_group(location))
        except StoreNotFoundError:
            extent = wanted
        else:
            older = {"scaledec_format": FORMAT} if there.format < FORMAT else {}
            check_same(location, {**there.structure(), **older}, template.structure(), REMEDY)
            extent = united(location, there.extent, wanted, template.grid.segment_ns)
            _check_axes(location, extent, wanted)
        attributes: dict[str, JsonValue] = {
            "Conventions": "CF-1.11",
            "title": f"Clusters of spectrogram windows, run {template.run}",
            **template.structure(),
        }
        axes = axis_variables(extent, template.grid.segment_ns, coordinates or {})
        publish(
            location, [*axes, *cluster_variables(template), *region_variables(template, extent)], attributes
        )
        return cls.open(location, "r+")

    @property
    def has_embedding(self) -> bool:
        """Whether each window's embedding is stored."""
        return "embedding" in self._arrays

    @property
    def format(self) -> int:
        """Version of the layout on disk."""
        return int(self.attributes["scaledec_format"])

    def structure(self) -> dict[str, JsonValue]:
        """Root attributes that must be equal for new segments to fit in."""
        return dict(self.attributes)

    @property
    def run(self) -> str:
        """Name of the run."""
        return str(self.attributes["scaledec_run"])

    @property
    def grid(self) -> Grid:
        """Samples, frames and frequencies of a segment."""
        return grid_from_json(json.loads(self.attributes["scaledec_grid"]))

    @property
    def windows(self) -> Windows:
        """Where windows lie in a segment."""
        values = json.loads(self.attributes["scaledec_windows"])["windows"]
        return EventGrid(**values) if "max_events" in values else WindowGrid(**values)

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
        """Shape (cluster, [plane,] frame, frequency)."""
        return read_values(self._group, "prototype", self.location)

    @property
    def planes(self) -> tuple[str, ...]:
        """Components stacked in a window; none where windows are those of single channels."""
        if "plane" not in self._group:
            return ()
        return tuple(map(str, read_values(self._group, "plane", self.location)))

    @property
    def components(self) -> Mapping[str, Any] | None:
        """How components are found in the cube, as the template had it."""
        text = self.attributes.get("scaledec_components")
        return None if text is None else dict(json.loads(text)["components"])

    def write_region(self, block: LabelBlock) -> int:
        """Write one whole shard (clipped at the last segment); writing it again gives the same bytes.

        Returns
        -------
        int
            The block's checksum.

        Raises
        ------
        ValueError
            If the block is no whole shard, or brings an embedding or onset where none is stored, or the
            reverse.
        """
        optional = {"embedding": block.embedding, "onset": block.onset}
        for name, brought in optional.items():
            if (name in self._arrays) != (brought is not None):
                raise ValueError(
                    f"{self.location} stores {'each' if name in self._arrays else 'no'} window's {name}; "
                    f"the block brings {'none' if brought is None else 'them'}"
                )
        needed = {name: getattr(block, name) for name in ("confidence", "distance", "outlier", "state")}
        stop = block.first_time_index + len(block.label)
        place = (slice(block.channel_index, block.channel_index + 1), slice(block.first_time_index, stop))
        # The label last: where there is one, what belongs to it is there too.
        for name, array in [*needed.items(), *optional.items(), ("label", block.label)]:
            if array is not None:
                region = (*place, *[slice(None)] * (array.ndim - 1))
                write_region(self._arrays[name], region, array[None])
        return block.checksum

    def has(self, name: str) -> bool:
        """Whether this is stored of each window: ``confidence``, ``embedding``, ..."""
        return name in self._arrays

    def read(
        self, name: str, channel_index: int, first_time_index: int, stop_time_index: int
    ) -> npt.NDArray[Any]:
        """One array alone, e.g. ``embedding``: segments ``[first_time_index, stop_time_index)`` of a channel.

        Raises
        ------
        StoreError
            If it is damaged or cannot be read.
        """
        place = f"{name} of {self.extent.channels[channel_index]} in {self.location}"
        with store_errors(place, "read"):
            try:
                return np.asarray(self._arrays[name][channel_index, first_time_index:stop_time_index])
            except (ValueError, RuntimeError) as error:
                raise StoreError(f"{place} is damaged: {error}; `verify` lists all that is") from error

    def read_region(self, channel_index: int, first_time_index: int, stop_time_index: int) -> LabelBlock:
        """The labels of segments ``[first_time_index, stop_time_index)`` of a channel."""
        with store_errors(f"labels of {self.location}", "read"):
            found = {
                name: np.asarray(array[channel_index, first_time_index:stop_time_index])
                for name, array in self._arrays.items()
            }
        return LabelBlock(channel_index, first_time_index, **found)

    @classmethod
    def is_current(cls, location: Location) -> bool:
        """Whether the labels at a location have this version's layout."""
        return cls(location, open_group(location)).format == FORMAT

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of what is stored of every window: label, confidence, distance, ..."""
        return tuple(self._arrays)

    def start_ns(
        self, channel_index: int, first_time_index: int, stop_time_index: int
    ) -> npt.NDArray[np.int64]:
        """Start of every window of some segments in nanoseconds of UTC, shape (segment, window).

        Where windows lie at events, what has no event starts at ``NOT_A_TIME``.
        """
        if "onset" in self._arrays:
            return self.read("onset", channel_index, first_time_index, stop_time_index)
        windows = self.windows
        assert isinstance(windows, WindowGrid)
        after = np.round(windows.window_s * NANOSECONDS_PER_SECOND).astype(np.int64)
        times = np.arange(first_time_index, stop_time_index)
        return np.asarray((self.extent.start_ns + times * self.grid.segment_ns)[:, None] + after)

    def stored_regions(self, channel_index: int) -> set[int]:
        """First time indices of the regions of a channel that have labels stored, by listing alone."""
        found = stored_shards(self.location, "label", channel_index, "0")
        return {index * self.segments_per_shard for index in found}

    def foreign_names(self) -> list[str]:
        """Keys among the shards of labels that are none of this store's regions: nobody reads them."""
        n_regions = -(-self.extent.n_segments // self.segments_per_shard)
        return foreign_names(self.location, "label", len(self.extent.channels), n_regions)

    def checksum(self, channel_index: int, first_time_index: int, stop_time_index: int) -> int:
        """The checksum of what is stored now."""
        return self.read_region(channel_index, first_time_index, stop_time_index).checksum


def _check_axes(location: Location, extent: Extent, wanted: Extent) -> None:
    if extent.start_ns != wanted.start_ns or extent.channels != wanted.channels:
        raise StoreConflictError(
            f"{location} has other channels or another start than the cube it should label; "
            "choose another run name (run: ...)"
        )
