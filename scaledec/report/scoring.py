"""How well labels recover what was planted: accuracy, NMI, ARI of several labellings of the same windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from scaledec.numerics.metrics import (
    adjusted_rand_index,
    hungarian_accuracy,
    normalised_mutual_information,
)
from scaledec.store.labels import UNLABELLED, LabelStore
from scaledec.store.training import TrainingStore
from scaledec.synthetic.families import FAMILY_NAMES
from scaledec.synthetic.truth import windows_truth
from scaledec.vocabulary import NANOSECONDS_PER_SECOND

if TYPE_CHECKING:
    import pandas as pd

    from scaledec.grid import Windows

__all__ = [
    "ArchiveTruth",
    "Score",
    "archive_truth",
    "confusion_table",
    "families_of_clusters",
    "score_labels",
    "score_table",
    "score_training_set",
    "windows_families",
]

Integers = npt.NDArray[np.int64]

# Labellings in a training set, the simplest first, and what people call them.
_METHODS = {"label_kmeans": "k-means", "label_gmm": "GMM", "label": "{method}"}


@dataclass(frozen=True, slots=True)
class Score:
    """One labelling against the truth."""

    method: str
    accuracy: float
    """Share of windows right under the best one-to-one match of clusters to families."""
    nmi: float
    """Normalised mutual information."""
    ari: float
    """Adjusted Rand index."""
    n_windows: int


@dataclass(frozen=True, slots=True)
class ArchiveTruth:
    """Label and truth of every labelled window of an archive, in the same order."""

    label: Integers
    family: Integers
    """Index into :data:`~scaledec.synthetic.families.FAMILY_NAMES`."""


def score_labels(family: npt.ArrayLike, labels: Mapping[str, npt.ArrayLike]) -> tuple[Score, ...]:
    """Score labellings of the same windows; windows without a label are left out of each.

    Parameters
    ----------
    family
        True family of each window, shape (window,).
    labels
        By method, each of shape (window,); -1 where there is no label.

    Raises
    ------
    ValueError
        If a labelling has no labelled window, or another number of windows than ``family``.
    """
    truth = np.asarray(family)
    scores = []
    for method, label in labels.items():
        found = np.asarray(label)
        if found.shape != truth.shape:
            raise ValueError(f"{method} has labels of shape {found.shape} for {truth.shape} windows")
        kept = found != UNLABELLED
        pair = truth[kept], found[kept]
        scores.append(
            Score(
                method,
                hungarian_accuracy(*pair),
                normalised_mutual_information(*pair),
                adjusted_rand_index(*pair),
                int(kept.sum()),
            )
        )
    return tuple(scores)


def score_training_set(
    training: TrainingStore, truth: pd.DataFrame, windows: Windows, method: str = "DEC"
) -> tuple[Score, ...]:
    """Score k-means, GMM and the run's own method on the windows it was trained on.

    Parameters
    ----------
    truth
        Truth table of the archive.
    windows
        Where windows lie on a segment.
    method
        What the run's own labels are called in the result.
    """
    family = windows_families(training, truth, windows)
    assigned = training.assignments()
    labels = {told.format(method=method): assigned[n] for n, told in _METHODS.items() if n in assigned}
    return score_labels(family, labels)


def windows_families(training: TrainingStore, truth: pd.DataFrame, windows: Windows) -> Integers:
    """True family of each window of a training set, shape (window,)."""
    names = [str(channel) for channel in training.channels]
    return windows_truth(truth, names, training.start_ns(windows), _length_ns(windows))


def archive_truth(labels: LabelStore, truth: pd.DataFrame) -> ArchiveTruth:
    """Label and true family of every labelled window of an archive."""
    windows, extent = labels.windows, labels.extent
    found_labels, found_families = [], []
    for index, channel in enumerate(extent.channels):
        label = labels.read_region(index, 0, extent.n_segments).label
        starts = labels.start_ns(index, 0, extent.n_segments)
        kept = label != UNLABELLED
        found_labels.append(label[kept].astype(np.int64))
        names = np.full(int(kept.sum()), str(channel))
        found_families.append(windows_truth(truth, names, starts[kept], _length_ns(windows)))
    return ArchiveTruth(np.concatenate(found_labels), np.concatenate(found_families))


def families_of_clusters(family: Integers, label: Integers, n_clusters: int) -> tuple[str, ...]:
    """The family each cluster stands for.

    Clusters and families are matched one to one as accuracy does it; a cluster left over stands for the
    family most of its windows hold.
    """
    table = np.zeros((n_clusters, len(FAMILY_NAMES)), dtype=np.int64)
    np.add.at(table, (label, family), 1)
    numbers = table.argmax(axis=1)
    clusters, families = linear_sum_assignment(table, maximize=True)
    # A match of no windows is none.
    matched = table[clusters, families] > 0
    numbers[clusters[matched]] = families[matched]
    return tuple(FAMILY_NAMES[number] for number in numbers)


def score_table(scores: Sequence[Score]) -> str:
    """Scores as aligned text, one line a method."""
    width = max(len("method"), *(len(score.method) for score in scores))
    lines = [f"{'method':{width}}  accuracy    NMI    ARI  windows"]
    lines += [
        f"{s.method:{width}}  {s.accuracy:8.3f}  {s.nmi:5.3f}  {s.ari:5.3f}  {s.n_windows:7d}" for s in scores
    ]
    return "\n".join(lines)


def confusion_table(truth: ArchiveTruth, n_clusters: int) -> pd.DataFrame:
    """Windows of each family (columns) in each cluster (rows)."""
    import pandas as pd

    table = np.zeros((n_clusters, len(FAMILY_NAMES)), dtype=np.int64)
    np.add.at(table, (truth.label, truth.family), 1)
    index = pd.Index(range(n_clusters), name="cluster")
    return pd.DataFrame(table, index=index, columns=pd.Index(FAMILY_NAMES, name="family"))


def _length_ns(windows: Windows) -> int:
    return round(windows.length_s * NANOSECONDS_PER_SECOND)
