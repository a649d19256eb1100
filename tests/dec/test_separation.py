"""Separation: streamed indices equal scikit-learn's on everything at once, silhouettes their definitions."""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score

from scaledec.numerics.metrics import (
    ClusterMoments,
    ClusterWidths,
    calinski_harabasz,
    davies_bouldin,
    sampled_silhouette,
    simplified_silhouette,
)

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def points(seed: int, n: int = 400, k: int = 4, offset: float = 0.0) -> tuple[Array, Labels]:
    rng = np.random.default_rng(seed)
    labels = np.r_[np.arange(k), rng.integers(0, k, n - k)]
    return rng.normal(size=(k, 3))[labels] * 3 + rng.normal(size=(n, 3)) + offset, labels


def streamed(z: Array, labels: Labels, k: int, cuts: list[int]) -> tuple[float, float]:
    """Both indices from chunks, the last chunk first."""
    chunks = list(zip(np.split(z, cuts), np.split(labels, cuts), strict=True))[::-1]
    moments = reduce(add, (ClusterMoments.of(*chunk, k) for chunk in chunks))
    widths = reduce(add, (ClusterWidths.of(*chunk, moments.means) for chunk in chunks))
    return calinski_harabasz(moments), davies_bouldin(moments, widths)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    cuts=st.lists(st.integers(0, 400), max_size=6).map(sorted),
    offset=st.sampled_from([0.0, -280.0, 1e5]),
)
def test_streamed_indices_equal_the_librarys_on_everything(seed: int, cuts: list[int], offset: float) -> None:
    found = streamed(*points(seed, offset=offset), 4, cuts)
    # Both indices are those of the points moved back; far from zero the library's own distances cancel.
    z, labels = points(seed)
    expected = calinski_harabasz_score(z, labels), davies_bouldin_score(z, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_moments_of_two_ranks_travel_as_vectors() -> None:
    z, labels = points(0)
    mine, theirs = (ClusterMoments.of(z[i::2], labels[i::2], 4) for i in range(2))
    received = ClusterMoments.unpack(theirs.pack(), 4, (3,))
    assert calinski_harabasz(mine + received) == pytest.approx(calinski_harabasz_score(z, labels), rel=1e-12)


def test_class_means_of_windows_of_any_shape_are_their_means() -> None:
    rng = np.random.default_rng(0)
    windows, labels = rng.normal(size=(50, 4, 5)), rng.integers(-1, 3, 50)
    moments = reduce(
        add, (ClusterMoments.of(windows[i : i + 7], labels[i : i + 7], 3) for i in range(0, 50, 7))
    )
    expected = [windows[labels == cluster].mean(axis=0) for cluster in range(3)]
    np.testing.assert_allclose(moments.means, expected, rtol=1e-12)


def test_an_empty_cluster_changes_nothing() -> None:
    z, labels = points(1)
    assert streamed(z, labels, 4, [100]) == pytest.approx(streamed(z, labels * 2, 9, [100]))


def test_one_cluster_has_no_separation() -> None:
    with pytest.raises(ValueError, match="two clusters"):
        calinski_harabasz(ClusterMoments.of(np.ones((5, 2)), np.zeros(5, int), 3))


def test_the_sampled_silhouette_of_everything_is_the_librarys() -> None:
    z, labels = points(2)
    labels[0] = 7  # a cluster of one window
    assert sampled_silhouette(z, labels, sample=400) == pytest.approx(silhouette_score(z, labels), abs=1e-9)


def test_a_sample_comes_close_also_where_one_class_outnumbers_another_twentyfold() -> None:
    z, labels = points(3, n=6000, k=2)
    labels = np.where(np.random.default_rng(0).random(6000) < 0.95, 0, labels)
    found = [sampled_silhouette(z, labels, sample=500, seed=seed) for seed in range(5)]
    assert np.abs(np.subtract(found, silhouette_score(z, labels))).max() < 0.03


def test_the_simplified_silhouette_follows_its_definition() -> None:
    z, labels = points(4, n=40)
    centroids = np.stack([z[labels == cluster].mean(axis=0) for cluster in range(4)])
    expected = []
    for point, label in zip(z, labels, strict=True):
        distance = np.linalg.norm(centroids - point, axis=1)
        a, b = distance[label], np.delete(distance, label).min()
        expected.append((b - a) / max(a, b))
    np.testing.assert_allclose(simplified_silhouette(z, labels, centroids), expected, rtol=1e-9)
    images = z.reshape(40, 3, 1)
    np.testing.assert_allclose(
        simplified_silhouette(images, labels, centroids.reshape(4, 3, 1)), expected, rtol=1e-9
    )
