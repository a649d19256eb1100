"""Training windows in memory, and the order in which every rank sees them.

A batch of an epoch is the same set of windows for any number of ranks; each rank takes its slice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scaledec.errors import TrainingError
from scaledec.location import Location
from scaledec.numerics.augment import Augmentation
from scaledec.numerics.nets.base import with_planes
from scaledec.numerics.normalise import Kind, Normaliser, Scale
from scaledec.store.training import VALIDATION, TrainingStore

__all__ = [
    "ArrayWindows",
    "Batch",
    "Moved",
    "StoredWindows",
    "TrainingData",
    "WindowSource",
    "epoch_order",
    "fit_normaliser",
    "load_windows",
    "rank_slice",
]

# Windows handed on at once by sources that have them all: some tens of MB.
_BLOCK = 1024


class WindowSource(Protocol):
    """Where sampled windows come from, before normalisation; picklable, opened where it is read."""

    @property
    def scale(self) -> Scale:
        """Scale of the windows' cells."""
        ...

    def is_validation(self) -> npt.NDArray[np.bool_]:
        """Which windows are held out, shape (window,)."""
        ...

    def blocks(self) -> Iterator[npt.NDArray[np.floating]]:
        """All windows in order, as blocks (window, [plane,] frame, frequency) of any length."""
        ...


@dataclass(frozen=True)
class ArrayWindows:
    """Windows that are already in memory."""

    windows: npt.NDArray[np.floating]
    """(window, frame, frequency), or with planes before the frames, in the scale below."""
    held_out: npt.NDArray[np.bool_]
    """(window,): whether it is for validation."""
    scale: Scale = "db"

    def is_validation(self) -> npt.NDArray[np.bool_]:
        """Which windows are held out, shape (window,)."""
        return self.held_out

    def blocks(self) -> Iterator[npt.NDArray[np.floating]]:
        """All windows in order."""
        for start in range(0, len(self.windows), _BLOCK):
            yield self.windows[start : start + _BLOCK]


@dataclass(frozen=True)
class StoredWindows:
    """The windows of a training set on disk."""

    location: Location
    """Of the training set."""

    @property
    def scale(self) -> Scale:
        """Scale of the windows' cells."""
        return self._store.template.scale

    def is_validation(self) -> npt.NDArray[np.bool_]:
        """Which windows are held out, shape (window,)."""
        return np.equal(self._store.split, VALIDATION)

    def blocks(self) -> Iterator[npt.NDArray[np.floating]]:
        """All windows in order, shard by shard."""
        for _, windows in self._store.iter_blocks():
            yield windows

    @property
    def _store(self) -> TrainingStore:
        return TrainingStore.open(self.location)


@dataclass(frozen=True, slots=True)
class Batch:
    """One rank's share of a global batch."""

    windows: Tensor
    """Normalised windows (window, plane, frame, frequency), float32; may be empty."""
    position: Tensor
    """Where they lie in the data they come from, int64 (window,)."""
    n_global: int
    """Windows of the batch over all ranks."""


@dataclass(frozen=True, slots=True)
class Moved:
    """The windows of an epoch's batches as training sees them: moved at random, or as they are."""

    augmentation: Augmentation | None
    moves: Tensor | None
    """Of every window of the training data (window, 2, 3)."""

    @classmethod
    def of(cls, augmentation: Augmentation | None, n: int, *, seed: int, epoch: int) -> Moved:
        """Draw the moves of all ``n`` windows, the same on every rank."""
        moves = None if augmentation is None else augmentation.draw(n, seed=seed, epoch=epoch)
        return cls(augmentation, moves)

    def __call__(self, batch: Batch) -> Tensor:
        """Windows (n, plane, frame, frequency) of a batch."""
        if self.augmentation is None or self.moves is None or not len(batch.windows):
            return batch.windows
        return self.augmentation.apply(batch.windows, self.moves[batch.position])


