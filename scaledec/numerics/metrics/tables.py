"""How far two clusterings agree, from their contingency table alone: of any number of windows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

__all__ = ["adjusted_rand_index_of", "matched_clusters", "mutual_information_of"]

Table = npt.NDArray[np.int64]


def matched_clusters(table: Table) -> list[tuple[int, int]]:
    """The one-to-one match of rows with columns that holds most windows, by row; without empty pairs.

    Parameters
    ----------
    table
        Windows of each row's cluster in each column's, shape (row, column).
    """
    rows, columns = linear_sum_assignment(table, maximize=True)
    return [(int(a), int(b)) for a, b in zip(rows, columns, strict=True) if table[a, b]]


def adjusted_rand_index_of(table: Table) -> float:
    """Share of pairs on which the two agree, corrected for chance (Hubert and Arabie 1985, eq. 5).

    Counted in integers of any size, as pairs of pairs of 1e8 windows are beyond 64 bits.
    """
    together = sum(map(_pairs, table.ravel().tolist()))
    rows = sum(map(_pairs, table.sum(axis=1).tolist()))
    columns = sum(map(_pairs, table.sum(axis=0).tolist()))
    everything = _pairs(int(table.sum()))
    if not everything:
        return 1.0
    # Expected and largest numbers of pairs, both times all pairs.
    expected, largest = rows * columns, (rows + columns) * everything
    return (
        1.0 if 2 * expected == largest else 2 * (together * everything - expected) / (largest - 2 * expected)
    )


def _pairs(n: int) -> int:
    return n * (n - 1) // 2


def mutual_information_of(table: Table) -> float:
    """Mutual information over the mean of the two entropies: 0 independent, 1 equal up to names."""
    shares = table / max(1, int(table.sum()))
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    entropy = (_entropy(rows) + _entropy(columns)) / 2
    if entropy == 0:
        return 1.0
    mutual = _entropy(rows) + _entropy(columns) - _entropy(shares.ravel())
    return float(min(1.0, max(0.0, mutual / entropy)))


def _entropy(shares: npt.NDArray[np.float64]) -> float:
    present = shares[shares > 0]
    return float(-(present * np.log(present)).sum())
