"""Clusters of the embedding's manifold: several clusterings, and which to keep.

Clusters of any shape in the autoencoder's embedding become compact in a layout of its neighbourhoods, which
is what a mixture can describe (McConville et al. 2021, "N2D"). A mixture cuts one large class into pieces of
the size of the others; merging many small pieces where the graph holds them together does not. Which of
them to keep is decided without any label: see :func:`best_of`.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse
import scipy.sparse.linalg
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors

from scaledec.numerics.dec.initialise import GAUSSIAN_STARTS, fit_gaussian, fit_kmeans, restart_seeds
from scaledec.numerics.dec.layout import lay_out, nearest_neighbours, neighbour_graph

__all__ = ["best_of", "manifold_clusters", "merged", "modularity", "normalised_cut"]

Float64Array: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]

NEIGHBOURS = 15
"""Of a point in the graph: few enough to stay inside a small cluster."""
DIMENSIONS = (2, 5)
"""Of layouts: two show clusters best, a few more let them pass each other while they form."""
FEW = 10_000
"""Points of which twice as many layouts are affordable, and more passes of each."""
AS_LIKELY = 0.1
"""Nats a point that a mixture may be less likely than the best one in the same layout to be looked at too."""
PIECES = 6
"""Pieces a cluster, before they are merged."""
LEAST_SEPARATION = 0.5
"""Share of the silhouette of k-means that clusters must have. The manifold's have 0.75 to 0.95 of it where
classes are of similar sizes, 0.04 to 0.4 where two thirds of all windows are noise and the noise is split."""
PARTED = 1e-3
"""Mean share of weight leaving a cluster below which clusters need no distance: rings in one another."""
JUDGED = 4000
"""Points whose silhouettes are looked at."""
LEAST_CHANCE = 1e-4
"""Of a cluster that no neighbour belongs to: the network is not asked to be surer than the graph can be."""
LARGEST = 100_000
"""Points laid out: distances of all pairs take a minute or two on two cores."""


def manifold_clusters(
    z: npt.ArrayLike,
    n_clusters: int,
    *,
    baseline: npt.ArrayLike,
    others: Sequence[npt.ArrayLike] = (),
    restarts: int,
    seed: int,
    largest: int = LARGEST,
) -> Float64Array:
    """Log of the chance (N, K) that each of embeddings (N, D) belongs to each cluster of the manifold.

    Several clusterings are made of the graph of nearest neighbours (its leading eigenvectors; mixtures in
    layouts, and small pieces of these layouts, merged), and :func:`best_of` says which to keep. Of more
    than ``largest`` embeddings that many are clustered; the others are as their neighbours among them are.

    Parameters
    ----------
    z
        Embeddings (N, D), at least ``n_clusters`` of them distinct.
    n_clusters
        Number of clusters K.
    baseline
        Labels (N,) by k-means in the embedding, which set the scale of separation.
    others
        Labels (N,) found elsewhere, which may be kept too.
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
    given = [np.asarray(labels, dtype=np.int64)[chosen] for labels in (baseline, *others)]
    found = _candidates(graph, anchors, n_clusters, restarts, seed)
    labels = best_of(graph, anchors, [*given, *found], n_clusters, seed=seed)
    # How sure a label is: what a point's neighbours say, itself included.
    votes = (graph + scipy.sparse.eye_array(len(anchors))) @ np.eye(n_clusters)[labels]
    votes /= votes.sum(axis=1, keepdims=True)
    if len(anchors) < len(points):
        near = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(anchors)
        votes = votes[near.kneighbors(points, return_distance=False)].mean(axis=1)
    votes = np.maximum(votes, LEAST_CHANCE)
    return np.asarray(np.log(votes / votes.sum(axis=1, keepdims=True)))


