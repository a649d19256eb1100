"""One pass over labels: the windows of each piece that fit a question, read ahead in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from scaledec.errors import ConfigError
from scaledec.queries.selection import Selection
from scaledec.queries.source import Piece, Source
from scaledec.stages.readahead import read_ahead

__all__ = ["Found", "scan"]

ValueT = TypeVar("ValueT")

# Pieces worked on at the same time: reading waits for the store, decoding and numpy for the processor.
_READERS = 4

_NO_OUTLIER = (
    "these labels have no outlier score: the run's model knows nothing of its training windows; cluster and "
    "label again, or leave the bound on outliers out"
)


@dataclass(frozen=True, slots=True)
class Found:
    """The windows of one piece that fit, by time."""

    piece: Piece
    place: npt.NDArray[np.int64]
    """Which windows of the piece they are, shape (window,)."""
    start_ns: npt.NDArray[np.int64]
    label: npt.NDArray[np.int16]
    values: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    """What else was asked to be read, each of shape (window,)."""

    def __len__(self) -> int:
        return len(self.place)


def scan(
    source: Source, wanted: Selection, make: Callable[[Found], ValueT], *, needs: Sequence[str] = ()
) -> Iterator[ValueT]:
    """Yield ``make(found)`` of every piece with a window that fits, channel after channel, by time.

    Memory holds a few pieces, however long the archive is. ``make`` runs in a reading thread.

    Parameters
    ----------
    needs
        Names of further values to read of the windows found, such as ``confidence``.

    Raises
    ------
    ConfigError
        If outliers are asked for and the run has no outlier score.
    StoreError
        If a piece cannot be read.
    """
    if wanted.min_outlier is not None and not source.has("outlier"):
        raise ConfigError(_NO_OUTLIER)

    def work(piece: Piece) -> ValueT | None:
        found = _find(source, wanted, needs, piece)
        return make(found) if len(found) else None

    for made in read_ahead(work, source.pieces(wanted), ahead=_READERS):
        if made is not None:
            yield made


def _find(source: Source, wanted: Selection, needs: Sequence[str], piece: Piece) -> Found:
    """The windows that fit; what else is wanted of them is read only if there are any."""
    label = source.read("label", piece)
    start_ns = source.start_ns(piece)
    fits = wanted.fits(label, start_ns)
    read: dict[str, npt.NDArray[Any]] = {}
    least = {"confidence": wanted.min_confidence, "outlier": wanted.min_outlier}
    for name, limit in least.items():
        if limit is not None and fits.any():
            read[name] = source.read(name, piece)
            if name == "outlier" and np.isnan(read[name][fits]).all():
                raise ConfigError(_NO_OUTLIER)  # rather than finding nothing
            fits &= read[name] >= limit
    place = np.flatnonzero(fits)
    if len(place):
        read |= {name: source.read(name, piece) for name in needs if name not in read}
    values = {name: read[name][place] for name in needs if name in read}
    return _by_time(Found(piece, place, start_ns[place], label[place], values))


def _by_time(found: Found) -> Found:
    """The same in the order of time, which is that of a store, not of every selection of a dataset."""
    if not (found.start_ns[1:] < found.start_ns[:-1]).any():
        return found
    order = np.argsort(found.start_ns, kind="stable")
    values = {name: column[order] for name, column in found.values.items()}
    return Found(found.piece, found.place[order], found.start_ns[order], found.label[order], values)
