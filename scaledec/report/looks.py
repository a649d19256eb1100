"""What the clusters of a run are called and how they are coloured: the same on every page and figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scaledec.report.canvas import shortened
from scaledec.report.palette import class_colours

__all__ = ["Looks", "background_cluster", "cluster_looks"]

_LONGEST_IN_FIGURES = 26


@dataclass(frozen=True, slots=True)
class Looks:
    """Names and colours of the clusters of a run, index = label."""

    full_names: tuple[str, ...]
    """As people gave them, with the number: ``3 icequake``; ``cluster 3`` where nobody did."""
    colours: tuple[str, ...]
    """As ``#rrggbb``."""
    notes: tuple[str, ...] = ()
    """What people noted beside the names; empty where they did not."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names for figures: short, and of letters that can be drawn."""
        return tuple(shortened(name, _LONGEST_IN_FIGURES) for name in self.full_names)

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(self.colours)


def background_cluster(counts: npt.ArrayLike) -> int | None:
    """The cluster that holds most of the training windows, if it holds more than half of them.

    A whole archive is mostly background: drawn in a strong colour it would hide the rest.
    """
    n = np.asarray(counts)
    return int(n.argmax()) if n.size > 1 and 2 * n.max() > n.sum() else None


def cluster_looks(
    n_clusters: int,
    names: Mapping[int, str],
    *,
    background: int | None = None,
    notes: Mapping[int, str] | None = None,
    families: Sequence[str] = (),
) -> Looks:
    """Names and colours of clusters.

    Parameters
    ----------
    names, notes
        That people gave, by cluster.
    background
        The cluster of windows that hold nothing (:func:`background_cluster`).
    families
        What each cluster stands for where the truth is known; for clusters that nobody named.
    """
    told = dict(enumerate(families)) | dict(names)
    return Looks(
        tuple(f"{k} {told[k]}" if told.get(k) else f"cluster {k}" for k in range(n_clusters)),
        class_colours(n_clusters, background),
        tuple((notes or {}).get(k, "") for k in range(n_clusters)),
    )
