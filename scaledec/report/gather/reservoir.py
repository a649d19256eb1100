"""A random sample of each cluster's windows, kept while blocks of labels go by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ClusterSample", "Reservoir"]

_COLUMNS = ("channel", "start_ns", "confidence", "distance")


@dataclass(frozen=True, slots=True)
class ClusterSample:
    """Windows of one cluster, by distance to its centroid; all of them where it has few."""

    channel: npt.NDArray[np.int64]
    """Index of the channel, shape (window,)."""
    start_ns: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]
    distance: npt.NDArray[np.float32]


class Reservoir:
    """Keeps the windows with the smallest random numbers: each window of a cluster has the same chance.

    Parameters
    ----------
    n_clusters
        Labels run from 0 to one less.
    size
        Windows kept of each cluster.
    seed
        Of the random numbers; the same blocks in the same order give the same sample.
    """

    def __init__(self, n_clusters: int, size: int, seed: int) -> None:
        self._size = size
        self._rng = np.random.default_rng(seed)
        self._below = np.full(n_clusters, np.inf)
        empty = {name: np.empty(0, _dtype(name)) for name in _COLUMNS}
        self._kept = [empty | {"key": np.empty(0)} for _ in range(n_clusters)]

    def add(
        self,
        channel: int,
        start_ns: npt.NDArray[np.int64],
        label: npt.NDArray[np.int64],
        confidence: npt.NDArray[np.float32],
        distance: npt.NDArray[np.float32],
    ) -> None:
        """Look at windows of one channel, all of them labelled, shape (window,)."""
        key = self._rng.random(len(label))
        candidates = np.flatnonzero(key < self._below[label])
        of = label[candidates]
        for cluster in np.unique(of).tolist():
            rows = candidates[of == cluster]
            found = {
                "channel": np.full(len(rows), channel),
                "start_ns": start_ns[rows],
                "confidence": confidence[rows],
                "distance": distance[rows],
                "key": key[rows],
            }
            self._keep(cluster, found)

    def samples(self) -> tuple[ClusterSample, ...]:
        """What is kept now, by distance."""
        found = []
        for kept in self._kept:
            order = np.argsort(kept["distance"], kind="stable")
            found.append(ClusterSample(*(kept[name][order] for name in _COLUMNS)))
        return tuple(found)

    def _keep(self, cluster: int, found: dict[str, npt.NDArray[Any]]) -> None:
        both = {name: np.concatenate([kept, found[name]]) for name, kept in self._kept[cluster].items()}
        if len(both["key"]) > self._size:
            chosen = np.argpartition(both["key"], self._size)[: self._size]
            both = {name: values[chosen] for name, values in both.items()}
            self._below[cluster] = both["key"].max()
        self._kept[cluster] = both


def _dtype(name: str) -> type[np.generic]:
    return np.float32 if name in ("confidence", "distance") else np.int64
