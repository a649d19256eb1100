"""Windows that meet intervals of time: counts by class, lift, and what chance would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Windows", "adjusted_p_values", "circular_shift", "lift", "two_sided_p"]

Times = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Windows:
    """Labelled windows of one channel."""

    start: Times
    """Ascending, shape (window,)."""
    label: npt.NDArray[np.int16]
    """Shape (window,)."""
    length: int
    """A window covers ``[start, start + length)``."""
    n_labels: int

    def within(self, begin: Times, end: Times) -> Counts:
        """Windows of each class that meet any of some intervals, each window once, shape (n_labels,).

        Parameters
        ----------
        begin, end
            Of intervals in any order, which may overlap, shape (interval,).
        """
        first, stop = self._met(begin, end)
        order = np.argsort(first, kind="stable")
        first, stop = first[order], stop[order]
        # What an interval before has met already is left to it.
        first = np.maximum(first, np.maximum.accumulate(np.concatenate([[0], stop]))[:-1])
        inside = _places(first, np.maximum(stop - first, 0))
        return np.bincount(self.label[inside], minlength=self.n_labels)

    def of_each(self, begin: Times, end: Times) -> Counts:
        """Windows of each class that meet each interval, shape (interval, n_labels)."""
        first, stop = self._met(begin, end)
        n = np.maximum(stop - first, 0)
        interval = np.repeat(np.arange(len(begin)), n)
        cell = interval * self.n_labels + self.label[_places(first, n)]
        return np.bincount(cell, minlength=len(begin) * self.n_labels).reshape(len(begin), self.n_labels)

    def _met(self, begin: Times, end: Times) -> tuple[Times, Times]:
        """First and end of the windows that each interval meets."""
        first = np.searchsorted(self.start, begin - self.length, side="right")
        return first, np.searchsorted(self.start, end, side="left")


def _places(first: Times, n: Times) -> Times:
    """``first, first + 1, ...``: so many from each."""
    before = np.cumsum(n) - n
    return np.repeat(first - before, n) + np.arange(int(n.sum()))


def circular_shift(begin: Times, end: Times, shift: int, span: tuple[int, int]) -> tuple[Times, Times]:
    """Intervals moved by ``shift`` within a span of time; what leaves at its end comes in at its start."""
    low, high = span
    moved = low + (begin - low + shift) % (high - low)
    until = moved + (end - begin)
    over = until > high
    return (
        np.concatenate([moved, np.full(np.count_nonzero(over), low)]),
        np.concatenate([np.minimum(until, high), until[over] - (high - low)]),
    )


def lift(inside: npt.ArrayLike, total: Counts) -> npt.NDArray[np.float64]:
    """Share of each class inside over the share of all windows; NaN where a class or the inside is empty.

    Parameters
    ----------
    inside
        Windows of each class that are inside, shape (..., class).
    total
        Windows of each class, shape (class,).
    """
    counts = np.asarray(inside, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        everywhere = counts.sum(axis=-1, keepdims=True) / total.sum()
        return np.asarray(np.where(total > 0, counts / total / everywhere, np.nan))


def two_sided_p(observed: float, by_chance: npt.NDArray[np.float64]) -> float:
    """Chance of a value as far out as the observed one, from what chance gave; NaN where it gave nothing.

    The observed value counts as one of them (Davison and Hinkley 1997, eq. 4.11), so that it is never 0.
    """
    known = by_chance[np.isfinite(by_chance)]
    if not np.isfinite(observed) or not len(known):
        return float("nan")
    above, below = np.count_nonzero(known >= observed), np.count_nonzero(known <= observed)
    return float(min(1.0, 2 * (1 + min(above, below)) / (1 + len(known))))


def adjusted_p_values(p: Sequence[float]) -> npt.NDArray[np.float64]:
    """As many tests were made: Holm's (1979) step-down adjustment; NaN stays."""
    values = np.asarray(p, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    adjusted = np.full(len(values), np.nan)
    scaled = values[order] * (len(order) - np.arange(len(order)))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled)) if len(order) else scaled
    return adjusted
