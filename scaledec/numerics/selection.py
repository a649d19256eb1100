"""How many clusters: references, the gap statistic, BIC and stability, as functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from scaledec.numerics.metrics import adjusted_rand_index

__all__ = [
    "Reference",
    "draw_reference",
    "first_within_one_error",
    "gap_statistic",
    "mean_agreement",
    "mixture_bic",
    "nearest_centroid",
]

Float64Array: TypeAlias = npt.NDArray[np.float64]
Reference: TypeAlias = Literal["uniform", "pca"]


def draw_reference(z: npt.ArrayLike, kind: Reference, seed: Sequence[int]) -> Float64Array:
    """As many points (N, D) without clusters, in the box that the data fill (Tibshirani et al. 2001).

    Parameters
    ----------
    z
        Data (N, D).
    kind
        ``uniform``: the box has the data's own axes; ``pca``: their principal ones, so that an elongated
        cloud is not held against a box it fills badly.
    seed
        Of this draw: whole numbers, not negative.
    """
    data = np.asarray(z, dtype=np.float64)
    rng = np.random.default_rng(list(seed))
    if kind == "uniform":
        return rng.uniform(data.min(axis=0), data.max(axis=0), data.shape)
    centre = data.mean(axis=0)
    _, axes = np.linalg.eigh((data - centre).T @ (data - centre))
    turned = (data - centre) @ axes
    return np.asarray(rng.uniform(turned.min(axis=0), turned.max(axis=0), data.shape) @ axes.T + centre)


def gap_statistic(
    inertia: npt.ArrayLike, reference_inertia: npt.ArrayLike
) -> tuple[Float64Array, Float64Array]:
    """Gap (M,) and its standard error (M,) for M numbers of clusters (Tibshirani et al. 2001).

    Parameters
    ----------
    inertia
        Sum of squared distances to the nearest centroid (M,), of the data.
    reference_inertia
        The same (B, M) of B draws without clusters.

    Returns
    -------
    tuple[Float64Array, Float64Array]
        mean_b log W*_kb - log W_k, and sd_b(log W*_kb) sqrt(1 + 1 / B).
    """
    # Data that K centroids fit without rest have no logarithm; they are the best there can be.
    smallest = np.finfo(np.float64).tiny
    log_reference = np.log(np.maximum(np.asarray(reference_inertia, dtype=np.float64), smallest))
    log_inertia = np.log(np.maximum(np.asarray(inertia, dtype=np.float64), smallest))
    error = log_reference.std(axis=0) * np.sqrt(1 + 1 / len(log_reference))
    return log_reference.mean(axis=0) - log_inertia, error


def first_within_one_error(gap: npt.ArrayLike, error: npt.ArrayLike) -> int | None:
    """Position of the first k with gap(k) >= gap(k + 1) - error(k + 1); ``None`` if there is none."""
    g, s = np.asarray(gap), np.asarray(error)
    found = np.flatnonzero(g[:-1] >= g[1:] - s[1:])
    return int(found[0]) if len(found) else None


def mixture_bic(mean_log_likelihood: float, n: int, n_clusters: int, dimensions: int) -> float:
    """Schwarz's criterion of a full-covariance mixture of ``n`` points: smaller is better."""
    per_cluster = dimensions + dimensions * (dimensions + 1) // 2
    parameters = n_clusters * per_cluster + n_clusters - 1
    return float(-2 * n * mean_log_likelihood + parameters * np.log(n))


def mean_agreement(labels: Sequence[npt.ArrayLike]) -> float:
    """Mean adjusted Rand index over all pairs of labellings of the same windows; NaN of fewer than two."""
    pairs = list(combinations(labels, 2))
    return float(np.mean([adjusted_rand_index(a, b) for a, b in pairs])) if pairs else float("nan")


def nearest_centroid(z: npt.ArrayLike, centroids: npt.ArrayLike) -> npt.NDArray[np.int16]:
    """Number (N,) of the centroid (K, D) nearest to each point (N, D)."""
    centres = np.asarray(centroids, dtype=np.float64)
    # |z|^2 is the same for all centroids and left out.
    score = np.asarray(z, dtype=np.float64) @ centres.T - np.square(centres).sum(axis=1) / 2
    return np.asarray(score.argmax(axis=1), dtype=np.int16)
