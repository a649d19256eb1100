"""A manifold step: embeddings laid out anew so that what is linked by near neighbours lies together.

A fuzzy graph of nearest neighbours and its layout by attraction along edges and repulsion from random
others, after McInnes, Healy and Melville (2018), "UMAP", written as passes over whole arrays: in one
step every point moves towards at most one neighbour, so no two updates of a point meet and the result
depends on the seed alone, not on threads. Clusters of any shape in the autoencoder's embedding become
compact, which is what a mixture can describe (McConville et al. 2021, "N2D").
"""

from __future__ import annotations

import warnings
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse
import scipy.sparse.linalg
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from scaledec.numerics.dec.initialise import GAUSSIAN_STARTS, fit_gaussian, fit_kmeans, restart_seeds
from scaledec.numerics.metrics import effective_clusters

__all__ = [
    "lay_out",
    "manifold_clusters",
    "modularity",
    "nearest_neighbours",
    "neighbour_graph",
    "normalised_cut",
]

Float64Array: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]

NEIGHBOURS = 15
"""Of a point in the graph: few enough to stay inside a small cluster."""
DIMENSIONS = 5
"""Of the layout: two suffice to see clusters, a few more let them pass each other while they form."""
EVEN = 0.6
"""Effective over asked number of clusters above which sizes count as even."""
LEAST_CHANCE = 1e-4
"""Of a cluster that no neighbour belongs to: the network is not asked to be surer than the graph can be."""
LARGEST = 100_000
"""Points laid out: distances of all pairs take a minute or two on two cores."""

# Curve 1 / (1 + a d^2b) fitted to exp(-d), i.e. with no distance that neighbours must keep (min_dist 0).
_A, _B = 1.929, 0.7915
_NEGATIVES = 5
"""Random others that each attraction is weighed against."""
_LARGEST_STEP = 4.0
"""Of one coordinate in one step, so that two points that fall together do not fly apart."""
_WIDTH = 10.0
"""Of the first layout, in units in which neighbours end about 1 apart."""
_BISECTIONS = 64


def manifold_clusters(
    z: npt.ArrayLike, n_clusters: int, *, restarts: int, seed: int, largest: int = LARGEST
) -> Float64Array:
    """Log of the chance (N, K) that each of embeddings (N, D) belongs to each cluster of the manifold.

    Several clusterings are made of the graph of nearest neighbours (its leading eigenvectors; mixtures in
    two layouts), and the graph itself says which to keep: the one of greatest modularity. Modularity
    evens sizes out, so where the eigenvectors find very uneven sizes, as noise makes them in an archive,
    the least normalised cut decides instead. Of more than ``largest`` embeddings that many are
    clustered; the others are as their neighbours among them are.

    Parameters
    ----------
    z
        Embeddings (N, D), at least ``n_clusters`` of them distinct.
    n_clusters
        Number of clusters K.
    restarts
        Of each mixture and of k-means.
    seed
        Of the choice of embeddings, the layouts and the restarts.
    largest
        Most embeddings in the graph.
    """
    points = np.asarray(z, dtype=np.float64)
    rng = np.random.default_rng(seed)
    chosen = np.arange(len(points))
    if len(points) > largest:
        chosen = np.sort(rng.choice(chosen, largest, replace=False))
    anchors = points[chosen]
    graph = neighbour_graph(*nearest_neighbours(anchors, min(NEIGHBOURS, len(anchors) - 1)))
    labels = _best_clustering(graph, anchors, n_clusters, restarts, seed)
    # How sure a label is: what a point's neighbours say, itself included.
    votes = (graph + scipy.sparse.eye_array(len(anchors))) @ np.eye(n_clusters)[labels]
    votes /= votes.sum(axis=1, keepdims=True)
    if len(anchors) < len(points):
        near = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(anchors)
        votes = votes[near.kneighbors(points, return_distance=False)].mean(axis=1)
    votes = np.maximum(votes, LEAST_CHANCE)
    return np.asarray(np.log(votes / votes.sum(axis=1, keepdims=True)))


