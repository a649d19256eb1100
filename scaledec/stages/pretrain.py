"""Pretraining: an autoencoder learns to reproduce the sampled windows.

The loop is written against :class:`TrainingSession`: the same code runs here, in one Ray Train worker
or in many, from the start or from a checkpoint, and ends with the same weights.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from scaledec.errors import TrainingError
from scaledec.numerics.nets.base import Autoencoder
from scaledec.numerics.nets.noise import Noise
from scaledec.numerics.normalise import Normaliser
from scaledec.stages.pretrain_job import PretrainJob, PretrainOutcome
from scaledec.stages.pretrain_sight import write_sight
from scaledec.stages.run_folder import check_fingerprint, finished_facts
from scaledec.training.arithmetic import arithmetic, forward_pass
from scaledec.training.checkpoint import (
    load_state,
    optimiser_tensors,
    restore_optimiser,
    save_state,
    with_prefix,
    without_prefix,
)
from scaledec.training.data import Moved, TrainingData
from scaledec.training.placement import load_windows
from scaledec.training.saved_model import SavedModel
from scaledec.training.session import TrainingSession, sum_gradients
from scaledec.training.sources import fit_normaliser

__all__ = ["METRICS_FILE", "PRETRAINED", "PretrainJob", "PretrainOutcome", "pretrain_loop"]

METRICS_FILE = "metrics.jsonl"
"""One line an epoch, below the run's folder."""
PRETRAINED = "pretrained"
"""Folder of the pretrained model below the run's folder; its presence means pretraining is finished."""

# Windows of one evaluation step: more than 256 loses speed on a CPU.
_EVALUATED_AT_ONCE = 256


def pretrain_loop(session: TrainingSession, job: PretrainJob) -> PretrainOutcome:
    """Train until the validation loss stops falling, then write the best weights as a model.

    Parameters
    ----------
    session
        The engine, as a loop sees it.
    job
        What to train, on what, for how long.

    Raises
    ------
    TrainingError
        If a split is empty, no window has contrast, or the loss is not finite.
    StoreConflictError
        If the run's folder holds a model or checkpoint of other settings.
    """
    finished = _finished_outcome(job)
    if finished is not None:
        return finished
    with arithmetic(job.precision):
        return _pretrain(session, job)


def _pretrain(session: TrainingSession, job: PretrainJob) -> PretrainOutcome:
    normaliser = job.normaliser or fit_normaliser(job.normalise, job.source, clip_db=job.clip_db)
    where: dict[str, Any] = {
        "placement": job.placement,
        "device": session.device,
        "ranks": session.world_size,
    }
    training_windows = load_windows(job.source, normaliser, validation=False, **where)
    validation_windows = load_windows(job.source, normaliser, validation=True, **where)
    progress = _Progress.start(session, job)
    saved_at = time.monotonic()

    while not progress.is_over(job):
        started, ahead = time.monotonic(), progress.steps * job.batch
        training_loss = _train_epoch(session, job, progress, training_windows)
        seconds = time.monotonic() - started
        validation_loss = _mean_error(session, job, progress, validation_windows)
        rate = (len(training_windows) - ahead) / seconds
        metrics = progress.record(training_loss, validation_loss, job.learning_rate, seconds, rate)
        if job.shown_every and session.rank == 0 and progress.epoch % job.shown_every == 0:
            write_sight(job.run, progress.network, validation_windows, progress.epoch)
        is_due = time.monotonic() - saved_at >= job.checkpoint_interval_s
        if is_due:
            saved_at = time.monotonic()
            _write_metrics(session, job, progress)
        session.report(metrics, (lambda folder: progress.save(folder, job)) if is_due else None)

    _write_metrics(session, job, progress)
    outcome = progress.take_best()
    if progress.network.has_skips:
        loss = _mean_error(session, job, progress, validation_windows, from_embedding=True)
        outcome = replace(outcome, embedding_loss=loss)
    if session.rank == 0:
        _model(job, progress, normaliser, outcome).save(job.run.child(PRETRAINED))
    session.barrier()
    return outcome


