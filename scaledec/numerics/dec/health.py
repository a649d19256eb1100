"""Guards: an embedding or a clustering that cannot be gone on with is refused, with what to change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from scaledec.errors import TrainingError

__all__ = ["EmbeddingHealth", "check_embedding", "check_finite", "check_occupied", "check_spread"]

FloatArray: TypeAlias = npt.NDArray[np.floating]

DEAD_RATIO = 1e-6
"""A dimension whose standard deviation is below this share of the largest one's carries float32 noise."""
COLLAPSE_RATIO = 1e-4
"""Of the starting total variance: DEC tightens clusters by 10 to 100, a collapse goes to zero."""


@dataclass(frozen=True, slots=True)
class EmbeddingHealth:
    """What :func:`check_embedding` found."""

    variance: float
    """Total variance: sum over dimensions."""
    dead: tuple[int, ...]
    """Dimensions that do not vary, e.g. killed by a ReLU on the embedding."""


def check_embedding(z: FloatArray, n_clusters: int) -> EmbeddingHealth:
    """Check that embeddings (N, D) can be clustered into ``n_clusters``.

    Raises
    ------
    TrainingError
        If an embedding is not finite, if no dimension varies, or if there are fewer distinct points than
        clusters.
    """
    if not np.isfinite(z).all():
        bad = int((~np.isfinite(z).all(axis=1)).sum())
        raise TrainingError(
            f"{bad} of {len(z)} embeddings are not finite: the pretrained network diverged; "
            "lower pretrain.learning_rate and pretrain again"
        )
    spread = z.std(axis=0, dtype=np.float64) if len(z) else np.zeros(z.shape[1])
    # A spread that float32 cannot resolve beside the values themselves is none, however small its neighbours.
    resolvable = DEAD_RATIO * max(float(spread.max(initial=0.0)), float(np.abs(z).max(initial=0.0)))
    dead = np.flatnonzero(spread <= resolvable)
    if len(dead) == z.shape[1]:
        raise TrainingError(
            f"the embedding collapsed: none of its {z.shape[1]} dimensions varies over {len(z)} windows; "
            "pretrain longer or with a lower pretrain.learning_rate, or use another model.normalise"
        )
    distinct = _distinct_rows(z, n_clusters)
    if distinct < n_clusters:
        raise TrainingError(
            f"{len(z)} windows have only {distinct} distinct embeddings, fewer than cluster.n_clusters = "
            f"{n_clusters}; lower cluster.n_clusters or raise pretrain.windows"
        )
    return EmbeddingHealth(float(np.square(spread).sum()), tuple(int(i) for i in dead))


def check_spread(variance: float, at_start: float) -> None:
    """Raise ``TrainingError`` if the embeddings' total variance fell to nothing during clustering."""
    if not variance > COLLAPSE_RATIO * at_start:
        raise TrainingError(
            f"the embedding collapsed: its variance fell from {at_start:.3g} to {variance:.3g} during "
            "clustering; lower cluster.gamma or cluster.learning_rate, or use cluster.method: idec, "
            "whose decoder prevents it"
        )


def check_occupied(counts: npt.NDArray[np.integer]) -> None:
    """Raise ``TrainingError`` if a cluster holds no window; ``counts`` (K,) are windows a cluster."""
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        names = ", ".join(str(int(i)) for i in empty)
        raise TrainingError(
            f"{len(empty)} of {len(counts)} clusters hold no window (clusters {names} of counts "
            f"{counts.tolist()}); lower cluster.n_clusters to {max(2, len(counts) - len(empty))}, "
            "lower cluster.gamma, pretrain longer, or use another cluster.init"
        )


def check_finite(step: int, **values: float) -> None:
    """Raise ``TrainingError`` if a value (a loss, a variance) is not finite before step ``step``."""
    if all(np.isfinite(value) for value in values.values()):
        return
    found = ", ".join(f"{name} {value:g}" for name, value in values.items())
    raise TrainingError(
        f"clustering diverged before step {step} ({found}): lower cluster.learning_rate or cluster.gamma, "
        "or use cluster.loss: scaled"
    )


def _distinct_rows(z: FloatArray, enough: int) -> int:
    """Number of distinct rows, counted up to ``enough``: K passes instead of sorting a million rows."""
    left = z
    for found in range(enough):
        if not len(left):
            return found
        left = left[(left != left[0]).any(axis=1)]
    return enough
