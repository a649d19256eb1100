"""The manifold step: its graph against closed forms, and clusters that no k-means can find."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse
import torch
from sklearn.datasets import make_circles, make_moons

from scaledec.numerics.dec.initialise import fit_gaussian, fit_kmeans, gaussian_of
from scaledec.numerics.dec.layout import lay_out, nearest_neighbours, neighbour_graph
from scaledec.numerics.dec.manifold import (
    best_of,
    manifold_clusters,
    merged,
    modularity,
    normalised_cut,
)
from scaledec.numerics.metrics import adjusted_rand_index
from scaledec.numerics.selection import nearest_centroid

Array = npt.NDArray[np.float64]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def cloud(n: int = 120, d: int = 4) -> Array:
    return np.random.default_rng(0).normal(size=(n, d))


def clusters(z: Array, k: int) -> npt.NDArray[np.int64]:
    baseline = nearest_centroid(z, fit_kmeans(z, k, 0).centroids)
    chance = manifold_clusters(z, k, baseline=baseline, restarts=3, seed=0)
    return np.asarray(chance.argmax(axis=1))


def test_neighbours_are_the_nearest_others() -> None:
    z = cloud()
    distance = np.linalg.norm(z[:, None] - z[None], axis=2) + np.diag(np.full(len(z), np.inf))
    position, found = nearest_neighbours(z, 5)
    np.testing.assert_array_equal(position, np.argsort(distance, axis=1)[:, :5])
    np.testing.assert_allclose(found, np.sort(distance, axis=1)[:, :5], rtol=1e-7)


def test_weights_of_a_point_sum_to_the_logarithm_of_its_neighbours_before_edges_are_joined() -> None:
    position, distance = nearest_neighbours(cloud(), 8)
    joined = neighbour_graph(position, distance).toarray()
    np.testing.assert_allclose(joined, joined.T, rtol=1e-12)
    # Where an edge was drawn from one side only, the joined weight is that side's own.
    drawn = np.zeros(joined.shape, bool)
    np.put_along_axis(drawn, position, True, axis=1)
    one_sided = drawn & ~drawn.T
    rows = np.flatnonzero((drawn == one_sided).all(axis=1))
    assert (joined[drawn] <= 1 + 1e-12).all()
    for row in rows:
        assert joined[row, position[row]].sum() == pytest.approx(3.0, abs=1e-6)
    assert ((joined > 0) == (drawn | drawn.T)).all()


def test_two_sided_edges_are_joined_as_independent_chances_are() -> None:
    # Two points are one another's nearest: both sides believe 1, and so does the edge.
    z = np.array([[0.0], [1.0], [10.0], [12.5], [30.0]])
    joined = neighbour_graph(*nearest_neighbours(z, 2)).toarray()
    assert joined[0, 1] == pytest.approx(1.0)
    assert joined[2, 3] == pytest.approx(1.0)


def test_modularity_and_cut_are_those_of_the_definition() -> None:
    flow = np.array([[6.0, 1.0], [1.0, 2.0]])
    assert modularity(flow) == pytest.approx(0.6 + 0.2 - 0.7**2 - 0.3**2)
    assert normalised_cut(flow) == pytest.approx(1 / 7 + 1 / 3)
    assert normalised_cut(np.array([[6.0, 0.0], [0.0, 0.0]])) == 1.0


def test_pieces_are_merged_where_the_normalised_cut_falls_most() -> None:
    rng = np.random.default_rng(0)
    weight = rng.random((40, 40)) * (rng.random((40, 40)) < 0.5)
    graph = scipy.sparse.csr_array(weight + weight.T)
    pieces = np.arange(40) % 5 + 10  # any numbers will do
    parts = [np.flatnonzero(pieces == p) for p in range(10, 15)]

    def cut(groups: list[npt.NDArray[Any]]) -> float:
        kept = [weight_of(graph, g, g) / weight_of(graph, g, np.arange(40)) for g in groups]
        return len(groups) - sum(kept)

    found = merged(graph, pieces, 4)
    pairs = itertools.combinations(range(5), 2)
    rivals = {
        (a, b): cut([np.r_[parts[a], parts[b]], *[p for i, p in enumerate(parts) if i not in (a, b)]])
        for a, b in pairs
    }
    a, b = min(rivals, key=lambda pair: rivals[pair])
    assert len(np.unique(found)) == 4
    assert set(np.flatnonzero(found == found[parts[a][0]])) == {*parts[a], *parts[b]}


def weight_of(graph: scipy.sparse.csr_array, rows: npt.NDArray[Any], columns: npt.NDArray[Any]) -> float:
    return float(graph.toarray()[np.ix_(rows, columns)].sum())


def noise_of_two_stations() -> tuple[Array, npt.NDArray[np.int64]]:
    """Two large groups a little apart and two small ones far away; which is which of three classes."""
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1, 2, 3], [300, 300, 30, 30])
    z = rng.normal(size=(660, 3)) + np.array([[0, 0, 0], [3.5, 0, 0], [0, 60, 0], [0, 0, 60]])[group]
    return z, np.maximum(group - 1, 0)


def test_what_is_far_apart_for_its_distance_beats_what_the_graph_alone_would_part() -> None:
    z, truth = noise_of_two_stations()
    graph = neighbour_graph(*nearest_neighbours(z, 10))
    split = np.where(truth == 0, z[:, 0] > 1.75, 2).astype(np.int64)  # two stations, and all else together
    share = [np.bincount(labels) / len(z) for labels in (split, truth)]
    assert 1 - np.square(share[0]).sum() > 1 - np.square(share[1]).sum()  # as modularity would have it
    np.testing.assert_array_equal(best_of(graph, z, [truth, split], 3), truth)
    # Where k-means itself separates no better than the split, shapes decide.
    np.testing.assert_array_equal(best_of(graph, z, [split, truth], 3), split)


def test_labels_that_are_all_the_same_are_never_kept() -> None:
    z, truth = noise_of_two_stations()
    graph = neighbour_graph(*nearest_neighbours(z, 10))
    np.testing.assert_array_equal(best_of(graph, z, [truth, np.zeros_like(truth)], 3), truth)


def test_one_large_class_is_not_split_for_the_sake_of_even_sizes() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [900, 45, 45])
    z = rng.normal(size=(990, 3)) + np.array([[0, 0, 0], [9, 0, 0], [0, 9, 0]])[truth]
    labels = clusters(z, 3)
    assert adjusted_rand_index(truth, labels) > 0.98


def test_equal_points_break_nothing() -> None:
    z = np.concatenate([np.zeros((60, 3)), cloud(60, 3)])
    graph = neighbour_graph(*nearest_neighbours(z, 10))
    assert np.isfinite(graph.data).all()
    assert np.isfinite(lay_out(graph, z[:, :2], epochs=50, seed=0)).all()


def test_what_lies_apart_is_laid_out_apart() -> None:
    z = np.concatenate([cloud(80), cloud(80) + 50])
    y = lay_out(neighbour_graph(*nearest_neighbours(z, 10)), z[:, :2], epochs=100, seed=0)
    middle = y[:80].mean(axis=0), y[80:].mean(axis=0)
    widest = max(
        np.linalg.norm(half - m, axis=1).max() for half, m in zip((y[:80], y[80:]), middle, strict=True)
    )
    assert np.linalg.norm(middle[0] - middle[1]) > 2 * widest


def test_the_seed_alone_decides_the_layout() -> None:
    z = cloud(300)
    graph = neighbour_graph(*nearest_neighbours(z, 10))
    first = lay_out(graph, z[:, :3], epochs=30, seed=1)
    torch.set_num_threads(2)
    assert lay_out(graph, z[:, :3], epochs=30, seed=1).tobytes() == first.tobytes()
    assert lay_out(graph, z[:, :3], epochs=30, seed=2).tobytes() != first.tobytes()


@pytest.mark.parametrize("shapes", [make_moons, make_circles])
def test_clusters_of_any_shape_are_found(shapes: type) -> None:
    options = {"factor": 0.4} if shapes is make_circles else {}
    z, truth = shapes(600, noise=0.05, random_state=0, **options)
    labels = clusters(z, 2)
    assert adjusted_rand_index(truth, labels) > 0.99
    assert adjusted_rand_index(truth, nearest_centroid(z, fit_kmeans(z, 2, 0).centroids)) < 0.6


def test_embeddings_beyond_the_layout_are_as_their_neighbours_in_it() -> None:
    z, truth = make_moons(1500, noise=0.05, random_state=0)
    baseline = nearest_centroid(z, fit_kmeans(z, 2, 0).centroids)
    found = manifold_clusters(z, 2, baseline=baseline, restarts=3, seed=0, largest=700)
    assert adjusted_rand_index(truth, found.argmax(axis=1)) > 0.98
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1.0, atol=1e-6)


def test_a_mixture_is_what_its_own_posteriors_make_of_the_data() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(3, 2))[rng.integers(0, 3, 900)] * 20 + rng.normal(size=(900, 2))
    fit = fit_gaussian(z, 3, 0)
    again = gaussian_of(z, fit.log_posterior(z), seed=0)
    np.testing.assert_allclose(again.weights, fit.weights, atol=1e-3)
    np.testing.assert_allclose(again.means, fit.means, atol=0.05)
    np.testing.assert_allclose(again.covariances, fit.covariances, atol=0.1)
