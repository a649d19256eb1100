"""A seeded sample of the windows that a run was trained on, with what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from scaledec.store.labels import UNLABELLED
from scaledec.store.training import TrainingStore

__all__ = ["Assigned", "TrainingWindows", "read_assigned", "read_windows"]

Float32 = npt.NDArray[np.float32]

# Windows are read from at most so many bytes of the training set, chosen at random in runs of neighbours.
_MOST_BYTES = 400 * 2**20


@dataclass(frozen=True, slots=True)
class Assigned:
    """Labels and embeddings of every training window that has them, before and after."""

    row: npt.NDArray[np.int64]
    """In the training set, shape (window,)."""
    label: npt.NDArray[np.int64]
    confidence: Float32
    distance: Float32
    embedding: Float32
    """After clustering, shape (window, latent)."""
    embedding_pretrained: Float32
    """Before it."""
    label_kmeans: npt.NDArray[np.int64]
    """Of k-means on the embedding before."""
    label_gmm: npt.NDArray[np.int64]
    """Of a Gaussian mixture there."""

    def uniform(self, n: int, seed: int) -> npt.NDArray[np.int64]:
        """At most ``n`` positions, every window with the same chance, ascending."""
        rng = np.random.default_rng(seed)
        return np.sort(rng.permutation(len(self.row))[:n])

    def stratified(
        self, n: int, seed: int, among: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.int64]:
        """About ``n`` positions, as far as there are windows the same number of every cluster, ascending.

        Parameters
        ----------
        among
            Positions to choose from; ``None``: all.
        """
        rng = np.random.default_rng(seed)
        positions = np.arange(len(self.row)) if among is None else among
        order = positions[rng.permutation(len(positions))]
        clusters = np.unique(self.label[order])
        each = -(-n // max(1, len(clusters)))
        chosen = [order[self.label[order] == k][:each] for k in clusters]
        return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)


def read_assigned(store: TrainingStore) -> Assigned | None:
    """What clustering added to the training set; ``None`` if it has not yet."""
    found = store.assignments()
    if "label" not in found or "embedding" not in found:
        return None
    row = np.flatnonzero(found["label"] != UNLABELLED)
    integers = ("label", "label_kmeans", "label_gmm")
    chosen: dict[str, Any] = {
        name: found[name][row].astype(np.int64) if name in integers else found[name][row]
        for name in ("label", "confidence", "distance", "embedding", "embedding_pretrained", *integers[1:])
    }
    return Assigned(row=row, **chosen)


@dataclass(frozen=True)
class TrainingWindows:
    """Windows of the training set, about as many of every cluster."""

    position: npt.NDArray[np.int64]
    """In :class:`Assigned`, shape (window,), ascending."""
    windows: Float32
    """As stored, shape (window, [plane,] frame, frequency)."""

    @cached_property
    def flat(self) -> Float32:
        """Shape (window, value)."""
        return self.windows.reshape(len(self.windows), -1)


def read_windows(store: TrainingStore, assigned: Assigned, n: int, seed: int) -> TrainingWindows:
    """Read about ``n`` windows; of a training set that is larger than some hundred MB, from parts of it."""
    template = store.template
    step = max(1, template.samples_per_shard // 16)
    window_bytes = int(np.prod(template.shape)) * np.dtype(template.dtype).itemsize
    n_runs = -(-store.n // step)
    most = max(1, _MOST_BYTES // (window_bytes * step))
    runs = np.random.default_rng(seed).permutation(n_runs)[:most]
    run_of = assigned.row // step
    position = assigned.stratified(n, seed, np.flatnonzero(np.isin(run_of, runs)))
    parts = []
    for run in np.unique(run_of[position]).tolist():
        inside = assigned.row[position[run_of[position] == run]] - run * step
        block = store.read(run * step, min((run + 1) * step, store.n))
        parts.append(np.asarray(block[inside], np.float32))
    shape = (0, *template.shape)
    return TrainingWindows(position, np.concatenate(parts) if parts else np.empty(shape, np.float32))
