"""Soft assignment, target and divergence against a float64 table and closed-form gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaledec.errors import TrainingError
from scaledec.numerics.dec.assignment import (
    cluster_frequencies,
    kl_divergence,
    log_soft_assignment,
    log_target_distribution,
)
from scaledec.numerics.dec.loss import loss_weights
from tests.dec.oracles import closed_form_gradients, full_table


def points(seed: int, n: int = 200, k: int = 5, d: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(n, d)) * 2), torch.from_numpy(rng.normal(size=(k, d)) * 2)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
def test_q_f_and_p_equal_the_full_float64_table(alpha: float) -> None:
    z, centroids = points(0)
    q, p, f = full_table(z, centroids, alpha)
    log_q = log_soft_assignment(z, centroids, alpha)
    frequencies = cluster_frequencies(log_q)
    np.testing.assert_allclose(log_q.exp(), q, rtol=1e-12)
    np.testing.assert_allclose(frequencies, f, rtol=1e-12)
    np.testing.assert_allclose(log_target_distribution(log_q, frequencies).exp(), p, rtol=1e-12)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.0])
def test_gradients_equal_their_closed_forms(alpha: float) -> None:
    z, centroids = (t.requires_grad_() for t in points(1))
    q, p, _ = full_table(z.detach(), centroids.detach(), alpha)
    log_p = torch.from_numpy(np.log(p))
    loss = kl_divergence(log_p, log_soft_assignment(z, centroids, alpha)).sum()
    by_z, by_centroid = torch.autograd.grad(loss, (z, centroids))
    expected_z, expected_centroid = closed_form_gradients(z.detach(), centroids.detach(), p, q, alpha)
    np.testing.assert_allclose(by_z, expected_z, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(by_centroid, expected_centroid, rtol=1e-9, atol=1e-12)


def test_a_batch_with_the_whole_sets_frequencies_gets_the_rows_of_the_full_table() -> None:
    z, centroids = points(2)
    _, p, _ = full_table(z, centroids, 1.0)
    log_q = log_soft_assignment(z, centroids)
    frequencies = cluster_frequencies(log_q)
    batch = log_q[40:56]
    np.testing.assert_allclose(log_target_distribution(batch, frequencies).exp(), p[40:56], rtol=1e-12)
    from_own_sum = log_target_distribution(batch, cluster_frequencies(batch)).exp().numpy()
    assert np.abs(from_own_sum - p[40:56]).max() > 0.02  # the fault: P of a mini-batch is another target


def test_frequencies_of_parts_add_up_to_the_whole_in_float64() -> None:
    z, centroids = points(3, n=100_000)
    log_q = log_soft_assignment(z.float(), centroids.float())
    total = sum(
        (cluster_frequencies(part) for part in torch.chunk(log_q, 103)), torch.zeros(5, dtype=torch.float64)
    )
    assert total.dtype == torch.float64
    _, _, f = full_table(z.float(), centroids.float(), 1.0)
    np.testing.assert_allclose(total, f, rtol=1e-7)


def test_q_far_below_one_hundred_thousandth_is_kept() -> None:
    # The fault: q rounded to 1e-5 loses the order of far clusters and makes log q of a zero.
    z = torch.zeros(1, 2)
    centroids = torch.tensor([[1e-3, 0.0], [3e4, 0.0], [6e4, 0.0]])
    log_q = log_soft_assignment(z, centroids)
    q = log_q.exp().double().numpy()[0]
    assert 0 < q[2] < q[1] < 1e-8
    assert q[1] / q[2] == pytest.approx(4.0, rel=1e-4)


def test_nothing_overflows_however_far_the_points_are() -> None:
    z, centroids = torch.tensor([[1e15], [-1e15]]), torch.tensor([[0.0], [1e15]])
    log_q = log_soft_assignment(z, centroids, alpha=50.0)
    log_p = log_target_distribution(log_q, cluster_frequencies(log_q))
    assert torch.isfinite(log_q).all()
    assert torch.isfinite(kl_divergence(log_p, log_q)).all()


def test_a_cluster_that_no_window_is_near_gets_no_target() -> None:
    log_q = torch.tensor([[0.0, -1e5], [0.0, -1e5]])
    frequencies = cluster_frequencies(log_q)
    assert frequencies[1] == 0
    assert log_target_distribution(log_q, frequencies).exp().tolist() == [[1.0, 0.0], [1.0, 0.0]]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-3, 1e3), alpha=st.floats(0.1, 20))
def test_rows_of_q_and_p_are_distributions_and_the_divergence_is_not_negative(
    seed: int, scale: float, alpha: float
) -> None:
    z, centroids = points(seed, n=50)
    log_q = log_soft_assignment(z * scale, centroids * scale, alpha)
    log_p = log_target_distribution(log_q, cluster_frequencies(log_q))
    np.testing.assert_allclose(log_q.exp().sum(dim=1), 1.0, rtol=1e-9)
    np.testing.assert_allclose(log_p.exp().sum(dim=1), 1.0, rtol=1e-9)
    assert (kl_divergence(log_p, log_q) > -1e-12).all()


def test_the_scaled_loss_does_not_depend_on_the_units_of_the_windows() -> None:
    weights = [
        loss_weights(method="idec", form="scaled", gamma=0.1, n_clusters=8, variance=v) for v in (1.0, 100.0)
    ]
    # Ten times larger windows have a hundred times larger squared error.
    assert weights[0].reconstruction * 0.5 == weights[1].reconstruction * 50
    assert weights[0].clustering == weights[1].clustering == 0.1 / np.log(8)


def test_the_raw_loss_is_the_published_one() -> None:
    weights = loss_weights(method="idec", form="raw", gamma=0.1, n_clusters=8, variance=7.0)
    assert (weights.reconstruction, weights.clustering) == (1.0, 0.1)


def test_dec_has_no_reconstruction_loss() -> None:
    weights = loss_weights(method="dec", form="raw", gamma=0.1, n_clusters=8, variance=7.0)
    assert (weights.reconstruction, weights.clustering) == (0.0, 1.0)


def test_windows_that_do_not_vary_are_refused() -> None:
    with pytest.raises(TrainingError, match="all the same"):
        loss_weights(method="idec", form="scaled", gamma=0.1, n_clusters=8, variance=0.0)