class TrainingData:
    """Normalised windows in memory.

    Parameters
    ----------
    windows
        (window, frame, frequency) or (window, plane, frame, frequency), float32, normalised.
    sample
        Row of each window in the training set it was taken from, int64 (window,); by default its
        position.
    """

    def __init__(self, windows: Tensor, sample: Tensor | None = None) -> None:
        self.windows = windows
        self.sample = torch.arange(len(windows)) if sample is None else sample

    def __len__(self) -> int:
        return len(self.windows)

    @property
    def cells(self) -> int:
        """Values of a window: planes times frames times frequencies."""
        return self.windows[:1].numel()

    def to(self, device: torch.device) -> TrainingData:
        """The same windows on a device."""
        return TrainingData(self.windows.to(device), self.sample)

    def shuffled(
        self, *, batch: int, seed: int, epoch: int, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """This rank's share of every batch of an epoch; only ``seed`` and ``epoch`` decide the order."""
        order = epoch_order(len(self), seed, epoch)
        for start in range(0, len(self), batch):
            members = order[start : start + batch]
            position = members[rank_slice(len(members), rank, world_size)]
            # index_select copies whole rows in parallel; the new axis makes the plane without a copy.
            x = self.windows.index_select(0, position.to(self.windows.device))
            yield Batch(with_planes(x), position, len(members))

    def in_order(self, *, batch: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
        """This rank's share of all windows, once, in storage order."""
        share = rank_slice(len(self), rank, world_size)
        for start in range(share.start, share.stop, batch):
            stop = min(start + batch, share.stop)
            yield Batch(with_planes(self.windows[start:stop]), torch.arange(start, stop), len(self))


def rank_slice(n: int, rank: int, world_size: int) -> slice:
    """The part of ``n`` things that a rank takes: consecutive, sizes as equal as can be.

    Examples
    --------
    >>> [rank_slice(5, rank, 2) for rank in (0, 1)]
    [slice(0, 2, None), slice(2, 5, None)]
    """
    return slice(n * rank // world_size, n * (rank + 1) // world_size)


def epoch_order(n: int, seed: int, epoch: int) -> Tensor:
    """A permutation of ``n``, int64, that depends on nothing but the arguments."""
    generator = np.random.Generator(np.random.PCG64([seed & 0xFFFF_FFFF_FFFF_FFFF, epoch]))
    return torch.from_numpy(generator.permutation(n))


def fit_normaliser(
    kind: Kind, source: WindowSource, *, clip_db: tuple[float, float] | None = None
) -> Normaliser:
    """A normaliser fitted on the training split of ``source``, whose power is clipped to ``clip_db`` first.

    Raises
    ------
    TrainingError
        If no training window has contrast.
    """
    training = _parts(source, ~source.is_validation())
    return Normaliser.fit(kind, training, scale=source.scale, clip_db=clip_db)


def load_windows(source: WindowSource, normaliser: Normaliser, *, validation: bool | None) -> TrainingData:
    """Read and normalise one split.

    Parameters
    ----------
    source
        Where the windows come from.
    normaliser
        Applied to each window.
    validation
        ``True``: the held-out windows; ``False``: those to train on; ``None``: all.

    Raises
    ------
    TrainingError
        If the split is empty.
    """
    held_out = source.is_validation()
    wanted = np.ones(len(held_out), bool) if validation is None else held_out == validation
    n = int(wanted.sum())
    if n == 0:
        raise TrainingError(
            f"the {'validation' if validation else 'training'} split holds none of the {len(held_out)} "
            "sampled windows; "
            "raise pretrain.windows, change pretrain.validation or widen the archive's extent"
        )
    windows: Tensor | None = None
    filled = 0
    for part in _parts(source, wanted):
        normalised = torch.from_numpy(normaliser.apply(part))
        windows = torch.empty((n, *part.shape[1:])) if windows is None else windows
        windows[filled : filled + len(part)] = normalised
        filled += len(part)
    assert windows is not None
    return TrainingData(windows, torch.from_numpy(np.flatnonzero(wanted)))


def _parts(source: WindowSource, wanted: npt.NDArray[np.bool_]) -> Iterator[npt.NDArray[np.floating]]:
    """The wanted windows of each block that has any."""
    start = 0
    for block in source.blocks():
        mask = wanted[start : start + len(block)]
        start += len(block)
        if mask.any():
            yield block[mask]
