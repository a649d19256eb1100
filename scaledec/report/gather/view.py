"""A run as a report sees it: its stores, each read when a figure first asks for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scaledec.config import Config
from scaledec.errors import ArchiveError, StoreNotFoundError
from scaledec.location import Location
from scaledec.places import Places
from scaledec.report.gather.scan import ArchiveScan, scan_labels
from scaledec.report.gather.training import Assigned, TrainingWindows, read_assigned, read_windows
from scaledec.report.looks import Looks, background_cluster, cluster_looks
from scaledec.report.palette import mixed
from scaledec.report.scoring import ArchiveTruth, archive_truth, families_of_clusters
from scaledec.store.cube import CubeStore
from scaledec.store.cubes import open_cube
from scaledec.store.datasets import open_labels
from scaledec.store.event_cube import EventCubeStore
from scaledec.store.labels import UNLABELLED, LabelStore
from scaledec.store.names import read_names
from scaledec.store.training import TrainingStore
from scaledec.synthetic.families import FAMILY_NAMES
from scaledec.synthetic.truth import read_truth, window_truth
from scaledec.vocabulary import NANOSECONDS_PER_SECOND

if TYPE_CHECKING:
    import pandas as pd

    from scaledec.training.saved_model import SavedModel

__all__ = ["NO_TRAINING_SET", "RunView"]

NO_TRAINING_SET = "The training set is gone: nothing can be drawn from it."
"""What a section says that needs it."""

_WINDOWS = 2500
# Of a true family that no cluster stands for, and mixed with white of the next one.
_NO_CLUSTER = "#555555"


class RunView:
    """Everything a report draws from; what is missing is ``None``, and the report says so.

    Parameters
    ----------
    config
        Of the run; says where the archive lies.
    run
        Its name.
    seed
        Of every sample.
    """

    def __init__(self, config: Config, run: str, *, seed: int = 0) -> None:
        self.config, self.run, self.seed = config, run, seed
        self.places = Places.at(config.root, config.storage_options)
        self._dataset = open_labels(config.root, run, config.storage_options)
        self.labels = LabelStore.open(self.places.labels(run))

    @cached_property
    def scan(self) -> ArchiveScan:
        """Counts and samples of the whole archive."""
        return scan_labels(self.labels, self._dataset, seed=self.seed)

    @cached_property
    def looks(self) -> Looks:
        """Names and colours of the clusters."""
        n_clusters = len(self.labels.centroid)
        given = read_names(self.places.run(self.run))
        counts = self._training_counts(n_clusters)
        return cluster_looks(
            n_clusters,
            {k: entry.name for k, entry in given.items()},
            background=None if counts is None else background_cluster(counts),
            notes={k: entry.note for k, entry in given.items()},
            families=self.families,
        )

    @cached_property
    def cube(self) -> CubeStore | EventCubeStore | None:
        """The spectrograms; ``None`` where they are gone."""
        try:
            return open_cube(self.places.cube)
        except StoreNotFoundError:
            return None

    @cached_property
    def training(self) -> TrainingStore | None:
        """The training set; ``None`` where it is gone."""
        try:
            return TrainingStore.open(self.places.training_set(self.run))
        except StoreNotFoundError:
            return None

    @cached_property
    def assigned(self) -> Assigned | None:
        """Labels and embeddings of the training set."""
        return None if self.training is None else read_assigned(self.training)

    @cached_property
    def windows(self) -> TrainingWindows | None:
        """A sample of training windows, about as many of every cluster."""
        if self.training is None or self.assigned is None:
            return None
        return read_windows(self.training, self.assigned, _WINDOWS, self.seed)

    @cached_property
    def model(self) -> SavedModel | None:
        """The trained model; ``None`` where it is gone."""
        from scaledec.training.saved_model import SavedModel

        try:
            return SavedModel.load(self.places.run(self.run))
        except StoreNotFoundError:
            return None

    @cached_property
    def truth(self) -> pd.DataFrame | None:
        """What was planted in a synthetic archive: the table that lies beside it."""
        place = self.config.archive.location
        if not place.is_local:
            return None
        try:
            return read_truth(Location(str(place.path.parent)))
        except ArchiveError:
            return None

    @cached_property
    def archive_truth(self) -> ArchiveTruth | None:
        """Label and truth of every window, where the truth is known."""
        return None if self.truth is None else archive_truth(self.labels, self.truth)

    @cached_property
    def families(self) -> tuple[str, ...]:
        """The family that each cluster stands for, where the truth is known."""
        found = self.archive_truth
        if found is None:
            return ()
        return families_of_clusters(found.family, found.label, len(self.labels.centroid))

    @cached_property
    def family_colours(self) -> tuple[str, ...]:
        """The colour of every true family: that of the first cluster that stands for it."""
        if not self.families:
            return ()
        of_cluster = dict(zip(reversed(self.families), reversed(self.looks.colours), strict=True))
        spare = (mixed(_NO_CLUSTER, "#ffffff", 0.2 * i) for i in range(len(FAMILY_NAMES)))
        return tuple(of_cluster.get(name) or next(spare) for name in FAMILY_NAMES)

    def true_counts(self, channel: int) -> npt.NDArray[np.int64] | None:
        """Windows of a channel by part of the time and true family, as :attr:`ArchiveScan.binned`."""
        if self.truth is None:
            return None
        scan, labels = self.scan, self.labels
        label = labels.read_region(channel, 0, labels.extent.n_segments).label.reshape(-1)
        start_ns = labels.start_ns(channel, 0, labels.extent.n_segments).reshape(-1)
        length_ns = round(labels.windows.length_s * NANOSECONDS_PER_SECOND)
        family = window_truth(self.truth, scan.channels[channel], start_ns, length_ns)
        # A window without a label has a truth, but there was nothing to recover it from.
        family[label == UNLABELLED] = len(FAMILY_NAMES)
        n_parts = scan.binned.shape[1]
        part = (start_ns - scan.start_ns) // scan.part_ns
        counts = np.zeros((n_parts, len(FAMILY_NAMES) + 1), np.int64)
        np.add.at(counts, (part, family), 1)
        return counts

    @cached_property
    def by_station(self) -> dict[str, npt.NDArray[np.int64]]:
        """Windows of each cluster, by NET.STA in the order of names, shape (cluster,) each."""
        found: dict[str, npt.NDArray[np.int64]] = {}
        for channel, counts in zip(self.scan.channels, self.scan.by_channel, strict=True):
            found[channel.station_key] = found.get(channel.station_key, 0) + counts
        return dict(sorted(found.items()))

    @cached_property
    def station_places(self) -> dict[str, tuple[float, float]]:
        """Longitude and latitude of the stations that have any, by NET.STA."""
        found: dict[str, tuple[float, float]] = {}
        names = [channel.station_key for channel in self.scan.channels]
        places = zip(names, self.coordinate("longitude"), self.coordinate("latitude"), strict=True)
        for name, longitude, latitude in places:
            if np.isfinite(longitude) and np.isfinite(latitude):
                found.setdefault(name, (float(longitude), float(latitude)))
        return found

    def metrics(self, file: str) -> list[Mapping[str, Any]]:
        """Lines of a metrics file of the run; none where it is gone."""
        try:
            text = self.places.run(self.run).child(file).read_bytes().decode()
        except StoreNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines()]

    def coordinate(self, name: str) -> npt.NDArray[np.float64]:
        """A coordinate of every channel, NaN where it is not known."""
        return np.asarray(self._dataset[name].to_numpy(), np.float64)

    def _training_counts(self, n_clusters: int) -> npt.NDArray[np.int64] | None:
        if self.assigned is None:
            return None
        return np.bincount(self.assigned.label, minlength=n_clusters)
