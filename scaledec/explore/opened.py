"""What there is to explore below a root: the cube, the runs with labels, and where the samples lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scaledec.archive.borrowed_index import BorrowedIndex
from scaledec.config import ArchiveConfig, Config, parse_config, run_name
from scaledec.errors import ConfigError, ScaledecError, StoreNotFoundError
from scaledec.grid import EventGrid
from scaledec.places import Places
from scaledec.report.looks import Looks, background_cluster, cluster_looks
from scaledec.stages.sensors import Components, sensors_of
from scaledec.store.cube import CubeStore
from scaledec.store.cubes import open_cube
from scaledec.store.datasets import newest_run, open_labels, open_training_set, run_names
from scaledec.store.event_cube import EventCubeStore
from scaledec.store.labels import LabelStore
from scaledec.store.names import read_names
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Opened", "OpenedRun", "Span", "open_root"]

_DECIBELS = {
    None: "dB of 1 count²/Hz",
    "displacement": "dB of 1 m²/Hz",
    "velocity": "dB of 1 (m/s)²/Hz",
    "acceleration": "dB of 1 (m/s²)²/Hz",
}


@dataclass(frozen=True, slots=True)
class Span:
    """Time from ``start_ns`` to before ``end_ns``, nanoseconds of UTC."""

    start_ns: int
    end_ns: int

    @property
    def length_ns(self) -> int:
        """Nanoseconds from start to end."""
        return self.end_ns - self.start_ns

    def clipped(self, other: Span) -> Span:
        """What of this span lies in another one; of no length where nothing does."""
        start = min(max(self.start_ns, other.start_ns), other.end_ns)
        return Span(start, max(start, min(self.end_ns, other.end_ns)))


class OpenedRun:
    """The labels of one run, open and unread."""

    def __init__(self, places: Places, name: str) -> None:
        root = places.root
        self.name = name
        self._places = places
        self.dataset: xr.Dataset = open_labels(root.url, name, root.storage_options)
        self.store = LabelStore.open(places.labels(name))

    @cached_property
    def looks(self) -> Looks:
        """What each class is called and how it is coloured: as in the report."""
        counts = _training_counts(self._places, self.name, self.n_classes)
        return cluster_looks(
            self.n_classes,
            {k: entry.name for k, entry in read_names(self._places.run(self.name)).items()},
            background=None if counts is None else background_cluster(counts),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """What each class is called."""
        return self.looks.full_names

    @property
    def colours(self) -> tuple[str, ...]:
        """The colour of each class."""
        return self.looks.colours

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.dataset.sizes["cluster"]

    @property
    def channels(self) -> tuple[ChannelId, ...]:
        """Channels, or sensors where windows are stacked from components, in the order of the store."""
        return self.store.extent.channels

    @property
    def segment_ns(self) -> int:
        """Length of a segment."""
        return self.store.grid.segment_ns

    @property
    def span(self) -> Span:
        """All time that the store has room for."""
        extent = self.store.extent
        return Span(extent.start_ns, extent.start_ns + extent.n_segments * self.segment_ns)

    @property
    def step_ns(self) -> int:
        """From one window's start to the next; the length of one at events."""
        windows = self.store.windows
        if isinstance(windows, EventGrid):
            return round(windows.length_s * NANOSECONDS_PER_SECOND)
        return self.segment_ns // windows.n_windows

    @property
    def of_events(self) -> bool:
        """Whether windows lie at events instead of a stride."""
        return isinstance(self.store.windows, EventGrid)

    @cached_property
    def components(self) -> Components | None:
        """How windows are stacked; ``None`` where each is of one channel."""
        found = self.store.components
        return None if found is None else Components.from_json(found)


