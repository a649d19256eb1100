"""Windows that do not fit in memory: read where they are stored, one group of an epoch after another.

Batches are those of :class:`TrainingData`, to the bit: the order is drawn in the same way, and a window is
normalised by itself. Two groups are in memory at a time, the one that is trained on and the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scaledec.numerics.nets.base import with_planes
from scaledec.numerics.normalise import Normaliser
from scaledec.training.data import Batch, TrainingData, rank_slice
from scaledec.training.sources import WindowSource

__all__ = ["StreamedData"]

ItemT = TypeVar("ItemT")
ReadT = TypeVar("ReadT")

# Positions this close are read as one run: decoding a chunk twice costs more than skipping a few windows.
_NEARBY = 64
# Most windows of one read; some tens of MB as they are stored.
_RUN = 1024


@dataclass(frozen=True, slots=True)
class _Rows:
    """Normalised windows and the ascending positions that they have in the data."""

    position: Tensor
    windows: Tensor

    def at(self, position: Tensor) -> Tensor:
        """The windows at positions that are all here."""
        return self.windows[torch.searchsorted(self.position, position)]


class StreamedData(TrainingData):
    """Windows of a source, read when they are needed.

    Parameters
    ----------
    source, normaliser
        Where they come from, and what is done to each.
    sample
        Rows of the source that belong to the data, ascending, int64 (window,).
    device
        Where batches are wanted.
    group
        Windows that are shuffled, and kept, together.
    """

    def __init__(
        self,
        source: WindowSource,
        normaliser: Normaliser,
        sample: Tensor,
        *,
        device: torch.device,
        group: int | None = None,
    ) -> None:
        # Not the parent's: there are no windows to hand to it.
        self.shape = source.read(0, 1).shape[1:]
        self.sample, self.device, self.group = sample, device, group
        self._source, self._normaliser = source, normaliser

    def subset(self, kept: Tensor) -> StreamedData:
        """Those of the windows that a mask (window,) marks."""
        sample = self.sample[kept]
        return StreamedData(self._source, self._normaliser, sample, device=self.device, group=self.group)

    def shuffled(
        self, *, batch: int, seed: int, epoch: int, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """This rank's share of every batch of an epoch; only ``seed`` and ``epoch`` decide the order."""
        groups = self._groups(seed, epoch)
        shares = list(self._positions(torch.cat(groups), batch, rank, world_size))
        mine = torch.zeros(len(self), dtype=torch.bool)
        for position, _ in shares:
            mine[position] = True
        group_of = torch.empty(len(self), dtype=torch.int32)
        for number, members in enumerate(groups):
            group_of[members] = number
        loaded = _ahead(lambda members: self._load(members[mine[members]].sort().values), groups)
        held: dict[int, _Rows] = {}
        for position, n_global in shares:
            needed = set(group_of[position].tolist())
            while needed and (not held or max(held) < max(needed)):
                held[max(held, default=-1) + 1] = next(loaded)
            for number in [n for n in held if needed and n < min(needed)]:
                del held[number]
            yield Batch(with_planes(self._gather(held, position, group_of)), position, n_global)

    def in_order(self, *, batch: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
        """This rank's share of all windows, once, in storage order."""
        share = rank_slice(len(self), rank, world_size)
        step = max(1, _RUN // batch) * batch
        starts = range(share.start, share.stop, step)
        runs = [torch.arange(start, min(start + step, share.stop)) for start in starts]
        for rows in _ahead(self._load, runs):
            for windows, position in zip(rows.windows.split(batch), rows.position.split(batch), strict=True):  # type: ignore[no-untyped-call]
                yield Batch(with_planes(windows.to(self.device)), position, len(self))

    def _gather(self, held: dict[int, _Rows], position: Tensor, group_of: Tensor) -> Tensor:
        """Windows at positions that lie in one group or in two."""
        windows = torch.empty((len(position), *self.shape), pin_memory=self.device.type == "cuda")
        for number in sorted(set(group_of[position].tolist())):
            here = group_of[position] == number
            windows[here] = held[number].at(position[here])
        return windows.to(self.device, non_blocking=True)

    def _load(self, position: Tensor) -> _Rows:
        """Read and normalise the windows at ascending positions."""
        windows = torch.empty((len(position), *self.shape))
        rows = self.sample[position].numpy()
        for start, stop in _runs(rows):
            first = int(rows[start])
            stored = self._source.read(first, int(rows[stop - 1]) + 1)
            wanted = stored[rows[start:stop] - first]
            windows[start:stop] = torch.from_numpy(self._normaliser.apply(wanted))
        return _Rows(position, windows)


def _runs(rows: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Slices of ascending rows that are worth one read each."""
    start = 0
    for stop in range(1, len(rows) + 1):
        if stop == len(rows) or rows[stop] - rows[stop - 1] > _NEARBY or rows[stop] - rows[start] >= _RUN:
            yield start, stop
            start = stop


def _ahead(read: Callable[[ItemT], ReadT], items: Sequence[ItemT]) -> Iterator[ReadT]:
    """What ``read`` makes of each item, the next one being read while this one is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="windows") as pool:
        waiting = [pool.submit(read, item) for item in items[:1]]
        for index in range(len(items)):
            found = waiting.pop().result()
            waiting += [pool.submit(read, item) for item in items[index + 1 : index + 2]]
            yield found
