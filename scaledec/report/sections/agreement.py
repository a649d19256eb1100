"""Methods against each other, and against the truth where there is any."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scaledec.numerics.metrics import (
    ClusterMoments,
    ClusterWidths,
    calinski_harabasz,
    davies_bouldin,
    effective_clusters,
    simplified_silhouette,
)
from scaledec.report.figures.contingency import Contingency, contingency_tables
from scaledec.report.gather.view import NO_TRAINING_SET, RunView
from scaledec.report.scoring import score_labels, windows_families
from scaledec.report.sections.section import Picture, Section, Table
from scaledec.synthetic.families import FAMILY_NAMES

__all__ = ["contingency_section", "metric_section", "truth_section"]


def contingency_section(view: RunView) -> Section:
    """The run's clusters against those of k-means and a Gaussian mixture."""
    title = "Methods against each other"
    text = (
        "Windows of the training set. Rows are this run's clusters; columns are clusters of another method "
        "on the pretrained embedding, in the order of the rows they share most windows with."
    )
    assigned, looks = view.assigned, view.looks
    if assigned is None:
        return Section("methods", title, text, missing=NO_TRAINING_SET)
    method = _method(view)
    tables = [
        _against(assigned.label, other, looks.names, f"{method} and {name}", (method, name))
        for name, other in (("k-means", assigned.label_kmeans), ("mixture", assigned.label_gmm))
    ]
    return Section(
        "methods",
        title,
        text,
        [
            Picture(
                "contingency",
                "Contingency of this run's clusters with those of k-means and a Gaussian mixture",
                lambda: contingency_tables(tables),
            )
        ],
    )


def truth_section(view: RunView) -> Section:
    """Clusters against what was planted."""
    found = view.archive_truth
    title = "Clusters and truth"
    if found is None:
        return Section(
            "truth",
            title,
            "",
            missing="No truth is known of this archive; `scaledec demo` makes one that has it.",
        )
    table = np.zeros((view.looks.n_clusters, len(FAMILY_NAMES)), np.int64)
    np.add.at(table, (found.label, found.family), 1)
    shown = Contingency(
        "clusters and what was planted", table, view.looks.names, FAMILY_NAMES, "cluster", "planted"
    )
    return Section(
        "truth",
        title,
        "All labelled windows of the archive, by cluster and by the family of signals planted there.",
        [Picture("confusion", "Windows by cluster and planted family", lambda: contingency_tables([shown]))],
    )


def metric_section(view: RunView) -> Section:
    """Every labelling of the training set, judged by itself and by the truth."""
    title = "Metrics"
    text = (
        "On the training set, each labelling in the embedding that it was made in. Calinski-Harabasz and "
        "silhouette: larger is better; Davies-Bouldin: smaller. The silhouette is the simplified one, from "
        "distances to centroids. Effective clusters: as many of equal size would be as diverse."
    )
    assigned = view.assigned
    if assigned is None:
        return Section("metrics", title, text, missing=NO_TRAINING_SET)
    labellings = {
        "k-means": (assigned.label_kmeans, assigned.embedding_pretrained),
        "Gaussian mixture": (assigned.label_gmm, assigned.embedding_pretrained),
        _method(view): (assigned.label, assigned.embedding),
    }
    head = ["method", "Calinski-Harabasz", "Davies-Bouldin", "silhouette", "effective clusters"]
    rows = {name: [name, *_judged(*pair)] for name, pair in labellings.items()}
    if view.truth is not None and view.training is not None:
        family = windows_families(view.training, view.truth, view.labels.windows)[assigned.row]
        for score in score_labels(family, {name: label for name, (label, _) in labellings.items()}):
            rows[score.method] += [f"{value:.3f}" for value in (score.accuracy, score.nmi, score.ari)]
        head += ["accuracy", "NMI", "ARI"]
        text += " Accuracy, NMI and adjusted Rand index hold labels against the planted families."
    return Section("metrics", title, text, tables=[Table(head, list(rows.values()))])


def _judged(label: npt.NDArray[np.int64], z: npt.NDArray[np.float32]) -> list[str]:
    n_clusters = int(label.max(initial=0)) + 1
    moments = ClusterMoments.of(z, label, n_clusters)
    told = f"{effective_clusters(np.bincount(label)):.2f}"
    if (moments.counts > 0).sum() < 2:
        return ["–", "–", "–", told]
    widths = ClusterWidths.of(z, label, moments.means)
    there = moments.counts > 0
    number = np.cumsum(there) - 1
    silhouette = simplified_silhouette(z, number[label], moments.means[there]).mean()
    values = calinski_harabasz(moments), davies_bouldin(moments, widths), silhouette
    return [f"{values[0]:,.0f}", f"{values[1]:.3f}", f"{values[2]:.3f}", told]


def _against(
    label: npt.NDArray[np.int64],
    other: npt.NDArray[np.int64],
    names: tuple[str, ...],
    title: str,
    axes: tuple[str, str],
) -> Contingency:
    """The other labelling's clusters in the order of the rows that they share most windows with."""
    from scipy.optimize import linear_sum_assignment

    table = np.zeros((len(names), int(other.max(initial=0)) + 1), np.int64)
    np.add.at(table, (label, other), 1)
    _, columns = linear_sum_assignment(table, maximize=True)
    left = [c for c in range(table.shape[1]) if c not in set(columns.tolist())]
    order = [*columns.tolist(), *left]
    return Contingency(title, table[:, order], names, [str(c) for c in order], *axes)


def _method(view: RunView) -> str:
    method = str(view.labels.attributes["scaledec_method"])
    return {"kmeans": "k-means (this run)", "gmm": "mixture (this run)"}.get(method, method.upper())
