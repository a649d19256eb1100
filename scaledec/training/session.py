"""What a training loop sees of the engine that runs it: ranks, sums over ranks, reports, checkpoints.

A loop written against :class:`TrainingSession` runs in this process, in one Ray Train worker or in
many, and gives the same numbers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn

from scaledec.location import Location
from scaledec.training.checkpoint import CheckpointShelf
from scaledec.vocabulary import JsonValue

__all__ = ["LocalSession", "Metrics", "OnReport", "SaveInto", "TrainingSession", "sum_gradients"]

Metrics: TypeAlias = Mapping[str, JsonValue]
OnReport: TypeAlias = Callable[[Metrics], None]
"""Called with the metrics of each report, in the process that started the training."""
SaveInto: TypeAlias = Callable[[Path], None]
"""Writes a checkpoint into an empty folder; see :func:`scaledec.training.checkpoint.save_state`."""


class TrainingSession(Protocol):
    """One rank of a training, as the loop sees it."""

    @property
    def rank(self) -> int:
        """Which of the ranks this is, from 0."""
        ...

    @property
    def world_size(self) -> int:
        """How many ranks train together."""
        ...

    @property
    def device(self) -> torch.device:
        """Where this rank computes."""
        ...

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """Replace ``tensor`` by its sum over all ranks, equal bits on each, and return it."""
        ...

    def barrier(self) -> None:
        """Wait until every rank is here."""
        ...

    def report(self, metrics: Metrics, save: SaveInto | None = None) -> None:
        """Tell the engine how it goes; every rank must call it equally often.

        ``save`` is called on rank 0 only. What it writes becomes the newest checkpoint, whole or not
        at all.
        """
        ...

    def latest_checkpoint(self) -> AbstractContextManager[Path | None]:
        """The folder of the newest whole checkpoint while the context lasts, ``None`` if there is none."""
        ...


class LocalSession:
    """The only rank, in this process.

    Parameters
    ----------
    checkpoints
        Folder of the checkpoints; ``None``: keep none.
    on_report
        Called with the metrics of each report.
    device
        Where to compute.
    """

    def __init__(
        self,
        checkpoints: Location | None,
        *,
        on_report: OnReport | None = None,
        device: torch.device | None = None,
    ) -> None:
        self._shelf = None if checkpoints is None else CheckpointShelf(checkpoints)
        self._on_report = on_report
        self._device = torch.device("cpu") if device is None else device

    @property
    def rank(self) -> int:
        """Always 0."""
        return 0

    @property
    def world_size(self) -> int:
        """Always 1."""
        return 1

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return self._device

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """The tensor itself: it is the sum over the only rank."""
        return tensor

    def barrier(self) -> None:
        """Return at once: there is nobody to wait for."""

    def report(self, metrics: Metrics, save: SaveInto | None = None) -> None:
        """Keep the checkpoint first, so that what is reported is not lost."""
        if save is not None and self._shelf is not None:
            with tempfile.TemporaryDirectory() as folder:
                save(Path(folder))
                self._shelf.add(Path(folder))
        if self._on_report is not None:
            self._on_report(metrics)

    @contextmanager
    def latest_checkpoint(self) -> Iterator[Path | None]:
        """The folder of the newest whole checkpoint while the context lasts, ``None`` if there is none."""
        if self._shelf is None:
            yield None
            return
        with self._shelf.newest() as folder:
            yield folder


def sum_gradients(session: TrainingSession, parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its sum over the ranks, in one message.

    A loss that is a sum over the rank's windows divided by the number of windows on all ranks then
    has the gradient of the whole batch. A parameter without a gradient (a rank whose share of the
    batch is empty) counts as zero. With one rank this does nothing.
    """
    if session.world_size == 1:
        return
    trained = [p for p in parameters if p.requires_grad]
    for p in trained:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
    gradients = [p.grad for p in trained if p.grad is not None]
    flat = session.all_reduce(torch.cat([g.reshape(-1) for g in gradients]))
    totals = torch.split(flat, [g.numel() for g in gradients])
    for gradient, total in zip(gradients, totals, strict=True):
        gradient.copy_(total.view(gradient.shape))
