"""k-means and Gaussian mixtures: restarts, determinism, scale, and data that cannot be clustered."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans

from scaledec.errors import TrainingError
from scaledec.numerics.dec.health import check_embedding, check_finite, check_occupied, check_spread
from scaledec.numerics.dec.initialise import (
    GAUSSIAN_STARTS,
    GaussianFit,
    KMeansFit,
    fit_gaussian,
    fit_kmeans,
    restart_seeds,
)
from scaledec.numerics.metrics import adjusted_rand_index

Array = npt.NDArray[np.float64]


def blobs(seed: int = 0, n: int = 600, k: int = 4, d: int = 3) -> tuple[Array, npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    return rng.normal(size=(k, d))[truth] * 8 + rng.normal(size=(n, d)), truth


def best_kmeans(z: Array, k: int, *, restarts: int, seed: int) -> KMeansFit:
    return max((fit_kmeans(z, k, s) for s in restart_seeds(seed, restarts)), key=lambda fit: fit.quality)


def best_gaussian(z: Array, k: int, *, restarts: int, seed: int) -> GaussianFit:
    starts = itertools.cycle(GAUSSIAN_STARTS)
    fits = (
        fit_gaussian(z, k, s, start=start)
        for s, start in zip(restart_seeds(seed, restarts), starts, strict=False)
    )
    return max(fits, key=lambda fit: fit.quality)


def labels_of(fit: GaussianFit, z: Array) -> npt.NDArray[np.intp]:
    density = [
        weight * multivariate_normal(mean, covariance).pdf(z)
        for weight, mean, covariance in zip(fit.weights, fit.means, fit.covariances, strict=True)
    ]
    return np.asarray(np.argmax(density, axis=0))


def test_a_fit_repeats_from_its_recorded_seed_and_survives_packing() -> None:
    z, _ = blobs(k=9)
    kmeans, mixture = best_kmeans(z, 9, restarts=8, seed=5), fit_gaussian(z, 9, 3)
    np.testing.assert_array_equal(fit_kmeans(z, 9, kmeans.seed).centroids, kmeans.centroids)
    for fit in (kmeans, mixture):
        again = type(fit).unpack(fit.pack(), 9, 3)
        assert repr(again) == repr(fit)


def test_inertia_is_as_good_as_the_librarys_own_restarts() -> None:
    z, _ = blobs(k=9)
    theirs = KMeans(9, n_init=20, random_state=1).fit(z).inertia_
    assert best_kmeans(z, 9, restarts=20, seed=0).inertia <= theirs * 1.0001


def test_more_restarts_keep_the_first_seeds() -> None:
    assert restart_seeds(7, 20)[:5] == restart_seeds(7, 5)
    assert len(set(restart_seeds(7, 100))) == 100


def test_both_starts_find_separated_groups() -> None:
    z, truth = blobs()
    kmeans, mixture = best_kmeans(z, 4, restarts=5, seed=0), best_gaussian(z, 4, restarts=5, seed=0)
    nearest = np.linalg.norm(z[:, None] - kmeans.centroids, axis=2).argmin(axis=1)
    assert adjusted_rand_index(truth, nearest) > 0.95
    assert adjusted_rand_index(truth, labels_of(mixture, z)) > 0.95


def test_a_mixture_does_not_depend_on_the_units_of_the_embedding() -> None:
    z, _ = blobs()
    units = np.array([1e-6, 1.0, 1e6])
    plain, scaled = fit_gaussian(z, 4, 3), fit_gaussian(z * units, 4, 3)
    assert scaled.lower_bound == pytest.approx(plain.lower_bound, abs=1e-9)
    np.testing.assert_allclose(scaled.means, plain.means * units, rtol=1e-6)
    np.testing.assert_allclose(scaled.covariances, plain.covariances * np.outer(units, units), rtol=1e-5)


def test_equal_windows_do_not_buy_the_best_likelihood() -> None:
    # Three copies of one far window would give a component a density without bound.
    z, truth = blobs(n=400)
    with_copies = np.concatenate([z, np.full((3, 3), 40.0)])
    fit = best_gaussian(with_copies, 4, restarts=9, seed=0)
    assert not fit.degenerate
    labels = labels_of(fit, z)
    assert adjusted_rand_index(truth, labels) > 0.9


def test_the_same_seed_gives_the_same_bytes() -> None:
    z, _ = blobs(k=6)
    first, second = (best_gaussian(z, 6, restarts=6, seed=1) for _ in range(2))
    assert first.means.tobytes() == second.means.tobytes()
    assert best_kmeans(z, 6, restarts=6, seed=1).centroids.tobytes() == (
        best_kmeans(z, 6, restarts=6, seed=1).centroids.tobytes()
    )


def test_a_mixture_survives_a_dead_dimension() -> None:
    z, truth = blobs()
    z = np.concatenate([z, np.zeros((len(z), 1))], axis=1)
    assert check_embedding(z, 4).dead == (3,)
    fit = best_gaussian(z, 4, restarts=3, seed=0)
    labels = labels_of(fit, z)
    assert adjusted_rand_index(truth, labels) > 0.95


@pytest.mark.parametrize(
    ("z", "sentence"),
    [
        (np.zeros((50, 3)), "collapsed: none of its 3 dimensions varies"),
        (np.full((50, 3), 7.0) + np.random.default_rng(0).normal(size=(50, 3)) * 1e-7, "collapsed"),
        (np.repeat(np.eye(3), 20, axis=0), "only 3 distinct embeddings, fewer than cluster.n_clusters = 4"),
        (np.where(np.eye(10, 3) > 0, np.nan, 1.0), "3 of 10 embeddings are not finite"),
    ],
)
def test_an_embedding_that_cannot_be_clustered_is_refused_with_what_to_change(
    z: Array, sentence: str
) -> None:
    with pytest.raises(TrainingError, match=sentence):
        check_embedding(z, 4)


def test_a_healthy_embedding_passes_and_dead_dimensions_are_named() -> None:
    z, _ = blobs()
    z[:, 1] = 0.0
    health = check_embedding(z, 4)
    assert health.dead == (1,)
    assert health.variance == pytest.approx(z.var(axis=0).sum())


def test_an_empty_cluster_is_named_with_what_to_change() -> None:
    check_occupied(np.array([5, 1]))
    with pytest.raises(TrainingError, match=r"1 of 3 clusters hold no window \(clusters 1 .*n_clusters to 2"):
        check_occupied(np.array([5, 0, 1]))


def test_a_collapse_during_clustering_is_told_from_tight_clusters() -> None:
    check_spread(0.02, 1.0)
    with pytest.raises(TrainingError, match=r"lower cluster\.gamma"):
        check_spread(1e-6, 1.0)
    with pytest.raises(TrainingError, match="collapsed"):
        check_spread(float("nan"), 1.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_says_when_and_what_to_change(bad: float) -> None:
    check_finite(7, reconstruction=0.1, kl=0.2)
    with pytest.raises(
        TrainingError, match=r"diverged before step 7 .*kl (nan|inf).*lower cluster.learning_rate"
    ):
        check_finite(7, reconstruction=0.1, kl=bad)
