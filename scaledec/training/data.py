"""Normalised windows in memory, and the order in which every rank sees them, wherever they are kept.

A batch of an epoch is the same set of windows for any number of ranks; each rank takes its slice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scaledec.numerics.augment import Augmentation
from scaledec.numerics.nets.base import with_planes

__all__ = ["Batch", "Moved", "TrainingData", "epoch_groups", "epoch_order", "rank_slice"]

GROUP_CELLS = 2**27
"""Values of the windows that are shuffled together: 512 MB. Training sets up to this size are shuffled as a
whole; of larger ones, blocks are drawn at random for one group after another, so that no more than two groups
need be in memory. The order is the same where all of it is."""
BLOCKS_PER_GROUP = 16


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
    """Normalised windows in the memory of this machine or of its device.

    Parameters
    ----------
    windows
        (window, frame, frequency) or (window, plane, frame, frequency), float32, normalised.
    sample
        Row of each window in the training set it was taken from, int64 (window,); by default its
        position.
    device
        Where batches are wanted; by default where the windows lie. Windows of host memory travel batch by
        batch.
    group
        Windows that are shuffled together; by default as many as :data:`GROUP_CELLS` makes them.
    """

    def __init__(
        self,
        windows: Tensor,
        sample: Tensor | None = None,
        *,
        device: torch.device | None = None,
        group: int | None = None,
    ) -> None:
        self.windows = windows
        self.shape = tuple(windows.shape[1:])
        self.sample = torch.arange(len(windows)) if sample is None else sample
        self.device = windows.device if device is None else device
        self.group = group

    def __len__(self) -> int:
        return len(self.sample)

    @property
    def cells(self) -> int:
        """Values of a window: planes times frames times frequencies."""
        return math.prod(self.shape)

    def subset(self, kept: Tensor) -> TrainingData:
        """Those of the windows that a mask (window,) marks."""
        windows = self.windows[kept.to(self.windows.device)]
        return TrainingData(windows, self.sample[kept], device=self.device, group=self.group)

    def shuffled(
        self, *, batch: int, seed: int, epoch: int, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """This rank's share of every batch of an epoch; only ``seed`` and ``epoch`` decide the order."""
        for position, n_global in self._positions(self._order(seed, epoch), batch, rank, world_size):
            yield Batch(with_planes(self._rows(position)), position, n_global)

    def in_order(self, *, batch: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
        """This rank's share of all windows, once, in storage order."""
        share = rank_slice(len(self), rank, world_size)
        for start in range(share.start, share.stop, batch):
            stop = min(start + batch, share.stop)
            x = self.windows[start:stop].to(self.device)
            yield Batch(with_planes(x), torch.arange(start, stop), len(self))

    def _order(self, seed: int, epoch: int) -> Tensor:
        return torch.cat(self._groups(seed, epoch))

    def _groups(self, seed: int, epoch: int) -> list[Tensor]:
        return epoch_groups(len(self), seed, epoch, self.group or max(1, GROUP_CELLS // self.cells))

    @staticmethod
    def _positions(order: Tensor, batch: int, rank: int, world_size: int) -> Iterator[tuple[Tensor, int]]:
        """This rank's positions in each batch, and how many windows the batch has."""
        for start in range(0, len(order), batch):
            members = order[start : start + batch]
            yield members[rank_slice(len(members), rank, world_size)], len(members)

    def _rows(self, position: Tensor) -> Tensor:
        if self.device == self.windows.device:
            # index_select copies whole rows in parallel.
            return self.windows.index_select(0, position.to(self.device))
        # Pinned memory lets the copy to the device overlap with its work; torch keeps it until it is done.
        rows = torch.empty((len(position), *self.shape), pin_memory=self.device.type == "cuda")
        torch.index_select(self.windows, 0, position, out=rows)
        return rows.to(self.device, non_blocking=True)


def rank_slice(n: int, rank: int, world_size: int) -> slice:
    """The part of ``n`` things that a rank takes: consecutive, sizes as equal as can be.

    Examples
    --------
    >>> [rank_slice(5, rank, 2) for rank in (0, 1)]
    [slice(0, 2, None), slice(2, 5, None)]
    """
    return slice(n * rank // world_size, n * (rank + 1) // world_size)


def epoch_order(n: int, seed: int, epoch: int, group: int | None = None) -> Tensor:
    """A permutation of ``n``, int64, that depends on nothing but the arguments; see :func:`epoch_groups`."""
    return torch.cat(epoch_groups(n, seed, epoch, n if group is None else group))


def epoch_groups(n: int, seed: int, epoch: int, group: int) -> list[Tensor]:
    """A permutation of ``n``, int64, in parts that can be made one after another.

    Each part holds consecutive positions from :data:`BLOCKS_PER_GROUP` random places, in random order,
    ``group`` or fewer in all. Up to ``group`` positions are one part: a permutation as any other.
    """
    generator = np.random.Generator(np.random.PCG64([seed & 0xFFFF_FFFF_FFFF_FFFF, epoch]))
    if n <= group:
        return [torch.from_numpy(generator.permutation(n))]
    block = max(1, group // BLOCKS_PER_GROUP)
    starts = generator.permutation(-(-n // block)) * block
    per_group = max(1, group // block)
    return [
        torch.from_numpy(generator.permutation(_members(starts[i : i + per_group].tolist(), block, n)))
        for i in range(0, len(starts), per_group)
    ]


def _members(starts: Sequence[int], block: int, n: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.concatenate([np.arange(start, min(start + block, n)) for start in starts])
