"""How the run was trained: curves, reconstructions, the number of clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scaledec.report.figures.learning import ClusteringCurve, PretrainingCurve, learning_curves
from scaledec.report.figures.reconstructions import Reconstruction, reconstructions
from scaledec.report.gather.view import NO_TRAINING_SET, RunView
from scaledec.report.sections.section import AT_ONCE, Picture, Section, numbered
from scaledec.report.selection import selection_figure
from scaledec.stages.select_k import kept_selection

__all__ = ["curves_section", "reconstruction_section", "selection_section"]


def curves_section(view: RunView) -> Section:
    """Losses of both phases and label change."""
    pretraining = view.metrics("metrics.jsonl")
    clustering = view.metrics("metrics-cluster.jsonl")
    first = second = None
    if pretraining:
        first = PretrainingCurve(
            epoch=_column(pretraining, "epoch"),
            training=_column(pretraining, "train_loss"),
            validation=_column(pretraining, "validation_loss"),
        )
    if clustering:
        second = ClusteringCurve(
            step=_column(clustering, "step"),
            reconstruction=_column(clustering, "reconstruction"),
            divergence=_column(clustering, "kl"),
            label_change=_column(clustering, "label_change"),
            effective_clusters=_column(clustering, "effective_clusters"),
            tolerance=view.config.cluster.tolerance,
        )
    return Section(
        "curves",
        "Learning curves",
        "Pretraining: the loss of the autoencoder on training and held-out windows. Clustering: both parts "
        "of its loss, the share of labels that still changed, and how many clusters of equal size would be "
        "as diverse as those found.",
        [
            Picture(
                "learning-curves",
                "Losses of pretraining and clustering, and change of labels",
                lambda: learning_curves(first, second),
            )
        ]
        if pretraining or clustering
        else [],
        missing="" if pretraining or clustering else "The run keeps no metrics.",
    )


def reconstruction_section(view: RunView) -> Section:
    """One training window of each cluster through the network."""
    model, assigned, windows = view.model, view.assigned, view.windows
    text = (
        "A training window of each cluster (the one at the median distance) as the network sees it, its "
        "embedding (in standard deviations from the mean of the training set), and what the decoder makes "
        "of the embedding alone."
    )
    title = "Input, embedding, reconstruction"
    if model is None:
        return Section("reconstructions", title, text, missing="The model is gone.")
    if assigned is None or windows is None:
        return Section("reconstructions", title, text, missing=NO_TRAINING_SET)
    if model.network.has_skips:
        text += " The network has skip connections: they are zeroed here, as they are for centroids."
    chosen = _at_median(assigned.label[windows.position], assigned.distance[windows.position])
    z = assigned.embedding.astype(np.float64)
    scaled = (z - z.mean(axis=0)) / np.maximum(z.std(axis=0), 1e-12)
    given, made = model.reconstruct(windows.windows[list(chosen.values())])
    found = [
        Reconstruction(
            view.looks.names[k],
            view.looks.colours[k],
            given[i],
            scaled[windows.position[row]],
            made[i],
        )
        for i, (k, row) in enumerate(chosen.items())
    ]
    grid = view.labels.windows
    return Section(
        "reconstructions",
        title,
        text,
        [
            Picture(
                numbered("reconstructions", first, len(found)),
                "Input, embedding and reconstruction of a window of each cluster",
                lambda first=first: reconstructions(  # type: ignore[misc]
                    found[first : first + AT_ONCE],
                    frame_s=np.arange(grid.length, dtype=np.float64) * grid.hop_s,
                    frequency_hz=view.labels.grid.frequency_hz,
                    planes=view.labels.planes,
                ),
            )
            for first in range(0, len(found), AT_ONCE)
        ],
    )


def selection_section(view: RunView) -> Section:
    """Criteria over the number of clusters, where they were computed."""
    title = "Number of clusters"
    text = (
        "Criteria on the pretrained embedding, each over the number of clusters; dotted: what it prefers. "
        "They need not agree: clusters that people tell apart are rarely round and equal."
    )
    found = kept_selection(view.places.run(view.run))
    if found is None:
        missing = "No numbers of clusters were held against each other: run `scaledec select-k CONFIG`."
        return Section("selection", title, "", missing=missing)
    return Section(
        "selection",
        title,
        text,
        [
            Picture(
                "select-k",
                "Inertia, silhouette, gap, BIC and stability over the number of clusters",
                lambda: selection_figure(found),
            )
        ],
    )


def _at_median(label: npt.NDArray[np.int64], distance: npt.NDArray[np.float32]) -> dict[int, int]:
    """For each cluster that has windows the one at the median of their distances."""
    found = {}
    for k in np.unique(label).tolist():
        mine = np.flatnonzero(label == k)
        found[k] = int(mine[np.argsort(distance[mine], kind="stable")[len(mine) // 2]])
    return found


def _column(lines: Sequence[Mapping[str, Any]], name: str) -> npt.NDArray[np.float64]:
    """A column of metrics; NaN where a line does not have it."""
    values = (line.get(name) for line in lines)
    return np.array([np.nan if value is None else value for value in values], np.float64)
