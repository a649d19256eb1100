"""The frozen snapshot that DEC's target distribution comes from, and one pass that takes it.

Between two refreshes the target of a window depends on the snapshot's soft assignment of that window
and on the K frequencies of the whole training set, nothing else. Soft assignments of all windows are
kept (N x K float32) while they are small; beyond that the frozen encoder computes those of each
batch again, and the state is the encoder, the centroids and K numbers.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from scaledec.numerics.dec.assignment import (
    cluster_frequencies,
    log_soft_assignment,
    log_target_distribution,
)
from scaledec.numerics.nets.base import Autoencoder
from scaledec.training.data import TrainingData, rank_slice
from scaledec.training.saved_model import embed_tensor
from scaledec.training.session import TrainingSession

__all__ = [
    "FrozenEncoder",
    "Snapshot",
    "cell_variance",
    "embed_share",
    "gather_rows",
    "sum_over_ranks",
    "take_snapshot",
]

_WINDOWS = 64
"""Windows whose cells are summed at once: temporaries of a few MB."""
_ENCODED = 1024
"""Windows handed to the encoder at once, which takes them in chunks of its own."""
_ROWS = 16_384
"""Windows whose distances are computed at once: a few MB, whatever the training set's size."""


@dataclass(frozen=True, slots=True)
class FrozenEncoder:
    """Network and centroids as they were at a refresh; nothing trains them."""

    network: Autoencoder
    centroids: Tensor
    """(cluster, latent), on the CPU."""

    @classmethod
    def of(cls, network: Autoencoder, centroids: Tensor) -> FrozenEncoder:
        """A copy, which later steps do not change."""
        return cls(copy.deepcopy(network), centroids.detach().to("cpu", copy=True))

    def assign(self, windows: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
        """Embedding (n, latent) and log q (n, cluster), on the CPU, of windows (n, [plane,] ...)."""
        z_ND = embed_tensor(self.network, windows)
        return z_ND, self.log_assignment(z_ND, alpha)

    def log_assignment(self, z_ND: Tensor, alpha: float) -> Tensor:
        """log q (n, cluster) of embeddings (n, latent), on the CPU."""
        log_q = z_ND.new_empty((len(z_ND), len(self.centroids)))
        for start in range(0, len(z_ND), _ROWS):
            rows = slice(start, start + _ROWS)
            log_q[rows] = log_soft_assignment(z_ND[rows], self.centroids, alpha)
        return log_q


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a refresh learned of the whole training set."""

    frozen: FrozenEncoder
    alpha: float
    table: Tensor | None
    """log q (window, cluster) of all windows; ``None``: too large, computed again batch by batch."""
    labels: Tensor
    """int16, cluster of greatest soft assignment of this rank's share of the windows."""
    frequencies: Tensor
    """float64 (cluster,), soft frequencies over all windows."""
    counts: Tensor
    """int64 (cluster,), windows of each label."""
    variance: float
    """Total variance of the embedding: sum over its dimensions."""

    def log_target(self, windows: Tensor, position: Tensor) -> Tensor:
        """log p (n, cluster) of a batch: ``windows`` (n, [plane,] ...) lie at ``position`` (n,)."""
        log_q = self.frozen.assign(windows, self.alpha)[1] if self.table is None else self.table[position]
        return log_target_distribution(log_q, self.frequencies)


def take_snapshot(
    session: TrainingSession,
    network: Autoencoder,
    centroids: Tensor,
    data: TrainingData,
    *,
    alpha: float,
    table_bytes: int,
) -> Snapshot:
    """Freeze network and centroids and pass over all windows once, each rank over its share.

    Only the encoder runs; the network trains on afterwards in the mode it was in.

    Parameters
    ----------
    session
        Every rank calls this together.
    network, centroids
        As they are now.
    data
        All training windows, the same on each rank.
    alpha
        Degrees of freedom of the soft assignment.
    table_bytes
        Keep the soft assignments of all windows if they take no more than this.
    """
    n, n_clusters = len(data), len(centroids)
    frozen = FrozenEncoder.of(network, centroids)
    z_ND = embed_share(session, frozen.network, data)
    log_q = frozen.log_assignment(z_ND, alpha)
    labels = log_q.argmax(dim=1)
    sums = [
        cluster_frequencies(log_q),
        torch.bincount(labels, minlength=n_clusters).double(),
        z_ND.double().sum(dim=0),
    ]
    total = sum_over_ranks(session, torch.cat(sums))
    frequencies, counts, z_sum = torch.tensor_split(total, (n_clusters, 2 * n_clusters))
    squares = sum_over_ranks(session, (z_ND.double() - z_sum / n).square().sum())
    keep = n * n_clusters * log_q.element_size() <= table_bytes
    return Snapshot(
        frozen=frozen,
        alpha=alpha,
        table=gather_rows(session, log_q, n) if keep else None,
        labels=labels.to(torch.int16),
        frequencies=frequencies,
        counts=counts.long(),
        variance=float(squares) / n,
    )


def embed_share(session: TrainingSession, network: Autoencoder, data: TrainingData) -> Tensor:
    """Embedding (window, latent) of this rank's share of the windows, on the CPU."""
    batches = data.in_order(batch=_ENCODED, rank=session.rank, world_size=session.world_size)
    parts = [embed_tensor(network, batch.windows) for batch in batches]
    return torch.cat(parts) if parts else torch.empty((0, network.latent))


def cell_variance(session: TrainingSession, data: TrainingData) -> float:
    """Variance of all cells of all windows, in float64; each rank sums over its share."""
    sums = torch.zeros(2, dtype=torch.float64)
    for batch in data.in_order(batch=_WINDOWS, rank=session.rank, world_size=session.world_size):
        cells = batch.windows.double()
        sums += torch.stack([cells.sum(), cells.square().sum()]).cpu()
    mean, mean_square = (sum_over_ranks(session, sums) / (len(data) * data.cells)).tolist()
    return float(mean_square - mean**2)


def sum_over_ranks(session: TrainingSession, tensor: Tensor) -> Tensor:
    """The sum over ranks, where ``tensor`` lies; it travels through the session's device."""
    return session.all_reduce(tensor.to(session.device)).to(tensor.device)


def gather_rows(session: TrainingSession, share: Tensor, n: int) -> Tensor:
    """All ``n`` rows, of which each rank holds its :func:`rank_slice`, on every rank.

    A sum over ranks of tensors that are zero elsewhere: exact, and all that a session offers.
    """
    if session.world_size == 1:
        return share
    everything = share.new_zeros((n, *share.shape[1:]))
    everything[rank_slice(n, session.rank, session.world_size)] = share
    return sum_over_ranks(session, everything)
