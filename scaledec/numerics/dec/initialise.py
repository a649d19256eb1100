"""First centroids: k-means and full-covariance Gaussian mixtures with restarts, in float64.

Every restart has its own seed and is a function of data and seed alone, so that restarts may be
computed anywhere, in any order, and the best one is the same.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.special
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

__all__ = [
    "GAUSSIAN_STARTS",
    "GaussianFit",
    "KMeansFit",
    "fit_gaussian",
    "fit_kmeans",
    "gaussian_of",
    "restart_seeds",
]

Float64Array: TypeAlias = npt.NDArray[np.float64]

REGULARISATION = 1e-4
"""Added to each variance, as a share of the data's: components no narrower than 1 % of the data's width,
so that a handful of equal windows cannot buy unbounded likelihood."""
GAUSSIAN_STARTS = ("kmeans", "k-means++", "random_from_data")
"""Starts of a mixture, to be taken in turn: k-means finds good optima, the others different ones."""
MAX_ITERATIONS = 300


@dataclass(frozen=True, slots=True)
class KMeansFit:
    """One k-means solution."""

    centroids: Float64Array
    """(K, D)."""
    inertia: float
    """Sum of squared distances to the nearest centroid."""
    seed: int

    @property
    def quality(self) -> tuple[float, float]:
        """Of two restarts the one of greater quality is better."""
        return 0.0, -self.inertia

    def pack(self) -> Float64Array:
        """All numbers in one vector, to be sent to other ranks."""
        return np.concatenate([[self.inertia, self.seed], self.centroids.ravel()])

    @classmethod
    def unpack(cls, vector: Float64Array, n_clusters: int, latent: int) -> KMeansFit:
        """Back from :meth:`pack`."""
        return cls(vector[2:].reshape(n_clusters, latent), float(vector[0]), int(vector[1]))


@dataclass(frozen=True, slots=True)
class GaussianFit:
    """One Gaussian mixture with full covariances."""

    weights: Float64Array
    """(K,), summing to one."""
    means: Float64Array
    """(K, D)."""
    covariances: Float64Array
    """(K, D, D)."""
    lower_bound: float
    """Mean log-likelihood of a window, in nats, of the standardised data the mixture was fitted to."""
    degenerate: bool
    """Whether a component rests on fewer than D + 1 windows, too few for a covariance."""
    seed: int

    @property
    def quality(self) -> tuple[float, float]:
        """Of two restarts the one of greater quality is better: no degenerate component, then likelihood."""
        return float(not self.degenerate), self.lower_bound

    def log_posterior(self, z: npt.ArrayLike) -> Float64Array:
        """Log of the chance (n, K) that embeddings (n, D) belong to each component."""
        joint = self.log_joint(z)
        return np.asarray(joint - scipy.special.logsumexp(joint, axis=1, keepdims=True))

    def log_joint(self, z: npt.ArrayLike) -> Float64Array:
        """Log of weight times density (n, K) of each component at embeddings (n, D), in nats."""
        points = np.asarray(z, dtype=np.float64)
        cholesky = np.linalg.cholesky(np.linalg.inv(self.covariances))
        joint = np.empty((len(points), len(self.weights)))
        for k, (mean, factor) in enumerate(zip(self.means, cholesky, strict=True)):
            joint[:, k] = np.log(np.diagonal(factor)).sum() - np.square((points - mean) @ factor).sum(1) / 2
        joint += np.log(np.maximum(self.weights, np.finfo(np.float64).tiny))
        return np.asarray(joint - points.shape[1] / 2 * np.log(2 * np.pi))

    def pack(self) -> Float64Array:
        """All numbers in one vector, to be sent to other ranks."""
        head = [self.lower_bound, float(self.degenerate), self.seed]
        return np.concatenate([head, self.weights, self.means.ravel(), self.covariances.ravel()])

    @classmethod
    def unpack(cls, vector: Float64Array, n_clusters: int, latent: int) -> GaussianFit:
        """Back from :meth:`pack`."""
        k, d = n_clusters, latent
        weights, means, covariances = np.split(vector[3:], [k, k + k * d])
        return cls(
            weights=weights,
            means=means.reshape(k, d),
            covariances=covariances.reshape(k, d, d),
            lower_bound=float(vector[0]),
            degenerate=bool(vector[1]),
            seed=int(vector[2]),
        )


def gaussian_of(z: npt.ArrayLike, log_posterior: npt.ArrayLike, seed: int) -> GaussianFit:
    """The mixture that clusters found elsewhere make of embeddings (N, D): one maximisation step.

    Parameters
    ----------
    z
        Embeddings (N, D).
    log_posterior
        Log of the chance (N, K) that each belongs to each cluster.
    seed
        That the clusters were found with; only written down.
    """
    data, share = np.asarray(z, dtype=np.float64), np.exp(np.asarray(log_posterior, dtype=np.float64))
    mass = np.maximum(share.sum(axis=0), np.finfo(np.float64).eps)
    means = (share.T @ data) / mass[:, None]
    floor = REGULARISATION * np.diag(np.maximum(data.var(axis=0), np.finfo(np.float64).tiny))
    covariances = np.stack(
        [(share[:, k, None] * (data - m)).T @ (data - m) / mass[k] + floor for k, m in enumerate(means)]
    )
    degenerate = bool(mass.min() < data.shape[1] + 1)
    return GaussianFit(mass / mass.sum(), means, covariances, 0.0, degenerate, seed)


def restart_seeds(seed: int, restarts: int) -> tuple[int, ...]:
    """Independent 32-bit seeds, one a restart; more restarts keep the first ones."""
    return tuple(int(s) for s in np.random.SeedSequence(seed).generate_state(restarts))


def fit_kmeans(z: npt.ArrayLike, n_clusters: int, seed: int) -> KMeansFit:
    """One k-means++ start of Lloyd's k-means on embeddings (N, D).

    One thread: with several, the order of sums, and with it the last bits of a centroid, would vary.
    """
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = KMeans(n_clusters, init="k-means++", n_init=1, max_iter=MAX_ITERATIONS, random_state=seed)
        model.fit(np.asarray(z, dtype=np.float64))
    return KMeansFit(model.cluster_centers_, float(model.inertia_), seed)


def fit_gaussian(z: npt.ArrayLike, n_clusters: int, seed: int, *, start: str = "kmeans") -> GaussianFit:
    """One start of expectation-maximisation of a full-covariance mixture on embeddings (N, D).

    The data are standardised per dimension first and the solution is scaled back, so that the
    regularisation is a share of each dimension's own variance.

    Parameters
    ----------
    z
        Embeddings (N, D), finite, at least ``n_clusters`` distinct.
    n_clusters
        Number of components K.
    seed
        Of this start.
    start
        One of :data:`GAUSSIAN_STARTS`.
    """
    data = np.asarray(z, dtype=np.float64)
    centre, width = data.mean(axis=0), data.std(axis=0)
    width = np.where(width > 0.0, width, 1.0)  # a dead dimension stays where it is
    with threadpool_limits(limits=1), warnings.catch_warnings():
        # Not having converged within the iterations costs a little likelihood; the best restart wins anyway.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = GaussianMixture(
            n_clusters,
            covariance_type="full",
            reg_covar=REGULARISATION,
            max_iter=MAX_ITERATIONS,
            n_init=1,
            init_params=start,
            random_state=seed,
        )
        model.fit((data - centre) / width)
    smallest = float(model.weights_.min()) * len(data)
    return GaussianFit(
        weights=model.weights_,
        means=model.means_ * width + centre,
        covariances=model.covariances_ * np.outer(width, width),
        lower_bound=float(model.lower_bound_),
        degenerate=smallest < data.shape[1] + 1,
        seed=seed,
    )
