"""A seeded sample of windows of each class, in one pass, and what their power says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import numpy.typing as npt

from scaledec.numerics.spectra import linear_power, peak_frequency, rms_amplitude
from scaledec.places import Places
from scaledec.queries.scan import Found
from scaledec.queries.spectrogram import open_reader
from scaledec.stages.readahead import read_ahead
from scaledec.store.cubes import open_cube
from scaledec.store.labels import LabelStore

__all__ = ["ClassSample", "WindowPower", "window_powers"]

_READERS = 2


@dataclass(slots=True)
class ClassSample:
    """The ``size`` windows of each class with the smallest random numbers: any set of them equally likely.

    A window's number comes from the seed and its place, so the same question gives the same sample.
    """

    n_classes: int
    size: int
    seed: int
    n_windows: int
    """Of a segment."""
    rows: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 4), np.int64))
    """Label, channel, segment and window of each, by indices."""
    _number: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    _limit: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        self._limit = np.ones(self.n_classes)

    def candidates(self, found: Found) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Rows and numbers of those that may belong to the sample; may run in several threads."""
        piece = found.piece
        rng = np.random.default_rng([self.seed, piece.channel_index, piece.first])
        number = rng.random((piece.stop - piece.first) * self.n_windows)[found.place]
        # A limit that another thread has lowered since lets only more through.
        kept = number < self._limit[found.label]
        place, label = found.place[kept], found.label[kept]
        segment = piece.first + place // self.n_windows
        channel = np.full(len(place), piece.channel_index)
        return np.stack([label, channel, segment, place % self.n_windows], axis=1), number[kept]

    def add(self, rows: npt.NDArray[np.int64], number: npt.NDArray[np.float64]) -> None:
        """Keep what belongs to the sample so far."""
        rows, number = np.concatenate([self.rows, rows]), np.concatenate([self._number, number])
        order = np.lexsort((number, rows[:, 0]))
        label = rows[order, 0]
        rank = np.arange(len(label)) - np.searchsorted(label, label)
        kept = order[rank < self.size]
        self.rows, self._number = rows[kept], number[kept]
        for k in np.unique(self.rows[:, 0]).tolist():
            own = self._number[self.rows[:, 0] == k]
            if len(own) == self.size:
                self._limit[k] = own.max()


@dataclass(frozen=True, slots=True)
class WindowPower:
    """What the power of some windows says."""

    label: npt.NDArray[np.int64]
    amplitude: npt.NDArray[np.float64]
    """Root mean square in the cube's band, shape (window,)."""
    peak_frequency_hz: npt.NDArray[np.float64]


def window_powers(places: Places, store: LabelStore, rows: npt.NDArray[np.int64]) -> Iterator[WindowPower]:
    """Read windows from the cube, segment by segment.

    Parameters
    ----------
    rows
        Label, channel, segment and window of each, as :attr:`ClassSample.rows`.

    Raises
    ------
    StoreNotFoundError
        If there is no cube.
    """
    reader, index = open_reader(places, store)
    scale = open_cube(places.cube).template.scale
    frequency_hz = store.grid.frequency_hz
    by_place = rows[np.lexsort(rows.T[[3, 2, 1]])].tolist()
    groups = [(place, list(own)) for place, own in groupby(by_place, key=lambda row: (row[1], row[2]))]

    def read(group: tuple[tuple[int, int], list[list[int]]]) -> WindowPower:
        (channel, segment), own = group
        label = {window: k for k, _, _, window in own}
        windows = np.array(list(label), np.int64)
        place = index[store.extent.channels[channel]], segment
        there, power = reader.read(*place, windows, len(windows))
        linear = linear_power(power, scale)
        return WindowPower(
            np.array([label[window] for window in there.tolist()], np.int64),
            rms_amplitude(linear, frequency_hz),
            peak_frequency(linear, frequency_hz),
        )

    return read_ahead(read, groups, ahead=_READERS)
