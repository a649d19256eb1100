"""Deep Embedded Clustering from its first centroids to its stop: one rank of any number.

Works on windows in memory and knows of no store. N ranks give what one rank gives, to the rounding of
float32 sums: batches are the same sets, the target comes from sums over all ranks, gradients are summed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from scaledec.numerics.augment import Augmentation
from scaledec.numerics.dec.assignment import kl_divergence, log_soft_assignment
from scaledec.numerics.dec.health import check_finite, check_occupied, check_spread
from scaledec.numerics.dec.loss import LossWeights
from scaledec.numerics.metrics import effective_clusters
from scaledec.numerics.nets.base import Autoencoder
from scaledec.numerics.nets.noise import Noise
from scaledec.stages.cluster_target import Snapshot, gather_rows, sum_over_ranks, take_snapshot
from scaledec.training.arithmetic import Precision, forward_pass
from scaledec.training.checkpoint import (
    optimiser_tensors,
    restore_optimiser,
    save_state,
    with_prefix,
    without_prefix,
)
from scaledec.training.data import Batch, Moved, TrainingData, rank_slice
from scaledec.training.session import TrainingSession, sum_gradients

__all__ = ["DecOutcome", "DecSettings", "DecTraining", "Record", "SavedState"]

_log = logging.getLogger(__name__)

Record: TypeAlias = dict[str, Any]
"""One line of the metrics."""
SavedState: TypeAlias = "tuple[Mapping[str, Tensor], Mapping[str, Any]]"
"""Tensors and values of a checkpoint."""

JUDGED_STEPS = 100
"""Labels are compared for the stop over at least so many steps, and checkpoints lie at least so far apart.
In a small training set two refreshes are a few steps apart: few labels change, and nothing has converged."""
EMPTY_REFRESHES = 10
"""A cluster may be empty for a while (a wide Gaussian centred on a narrow one starts so), but not longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecSettings:
    """What decides the training, given windows, network and first centroids."""

    method: Literal["dec", "idec", "n2d"]
    """``idec`` and ``n2d`` train the decoder too, against forgetting what a window looks like."""
    weights: LossWeights
    alpha: float
    epochs: int
    batch: int
    """Windows of one step, over all ranks."""
    learning_rate: float
    updates_per_epoch: int
    tolerance: float
    """Stop when a smaller share of windows changed its label."""
    seed: int
    table_bytes: int = 256 * 2**20
    """Largest table of soft assignments kept between refreshes; beyond it they are computed again."""
    optimiser: Literal["adam", "sgd"] = "adam"
    """``sgd``: with momentum 0.9, as in Xie et al. (2016)."""
    refresh_steps: int | None = None
    """Refresh the target after so many steps instead of ``updates_per_epoch``."""
    augmentation: Augmentation | None = None
    """Moves of the windows trained on; targets are always those of the windows as they are."""
    precision: Precision = "float32"
    """Of the network's forward pass in a step."""
    taught_steps: int = 0
    """So many first steps follow the teacher instead of DEC's own target; labels cannot settle before."""
    taught_weights: LossWeights | None = None
    """Weights of these steps: the teacher needs no caution, whatever gamma; ``None``: as afterwards."""


@dataclass(frozen=True, slots=True)
class DecOutcome:
    """What the training ended with."""

    centroids: Tensor
    """float32 (cluster, latent), on the CPU."""
    counts: Tensor
    """int64 (cluster,): training windows of each."""
    history: tuple[Record, ...]
    """One record a refresh; the last one names the reason of the stop."""


