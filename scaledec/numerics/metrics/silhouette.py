"""Silhouettes that do not need all N x N distances (Rousseeuw 1987)."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["sampled_silhouette", "simplified_silhouette"]

Float64Array: TypeAlias = npt.NDArray[np.float64]

# Distances computed at once: some tens of MB.
_AT_ONCE = 2**22


def simplified_silhouette(
    values: npt.ArrayLike, labels: npt.ArrayLike, centroids: npt.ArrayLike
) -> Float64Array:
    """Silhouette of each window (n,) from distances to centroids alone (Hruschka et al. 2004).

    ``(b - a) / max(a, b)``: a is the distance to the own centroid, b to the nearest other one. A chunk's
    values depend on no other window, so their mean over an archive is a mean over chunks.

    Parameters
    ----------
    values
        Embeddings (n, D), or windows of any shape (n, ...).
    labels
        (n,), from 0.
    centroids
        (K, ...), at least two.
    """
    x, label, centres = _rows(values), np.asarray(labels), _rows(centroids)
    if len(centres) < 2:
        raise ValueError("a silhouette needs at least two centroids")
    silhouette = np.empty(len(x))
    step = max(1, _AT_ONCE // len(centres))
    for start in range(0, len(x), step):
        rows = slice(start, start + step)
        distance = _distances(x[rows], centres)
        own = label[rows, None] == np.arange(len(centres))
        silhouette[rows] = _silhouette(distance[own], np.where(own, np.inf, distance).min(axis=1))
    return silhouette


def sampled_silhouette(
    values: npt.ArrayLike, labels: npt.ArrayLike, *, sample: int = 2000, seed: int = 0
) -> float:
    """Mean silhouette, estimated from ``sample`` windows held against ``sample`` windows.

    The windows that are judged are drawn at random; those they are held against are drawn in equal
    numbers from every cluster, so that small clusters are there too. With ``sample`` at least N it is
    the silhouette itself.

    Parameters
    ----------
    values
        Embeddings (N, D), or windows of any shape (N, ...).
    labels
        (N,), at least two different ones.
    sample
        Windows judged, and windows they are held against.
    seed
        Of the draws.
    """
    x, label = _rows(values), np.unique(np.asarray(labels), return_inverse=True)[1]
    n_clusters = int(label.max(initial=0)) + 1
    if n_clusters < 2:
        raise ValueError("a silhouette needs at least two clusters that hold windows")
    rng = np.random.default_rng(seed)
    judged = _drawn(rng, np.arange(len(x)), sample)
    each = max(2, sample // n_clusters) if sample < len(x) else len(x)
    mean = np.empty((len(judged), n_clusters))
    held_against = np.empty(n_clusters)
    for cluster in range(n_clusters):
        reference = _drawn(rng, np.flatnonzero(label == cluster), each)
        mean[:, cluster] = _mean_distances(x[judged], x[reference], judged, reference)
        held_against[cluster] = (label == cluster).sum()
    own = label[judged, None] == np.arange(n_clusters)
    silhouette = _silhouette(mean[own], np.where(own, np.inf, mean).min(axis=1))
    # A window alone in its cluster has none: 0 by definition.
    silhouette[held_against[label[judged]] < 2] = 0.0
    return float(silhouette.mean())


def _drawn(rng: np.random.Generator, members: npt.NDArray[np.intp], n: int) -> npt.NDArray[np.intp]:
    return members if len(members) <= n else np.sort(rng.choice(members, n, replace=False))


def _mean_distances(
    x: Float64Array, reference: Float64Array, x_at: npt.NDArray[np.intp], reference_at: npt.NDArray[np.intp]
) -> Float64Array:
    """Mean distance (n,) of each to the references other than itself; 0 where there is no other."""
    mean = np.empty(len(x))
    step = max(1, _AT_ONCE // len(reference))
    for start in range(0, len(x), step):
        rows = slice(start, start + step)
        itself = x_at[rows, None] == reference_at
        total = np.where(itself, 0.0, _distances(x[rows], reference)).sum(axis=1)
        mean[rows] = total / np.maximum(len(reference) - itself.sum(axis=1), 1)
    return mean


def _silhouette(a: Float64Array, b: Float64Array) -> Float64Array:
    """(b - a) / max(a, b), and 0 where both are 0."""
    larger = np.maximum(a, b)
    return np.divide(b - a, larger, out=np.zeros_like(a), where=larger > 0)


def _distances(x: Float64Array, others: Float64Array) -> Float64Array:
    # The expanded square loses digits where points lie far from zero: about their common centre it does not.
    centre = others.mean(axis=0)
    a, b = x - centre, others - centre
    squared = np.square(a).sum(axis=1)[:, None] - 2 * a @ b.T + np.square(b).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)))


def _rows(values: npt.ArrayLike) -> Float64Array:
    x = np.asarray(values, dtype=np.float64)
    return x.reshape(len(x), -1)