@dataclass(frozen=True, slots=True)
class Opened:
    """A root, open for reading. Nothing but axes has been read."""

    places: Places
    cube: CubeStore | EventCubeStore | None
    no_cube: str
    """Why there is none; empty where there is one."""
    runs: tuple[str, ...]
    """Runs that have labels, the newest first."""
    archive: ArchiveConfig | None
    no_archive: str
    """Why samples cannot be read; empty where they can."""
    headers: BorrowedIndex

    @property
    def title(self) -> str:
        """The root, without secrets."""
        return str(self.places.root)

    def run(self, name: str) -> OpenedRun:
        """The labels of a run; names given to classes are those of this moment."""
        return OpenedRun(self.places, name)

    def channels(self, run: OpenedRun | None) -> tuple[ChannelId, ...]:
        """Channels, or sensors, of a run; those of the cube where there is none."""
        if run is not None:
            return run.channels
        assert self.cube is not None
        return self.cube.channels

    def span(self, run: OpenedRun | None) -> Span:
        """All time that a run has room for, or the cube where there is none."""
        if run is not None:
            return run.span
        assert self.cube is not None
        return Span(self.cube.start_ns, self.cube.segment_start_ns(self.cube.n_segments))

    def segment_ns(self, run: OpenedRun | None) -> int:
        """Length of a segment."""
        if run is not None:
            return run.segment_ns
        assert self.cube is not None
        return self.cube.segment_ns

    @property
    def power_unit(self) -> str:
        """What the cube's power is measured in."""
        return "dB" if self.cube is None else _DECIBELS[self.cube.template.quantity]

    @property
    def band_hz(self) -> tuple[float, float]:
        """Corners to begin with for a band-pass of samples: the cube's frequencies, without their ends."""
        if self.cube is None:
            return 1.0, 10.0
        frequency = self.cube.grid.frequency_hz
        low, high = max(float(frequency[0]), float(frequency[-1]) / 25), 0.9 * float(frequency[-1])
        return float(f"{low:.2g}"), float(f"{high:.2g}")

    def sources(self, channel: ChannelId, run: OpenedRun | None) -> tuple[ChannelId, ...]:
        """The channels of the cube that a channel or sensor stands for; none where it is not in the cube."""
        if self.cube is None:
            return ()
        if run is None or run.components is None:
            return (channel,) if channel in self.cube.channels else ()
        for sensor in sensors_of(self.cube.channels, run.components):
            if sensor.id == channel:
                return tuple(self.cube.channels[index] for index in sensor.sources)
        return ()


def open_root(
    root: str,
    storage_options: Mapping[str, Any] | None = None,
    *,
    config: Config | None = None,
    run: str | None = None,
) -> Opened:
    """Open what lies below a root, reading axes only.

    Parameters
    ----------
    root, storage_options
        As in the configuration.
    config
        Says where samples lie, and which run comes first, if it has labels; ``None``: samples lie where the
        configuration kept with the first run says.
    run
        A run that must be there and comes first; ``None``: the newest.

    Raises
    ------
    StoreNotFoundError
        If there is neither a cube nor a run with labels, or not the run asked for.
    """
    places = Places.at(root, storage_options)
    runs = _runs(places, run, None if config is None else run_name(config))
    cube, no_cube = _cube(places)
    if cube is None and not runs:
        raise StoreNotFoundError(
            f"nothing to explore below {places.root}: it holds neither a cube nor labels; "
            "`scaledec run CONFIG` makes both"
        )
    archive, no_archive = (config.archive, "") if config is not None else _archive(places, runs)
    if archive is not None and archive.layout == "cube":
        archive, no_archive = None, "the archive holds spectrograms (archive.layout: cube), no samples"
    return Opened(places, cube, no_cube, runs, archive, no_archive, BorrowedIndex(places.index))


def _training_counts(places: Places, run: str, n_classes: int) -> npt.NDArray[np.int64] | None:
    """Training windows of each class; ``None`` where the training set is gone."""
    root = places.root
    try:
        label = open_training_set(root.url, run, root.storage_options)["label"].to_numpy()
    except (ScaledecError, KeyError):
        return None
    return np.bincount(label[label >= 0], minlength=n_classes)[:n_classes]


def _runs(places: Places, wanted: str | None, preferred: str | None) -> tuple[str, ...]:
    root = places.root
    names = run_names(root.url, root.storage_options)
    if wanted is not None and wanted not in names:
        known = ", ".join(names) or "none"
        raise StoreNotFoundError(f"no labels of run {wanted!r} below {root}; runs there: {known}")
    if not names:
        return ()
    first = wanted or (preferred if preferred in names else newest_run(root.url, root.storage_options))
    return (first, *(name for name in names if name != first))


def _cube(places: Places) -> tuple[CubeStore | EventCubeStore | None, str]:
    try:
        return open_cube(places.cube), ""
    except ScaledecError as error:
        return None, str(error)


def _archive(places: Places, runs: tuple[str, ...]) -> tuple[ArchiveConfig | None, str]:
    """Where samples lie, by the configuration kept with the newest run that has one."""
    for name in runs:
        place = places.run(name).child("config.yaml")
        try:
            return parse_config(place.read_bytes().decode(), source=str(place)).archive, ""
        except StoreNotFoundError:
            continue  # a run that was removed, or whose labels alone were copied here: another may tell
        except ConfigError as error:
            return None, f"where the samples lie cannot be told: {error}"
    return None, "no run keeps the configuration that says where the samples lie: give it instead of the root"
