"""DEC written a second time in float64 numpy, straight from the papers, as the judge of the first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def full_table(z: npt.ArrayLike, centroids: npt.ArrayLike, alpha: float) -> tuple[Array, Array, Array]:
    """The whole N x K tables q and p, and f, from all embeddings at once."""
    points, centres = np.asarray(z, dtype=np.float64), np.asarray(centroids, dtype=np.float64)
    distance = np.linalg.norm(points[:, None] - centres[None], axis=2)
    kernel = (1 + distance**2 / alpha) ** (-(alpha + 1) / 2)
    q = kernel / kernel.sum(axis=1, keepdims=True)
    f = q.sum(axis=0)
    weight = q**2 / f
    return q, weight / weight.sum(axis=1, keepdims=True), f


def closed_form_gradients(
    z: npt.ArrayLike, centroids: npt.ArrayLike, p: Array, q: Array, alpha: float
) -> tuple[Array, Array]:
    """Gradients of sum_i KL(p_i || q_i) by embeddings and by centroids (Xie et al. 2016, eq. 4 and 5)."""
    difference = np.asarray(z, dtype=np.float64)[:, None] - np.asarray(centroids, dtype=np.float64)[None]
    pull = (p - q) / (1 + (difference**2).sum(axis=2) / alpha)
    each = (alpha + 1) / alpha * pull[:, :, None] * difference
    return each.sum(axis=1), -each.sum(axis=0)
