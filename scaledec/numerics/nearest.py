"""The rows nearest to a point, by looking at every one of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["nearest_rows"]

# Rows whose differences are held at once: temporaries of a few MB.
_BLOCK = 65_536


def nearest_rows(
    z_ND: npt.NDArray[np.floating], target_D: npt.NDArray[np.floating], k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The ``k`` rows with the smallest Euclidean distance to a point, nearest first; rows with NaN are none.

    Distances are taken by differences in float64: the expanded form cancels where two are almost equal.
    Of equally near rows the first ones are taken.

    Parameters
    ----------
    z_ND
        Points (row, dimension).
    target_D
        The point (dimension,).

    Returns
    -------
    Rows, shape (at most k,), and their distances.

    Examples
    --------
    >>> nearest_rows(np.array([[0.0], [5.0], [1.0]]), np.array([0.8]), 2)
    (array([2, 0]), array([0.2, 0.8]))
    """
    rows = np.empty(0, np.int64)
    squared = np.empty(0)
    for first in range(0, len(z_ND), _BLOCK):
        difference = z_ND[first : first + _BLOCK] - np.asarray(target_D, np.float64)
        found = np.einsum("nd,nd->n", difference, difference)
        rows = np.concatenate([rows, first + np.flatnonzero(~np.isnan(found))])
        squared = np.concatenate([squared, found[~np.isnan(found)]])
        if len(squared) > k:
            # Everything up to the k-th smallest, so that a stable sort decides between equals.
            kept = np.flatnonzero(squared <= np.partition(squared, k - 1)[k - 1])
            kept = kept[np.argsort(squared[kept], kind="stable")[:k]]
            kept.sort()
            rows, squared = rows[kept], squared[kept]
    order = np.argsort(squared, kind="stable")
    return rows[order], np.sqrt(squared[order])