class DecTraining:
    """One training; :meth:`run` takes it to its end.

    Parameters
    ----------
    session
        Every rank runs the same training.
    network
        Pretrained; trained further in place.
    centroids
        First centroids (cluster, latent).
    data
        All training windows, the same on each rank, on the session's device.
    settings
        See there.
    teacher
        log p (window, cluster) that the first ``taught_steps`` follow.
    carried
        Tensors and values that every checkpoint keeps along, such as the initialisation.
    on_refresh
        Called with the history after each refresh, on every rank.
    """

    def __init__(
        self,
        session: TrainingSession,
        network: Autoencoder,
        centroids: Tensor,
        data: TrainingData,
        settings: DecSettings,
        *,
        teacher: Tensor | None = None,
        carried: SavedState = ({}, {}),
        on_refresh: Callable[[Sequence[Record]], None] = lambda history: None,
    ) -> None:
        self._session, self._network, self._data, self._settings = session, network, data, settings
        self._teacher, self._carried, self._on_refresh = teacher, carried, on_refresh
        self._centroids = nn.Parameter(centroids.detach().to(session.device, torch.float32, copy=True))
        trained = network.encoder_parameters() if settings.method == "dec" else network.parameters()
        self._parameters = [*trained, self._centroids]
        self._optimiser = _optimiser(self._parameters, settings)
        steps = -(-len(data) // settings.batch)
        self._refresh_at = {
            steps * i // settings.updates_per_epoch for i in range(settings.updates_per_epoch)
        }
        self._epoch = self._step_of_epoch = self._step = 0
        self._history: list[Record] = []
        self._snapshot: Snapshot | None = None
        self._judged: Tensor | None = None  # labels that the stop is judged against, of this rank's share
        self._judged_step = 0
        self._totals = torch.zeros(3, dtype=torch.float64, device=session.device)

    def restore(self, saved: SavedState) -> None:
        """Take up where a checkpoint was written: right after a refresh."""
        tensors, values = saved
        self._network.load_state_dict(without_prefix("network", tensors), strict=True)
        with torch.no_grad():
            self._centroids.copy_(tensors["centroids"])
        restore_optimiser(self._optimiser, without_prefix("optimiser", tensors))
        self._judged = tensors["judged"][self._share]
        self._judged_step = values["judged_step"]
        self._epoch, self._step_of_epoch = values["epoch"], values["step_of_epoch"]
        self._step, self._history = values["step"], list(values["history"])
        self._snapshot = self._take_snapshot()

    def run(self) -> DecOutcome:
        """Train until labels settle or the epochs are used up.

        Raises
        ------
        TrainingError
            If a loss is not finite, the embedding collapses or a cluster stays empty; on every rank alike.
        """
        self._network.train()
        settings, session = self._settings, self._session
        first = self._step_of_epoch
        while not self._stopped and self._epoch < settings.epochs:
            batches = self._data.shuffled(
                batch=settings.batch,
                seed=settings.seed,
                epoch=self._epoch,
                rank=session.rank,
                world_size=session.world_size,
            )
            moved = Moved.of(settings.augmentation, len(self._data), seed=settings.seed, epoch=self._epoch)
            for self._step_of_epoch, batch in enumerate(batches):
                if self._step_of_epoch < first:
                    continue
                if self._refresh_due and self._refresh():
                    break
                self._train_on(batch, moved(batch))
            else:
                self._epoch, first = self._epoch + 1, 0
        if not self._stopped:
            self._refresh(last=True)
        snapshot = self._current
        return DecOutcome(snapshot.frozen.centroids, snapshot.counts, tuple(self._history))

    @property
    def _share(self) -> slice:
        return rank_slice(len(self._data), self._session.rank, self._session.world_size)

    @property
    def _stopped(self) -> bool:
        return bool(self._history) and self._history[-1]["stop_reason"] is not None

    @property
    def _refresh_due(self) -> bool:
        done = bool(self._history) and self._history[-1]["step"] == self._step
        every = self._settings.refresh_steps
        due = self._step_of_epoch in self._refresh_at if every is None else self._step % every == 0
        return due and not done

    @property
    def _current(self) -> Snapshot:
        assert self._snapshot is not None, "the first batch of every training is preceded by a refresh"
        return self._snapshot

    def _take_snapshot(self) -> Snapshot:
        return take_snapshot(
            self._session,
            self._network,
            self._centroids,
            self._data,
            alpha=self._settings.alpha,
            table_bytes=self._settings.table_bytes,
        )

    def _train_on(self, batch: Batch, x_NPTF: Tensor) -> None:
        self._optimiser.zero_grad()
        if len(x_NPTF):
            noise = Noise(self._settings.seed, self._epoch, batch.position)
            reconstruction, kl = self._losses(x_NPTF, noise, self._log_target(batch))
            weights = self._weights
            loss = (weights.reconstruction * reconstruction + weights.clustering * kl) / batch.n_global
            torch.autograd.backward(loss)
            sums = torch.stack([reconstruction.detach(), kl.detach(), kl.new_tensor(len(batch.windows))])
            self._totals += sums
        sum_gradients(self._session, self._parameters)
        self._optimiser.step()
        self._step += 1

    def _log_target(self, batch: Batch) -> Tensor:
        """log p (n, cluster) of the batch's windows as they are."""
        if self._is_taught:
            assert self._teacher is not None
            return self._teacher[batch.position]
        return self._current.log_target(batch.windows, batch.position)

    @property
    def _is_taught(self) -> bool:
        return self._teacher is not None and self._step < self._settings.taught_steps

    @property
    def _weights(self) -> LossWeights:
        taught = self._settings.taught_weights
        return self._settings.weights if taught is None or not self._is_taught else taught

    def _losses(self, x_NPTF: Tensor, noise: Noise, log_p: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squared error of each window and KL of each window, both summed over the batch's share."""
        with forward_pass(self._settings.precision, x_NPTF.device):
            if self._settings.method == "dec":
                x_hat, z_ND = None, self._network.encode(x_NPTF, noise)
            else:
                x_hat, z_ND = self._network(x_NPTF, noise)
        z_ND = z_ND.float()
        if x_hat is None:
            reconstruction = z_ND.new_zeros(())
        else:
            # One kernel, where differences and squares of their own would go over all cells three times.
            reconstruction = mse_loss(x_hat.float(), x_NPTF, reduction="sum") / self._data.cells
        log_q = log_soft_assignment(z_ND, self._centroids, self._settings.alpha)
        return reconstruction, kl_divergence(log_p.to(z_ND.device), log_q).sum()

    def _refresh(self, *, last: bool = False) -> bool:
        """Take a new snapshot, write down how it goes, and say whether this is the end."""
        before, snapshot = self._snapshot, self._take_snapshot()
        self._snapshot = snapshot
        record: Record = {"epoch": self._epoch, "step": self._step, "update": len(self._history)}
        record |= self._mean_losses()
        record["label_change"] = None if before is None else self._changed(before.labels)
        record["counts"] = snapshot.counts.tolist()
        record["frequencies"] = snapshot.frequencies.tolist()
        record["effective_clusters"] = effective_clusters(record["counts"])
        record["variance"] = snapshot.variance
        due = self._judged is None or self._step - self._judged_step >= JUDGED_STEPS
        settled = due and self._judge()
        record["stop_reason"] = "tolerance" if settled else "epochs" if last else None
        self._history.append(record)
        self._check(record)
        self._on_refresh(self._history)
        if due or last:
            self._checkpoint(record)
        return record["stop_reason"] is not None

    def _judge(self) -> bool:
        """Whether labels settled since they were judged last."""
        change = None if self._judged is None else self._changed(self._judged)
        self._judged, self._judged_step = self._current.labels, self._step
        return change is not None and change < self._settings.tolerance and not self._is_taught

    def _changed(self, labels: Tensor) -> float:
        """Share of all windows whose label differs from ``labels`` (of this rank's share)."""
        moved = (labels != self._current.labels).sum().double()
        return float(sum_over_ranks(self._session, moved)) / len(self._data)

    def _mean_losses(self) -> Record:
        """Means over the windows trained on since the last refresh; empty before the first step."""
        reconstruction, kl, n = sum_over_ranks(self._session, self._totals.clone()).tolist()
        self._totals.zero_()
        if n == 0:
            return {"reconstruction": None, "kl": None, "loss": None}
        weights = self._weights
        mean = {"reconstruction": reconstruction / n, "kl": kl / n}
        loss = weights.reconstruction * mean["reconstruction"] + weights.clustering * mean["kl"]
        return {**mean, "loss": loss}

    def _check(self, record: Record) -> None:
        losses = {name: record[name] for name in ("reconstruction", "kl") if record[name] is not None}
        check_finite(self._step, **losses, variance=record["variance"])
        check_spread(record["variance"], self._history[0]["variance"])
        recent = self._history[-EMPTY_REFRESHES:]
        if record["stop_reason"] or (
            len(recent) == EMPTY_REFRESHES and all(min(r["counts"]) == 0 for r in recent)
        ):
            check_occupied(self._current.counts.numpy())
        elif min(record["counts"]) == 0 and self._session.rank == 0:
            _log.warning("update %d: a cluster holds no window (%s)", record["update"], record["counts"])

    def _checkpoint(self, record: Record) -> None:
        assert self._judged is not None, "the first refresh is always judged"
        judged = gather_rows(self._session, self._judged.int(), len(self._data)).to(torch.int16)
        tensors = {
            **with_prefix("network", self._network.state_dict()),
            **with_prefix("optimiser", optimiser_tensors(self._optimiser)),
            "centroids": self._centroids.detach(),
            "judged": judged,
            **self._carried[0],
        }
        values = {
            "judged_step": self._judged_step,
            "epoch": self._epoch,
            "step_of_epoch": self._step_of_epoch,
            "step": self._step,
            "history": self._history,
            **self._carried[1],
        }
        self._session.report(record, partial(_save, tensors, values))


def _optimiser(parameters: Sequence[Tensor], settings: DecSettings) -> torch.optim.Optimizer:
    if settings.optimiser == "sgd":
        return torch.optim.SGD(parameters, settings.learning_rate, momentum=0.9, fused=True)
    return torch.optim.Adam(parameters, settings.learning_rate, fused=True)


def _save(tensors: Mapping[str, Tensor], values: Mapping[str, Any], folder: Path) -> None:
    save_state(folder, tensors, values)
