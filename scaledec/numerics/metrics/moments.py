"""Separation of clusters from sufficient statistics: any number of windows, in chunks, over any ranks.

>>> z = np.array([[0.0], [2.0], [9.0], [11.0]])
>>> labels = np.array([0, 0, 1, 1])
>>> whole = ClusterMoments.of(z, labels, 2)
>>> parts = ClusterMoments.of(z[2:], labels[2:], 2) + ClusterMoments.of(z[:2], labels[:2], 2)
>>> calinski_harabasz(whole), calinski_harabasz(parts)
(40.5, 40.5)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["ClusterMoments", "ClusterWidths", "calinski_harabasz", "davies_bouldin"]

Float64Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClusterMoments:
    """Count, mean and scatter of each cluster. Two of them add up to those of both sets of windows.

    Kept as means and sums of squares about them (Chan, Golub and LeVeque 1979), which far-off data do
    not cancel.
    """

    counts: Float64Array
    """(cluster,): windows of each."""
    means: Float64Array
    """(cluster, ...): mean window (or embedding) of each; zeros where a cluster is empty."""
    scatter: Float64Array
    """(cluster,): sum of squared distances to the cluster's mean."""

    @classmethod
    def of(cls, values: npt.ArrayLike, labels: npt.ArrayLike, n_clusters: int) -> ClusterMoments:
        """Of one chunk: embeddings (n, D), or windows of any shape (n, ...); label -1 is left out."""
        x, label = _labelled(values, labels, n_clusters)
        counts = np.bincount(label, minlength=n_clusters).astype(np.float64)
        means = np.zeros((n_clusters, *x.shape[1:]))
        scatter = np.zeros(n_clusters)
        for cluster in np.flatnonzero(counts):
            members = x[label == cluster]
            means[cluster] = members.mean(axis=0)
            scatter[cluster] = np.square(members - means[cluster]).sum()
        return cls(counts, means, scatter)

    def __add__(self, other: ClusterMoments) -> ClusterMoments:
        counts = self.counts + other.counts
        share = np.divide(other.counts, counts, out=np.zeros_like(counts), where=counts > 0)
        apart = other.means - self.means
        means = self.means + apart * share.reshape(-1, *[1] * (apart.ndim - 1))
        between = self.counts * share * np.square(apart).sum(axis=tuple(range(1, apart.ndim)))
        return ClusterMoments(counts, means, self.scatter + other.scatter + between)

    def pack(self) -> Float64Array:
        """All numbers in one vector, to be sent to other ranks."""
        return np.concatenate([self.counts, self.scatter, self.means.ravel()])

    @classmethod
    def unpack(cls, vector: Float64Array, n_clusters: int, shape: tuple[int, ...]) -> ClusterMoments:
        """Back from :meth:`pack`; ``shape`` is that of one window or embedding."""
        counts, scatter, means = np.split(vector, [n_clusters, 2 * n_clusters])
        return cls(counts, means.reshape(n_clusters, *shape), scatter)


@dataclass(frozen=True, slots=True)
class ClusterWidths:
    """Summed distances of windows to their cluster's mean: a second pass, once the means are known."""

    counts: Float64Array
    """(cluster,): windows of each."""
    distances: Float64Array
    """(cluster,): sum of their Euclidean distances to the mean."""

    @classmethod
    def of(cls, values: npt.ArrayLike, labels: npt.ArrayLike, means: Float64Array) -> ClusterWidths:
        """Of one chunk (n, ...), about the ``means`` (cluster, ...) of all windows; label -1 is left out."""
        x, label = _labelled(values, labels, len(means))
        apart = np.square(x - means[label]).sum(axis=tuple(range(1, x.ndim)))
        sums = np.bincount(label, weights=np.sqrt(apart), minlength=len(means))
        counts = np.bincount(label, minlength=len(means))
        return cls(counts.astype(np.float64), np.asarray(sums, dtype=np.float64))

    def __add__(self, other: ClusterWidths) -> ClusterWidths:
        return ClusterWidths(self.counts + other.counts, self.distances + other.distances)


def calinski_harabasz(moments: ClusterMoments) -> float:
    """Variance between clusters over variance within (Calinski and Harabasz 1974): larger is better.

    Empty clusters do not count. Infinite where no cluster has any width.

    Raises
    ------
    ValueError
        If fewer than two clusters hold anything, or none holds two.
    """
    counts, means = _occupied(moments)
    n, k = counts.sum(), len(counts)
    if n <= k:
        raise ValueError(f"{n:.0f} windows in {k} clusters: no cluster holds two, so none has a width")
    centre = counts @ means / n
    between = float(counts @ np.square(means - centre).sum(axis=1))
    within = float(moments.scatter.sum())
    return float("inf") if within == 0 else float(between * (n - k) / (within * (k - 1)))


def davies_bouldin(moments: ClusterMoments, widths: ClusterWidths) -> float:
    """Mean over clusters of the worst (width + width) / distance (Davies and Bouldin 1979): less is better.

    Widths are mean distances to the cluster's mean. Empty clusters do not count; two clusters with one
    mean make it infinite, unless both have no width.

    Raises
    ------
    ValueError
        If fewer than two clusters hold anything.
    """
    counts, means = _occupied(moments)
    width = widths.distances[moments.counts > 0] / counts
    apart = np.sqrt(np.square(means[:, None] - means[None]).sum(axis=2))
    both = width[:, None] + width[None]
    ratio = np.where(both > 0, np.inf, 0.0)
    np.divide(both, apart, out=ratio, where=apart > 0)
    np.fill_diagonal(ratio, 0.0)
    return float(ratio.max(axis=1).mean())


def _occupied(moments: ClusterMoments) -> tuple[Float64Array, Float64Array]:
    """Counts (k,) and flat means (k, D) of the clusters that hold anything."""
    held = moments.counts > 0
    if held.sum() < 2:
        raise ValueError(f"separation needs two clusters with windows; got counts {moments.counts.tolist()}")
    return moments.counts[held], moments.means[held].reshape(int(held.sum()), -1)


def _labelled(
    values: npt.ArrayLike, labels: npt.ArrayLike, n_clusters: int
) -> tuple[Float64Array, npt.NDArray[np.int64]]:
    """Float64 rows and labels of the windows that have one."""
    x, label = np.asarray(values, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    if label.shape != x.shape[:1]:
        raise ValueError(f"expected one label a window; got {label.shape} labels for values {x.shape}")
    if label.size and label.max() >= n_clusters:
        raise ValueError(f"label {label.max()} is none of {n_clusters} clusters (0 to {n_clusters - 1})")
    kept = label >= 0
    return x[kept], label[kept]
