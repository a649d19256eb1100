"""k-means and mixtures from sums: against scikit-learn from the same start, and one rank against many."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from scaledec.numerics.dec.initialise import REGULARISATION, GaussianFit, KMeansFit, fit_gaussian, fit_kmeans
from scaledec.numerics.dec.statistics import polished_gaussian, polished_kmeans
from scaledec.stages import cluster_start
from scaledec.stages.cluster_start import find_starts
from scaledec.training.data import rank_slice
from scaledec.training.session import LocalSession, TrainingSession
from tests.stages.cluster_ranks import run_ranks

Array = npt.NDArray[np.float64]
K, D = 4, 3


@pytest.fixture(scope="module")
def cloud() -> Array:
    rng = np.random.default_rng(0)
    means = rng.normal(size=(K, D)) * 4 + 100  # far from zero, where sums of products would cancel
    return means[rng.integers(0, K, 1501)] + rng.normal(size=(1501, D)) * [0.2, 1.0, 3.0]


@pytest.fixture(scope="module")
def rough_kmeans(cloud: Array) -> KMeansFit:
    return fit_kmeans(cloud[:150], K, 1)


@pytest.fixture(scope="module")
def rough_gaussian(cloud: Array) -> GaussianFit:
    return fit_gaussian(cloud[:150], K, 1)


def alone(array: Array) -> Array:
    return array


def test_kmeans_ends_where_scikit_learns_does_from_the_same_start(
    cloud: Array, rough_kmeans: KMeansFit
) -> None:
    theirs = KMeans(K, init=rough_kmeans.centroids, n_init=1, algorithm="lloyd").fit(cloud)
    found = polished_kmeans(cloud, rough_kmeans, alone)
    np.testing.assert_allclose(found.centroids, theirs.cluster_centers_, rtol=1e-9)
    assert found.inertia == pytest.approx(theirs.inertia_, rel=1e-9)
    assert found.seed == rough_kmeans.seed


def test_a_mixture_ends_where_scikit_learns_does_from_the_same_start(
    cloud: Array, rough_gaussian: GaussianFit
) -> None:
    centre, width = cloud.mean(axis=0), cloud.std(axis=0)
    start = rough_gaussian
    theirs = GaussianMixture(
        K,
        reg_covar=REGULARISATION,
        max_iter=300,
        weights_init=start.weights,
        means_init=(start.means - centre) / width,
        precisions_init=np.linalg.inv(start.covariances / np.outer(width, width)),
    ).fit((cloud - centre) / width)
    found = polished_gaussian(cloud, start, alone)
    np.testing.assert_allclose(found.weights, theirs.weights_, rtol=1e-6)
    np.testing.assert_allclose(found.means, theirs.means_ * width + centre, rtol=1e-7)
    np.testing.assert_allclose(
        found.covariances, theirs.covariances_ * np.outer(width, width), rtol=1e-5, atol=1e-8
    )
    assert found.lower_bound == pytest.approx(theirs.lower_bound_, rel=1e-6)
    assert not found.degenerate


def test_three_ranks_take_the_steps_of_one(
    cloud: Array, rough_kmeans: KMeansFit, rough_gaussian: GaussianFit
) -> None:
    def polish(session: TrainingSession) -> tuple[KMeansFit, GaussianFit]:
        def reduce(array: Array) -> Array:
            return np.asarray(session.all_reduce(torch.from_numpy(array.copy())).numpy())

        share = cloud[rank_slice(len(cloud), session.rank, session.world_size)]
        return polished_kmeans(share, rough_kmeans, reduce), polished_gaussian(share, rough_gaussian, reduce)

    kmeans, mixture = (
        polished_kmeans(cloud, rough_kmeans, alone),
        polished_gaussian(cloud, rough_gaussian, alone),
    )
    for found in run_ranks(3, polish):
        np.testing.assert_allclose(found[0].centroids, kmeans.centroids, rtol=1e-9)
        np.testing.assert_allclose(found[1].means, mixture.means, rtol=1e-9)
        np.testing.assert_allclose(found[1].covariances, mixture.covariances, rtol=1e-7, atol=1e-10)


def test_a_cluster_that_loses_all_its_windows_stays_where_it_is(cloud: Array) -> None:
    centroids = np.concatenate([cloud[:3], cloud.mean(axis=0, keepdims=True) + 1e4])
    found = polished_kmeans(cloud, KMeansFit(centroids, np.inf, 0), alone)
    np.testing.assert_array_equal(found.centroids[3], centroids[3])
    assert np.isfinite(found.centroids).all()


def test_starts_of_a_large_set_come_from_a_draw_and_are_of_all_of_it_on_any_number_of_ranks(
    cloud: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    z = (cloud - cloud.mean(axis=0)).astype(np.float32)
    whole = find_starts(LocalSession(None), z, K, restarts=3, seed=0)
    monkeypatch.setattr(cluster_start, "LARGEST_RESTARTED", 300)
    one = find_starts(LocalSession(None), z, K, restarts=3, seed=0)
    assert one.kmeans.inertia == pytest.approx(whole.kmeans.inertia, rel=1e-3)
    assert one.gaussian.lower_bound == pytest.approx(whole.gaussian.lower_bound, abs=0.01)
    for found in run_ranks(2, lambda session: find_starts(session, z, K, restarts=3, seed=0)):
        np.testing.assert_allclose(found.kmeans.centroids, one.kmeans.centroids, atol=1e-8)
        np.testing.assert_allclose(found.gaussian.means, one.gaussian.means, atol=1e-8)
