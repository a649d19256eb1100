"""Soft assignment, target distribution and divergence of Deep Embedded Clustering.

Notation of Xie, Girshick and Farhadi (2016), "Unsupervised deep embedding for clustering analysis":
embeddings ``z`` (N, D), centroids ``mu`` (K, D), soft assignment ``q`` (N, K), target ``p`` (N, K).
Everything is kept as a logarithm, so that a window far from every centroid keeps its order of
clusters instead of rounding to zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "cluster_frequencies",
    "kl_divergence",
    "log_soft_assignment",
    "log_target_distribution",
    "squared_distances",
]


def squared_distances(z: Tensor, centroids: Tensor) -> Tensor:
    """Squared Euclidean distances (N, K) of embeddings (N, D) to centroids (K, D).

    By differences: the expanded form ``|z|^2 - 2 z.mu + |mu|^2`` cancels in float32 where it matters most.
    """
    return (z.unsqueeze(1) - centroids.unsqueeze(0)).square().sum(dim=2)


def log_soft_assignment(z: Tensor, centroids: Tensor, alpha: float = 1.0) -> Tensor:
    """Logarithm of the soft assignment: Student's t of each distance, normalised over clusters.

    ``q_ij`` is proportional to ``(1 + |z_i - mu_j|^2 / alpha)^(-(alpha + 1) / 2)`` (Xie et al. 2016, eq. 1).

    Parameters
    ----------
    z
        Embeddings (N, D).
    centroids
        Centroids (K, D), of the same dtype.
    alpha
        Degrees of freedom, > 0.

    Returns
    -------
    Tensor
        log q (N, K); each row's exponentials sum to one.
    """
    logits = torch.log1p(squared_distances(z, centroids) / alpha) * (-(alpha + 1.0) / 2.0)
    return torch.log_softmax(logits, dim=1)


def cluster_frequencies(log_q: Tensor) -> Tensor:
    """Soft cluster frequencies ``f_j = sum_i q_ij`` (K,), summed in float64 whatever the dtype of log q.

    Sums over parts of a data set add up to the sum over the whole: this is what ranks exchange.
    """
    return log_q.double().exp().sum(dim=0)


def log_target_distribution(log_q: Tensor, frequencies: Tensor) -> Tensor:
    """Logarithm of the target: ``p_ij`` proportional to ``q_ij^2 / f_j`` (Xie et al. 2016, eq. 3).

    Parameters
    ----------
    log_q
        log q (n, K) of any n windows of the data set: a batch needs no other row.
    frequencies
        f (K,) over the WHOLE data set, float64. A batch's own sum is another, wrong target.

    Returns
    -------
    Tensor
        log p (n, K) in the dtype of ``log_q``.
    """
    # A cluster that underflowed to f = 0 has q = 0 everywhere: it must get p = 0, not 0 / 0.
    log_f = frequencies.clamp_min(torch.finfo(torch.float64).tiny).log().to(log_q.dtype)
    return torch.log_softmax(2.0 * log_q - log_f, dim=1)


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """``KL(P || Q)`` of each window (n,) in nats (Xie et al. 2016, eq. 2, before the sum over windows).

    The gradient flows through ``log_q`` only if ``log_p`` is detached, as DEC's target is.
    """
    return (log_p.exp() * (log_p - log_q)).sum(dim=1)