def best_of(
    graph: scipy.sparse.csr_array,
    points: Float64Array,
    candidates: Sequence[IntArray],
    n_clusters: int,
    *,
    seed: int = 0,
) -> IntArray:
    """The labels (N,) among ``candidates`` that suit graph and points best; the first are by k-means.

    The graph knows shapes and no scale: it parts what is a little apart, such as the noise of two stations,
    as willingly as what is far apart, and modularity wants clusters of even sizes. Distances know scale and
    no shapes. So of all candidates that keep at least :data:`LEAST_SEPARATION` of the mean silhouette that
    k-means has, or that the graph parts altogether, the one of greatest modularity is taken.

    Parameters
    ----------
    graph
        Symmetric weights (N, N) between the points.
    points
        (N, D), of which :data:`JUDGED` are drawn for the silhouettes.
    candidates
        Labels (N,) from 0 to ``n_clusters`` - 1.
    seed
        Of the draw.
    """
    drawn = np.random.default_rng(seed).permutation(len(points))[:JUDGED]
    least = LEAST_SEPARATION * max(0.0, _silhouette(points[drawn], candidates[0][drawn]))
    flows = [_flow(graph, labels, n_clusters) for labels in candidates]
    by_quality = np.argsort([-modularity(flow) for flow in flows], kind="stable")
    for i in map(int, by_quality):
        parted = normalised_cut(flows[i]) < PARTED * n_clusters
        if i == 0 or parted or _silhouette(points[drawn], candidates[i][drawn]) >= least:
            return candidates[i]
    return candidates[0]


def _silhouette(points: Float64Array, labels: IntArray) -> float:
    """Mean silhouette; -1 where all points have one label, which separates nothing."""
    if not 1 < len(np.unique(labels)) < len(points):
        return -1.0
    return float(silhouette_score(points, labels))


def _candidates(
    graph: scipy.sparse.csr_array, points: Float64Array, n_clusters: int, restarts: int, seed: int
) -> Iterator[IntArray]:
    """Labels (N,) of 0 to K - 1."""
    vectors = _leading_vectors(graph, max(n_clusters, max(DIMENSIONS) + 1))
    turned = vectors[:, :n_clusters] / np.maximum(
        np.linalg.norm(vectors[:, :n_clusters], axis=1, keepdims=True), np.finfo(np.float64).tiny
    )
    yield _kmeans_labels(turned, n_clusters, restarts, seed)
    degree = np.asarray(graph.sum(axis=1)).reshape(-1, 1)
    slow = (vectors / np.sqrt(degree))[:, 1:]  # the first one is the same everywhere
    slow /= np.maximum(slow.std(axis=0), np.finfo(np.float64).tiny)
    is_small = len(points) < FEW
    starts = [_principal_axes(points, 2), *(slow[:, :d] for d in DIMENSIONS)]
    for run, start in itertools.product(range(2 if is_small else 1), starts):
        y = lay_out(graph, start, epochs=300 if is_small else 200, seed=seed + run).astype(np.float64)
        fits = [
            fit_gaussian(y, n_clusters, s, start=GAUSSIAN_STARTS[i % len(GAUSSIAN_STARTS)])
            for i, s in enumerate(restart_seeds(seed, restarts))
        ]
        best = max(fit.quality for fit in fits)
        as_good = (fit for fit in fits if fit.quality >= (best[0], best[1] - AS_LIKELY))
        yield from (fit.log_posterior(y).argmax(axis=1) for fit in as_good)
        pieces = min(PIECES * n_clusters, len(np.unique(y, axis=0)))
        yield merged(graph, _kmeans_labels(y, pieces, 1, seed), n_clusters)


def merged(graph: scipy.sparse.csr_array, pieces: IntArray, n_clusters: int) -> IntArray:
    """Labels (N,) of ``n_clusters`` clusters, made of smaller ones by merging two at a time.

    Each time the two are merged whose merging lowers the normalised cut most: those that hold together, for
    how large they are.

    Parameters
    ----------
    graph
        Symmetric weights (N, N).
    pieces
        Labels (N,) of at least as many clusters; empty ones do not count.
    """
    label = np.unique(pieces, return_inverse=True)[1].reshape(-1).astype(np.int64)
    flow = _flow(graph, label, int(label.max()) + 1)
    while len(flow) > n_clusters:
        volume, inside = flow.sum(axis=1), np.diagonal(flow)
        kept = inside / volume
        both = (inside[:, None] + inside + 2 * flow) / (volume[:, None] + volume)
        gain = both - kept[:, None] - kept
        gain[np.tril_indices_from(gain)] = -np.inf
        low, high = np.unravel_index(int(np.argmax(gain)), gain.shape)
        flow[low] += flow[high]
        flow[:, low] += flow[:, high]
        flow = np.delete(np.delete(flow, high, axis=0), high, axis=1)
        label[label == high] = low
        label[label > high] -= 1
    return label


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
    member = scipy.sparse.csr_array(
        (np.ones(len(labels)), (np.arange(len(labels)), labels)), shape=(len(labels), n_clusters)
    )
    return np.asarray((member.T @ (graph @ member)).toarray())


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
