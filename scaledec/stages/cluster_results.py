"""What a clustering leaves behind: its baselines, its metrics, and labels of the sampled windows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from scaledec.errors import TrainingError
from scaledec.location import Location
from scaledec.numerics.clusters import Mixture
from scaledec.numerics.metrics import (
    ClusterMoments,
    ClusterWidths,
    calinski_harabasz,
    davies_bouldin,
    effective_clusters,
    simplified_silhouette,
)
from scaledec.stages.cluster_job import ClusterJob
from scaledec.stages.cluster_start import Starts
from scaledec.stages.cluster_target import embed_share, gather_rows
from scaledec.store.training import TrainingStore
from scaledec.training.data import TrainingData
from scaledec.training.placement import load_windows
from scaledec.training.saved_model import SavedModel
from scaledec.training.session import TrainingSession

__all__ = [
    "CLUSTER_METRICS_FILE",
    "Baseline",
    "Labelled",
    "baseline_models",
    "embed_all",
    "finite_windows",
    "largest_first",
    "load_split",
    "separation",
    "write_assignments",
    "write_metrics",
]

CLUSTER_METRICS_FILE = "metrics-cluster.jsonl"
"""One line a refresh of the target distribution, below the run's folder."""

Float32: TypeAlias = npt.NDArray[np.float32]
Baseline: TypeAlias = Literal["kmeans", "gmm"]

# Windows looked at at once: temporaries of a few MB.
_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Labelled:
    """Everything that the labels of the sampled windows come from."""

    pretrained: SavedModel
    baselines: Mapping[Baseline, SavedModel]
    model: SavedModel
    """The final one."""
    training: TrainingData
    """The windows trained on."""
    z_pretrained: Float32
    """Their embeddings (window, latent) by the pretrained network."""
    z_final: Float32
    """Their embeddings by the final network."""


def finite_windows(data: TrainingData) -> TrainingData:
    """The windows all of whose values are finite: a single other one would make every frequency f NaN.

    Raises
    ------
    TrainingError
        If no window is left.
    """
    finite = torch.cat(
        [b.windows.isfinite().flatten(1).all(dim=1).cpu() for b in data.in_order(batch=_BLOCK)]
    )
    if finite.all():
        return data
    if not finite.any():
        raise TrainingError(
            f"none of the {len(data)} training windows is finite after normalising: build the training set "
            "again from a cube without missing samples (windows.min_coverage: 1)"
        )
    return data.subset(finite)


def load_split(
    session: TrainingSession, job: ClusterJob, pretrained: SavedModel, *, validation: bool
) -> TrainingData:
    """The windows of one split, normalised as the network was taught, where the job wants them."""
    return load_windows(
        job.source,
        pretrained.normaliser,
        validation=validation,
        placement=job.placement,
        device=session.device,
        ranks=session.world_size,
    )


def embed_all(session: TrainingSession, model: SavedModel, data: TrainingData) -> Float32:
    """Embeddings (window, latent) of all windows on every rank; each rank encodes its share."""
    z: Float32 = gather_rows(session, embed_share(session, model.network, data), len(data)).numpy()
    return z


def baseline_models(
    pretrained: SavedModel, starts: Starts, z_ND: Float32, *, alpha: float
) -> dict[Baseline, SavedModel]:
    """Both initialisations as models, largest cluster first."""
    mixture = Mixture(starts.gaussian.weights, starts.gaussian.covariances)
    kmeans = replace(pretrained, method="kmeans", centroids=starts.kmeans.centroids, alpha=alpha, facts={})
    gmm = replace(
        pretrained, method="gmm", centroids=starts.gaussian.means, alpha=alpha, mixture=mixture, facts={}
    )
    return {"kmeans": largest_first(kmeans, z_ND), "gmm": largest_first(gmm, z_ND)}


