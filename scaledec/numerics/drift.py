"""How far labels of one time differ from those of another: tallies that add up, distances between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import jensenshannon

__all__ = ["FAR", "Departure", "Tally", "departure", "reasons"]

Counts: TypeAlias = npt.NDArray[np.int64]

FAR = 0.99
"""Outlier score that one in a hundred training windows exceeds."""
_FAR_SHARE = 0.05
"""Share of windows beyond :data:`FAR` from which on it is told: five times that of the training windows."""
_SHIFT = 0.1
"""Distance of distributions from which on it is told, unless the training period varies more by itself."""
_FEWEST = 200
"""Windows that are needed to judge a time by."""

CONFIDENCE_EDGES = np.linspace(0, 1, 51)
OUTLIER_EDGES = np.array([*(np.arange(20) / 20), FAR, 1.0, 1.5, 2.0, 4.0, np.inf])


@dataclass(frozen=True, slots=True)
class Tally:
    """What the labels of some windows are like; two of them add up to that of all their windows."""

    labels: Counts
    """Windows of each cluster (cluster,)."""
    confidence: Counts
    """Windows by confidence, (bin,) between ``CONFIDENCE_EDGES``."""
    outlier: Counts
    """Windows by outlier score, (bin,) between ``OUTLIER_EDGES``."""

    @classmethod
    def of(
        cls,
        label: npt.NDArray[np.integer],
        confidence: npt.NDArray[np.floating],
        outlier: npt.NDArray[np.floating],
        n_clusters: int,
    ) -> Tally:
        """Of windows, each array of one shape; those without a label (below 0) count nothing."""
        there = label >= 0
        return cls(
            np.bincount(label[there], minlength=n_clusters).astype(np.int64),
            np.histogram(confidence[there], CONFIDENCE_EDGES)[0].astype(np.int64),
            np.histogram(outlier[there], OUTLIER_EDGES)[0].astype(np.int64),
        )

    @classmethod
    def empty(cls, n_clusters: int) -> Tally:
        """Of no window."""
        nothing = np.empty(0)
        return cls.of(np.empty(0, np.int64), nothing, nothing, n_clusters)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.labels + other.labels, self.confidence + other.confidence, self.outlier + other.outlier
        )

    @property
    def n(self) -> int:
        """Windows with a label."""
        return int(self.labels.sum())

    @property
    def median_confidence(self) -> float:
        """To a fiftieth, by the bins; NaN of no window."""
        if not self.n:
            return float("nan")
        below = np.concatenate([[0], np.cumsum(self.confidence)]) / self.n
        return float(np.interp(0.5, below, CONFIDENCE_EDGES))

    def share_beyond(self, score: float) -> float:
        """Share of windows with an outlier score of at least one of the bins' edges; NaN of no window."""
        return float(self.outlier[OUTLIER_EDGES[:-1] >= score].sum() / self.n) if self.n else float("nan")

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {name: getattr(self, name).tolist() for name in ("labels", "confidence", "outlier")}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Tally:
        """The reverse of :meth:`to_json`."""
        return cls(*(np.array(values[name], np.int64) for name in ("labels", "confidence", "outlier")))


@dataclass(frozen=True, slots=True)
class Departure:
    """How far one tally's distributions are from another's; each from 0 (equal) to 1 (nothing in common)."""

    shares: float
    """Jensen-Shannon distance of class shares (Lin, 1991; base 2, its square root)."""
    confidence: float
    """Kolmogorov's distance of confidences: the largest difference of cumulative shares."""
    outlier: float
    """Kolmogorov's distance of outlier scores."""


def departure(tally: Tally, reference: Tally) -> Departure:
    """Of two tallies of at least one window each."""
    return Departure(
        float(np.nan_to_num(jensenshannon(tally.labels, reference.labels, base=2))),
        _kolmogorov(tally.confidence, reference.confidence),
        _kolmogorov(tally.outlier, reference.outlier),
    )


def _kolmogorov(counts: Counts, reference: Counts) -> float:
    cumulative = [np.cumsum(values) / values.sum() for values in (counts, reference)]
    return float(np.abs(cumulative[0] - cumulative[1]).max())


def reasons(
    tally: Tally, reference: Tally, usual: Sequence[Departure], names: Sequence[str]
) -> tuple[str, ...]:
    """Why a tally does not look like the training period, in words; empty where it does.

    Parameters
    ----------
    tally, reference
        Of the time in question, and of the whole training period.
    usual
        Departures of parts of the training period from all of it: what it varies by itself is no drift.
    names
        What the clusters are called.
    """
    if tally.n < _FEWEST or not reference.n:
        return ()
    found = departure(tally, reference)
    told = []
    in_words = {
        "shares": _told_shares(tally, reference, names),
        "confidence": _told_confidence(tally, reference),
        "outlier": _told_outlier(tally, reference),
    }
    for name, words in in_words.items():
        distance = getattr(found, name)
        most = max([_SHIFT, *(getattr(one, name) for one in usual)])
        if distance > most:
            told.append(f"{words} (distance {distance:.2f}, {most:.2f} allowed)")
    if tally.share_beyond(FAR) > max(_FAR_SHARE, 2 * reference.share_beyond(FAR)):
        told.append(
            f"{tally.share_beyond(FAR):.1%} of the windows lie farther from their cluster than {FAR:.0%} of "
            f"the training windows ({reference.share_beyond(FAR):.1%} in the training period)"
        )
    return tuple(told)


def _told_shares(tally: Tally, reference: Tally, names: Sequence[str]) -> str:
    now, then = tally.labels / tally.n, reference.labels / reference.n
    moved = int(np.abs(now - then).argmax())
    return f"class shares have moved, {names[moved]} most: {now[moved]:.1%} after {then[moved]:.1%}"


def _told_confidence(tally: Tally, reference: Tally) -> str:
    return f"median confidence is {tally.median_confidence:.2f} after {reference.median_confidence:.2f}"


def _told_outlier(tally: Tally, reference: Tally) -> str:
    return (
        f"windows lie elsewhere around their clusters: {tally.share_beyond(0.5):.0%} beyond the middle of "
        f"the training windows after {reference.share_beyond(0.5):.0%}"
    )
