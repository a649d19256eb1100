"""Sphering: the embedding in units in which clusters are round.

DEC's soft assignment looks at Euclidean distances alone, so that dimensions of large spread decide
everything and elongated clusters are cut. A Gaussian mixture knows better: its pooled within-cluster
covariance says which differences mean something. An autoencoder with a linear embedding can be
rewritten so that this covariance is the identity, without changing what it reconstructs: the last
linear map of the encoder takes the factor, the first one of the decoder its inverse.
(The same change of units as in linear discriminant analysis: Fisher 1936, Rao 1948.)
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from scaledec.numerics.nets.base import Autoencoder

__all__ = ["sphere_network", "sphering_matrix"]

Float64Array: TypeAlias = npt.NDArray[np.float64]

LARGEST_STRETCH = 1e-4
"""Least variance of a direction beside the widest one: what is dead is not blown up to look alive."""


def sphering_matrix(weights: Float64Array, covariances: Float64Array) -> Float64Array:
    """Inverse square root (D, D) of the pooled covariance of a mixture's components.

    Parameters
    ----------
    weights
        (K,), summing to one.
    covariances
        (K, D, D).

    Returns
    -------
    Float64Array
        Symmetric A (D, D): in ``A z`` the pooled covariance is the identity.
    """
    pooled = np.einsum("k,kde->de", weights, covariances)
    variances, axes = np.linalg.eigh(pooled)
    variances = np.maximum(variances, LARGEST_STRETCH * variances.max())
    return np.asarray((axes / np.sqrt(variances)) @ axes.T)


def sphere_network(network: Autoencoder, matrix: Float64Array) -> None:
    """Make ``network`` embed into ``matrix @ z`` where it embedded into z; reconstructions stay as they are.

    Raises
    ------
    ValueError
        If the embedding is not linear: a rectifier does not commute with a change of units.
    """
    if not network.embeds_linearly:
        raise ValueError("only a linear embedding can be sphered; this network rectifies its embedding")
    encoder, decoder = network.to_latent, network.from_latent
    with torch.no_grad():
        for parameter in (encoder.weight, encoder.bias):
            changed = matrix @ parameter.double().cpu().numpy()
            parameter.copy_(torch.from_numpy(changed))
        inverse = decoder.weight.double().cpu().numpy() @ np.linalg.inv(matrix)
        decoder.weight.copy_(torch.from_numpy(inverse))
