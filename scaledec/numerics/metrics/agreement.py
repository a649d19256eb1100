"""How far a clustering agrees with truth or with another clustering, and how even its sizes are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from sklearn import metrics as sklearn_metrics
from sklearn.metrics.cluster import contingency_matrix

__all__ = [
    "adjusted_rand_index",
    "contingency",
    "disagreement_matrix",
    "effective_clusters",
    "hungarian_accuracy",
    "label_change",
    "normalised_mutual_information",
    "roc_auc",
    "transition_matrix",
]

Labels: TypeAlias = npt.ArrayLike


def contingency(truth: Labels, labels: Labels) -> npt.NDArray[np.int64]:
    """Windows of each class in each cluster (classes, clusters), both in sorted order of their values.

    Raises
    ------
    ValueError
        If the two are empty or differ in length (so for every metric here that takes two).
    """
    a, b = _pair(truth, labels)
    return np.asarray(contingency_matrix(a, b), dtype=np.int64)


def hungarian_accuracy(truth: Labels, labels: Labels) -> float:
    """Share of windows labelled right under the best one-to-one match of clusters to classes.

    With more clusters than classes the clusters left over count as wrong, and the other way round.
    """
    table = contingency(truth, labels)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return float(table[rows, columns].sum() / table.sum())


def normalised_mutual_information(truth: Labels, labels: Labels) -> float:
    """Mutual information over the mean of the two entropies: 0 independent, 1 equal up to names."""
    return float(sklearn_metrics.normalized_mutual_info_score(*_pair(truth, labels)))


def adjusted_rand_index(truth: Labels, labels: Labels) -> float:
    """Share of pairs on which two clusterings agree, corrected for chance: 0 expected by chance, 1 equal."""
    return float(sklearn_metrics.adjusted_rand_score(*_pair(truth, labels)))


def roc_auc(truth: Labels, score: npt.ArrayLike) -> float:
    """Area under the ROC curve of ``score`` (N,) for the binary ``truth`` (N,).

    It is the chance that a true one ranks above a false one.

    Raises
    ------
    ValueError
        If truth holds only one class, for which no area is defined.
    """
    positive, values = _pair(np.asarray(truth, dtype=bool), score)
    if positive.all() or not positive.any():
        raise ValueError(f"ROC AUC needs both classes; all {len(positive)} values are {bool(positive[0])}")
    return float(sklearn_metrics.roc_auc_score(positive, values))


def label_change(before: Labels, after: Labels) -> float:
    """Share of windows whose label differs between two label vectors of the same clusters."""
    a, b = _pair(before, after)
    return float(np.mean(a != b))


def transition_matrix(before: Labels, after: Labels, n_clusters: int) -> npt.NDArray[np.int64]:
    """Windows that went from cluster (row) to cluster (column), shape (K, K), empty ones included.

    Windows without a label (-1) on either side are left out.

    Raises
    ------
    ValueError
        If a label is not one of the ``n_clusters``.
    """
    a, b = (np.asarray(side, dtype=np.int64) for side in _pair(before, after))
    kept = (a >= 0) & (b >= 0)
    largest = int(max(a.max(), b.max()))
    if largest >= n_clusters:
        raise ValueError(f"label {largest} is none of {n_clusters} clusters (0 to {n_clusters - 1})")
    counts = np.bincount(a[kept] * n_clusters + b[kept], minlength=n_clusters**2)
    return counts.reshape(n_clusters, n_clusters)


def disagreement_matrix(labels: Mapping[str, Labels]) -> npt.NDArray[np.float64]:
    """Share of windows on which each two of M labellings differ, shape (M, M), in the mapping's order.

    Clusters are matched one to one first (as :func:`hungarian_accuracy` does), because methods and runs
    number theirs as they like.
    """
    names = list(labels)
    matrix = np.zeros((len(names), len(names)))
    for i, one in enumerate(names):
        for j in range(i):
            matrix[i, j] = matrix[j, i] = 1.0 - hungarian_accuracy(labels[one], labels[names[j]])
    return matrix


def effective_clusters(counts: npt.ArrayLike) -> float:
    """Exponential of the entropy of the cluster shares: K for equal shares, 1 when one holds everything.

    Parameters
    ----------
    counts
        Windows (or soft frequencies) of each cluster (K,), not negative, not all zero.
    """
    shares = np.asarray(counts, dtype=np.float64)
    if not np.isfinite(shares).all() or (shares < 0).any() or not shares.sum() > 0:
        raise ValueError(f"counts must be finite, not negative and not all zero; got {shares.tolist()}")
    shares = shares[shares > 0] / shares.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _pair(a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
    first, second = np.asarray(a), np.asarray(b)
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        raise ValueError(
            f"expected two equally long, non-empty vectors; got shapes {first.shape} and {second.shape}"
        )
    return first, second
