"""What clusters say of an embedding: how sure, and how far outside what they were trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import chi2, multivariate_normal, percentileofscore

from scaledec.numerics.clusters import Clusters, Mixture, TrainingReference

CENTROIDS = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
SPREAD = np.array([0.5, 1.0, 2.0])


def draw(n: int = 3000, seed: int = 0) -> npt.NDArray[np.float64]:
    """Embeddings around the centroids, a third of them each, with unequal widths."""
    rng = np.random.default_rng(seed)
    own = np.arange(n) % 3
    return np.asarray(CENTROIDS[own] + rng.standard_normal((n, 2)) * SPREAD[own][:, None])


def trained(**changes: Any) -> Clusters:
    bare = Clusters(CENTROIDS, **changes)
    return Clusters(CENTROIDS, **changes, reference=bare.refer_to(draw()))


def test_inside_the_score_is_the_share_of_training_windows_that_lie_nearer() -> None:
    clusters, z = trained(), draw()
    training = clusters.assign(z)
    new = clusters.assign(draw(seed=1))
    for k in range(3):
        own = training.distance[training.label == k]
        inside = (new.label == k) & (new.distance < own.max())
        expected = [percentileofscore(own, d) / 100 for d in new.distance[inside]]
        np.testing.assert_allclose(new.outlier[inside], expected, atol=0.012)
        assert new.outlier[inside].max() <= 1


def test_outside_the_score_is_the_multiple_of_the_farthest_training_window_and_never_ends() -> None:
    clusters = trained()
    training = clusters.assign(draw())
    farthest = training.distance[training.label == 1].max()
    times = np.array([1.0, 1.5, 4.0, 1e3, 1e9])
    z = CENTROIDS[1] + np.outer(times * farthest, [1, 0])
    found = clusters.assign(z)
    assert set(found.label) == {1}
    np.testing.assert_allclose(found.outlier, times, rtol=1e-5)


def test_the_score_has_no_scale() -> None:
    z = draw(seed=2)
    for factor in (1e-6, 1e6):
        bare = Clusters(CENTROIDS * factor)
        scaled = Clusters(CENTROIDS * factor, reference=bare.refer_to(draw() * factor))
        np.testing.assert_allclose(scaled.assign(z * factor).outlier, trained().assign(z).outlier, rtol=1e-4)


def test_a_mixture_measures_by_its_own_covariances() -> None:
    """Of a normal distribution, the squared Mahalanobis distance is chi-squared."""
    rng = np.random.default_rng(3)
    covariance = np.array([[9.0, 0.0], [0.0, 0.01]])
    bare = Clusters(CENTROIDS[:1], mixture=Mixture(np.ones(1), covariance[None]))
    z = rng.multivariate_normal([0, 0], covariance, 20_000)
    clusters = Clusters(CENTROIDS[:1], mixture=bare.mixture, reference=bare.refer_to(z))
    along, across = clusters.assign(np.array([[3.0, 0.0], [0.0, 0.3]])).outlier
    expected = chi2(2).cdf([1.0, 9.0])
    np.testing.assert_allclose([along, across], expected, atol=0.01)


def test_a_cluster_with_hardly_any_training_windows_is_measured_by_all() -> None:
    z = np.concatenate([draw(), [[500.0, 500.0]]])
    bare = Clusters(np.concatenate([CENTROIDS, [[500.0, 500.0]]]))
    reference = bare.refer_to(z)
    assert reference.count[3] == 1
    outlier = Clusters(bare.centroids, reference=reference).assign(np.array([[501.0, 500.0]])).outlier
    assert 0.3 < outlier[0] < 0.7


def test_a_reference_comes_back_from_its_arrays() -> None:
    reference = trained().reference
    assert reference is not None
    again = TrainingReference.from_arrays(reference.arrays())
    np.testing.assert_array_equal(again.reach, reference.reach)
    assert again.variance == reference.variance


@pytest.mark.parametrize("factor", [1e-4, 1.0, 1e4])
def test_confidence_of_k_means_is_the_posterior_of_equal_spherical_gaussians_at_any_scale(
    factor: float,
) -> None:
    bare = Clusters(CENTROIDS * factor, spherical=True)
    training, z = draw() * factor, draw(seed=4) * factor
    clusters = Clusters(CENTROIDS * factor, spherical=True, reference=bare.refer_to(training))
    label = clusters.assign(training).label
    variance = np.square(training - clusters.centroids[label]).mean()
    density = np.stack([multivariate_normal(c, variance).pdf(z) for c in clusters.centroids], axis=1)
    found = clusters.assign(z)
    np.testing.assert_allclose(found.confidence, density.max(1) / density.sum(1), rtol=1e-5)
    np.testing.assert_array_equal(found.label, density.argmax(1))
    assert np.median(found.confidence) > 0.99


def test_any_number_of_windows_is_assigned_as_one_by_one() -> None:
    clusters, z = trained(), draw(10_000, seed=5)
    whole = clusters.assign(z)
    for name in ("label", "confidence", "distance", "outlier"):
        single = [getattr(clusters.assign(row[None]), name)[0] for row in z[::500]]
        np.testing.assert_array_equal(getattr(whole, name)[::500], single)
    assert len(clusters.assign(z[:0]).label) == 0