def largest_first(model: SavedModel, z_ND: Float32) -> SavedModel:
    """The same clusters, numbered from the one with the most of these windows to the one with the fewest."""
    counts = np.bincount(model.assign(z_ND).label, minlength=model.n_clusters)
    order = np.argsort(-counts, kind="stable")
    mixture = model.mixture
    if mixture is not None:
        mixture = Mixture(mixture.weights[order], mixture.covariances[order])
    return replace(model, centroids=model.centroids[order], mixture=mixture)


def separation(model: SavedModel, z_ND: Float32) -> dict[str, float | None]:
    """How well a model's clusters are separated, as JSON values; ``None`` where that is not defined.

    The silhouette is the simplified one, from distances to centroids; every number is of the embeddings
    ``z_ND`` (window, latent) in which the model's centroids lie.
    """
    label = model.assign(z_ND).label
    moments = ClusterMoments.of(z_ND, label, model.n_clusters)
    numbers = {"effective_clusters": effective_clusters(moments.counts)}
    if (moments.counts > 0).sum() > 1:
        widths = ClusterWidths.of(z_ND, label, moments.means)
        numbers |= {
            "calinski_harabasz": calinski_harabasz(moments),
            "davies_bouldin": davies_bouldin(moments, widths),
            "simplified_silhouette": float(simplified_silhouette(z_ND, label, model.centroids).mean()),
        }
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


def write_metrics(session: TrainingSession, run: Location, history: Sequence[Mapping[str, Any]]) -> None:
    """Replace the metrics file by the history, so that a resumed run leaves no refresh twice."""
    if session.rank == 0:
        lines = "".join(json.dumps(record) + "\n" for record in history)
        run.child(CLUSTER_METRICS_FILE).write_bytes(lines.encode())


def write_assignments(session: TrainingSession, job: ClusterJob, labelled: Labelled) -> None:
    """Add embeddings and labels of every sampled window, held-out ones included, to the training set.

    Every rank calls this; rank 0 writes. Rejected windows get label -1 and NaN.
    """
    sample, before, after = _all_embeddings(session, job, labelled)
    if session.rank != 0:
        return
    assert job.training_set is not None, "assignments are kept in a training set"
    n = len(job.source.is_validation())
    found = labelled.model.assign(after)
    kmeans, gmm = (labelled.baselines[name].assign(before) for name in ("kmeans", "gmm"))
    TrainingStore.open(job.training_set).add_assignments(
        {
            "embedding_pretrained": _at(sample, before, n, math.nan),
            "label_kmeans": _at(sample, kmeans.label, n, -1),
            "label_gmm": _at(sample, gmm.label, n, -1),
            "embedding": _at(sample, after, n, math.nan),
            "label": _at(sample, found.label, n, -1),
            "confidence": _at(sample, found.confidence, n, math.nan),
            "distance": _at(sample, found.distance, n, math.nan),
            "outlier": _at(sample, found.outlier, n, math.nan),
        }
    )


def _all_embeddings(
    session: TrainingSession, job: ClusterJob, labelled: Labelled
) -> tuple[npt.NDArray[np.int64], Float32, Float32]:
    """Row in the training set, embedding before and embedding after, of trained and held-out windows."""
    sample, before, after = labelled.training.sample.numpy(), labelled.z_pretrained, labelled.z_final
    if not job.source.is_validation().any():
        return sample, before, after
    held_out = finite_windows(load_split(session, job, labelled.pretrained, validation=True))
    z_before = embed_all(session, labelled.pretrained, held_out)
    z_after = embed_all(session, labelled.model, held_out)
    return (
        np.concatenate([sample, held_out.sample.numpy()]),
        np.concatenate([before, z_before]),
        np.concatenate([after, z_after]),
    )


def _at(sample: npt.NDArray[np.int64], values: npt.NDArray[Any], n: int, fill: float) -> npt.NDArray[Any]:
    """``values`` at the rows ``sample`` of ``n`` rows; rows of rejected windows hold ``fill``."""
    rows = np.full((n, *values.shape[1:]), fill, values.dtype)
    rows[sample] = values
    return rows