def _best_clustering(
    graph: scipy.sparse.csr_array, points: Float64Array, n_clusters: int, restarts: int, seed: int
) -> IntArray:
    """The labels (N,) that suit the graph best, of several candidates."""
    vectors = _leading_vectors(graph, max(n_clusters, DIMENSIONS + 1))
    turned = vectors[:, :n_clusters] / np.maximum(
        np.linalg.norm(vectors[:, :n_clusters], axis=1, keepdims=True), np.finfo(np.float64).tiny
    )
    by_vectors = _kmeans_labels(turned, n_clusters, restarts, seed)
    degree = np.asarray(graph.sum(axis=1)).reshape(-1, 1)
    slow = (vectors / np.sqrt(degree))[:, 1 : DIMENSIONS + 1]  # the first one is the same everywhere
    slow /= np.maximum(slow.std(axis=0), np.finfo(np.float64).tiny)
    epochs = 300 if len(points) < 10_000 else 200  # a small set needs more passes for as many moves
    candidates = [by_vectors]
    for start in (_principal_axes(points, 2), slow):
        y = lay_out(graph, start, epochs=epochs, seed=seed)
        fits = (
            fit_gaussian(y, n_clusters, s, start=GAUSSIAN_STARTS[i % len(GAUSSIAN_STARTS)])
            for i, s in enumerate(restart_seeds(seed, restarts))
        )
        candidates.append(max(fits, key=lambda fit: fit.quality).log_posterior(y).argmax(axis=1))
    flows = [_flow(graph, labels, n_clusters) for labels in candidates]
    is_even = effective_clusters(np.bincount(by_vectors)) > EVEN * n_clusters
    quality = [modularity(flow) if is_even else -normalised_cut(flow) for flow in flows]
    return candidates[int(np.argmax(quality))]


def modularity(flow: Float64Array) -> float:
    """Share of weight inside clusters less what random edges would give (Newman 2006): larger is better.

    Parameters
    ----------
    flow
        Summed weights (K, K) between clusters.
    """
    share = flow / flow.sum()
    return float(np.trace(share) - np.square(share.sum(axis=1)).sum())


def normalised_cut(flow: Float64Array) -> float:
    """Sum over clusters of the share of their weight that leaves them (Shi and Malik 2000): less is better.

    An empty cluster counts as one that all of its weight leaves.
    """
    total = flow.sum(axis=1)
    kept = np.divide(np.diagonal(flow), total, out=np.zeros_like(total), where=total > 0)
    return float((1.0 - kept).sum())


def _flow(graph: scipy.sparse.csr_array, labels: IntArray, n_clusters: int) -> Float64Array:
    member = np.eye(n_clusters)[labels]
    return np.asarray(member.T @ (graph @ member))


def _leading_vectors(graph: scipy.sparse.csr_array, n: int) -> Float64Array:
    """Eigenvectors (N, n) of the normalised graph, of the greatest eigenvalues first.

    By a block of vectors at once: a graph in several pieces has its greatest eigenvalue several times,
    which methods that start from one vector may see once.
    """
    inverse = scipy.sparse.diags_array(1 / np.sqrt(np.asarray(graph.sum(axis=1)).ravel()))
    normalised = inverse @ graph @ inverse
    if graph.shape[0] < 1000:
        return np.asarray(np.linalg.eigh(normalised.toarray())[1][:, ::-1][:, :n])
    start = np.random.default_rng(0).normal(size=(graph.shape[0], n))  # any, but always the same
    with warnings.catch_warnings():
        # Vectors that are not exact yet separate clusters all the same, and the graph judges what they find.
        warnings.simplefilter("ignore", UserWarning)
        _, vectors = scipy.sparse.linalg.lobpcg(normalised, start, largest=True, tol=1e-5, maxiter=500)
    return np.asarray(vectors)


def _kmeans_labels(u: Float64Array, n_clusters: int, restarts: int, seed: int) -> IntArray:
    fits = (fit_kmeans(u, n_clusters, s) for s in restart_seeds(seed, restarts))
    centroids = max(fits, key=lambda fit: fit.quality).centroids
    score = u @ centroids.T - np.square(centroids).sum(axis=1) / 2
    return np.asarray(score.argmax(axis=1), dtype=np.int64)


def _principal_axes(points: Float64Array, dimensions: int) -> Float64Array:
    """Coordinates (N, d) along the axes of greatest variance, d no more than there are."""
    centred = points - points.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    return np.asarray(centred @ axes[:, ::-1][:, :dimensions])


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
        for part in np.split(order, np.cumsum(sizes)[:-1]):
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
    here = y[heads]
    towards = here - y[tails]
    squared = towards.square().sum(dim=1, keepdim=True)
    pull = -2 * _A * _B * squared.clamp_min(1e-12).pow(_B - 1) / (1 + _A * squared.pow(_B))
    change = (pull * towards).clamp_(-_LARGEST_STEP, _LARGEST_STEP)
    for _ in range(_NEGATIVES):
        others = torch.randint(len(y), (len(heads),), generator=generator)
        away = here - y[others]
        squared = away.square().sum(dim=1, keepdim=True)
        push = 2 * _B / ((1e-3 + squared) * (1 + _A * squared.pow(_B)))
        change += (push * away).clamp_(-_LARGEST_STEP, _LARGEST_STEP)
    y[heads] = here + step * change
