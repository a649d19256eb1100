"""First clusters: restarts of k-means and of Gaussian mixtures, shared out over the ranks.

A restart is a function of data and seed alone, so the best one is the same for any number of ranks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scaledec.numerics.dec.health import check_embedding
from scaledec.numerics.dec.initialise import (
    GAUSSIAN_STARTS,
    GaussianFit,
    KMeansFit,
    fit_gaussian,
    fit_kmeans,
    gaussian_of,
    restart_seeds,
)
from scaledec.numerics.dec.manifold import manifold_clusters
from scaledec.numerics.dec.sphere import sphering_matrix
from scaledec.numerics.dec.statistics import polished_gaussian, polished_kmeans
from scaledec.numerics.selection import nearest_centroid
from scaledec.stages.cluster_target import sum_over_ranks
from scaledec.training.data import rank_slice
from scaledec.training.session import TrainingSession

__all__ = ["ManifoldStart", "Starts", "find_starts"]

_log = logging.getLogger(__name__)

LARGEST_RESTARTED = 200_000
"""Embeddings that restarts look at, a seeded draw of more; the best one then goes on over all of them, by
sums that ranks add up."""

FitT = TypeVar("FitT", KMeansFit, GaussianFit)


@dataclass(frozen=True, slots=True)
class ManifoldStart:
    """Clusters found in a layout of the embeddings' neighbourhoods."""

    fit: GaussianFit
    """The same clusters as a mixture of the embeddings themselves."""
    log_posterior: Tensor
    """float32 (window, cluster): log of the chance that a window belongs to a cluster."""