@dataclass
class _Progress:
    """What changes while training: all of it is in a checkpoint, so that a resumed run is the same run."""

    network: Autoencoder
    optimiser: torch.optim.Optimizer
    best: dict[str, Tensor]
    """Weights of the epoch with the least validation loss."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One entry an epoch, as in the metrics file."""
    steps: int = 0
    """Optimiser steps of the epoch that has begun, up to its last checkpoint."""
    squares: float = 0.0
    """Sum of the errors met in these steps, over all ranks."""

    @classmethod
    def start(cls, session: TrainingSession, job: PretrainJob) -> _Progress:
        """From the newest checkpoint, or from initial weights if there is none."""
        network = job.network.build(job.seed).to(session.device)
        if job.compiled:
            network.compile(dynamic=True)
        optimiser = torch.optim.Adam(network.parameters(), job.learning_rate, fused=True)
        progress = cls(network, optimiser, {})
        with session.latest_checkpoint() as folder:
            if folder is not None:
                progress._load(folder, job)
        return progress

    @property
    def epoch(self) -> int:
        """Epochs behind us, which is also the number of the next one, from 0."""
        return len(self.history)

    @property
    def best_epoch(self) -> int:
        """The epoch with the least validation loss, from 1; the first one if several are equal."""
        losses = [entry["validation_loss"] for entry in self.history]
        return 1 + losses.index(min(losses)) if losses else 0

    def is_over(self, job: PretrainJob) -> bool:
        """Whether the last epoch is done or patience has run out."""
        return self.epoch >= job.epochs or self.epoch - self.best_epoch >= job.patience

    def record(
        self,
        training_loss: float,
        validation_loss: float,
        learning_rate: float,
        seconds: float,
        windows_per_s: float,
    ) -> dict[str, Any]:
        """Add an epoch; keep its weights if they are the best so far."""
        entry = {
            "epoch": self.epoch + 1,
            "train_loss": training_loss,
            "validation_loss": validation_loss,
            "learning_rate": learning_rate,
            "seconds": round(seconds, 3),
            "windows_per_s": round(windows_per_s, 1),
        }
        self.history.append(entry)
        if self.best_epoch == self.epoch:
            self.best = {name: t.detach().clone() for name, t in self.network.state_dict().items()}
        return entry

    def save(self, folder: Path, job: PretrainJob) -> None:
        """Write a checkpoint."""
        tensors = with_prefix("network", self.network.state_dict()) | with_prefix("best", self.best)
        tensors |= with_prefix("optimiser", optimiser_tensors(self.optimiser))
        values = {"history": self.history, "steps": self.steps, "squares": self.squares}
        save_state(folder, tensors, {"fingerprint": job.fingerprint, **values})

    def _load(self, folder: Path, job: PretrainJob) -> None:
        tensors, values = load_state(folder)
        check_fingerprint(job.run, job.fingerprint, values["fingerprint"], "checkpoints")
        self.network.load_state_dict(without_prefix("network", tensors), strict=True)
        restore_optimiser(self.optimiser, without_prefix("optimiser", tensors))
        self.best = without_prefix("best", tensors)
        self.history = values["history"]
        self.steps, self.squares = values.get("steps", 0), values.get("squares", 0.0)

    def take_best(self) -> PretrainOutcome:
        """Go back to the best weights, and say how it ended."""
        self.network.load_state_dict(self.best, strict=True)
        return self.outcome()

    def outcome(self) -> PretrainOutcome:
        """How it ended."""
        best = self.best_epoch
        return PretrainOutcome(self.epoch, best, self.history[best - 1]["validation_loss"])


def _model(
    job: PretrainJob, progress: _Progress, normaliser: Normaliser, outcome: PretrainOutcome
) -> SavedModel:
    """The model as its weights are now; what does not apply is left out of its facts."""
    facts = {"fingerprint": job.fingerprint, **asdict(outcome)}
    del facts["already_finished"]
    if outcome.embedding_loss is None:
        del facts["embedding_loss"]
    return SavedModel(progress.network, job.network, normaliser, facts=facts)


