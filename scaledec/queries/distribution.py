"""Quantiles of any number of values in bounded memory: equal values are counted, not kept."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

__all__ = ["QUARTILES", "ValueCounts"]

QUARTILES = (0.25, 0.5, 0.75)

_MOST_WAITING = 1_000_000
# More different values than these are rounded: four digits of a number are enough for a quartile.
_MOST_VALUES = 200_000
_DIGITS = 4


@dataclass(slots=True)
class ValueCounts:
    """How often each value was met."""

    value: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """Ascending."""
    count: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    _waiting: list[npt.NDArray[np.float64]] = field(default_factory=list)
    _n_waiting: int = 0

    def add(self, values: npt.NDArray[np.floating]) -> None:
        """Count more values."""
        self._waiting.append(np.asarray(values, np.float64))
        self._n_waiting += len(values)
        if self._n_waiting > _MOST_WAITING:
            self._settle()

    def __len__(self) -> int:
        return int(self.count.sum()) + self._n_waiting

    def quartiles(self) -> tuple[float, float, float]:
        """As ``numpy.quantile`` of all values gives them; NaN of none.

        Where more than 200,000 different values were met, they were rounded to four digits.
        """
        self._settle()
        n = int(self.count.sum())
        if not n:
            return np.nan, np.nan, np.nan
        reached = np.cumsum(self.count)
        place = np.array(QUARTILES) * (n - 1)
        low, high = (
            self.value[np.searchsorted(reached, f(place), side="right")] for f in (np.floor, np.ceil)
        )
        first, median, third = (low + (high - low) * (place % 1)).tolist()
        return first, median, third

    def _settle(self) -> None:
        values = np.concatenate([self.value, *self._waiting])
        counts = np.concatenate([self.count, np.ones(self._n_waiting, np.int64)])
        self._waiting, self._n_waiting = [], 0
        self.value, self.count = _equal_together(values, counts)
        if len(self.value) > _MOST_VALUES:
            self.value, self.count = _equal_together(_rounded(self.value), self.count)


def _equal_together(
    values: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    found, place = np.unique(values, return_inverse=True)
    return found, np.bincount(place, counts, minlength=len(found)).astype(np.int64)


def _rounded(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    size = np.floor(np.log10(np.where(values == 0, 1.0, np.abs(values))))
    unit = 10.0 ** (size - _DIGITS + 1)
    return np.asarray(np.round(values / unit) * unit)
