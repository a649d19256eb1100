"""k-means and Gaussian mixtures from sums over windows: what many ranks, or many blocks, can add up.

A step of either needs no window twice and of all windows together only K (1 + D) or K (1 + D + D^2) numbers:
how many belong to each cluster, the sum of their embeddings, and of the products of these. Ranks compute
them for the windows they hold and add them up, so that N ranks take the steps that one would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.special

from scaledec.numerics.dec.initialise import REGULARISATION, GaussianFit, KMeansFit

__all__ = ["Reduce", "polished_gaussian", "polished_kmeans"]

Float64Array: TypeAlias = npt.NDArray[np.float64]
Reduce: TypeAlias = Callable[[Float64Array], Float64Array]
"""Sums an array over all ranks; every rank calls it with the same shape."""

_ROWS = 16_384
"""Windows whose distances are computed at once: a few MB."""


def polished_kmeans(
    z_ND: npt.ArrayLike, fit: KMeansFit, reduce: Reduce, *, iterations: int = 300, tolerance: float = 1e-4
) -> KMeansFit:
    """Lloyd's k-means over all ranks' embeddings from the centroids of ``fit``.

    Parameters
    ----------
    z_ND
        This rank's embeddings (n, D); may be none.
    fit
        Where to start.
    reduce
        Sums over ranks.
    iterations
        At most so many.
    tolerance
        Stop when the centroids together moved less, squared, than this share of the mean variance.
    """
    z = np.asarray(z_ND, dtype=np.float64)
    centroids = fit.centroids
    n_clusters, latent = centroids.shape
    shift = tolerance * float(_mean_and_variance(z, reduce)[1].mean())
    for _ in range(iterations):
        counts, sums = np.zeros(n_clusters), np.zeros((n_clusters, latent))
        for block in _blocks(z):
            label = _squared_distances(block, centroids).argmin(axis=1)
            counts += np.bincount(label, minlength=n_clusters)
            np.add.at(sums, label, block)
        counts, sums = _unpacked(reduce(_packed(counts, sums)), (n_clusters,), (n_clusters, latent))
        # A cluster that lost all its windows stays where it is.
        moved = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centroids)
        change, centroids = float(np.square(moved - centroids).sum()), moved
        if change <= shift:
            break
    inertia = sum(float(_squared_distances(block, centroids).min(axis=1).sum()) for block in _blocks(z))
    return replace(fit, centroids=centroids, inertia=float(reduce(np.array([inertia]))[0]))


def polished_gaussian(
    z_ND: npt.ArrayLike, fit: GaussianFit, reduce: Reduce, *, iterations: int = 300, tolerance: float = 1e-3
) -> GaussianFit:
    """Expectation-maximisation over all ranks' embeddings from the mixture ``fit``.

    Parameters
    ----------
    z_ND
        This rank's embeddings (n, D); may be none.
    fit
        Where to start.
    reduce
        Sums over ranks.
    iterations
        At most so many.
    tolerance
        Stop when the mean log-likelihood of a window gained less, in nats.
    """
    z = np.asarray(z_ND, dtype=np.float64)
    latent = fit.means.shape[1]
    total = float(reduce(np.array([float(len(z))]))[0])
    centre, variance = _mean_and_variance(z, reduce)
    width = np.sqrt(np.where(variance > 0.0, variance, 1.0))
    # About the mean of all, so that products less the products of means cancel nothing.
    z, fit = z - centre, replace(fit, means=fit.means - centre)
    floor = REGULARISATION * np.diag(width**2)
    bound = -np.inf
    for _ in range(iterations):
        before, (bound, counts, sums, products) = bound, _expectation(z, fit, reduce, total)
        counts = counts + 10 * np.finfo(np.float64).eps
        means = sums / counts[:, None]
        covariances = products / counts[:, None, None] - means[:, :, None] * means[:, None, :] + floor
        fit = replace(fit, weights=counts / counts.sum(), means=means, covariances=covariances)
        if abs(bound - before) < tolerance:
            break
    return replace(
        fit,
        means=fit.means + centre,
        # Of the standardised data, as a fit from scratch has it.
        lower_bound=bound + float(np.log(width).sum()),
        degenerate=bool(fit.weights.min() * total < latent + 1),
    )


def _expectation(
    z: Float64Array, fit: GaussianFit, reduce: Reduce, total: float
) -> tuple[float, Float64Array, Float64Array, Float64Array]:
    """Mean log-likelihood of a window, and the sums (K,), (K, D) and (K, D, D) over all ranks."""
    n_clusters, latent = fit.means.shape
    shapes = ((1,), (n_clusters,), (n_clusters, latent), (n_clusters, latent, latent))
    likelihood, counts, sums, products = (np.zeros(shape) for shape in shapes)
    for block in _blocks(z):
        joint = fit.log_joint(block)
        each = scipy.special.logsumexp(joint, axis=1)
        share = np.exp(joint - each[:, None])
        likelihood += each.sum()
        counts += share.sum(axis=0)
        sums += share.T @ block
        products += np.stack([(column[:, None] * block).T @ block for column in share.T])
    parts = _unpacked(reduce(_packed(likelihood, counts, sums, products)), *shapes)
    return float(parts[0][0]) / total, parts[1], parts[2], parts[3]


def _mean_and_variance(z: Float64Array, reduce: Reduce) -> tuple[Float64Array, Float64Array]:
    """Of each dimension (D,) over all ranks; in two passes, so that nothing cancels."""
    latent = z.shape[1]
    n, total = _unpacked(reduce(_packed(np.array([float(len(z))]), z.sum(axis=0))), (1,), (latent,))
    mean = total / n[0]
    return mean, reduce(np.square(z - mean).sum(axis=0)) / n[0]


def _squared_distances(z: Float64Array, centroids: Float64Array) -> Float64Array:
    return np.stack([np.square(z - centroid).sum(axis=1) for centroid in centroids], axis=1)


def _blocks(z: Float64Array) -> Iterator[Float64Array]:
    for start in range(0, len(z), _ROWS):
        yield z[start : start + _ROWS]


def _packed(*parts: Float64Array) -> Float64Array:
    return np.concatenate([part.ravel() for part in parts])


def _unpacked(vector: Float64Array, *shapes: tuple[int, ...]) -> list[Float64Array]:
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(vector, ends), shapes, strict=True)]
