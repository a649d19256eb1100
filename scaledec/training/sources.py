"""Where sampled windows come from, before normalisation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from scaledec.location import Location
from scaledec.numerics.normalise import Kind, Normaliser, Scale
from scaledec.store.training import VALIDATION, TrainingStore

__all__ = ["ArrayWindows", "StoredWindows", "WindowSource", "fit_normaliser", "wanted_parts"]

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

    def read(self, first: int, stop: int) -> npt.NDArray[np.floating]:
        """Windows ``[first, stop)``."""
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

    def read(self, first: int, stop: int) -> npt.NDArray[np.floating]:
        """Windows ``[first, stop)``."""
        return self.windows[first:stop]


@dataclass(frozen=True)
class StoredWindows:
    """The windows of a training set on disk."""

    location: Location
    """Of the training set."""

    def __reduce__(self) -> tuple[type[StoredWindows], tuple[Location]]:
        # What is open here stays here.
        return StoredWindows, (self.location,)

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

    def read(self, first: int, stop: int) -> npt.NDArray[np.floating]:
        """Windows ``[first, stop)``."""
        return self._store.read(first, stop)

    @cached_property
    def _store(self) -> TrainingStore:
        return TrainingStore.open(self.location)


def fit_normaliser(
    kind: Kind, source: WindowSource, *, clip_db: tuple[float, float] | None = None
) -> Normaliser:
    """A normaliser fitted on the training split of ``source``, whose power is clipped to ``clip_db`` first.

    Raises
    ------
    TrainingError
        If no training window has contrast.
    """
    training = wanted_parts(source, ~source.is_validation())
    return Normaliser.fit(kind, training, scale=source.scale, clip_db=clip_db)


def wanted_parts(source: WindowSource, wanted: npt.NDArray[np.bool_]) -> Iterator[npt.NDArray[np.floating]]:
    """The wanted windows of each block that has any."""
    start = 0
    for block in source.blocks():
        mask = wanted[start : start + len(block)]
        start += len(block)
        if mask.any():
            yield block[mask]
