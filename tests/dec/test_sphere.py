"""Sphering changes the units of the embedding and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scaledec.numerics.dec.sphere import sphere_network, sphering_matrix
from scaledec.numerics.nets.presets import NetworkSpec


def test_the_pooled_covariance_becomes_the_identity() -> None:
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(3, 4, 4))
    covariances = factors @ factors.transpose(0, 2, 1)
    weights = np.array([0.5, 0.3, 0.2])
    matrix = sphering_matrix(weights, covariances)
    sphered = sum(w * matrix @ c @ matrix.T for w, c in zip(weights, covariances, strict=True))
    np.testing.assert_allclose(sphered, np.eye(4), atol=1e-9)


def test_a_dead_direction_is_not_blown_up() -> None:
    matrix = sphering_matrix(np.ones(1), np.diag([4.0, 1e-20])[None])
    np.testing.assert_allclose(matrix, np.diag([0.5, 50.0]))


def test_reconstructions_stay_and_embeddings_change_units() -> None:
    network = NetworkSpec(8, 9, (4, 8), 3).build(0)
    x = torch.randn(5, 1, 8, 9, generator=torch.Generator().manual_seed(0))
    matrix = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.1], [0.0, 0.1, 4.0]])
    with torch.inference_mode():
        before, z_before = network(x)
        sphere_network(network, matrix)
        after, z_after = network(x)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(z_after, z_before.numpy() @ matrix.T, rtol=1e-4, atol=1e-5)


def test_a_rectified_embedding_is_refused() -> None:
    with pytest.raises(ValueError, match="only a linear embedding"):
        sphere_network(NetworkSpec(100, 87, (), 9, "jenkins2021").build(), np.eye(9))
