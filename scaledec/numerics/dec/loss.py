"""How reconstruction and clustering loss are weighed against each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from scaledec.errors import TrainingError

__all__ = ["LossWeights", "loss_weights"]


@dataclass(frozen=True, slots=True)
class LossWeights:
    """``L = reconstruction * MSE + clustering * KL``; MSE is a mean over cells, KL a mean over windows."""

    reconstruction: float
    clustering: float


def loss_weights(
    *,
    method: Literal["dec", "idec"],
    form: Literal["scaled", "raw"],
    gamma: float,
    n_clusters: int,
    variance: float,
) -> LossWeights:
    """Weights of the two losses.

    Parameters
    ----------
    method
        ``dec`` (Xie et al. 2016) drops the reconstruction and with it gamma;
        ``idec`` (Guo et al. 2017) keeps both.
    form
        ``raw``: MSE + gamma KL as published. ``scaled``: MSE / Var(x) + gamma KL / log K. Both terms
        are then fractions of what an empty model scores, and gamma means the same on any data:
        published settings differ 250-fold in gamma / mean(x^2).
    gamma
        Weight of the clustering loss beside the reconstruction.
    n_clusters
        K; log K is the largest KL of a one-hot target.
    variance
        Var(x) of the normalised training windows, all cells together.

    Raises
    ------
    TrainingError
        If the training windows do not vary, so that there is nothing to scale by.
    """
    clustering = 1.0 if form == "raw" else 1.0 / math.log(n_clusters)
    if method == "dec":
        return LossWeights(reconstruction=0.0, clustering=clustering)
    if form == "raw":
        return LossWeights(reconstruction=1.0, clustering=gamma)
    if not variance > 0.0:
        raise TrainingError(
            f"the training windows have variance {variance:g} after normalising: they are all the same; "
            "check that the cube holds signal, or use another model.normalise"
        )
    return LossWeights(reconstruction=1.0 / variance, clustering=gamma * clustering)