def _train_epoch(
    session: TrainingSession, job: PretrainJob, progress: _Progress, windows: TrainingData
) -> float:
    """The rest of a pass over the training windows; the mean squared error met on the way, over all ranks."""
    network, optimiser = progress.network, progress.optimiser
    cells, done = windows.cells, progress.steps
    between = max(1, job.checkpoint_windows // job.batch)
    n_steps = -(-len(windows) // job.batch)
    total = torch.zeros((), dtype=torch.float64, device=session.device)
    moved = Moved.of(job.augmentation, len(windows), seed=job.seed, epoch=progress.epoch)
    batches = windows.shuffled(
        batch=job.batch,
        seed=job.seed,
        epoch=progress.epoch,
        rank=session.rank,
        world_size=session.world_size,
    )
    for step, batch in enumerate(batches, start=1):
        if step <= done:
            continue
        x_NPTF = moved(batch)
        with forward_pass(job.precision, session.device):
            x_hat_NPTF, _ = network(x_NPTF, Noise(job.seed, progress.epoch, batch.position))
        # This rank's sum over everyone's count: summed over ranks it is the loss of the whole batch.
        loss = mse_loss(x_hat_NPTF.float(), x_NPTF, reduction="sum") / (batch.n_global * cells)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        sum_gradients(session, network.parameters())
        optimiser.step()
        total += loss.detach() * batch.n_global
        if step % between == 0 and step < n_steps:
            _checkpoint_within(session, job, progress, step, total)
    mean = (progress.squares + float(session.all_reduce(total))) / len(windows)
    progress.steps, progress.squares = 0, 0.0
    _check_finite(mean, "training", job, progress)
    return mean


def _checkpoint_within(
    session: TrainingSession, job: PretrainJob, progress: _Progress, step: int, total: Tensor
) -> None:
    """Keep where an epoch is, on all ranks at the same step; the sum of errors goes on from zero."""
    progress.squares += float(session.all_reduce(total))
    total.zero_()
    progress.steps = step
    _check_finite(progress.squares, "training", job, progress)
    told = {"epoch": progress.epoch, "windows": step * job.batch}
    session.report(told, lambda folder: progress.save(folder, job))


def _mean_error(
    session: TrainingSession,
    job: PretrainJob,
    progress: _Progress,
    windows: TrainingData,
    *,
    from_embedding: bool = False,
) -> float:
    """Mean squared error over all windows of all ranks, skips left out if asked for."""
    network = progress.network
    total = torch.zeros((), dtype=torch.float64, device=session.device)
    with torch.inference_mode():
        for batch in windows.in_order(
            batch=_EVALUATED_AT_ONCE, rank=session.rank, world_size=session.world_size
        ):
            x = batch.windows
            x_hat_NPTF = network.reconstruct_from_embedding(x) if from_embedding else network(x)[0]
            total += mse_loss(x_hat_NPTF, x, reduction="sum")
    mean = float(session.all_reduce(total)) / (len(windows) * windows.cells)
    _check_finite(mean, "validation", job, progress)
    return mean


def _check_finite(loss: float, split: str, job: PretrainJob, progress: _Progress) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"the {split} loss became {loss} in epoch {progress.epoch + 1}; lower pretrain.learning_rate "
            f"(now {job.learning_rate:g}) by a factor of ten, or use model.normalise: whiten "
            f"(now {job.normalise})"
        )


def _write_metrics(session: TrainingSession, job: PretrainJob, progress: _Progress) -> None:
    """Replace the metrics file by the history, so that a resumed run leaves no epoch twice."""
    if session.rank == 0:
        lines = "".join(json.dumps(entry) + "\n" for entry in progress.history)
        job.run.child(METRICS_FILE).write_bytes(lines.encode())


def _finished_outcome(job: PretrainJob) -> PretrainOutcome | None:
    """How an earlier session ended this job, if one did."""
    place = job.run.child(PRETRAINED)
    facts = finished_facts(place, job.run, job.fingerprint, "a pretrained model")
    return None if facts is None else PretrainOutcome(**facts, already_finished=True)
