"""A graph of nearest neighbours, and its layout in a few dimensions.

A fuzzy graph and its layout by attraction along edges and repulsion from random others, after McInnes,
Healy and Melville (2018), "UMAP", written as passes over whole arrays: in one step every point moves towards
at most one neighbour, so no two updates of a point meet and the result depends on the seed alone, not on
threads.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

__all__ = ["lay_out", "nearest_neighbours", "neighbour_graph"]

Float64Array: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]

# Curve 1 / (1 + a d^2b) fitted to exp(-d), i.e. with no distance that neighbours must keep (min_dist 0).
_A, _B = 1.929, 0.7915
_NEGATIVES = 5
"""Random others that each attraction is weighed against."""
_MOST_MOVES = 12
"""Of one point in one pass; the few points that have more edges taking part leave the others out."""
_LARGEST_STEP = 4.0
"""Of one coordinate in one step, so that two points that fall together do not fly apart."""
_WIDTH = 10.0
"""Of the first layout, in units in which neighbours end about 1 apart."""
_BISECTIONS = 64


def nearest_neighbours(z: npt.ArrayLike, k: int) -> tuple[IntArray, Float64Array]:
    """The ``k`` nearest other points of each: positions and Euclidean distances, both (N, k).

    Parameters
    ----------
    z
        Points (N, D).
    k
        Fewer than N.
    """
    points = np.ascontiguousarray(z, dtype=np.float64)
    distance, position = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points).kneighbors()
    return position.astype(np.int64), distance


def neighbour_graph(position: IntArray, distance: Float64Array) -> scipy.sparse.csr_array:
    """Symmetric weights (N, N) between neighbours, each at most 1.

    A point's nearest neighbour has weight 1 and its k weights sum to log2 k; what either end of an
    edge believes is joined as independent chances are (McInnes et al. 2018, section 3.1).

    Parameters
    ----------
    position, distance
        From :func:`nearest_neighbours`.
    """
    n, k = position.shape
    nearest = distance[:, :1]
    beyond = np.maximum(distance - nearest, 0.0)
    low, high = np.zeros((n, 1)), np.full((n, 1), np.inf)
    smallest = np.finfo(np.float64).tiny
    width = np.maximum(beyond.mean(axis=1, keepdims=True), smallest)
    for _ in range(_BISECTIONS):
        is_wide = np.exp(-beyond / width).sum(axis=1, keepdims=True) > np.log2(k)
        high, low = np.where(is_wide, width, high), np.where(is_wide, low, width)
        width = np.maximum(np.where(np.isinf(high), 2 * width, (low + high) / 2), smallest)
    # Where most neighbours are equally near no width is small enough: keep it a share of the distances.
    width = np.maximum(width, 1e-3 * np.maximum(distance.mean(axis=1, keepdims=True), 1e-300))
    rows = np.repeat(np.arange(n), k)
    weight = np.exp(-beyond / width)
    directed = scipy.sparse.csr_array((weight.ravel(), (rows, position.ravel())), shape=(n, n))
    other = directed.T.tocsr()
    return scipy.sparse.csr_array(directed + other - directed * other)


def lay_out(
    graph: scipy.sparse.csr_array, start: npt.ArrayLike, *, epochs: int, seed: int, rate: float = 1.0
) -> npt.NDArray[np.float32]:
    """Positions (N, d) in which linked points lie together and others apart.

    Parameters
    ----------
    graph
        Symmetric weights (N, N), from :func:`neighbour_graph`.
    start
        First positions (N, d), not all equal; they are centred and scaled here.
    epochs
        Passes; an edge of weight w takes part in the share w / max(w) of them.
    seed
        Of the random others and of ties in the start.
    rate
        First step length; it falls linearly to zero.
    """
    generator = torch.Generator().manual_seed(seed & 0xFFFF_FFFF_FFFF_FFFF)
    y = _first_layout(start, generator)
    n = len(y)
    weight = graph.data / graph.data.max()
    taken = weight >= 1.0 / epochs  # a weaker edge would not take part even once
    head = np.repeat(np.arange(n), np.diff(graph.indptr))[taken]
    tail = torch.from_numpy(graph.indices[taken].astype(np.int64))
    period = 1.0 / weight[taken]
    due = period.copy()
    for epoch in range(epochs):
        step = rate * (1.0 - epoch / epochs)
        active = np.flatnonzero(due <= epoch + 1)
        due[active] += period[active]
        # The first active edge of every point, then the second of those that have one, and so on.
        heads = head[active]
        first = np.r_[0, np.flatnonzero(np.diff(heads)) + 1] if len(heads) else np.zeros(0, np.int64)
        rank = np.arange(len(heads)) - np.repeat(first, np.diff(np.r_[first, len(heads)]))
        order = np.argsort(rank, kind="stable")
        sizes = np.bincount(rank)
        for part in np.split(order, np.cumsum(sizes)[:-1])[:_MOST_MOVES]:
            _move(y, torch.from_numpy(heads[part]), tail[active[part]], step, generator)
    positions: npt.NDArray[np.float32] = y.numpy()
    return positions


def _first_layout(start: npt.ArrayLike, generator: torch.Generator) -> Tensor:
    y = torch.from_numpy(np.array(start, dtype=np.float32))
    y -= y.mean(dim=0)
    y *= _WIDTH / y.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
    return y + 1e-4 * torch.randn(y.shape, generator=generator)


def _move(y: Tensor, heads: Tensor, tails: Tensor, step: float, generator: torch.Generator) -> None:
    """Pull each of ``heads`` (no two equal) towards its tail and push it from random others, in place."""
    # index_select and index_copy_: several times as fast as indexing with brackets.
    here = y.index_select(0, heads)
    towards = here - y.index_select(0, tails)
    squared = towards.square().sum(dim=1, keepdim=True)
    pull = -2 * _A * _B * squared.clamp_min(1e-12).pow(_B - 1) / (1 + _A * squared.pow(_B))
    change = (pull * towards).clamp_(-_LARGEST_STEP, _LARGEST_STEP)
    others = torch.randint(len(y), (len(heads) * _NEGATIVES,), generator=generator)
    away = here.unsqueeze(1) - y.index_select(0, others).view(len(heads), _NEGATIVES, -1)
    squared = away.square().sum(dim=2, keepdim=True)
    push = 2 * _B / ((1e-3 + squared) * (1 + _A * squared.pow(_B)))
    change += (push * away).clamp_(-_LARGEST_STEP, _LARGEST_STEP).sum(dim=1)
    y.index_copy_(0, heads, here + step * change)