@dataclass(frozen=True, slots=True)
class Starts:
    """The initialisations on the same embeddings: results in their own right, and where DEC begins."""

    kmeans: KMeansFit
    gaussian: GaussianFit
    dead: tuple[int, ...] = ()
    """Dimensions of the embedding that do not vary."""
    manifold: ManifoldStart | None = None
    """Clusters of the manifold, if they were asked for."""

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All numbers, for a checkpoint."""
        tensors = {
            "starts.kmeans": torch.from_numpy(self.kmeans.pack()),
            "starts.gaussian": torch.from_numpy(self.gaussian.pack()),
            "starts.dead": torch.tensor(self.dead, dtype=torch.int64),
        }
        if self.manifold is not None:
            tensors["starts.manifold"] = torch.from_numpy(self.manifold.fit.pack())
            tensors["starts.posterior"] = self.manifold.log_posterior
        return tensors

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], n_clusters: int, latent: int) -> Starts:
        """Back from :attr:`tensors`."""
        return cls(
            KMeansFit.unpack(tensors["starts.kmeans"].numpy(), n_clusters, latent),
            GaussianFit.unpack(tensors["starts.gaussian"].numpy(), n_clusters, latent),
            tuple(tensors["starts.dead"].tolist()),
            ManifoldStart(
                GaussianFit.unpack(tensors["starts.manifold"].numpy(), n_clusters, latent),
                tensors["starts.posterior"],
            )
            if "starts.manifold" in tensors
            else None,
        )

    def sphering(self, session: TrainingSession) -> npt.NDArray[np.float64]:
        """The matrix (latent, latent) that makes the first clusters round, of rank 0."""
        fit = self.gaussian if self.manifold is None else self.manifold.fit
        matrix = torch.from_numpy(sphering_matrix(fit.weights, fit.covariances))
        shared: npt.NDArray[np.float64] = sum_over_ranks(session, matrix * (session.rank == 0)).numpy()
        return shared

    def facts(self) -> dict[str, Any]:
        """As JSON values, to be kept beside a model."""
        return {
            "kmeans": {
                "centroids": self.kmeans.centroids.tolist(),
                "inertia": self.kmeans.inertia,
                "seed": self.kmeans.seed,
            },
            "gmm": {
                "weights": self.gaussian.weights.tolist(),
                "means": self.gaussian.means.tolist(),
                "covariances": self.gaussian.covariances.tolist(),
                "lower_bound": self.gaussian.lower_bound,
                "seed": self.gaussian.seed,
            },
            "dead_dimensions": list(self.dead),
        }


def find_starts(
    session: TrainingSession,
    z_ND: npt.NDArray[np.floating],
    n_clusters: int,
    *,
    restarts: int,
    seed: int,
    manifold: bool = False,
) -> Starts:
    """The best k-means and the best Gaussian mixture of ``restarts`` each, and the manifold's clusters.

    Parameters
    ----------
    session
        Every rank calls this together; each computes its share of the restarts.
    z_ND
        Embeddings (window, latent), the same on each rank.
    n_clusters, restarts, seed
        Number of clusters, starts of each method, and the seed that their seeds come from.
    manifold
        Whether to find the clusters of the manifold too.

    Raises
    ------
    TrainingError
        If the embeddings cannot be clustered: collapsed, not finite, or too few distinct ones.
    """
    health = check_embedding(z_ND, n_clusters)
    if health.dead and session.rank == 0:
        _log.warning(
            "dimensions %s of the embedding's %d do not vary (a ReLU on the embedding can kill them); "
            "a smaller model.latent would do, or no model.preset",
            list(health.dead),
            z_ND.shape[1],
        )
    seeds, shape = restart_seeds(seed, restarts), (n_clusters, z_ND.shape[1])
    z = np.ascontiguousarray(_drawn(z_ND, seed), dtype=np.float64)

    def gaussian(i: int) -> GaussianFit:
        return fit_gaussian(z, n_clusters, seeds[i], start=GAUSSIAN_STARTS[i % len(GAUSSIAN_STARTS)])

    kmeans = _best(session, lambda i: fit_kmeans(z, n_clusters, seeds[i]), restarts, shape)
    mixture = _best(session, gaussian, restarts, shape)
    if len(z) < len(z_ND):
        kmeans, mixture = _polished(session, z_ND, kmeans, mixture)
    starts = Starts(kmeans, mixture, health.dead)
    if not manifold:
        return starts
    return replace(starts, manifold=_manifold_start(session, z_ND, starts, restarts, seed))


def _drawn(z_ND: npt.NDArray[np.floating], seed: int) -> npt.NDArray[np.floating]:
    """The embeddings that restarts look at: all of them, if they are few enough."""
    if len(z_ND) <= LARGEST_RESTARTED:
        return z_ND
    return z_ND[np.sort(np.random.default_rng(seed).permutation(len(z_ND))[:LARGEST_RESTARTED])]


def _polished(
    session: TrainingSession, z_ND: npt.NDArray[np.floating], kmeans: KMeansFit, mixture: GaussianFit
) -> tuple[KMeansFit, GaussianFit]:
    """Both taken to their optimum over all embeddings, of which each rank looks at its share."""
    share = z_ND[rank_slice(len(z_ND), session.rank, session.world_size)]

    def reduce(array: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        summed: npt.NDArray[np.float64] = sum_over_ranks(session, torch.from_numpy(array)).numpy()
        return summed

    return polished_kmeans(share, kmeans, reduce), polished_gaussian(share, mixture, reduce)


def _manifold_start(
    session: TrainingSession, z_ND: npt.NDArray[np.floating], starts: Starts, restarts: int, seed: int
) -> ManifoldStart:
    """Found by rank 0, because a layout is one computation, and sent to all."""
    n_clusters = len(starts.kmeans.centroids)
    posterior = torch.zeros((len(z_ND), n_clusters))
    if session.rank == 0:
        found = manifold_clusters(
            z_ND,
            n_clusters,
            baseline=nearest_centroid(z_ND, starts.kmeans.centroids),
            others=[starts.gaussian.log_posterior(z_ND).argmax(axis=1)],
            restarts=restarts,
            seed=seed,
        )
        posterior += torch.from_numpy(found)
    posterior = sum_over_ranks(session, posterior)
    return ManifoldStart(gaussian_of(z_ND, posterior.numpy(), seed), posterior)


def _best(
    session: TrainingSession, fit: Callable[[int], FitT], restarts: int, shape: tuple[int, int]
) -> FitT:
    """The fit of greatest quality, the first of equals, on every rank."""
    mine = {i: fit(i) for i in range(session.rank, restarts, session.world_size)}
    qualities = torch.zeros((restarts, 2), dtype=torch.float64)
    for i, found in mine.items():
        qualities[i] = torch.tensor(found.quality)
    ranked: list[list[float]] = sum_over_ranks(session, qualities).tolist()
    best = max(range(restarts), key=lambda i: (ranked[i], -i))
    # Only one rank holds the winner; it sends it to all by adding it to their zeros.
    example = next(iter(mine.values()), None) or fit(best)
    vector = torch.from_numpy(example.pack())
    sent = sum_over_ranks(session, torch.from_numpy(mine[best].pack()) if best in mine else 0 * vector)
    return type(example).unpack(sent.numpy(), *shape)
