"""What clusters make of embeddings: the cluster, how sure, how far, and how far outside the training windows.

Arrays in, arrays out; everything in float64, one row independent of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Assignment", "Clusters", "Mixture", "TrainingReference"]

Float32: TypeAlias = npt.NDArray[np.float32]
Float64: TypeAlias = npt.NDArray[np.float64]

LEVELS = np.unique(np.concatenate([np.linspace(0, 1, 101), 1 - np.geomspace(1e-2, 1e-4, 9)]).round(9))
"""Quantiles kept of the training windows: every percent, and the tail up to one in ten thousand."""

_NUMBERS = 2**21
"""Numbers of one temporary array: a window takes K D of them, with a mixture K D^2."""

FEWEST = 20
"""A cluster with fewer training windows than this is measured by those of all clusters."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Clusters of embeddings."""

    label: npt.NDArray[np.int16]
    """(window,): number of the cluster."""
    confidence: Float32
    """(window,): soft assignment to that cluster; for ``gmm`` and ``kmeans`` its posterior probability."""
    distance: Float32
    """(window,): Euclidean distance to the cluster's centroid in the embedding."""
    outlier: Float32
    """(window,): how far outside the training windows, see :meth:`TrainingReference.outlier`; NaN where the
    clusters have none."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """A Gaussian mixture with full covariances; the means are the centroids."""

    weights: Float64
    """(cluster,), sums to 1."""
    covariances: Float64
    """(cluster, latent, latent)."""

    def whitened(self, difference_NKD: Float64) -> Float64:
        """Squared Mahalanobis distances (window, cluster) of differences to the means."""
        # With L L^T the precision: |L^T (z - mu)|^2.
        whitened_NKE = (difference_NKD[:, :, :, None] * self._precision_root).sum(2)
        return np.asarray(np.square(whitened_NKE).sum(2))

    def log_density(self, whitened_NK: Float64) -> Float64:
        """Log of weight times normal density, up to a constant, shape (window, cluster)."""
        # Half the log determinant of the precision is sum(log diag L).
        half_log_det_K = np.log(np.diagonal(self._precision_root, axis1=1, axis2=2)).sum(1)
        return np.asarray(np.log(self.weights) + half_log_det_K - whitened_NK / 2)

    @property
    def _precision_root(self) -> Float64:
        return np.linalg.cholesky(np.linalg.inv(self.covariances))


@dataclass(frozen=True, slots=True)
class TrainingReference:
    """The windows that a model was trained on, as far as later ones are held against them."""

    level: Float64
    """(quantile,): from 0 to 1."""
    reach: Float64
    """(cluster, quantile): of the training windows' distance from their own cluster; Mahalanobis for a
    mixture, Euclidean for all others."""
    confidence: Float64
    """(quantile,): of all training windows."""
    count: npt.NDArray[np.int64]
    """(cluster,): training windows of each cluster."""
    variance: float
    """Mean square of a training window's offset from its own centroid, of one dimension of the embedding."""

    @classmethod
    def fit(
        cls,
        reach: Float64,
        label: npt.NDArray[np.integer],
        confidence: npt.NDArray[np.floating],
        *,
        n_clusters: int,
        variance: float,
    ) -> TrainingReference:
        """Of training windows: distance from their own cluster, cluster, confidence, each (window,)."""
        count = np.bincount(label, minlength=n_clusters)
        whole = np.quantile(reach, LEVELS)
        rows = [
            np.quantile(reach[label == k], LEVELS) if count[k] >= FEWEST else whole for k in range(n_clusters)
        ]
        of_confidence = np.quantile(np.asarray(confidence, np.float64), LEVELS)
        return cls(LEVELS, np.array(rows), of_confidence, count.astype(np.int64), variance)

    def outlier(self, reach: Float64, label: npt.NDArray[np.integer]) -> Float32:
        """How far outside the training windows of its own cluster a window lies, shape (window,).

        With F the distribution of ``reach`` over the cluster's training windows and r its largest value::

            outlier = F(reach)     in [0, 1]   where reach <= r: the share of them that lie nearer
            outlier = reach / r    above 1     beyond the farthest: 2 is twice as far as any

        It has no unit, so one bound serves all clusters and runs, and it goes on growing far outside.
        """
        score = np.empty(len(reach))
        for k in np.unique(label):
            own = label == k
            farthest = max(float(self.reach[k, -1]), float(np.finfo(np.float32).tiny))
            inside = np.interp(reach[own], self.reach[k], self.level)
            score[own] = np.where(reach[own] <= farthest, inside, reach[own] / farthest)
        return score.astype(np.float32)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Every number, by name, as :meth:`from_arrays` takes it."""
        return {
            "level": self.level,
            "reach": self.reach,
            "confidence": self.confidence,
            "count": self.count,
            "variance": np.array([self.variance]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> TrainingReference:
        """The reverse of :meth:`arrays`; ``KeyError`` if one is missing."""
        return cls(
            arrays["level"],
            arrays["reach"],
            arrays["confidence"],
            arrays["count"],
            float(arrays["variance"][0]),
        )


@dataclass(frozen=True, slots=True)
class Clusters:
    """Everything that turns an embedding into a label."""

    centroids: Float64
    """(cluster, latent)."""
    alpha: float = 1.0
    """Degrees of freedom of Student's t in the soft assignment."""
    mixture: Mixture | None = None
    """For a Gaussian mixture only."""
    spherical: bool = False
    """Whether confidences are k-means' own: posterior probabilities of equal spherical Gaussians."""
    reference: TrainingReference | None = None
    """The training windows; ``None``: outlier scores are NaN, and k-means' confidences a soft assignment."""

    def assign(self, z_ND: npt.NDArray[np.floating]) -> Assignment:
        """Cluster, confidence, distance and outlier score of each embedding (window, latent).

        The soft assignment is Student's t with ``alpha`` degrees of freedom (Xie et al., 2016, equation 1).
        Its confidence means little where distances are far from 1, which DEC's training prevents and k-means'
        does not: there it is the posterior of equal spherical Gaussians with the variance of the training
        windows, the mixture whose limit k-means is (Bishop, 2006, section 9.3.2).
        """
        blocks = [self._assign(block) for block in self._blocks(z_ND)]
        if len(blocks) == 1:
            return blocks[0]
        arrays = ([getattr(block, name) for block in blocks] for name in Assignment.__slots__)
        return Assignment(*map(np.concatenate, arrays)) if blocks else self._assign(z_ND)

    def _assign(self, z_ND: npt.NDArray[np.floating]) -> Assignment:
        squared_NK, reach_NK = self._distances(z_ND)
        variance = None if self.reference is None else self.reference.variance
        label, confidence = self._decide(reach_NK, variance)
        row = np.arange(len(label))
        if self.reference is None:
            outlier = np.full(len(label), np.nan, np.float32)
        else:
            outlier = self.reference.outlier(np.sqrt(reach_NK[row, label]), label)
        return Assignment(
            label.astype(np.int16),
            confidence.astype(np.float32),
            np.sqrt(squared_NK[row, label]).astype(np.float32),
            outlier,
        )

    def refer_to(self, z_ND: npt.NDArray[np.floating]) -> TrainingReference:
        """What later windows are held against: the training windows' embeddings (window, latent)."""
        blocks = self._blocks(z_ND)
        own = np.concatenate([self._own_distances(block) for block in blocks])
        variance = float(own[:, 0].mean()) / self.centroids.shape[1]
        decided = [self._decide(self._distances(block)[1], variance) for block in blocks]
        label, confidence = (np.concatenate(values) for values in zip(*decided, strict=True))
        return TrainingReference.fit(
            np.sqrt(own[:, 1]), label, confidence, n_clusters=len(self.centroids), variance=variance
        )

    def _blocks(self, z_ND: npt.NDArray[np.floating]) -> list[npt.NDArray[np.floating]]:
        """Parts that are looked at at once."""
        n_clusters, latent = self.centroids.shape
        step = max(1, _NUMBERS // (n_clusters * latent * (1 if self.mixture is None else latent)))
        return [z_ND[i : i + step] for i in range(0, len(z_ND), step)]

    def _distances(self, z_ND: npt.NDArray[np.floating]) -> tuple[Float64, Float64]:
        """Squared Euclidean distances (window, cluster), and those that decide: a mixture's Mahalanobis."""
        difference_NKD = np.asarray(z_ND, np.float64)[:, None] - self.centroids
        squared_NK = np.square(difference_NKD).sum(2)
        return squared_NK, squared_NK if self.mixture is None else self.mixture.whitened(difference_NKD)

    def _own_distances(self, z_ND: npt.NDArray[np.floating]) -> Float64:
        """Both of :meth:`_distances` to each window's own cluster, shape (window, 2)."""
        squared_NK, reach_NK = self._distances(z_ND)
        label, _ = self._decide(reach_NK, None)
        row = np.arange(len(label))
        return np.stack([squared_NK[row, label], reach_NK[row, label]], axis=1)

    def _decide(self, reach_NK: Float64, variance: float | None) -> tuple[npt.NDArray[np.int64], Float64]:
        """Cluster and confidence, each (window,)."""
        if self.mixture is not None:
            log_weight_NK = self.mixture.log_density(reach_NK)
        elif self.spherical and variance:
            log_weight_NK = -reach_NK / (2 * variance)
        else:
            log_weight_NK = -(self.alpha + 1) / 2 * np.log1p(reach_NK / self.alpha)
        label = log_weight_NK.argmax(1)
        greatest = np.take_along_axis(log_weight_NK, label[:, None], 1)
        return label, 1 / np.exp(log_weight_NK - greatest).sum(1)
