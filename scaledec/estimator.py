"""Deep embedded clustering of arrays, as scikit-learn's estimators are: one process, no Ray, no store.

The loops are those of the pipeline (:mod:`scaledec.stages.pretrain`, :mod:`scaledec.stages.cluster`), run
by the engine of this process on windows in memory.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClusterMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from scaledec.location import Location
from scaledec.progress import Show, track

if TYPE_CHECKING:
    from scaledec.numerics.augment import Augmentation
    from scaledec.numerics.nets.presets import Preset
    from scaledec.stages.cluster_job import ClusterJob, Method
    from scaledec.stages.pretrain import PretrainJob
    from scaledec.training.saved_model import SavedModel
    from scaledec.training.session import Metrics

__all__ = ["DeepEmbeddedClustering"]

Float32: TypeAlias = npt.NDArray[np.float32]
Integers: TypeAlias = npt.NDArray[np.int64]

STEPS = {"pretrain": 6000, "cluster": 3000}
"""Optimiser steps that ``epochs`` "auto" aims at: minutes on a CPU for windows of some thousand cells."""
EPOCHS = {"pretrain": (10, 200), "cluster": (5, 60)}
"""Fewest and most epochs of "auto": a large set is seen often enough, a small one not for ever."""
_TOLD = ("validation_loss", "label_change")


class DeepEmbeddedClustering(ClusterMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Cluster images or windows by what an autoencoder makes of them.

    Parameters
    ----------
    n_clusters
        Number of clusters.
    method
        ``auto`` and ``n2d``: the network is taught the clusters that suit graph and distances of the
        embedding best, of k-means, a mixture and several of the manifold (one cluster: ``kmeans``);
        ``idec`` and ``dec`` go on from there (or from ``init``) with their own target, which evens sizes
        out; ``kmeans`` and ``gmm`` cluster the pretrained embeddings.
    init
        Where ``idec`` and ``dec`` start: ``manifold``, ``gmm`` or ``kmeans``.
    latent
        Dimensions of the embedding.
    widths
        Channels of the convolutions, one stride-2 layer each.
    preset
        A published network instead, e.g. ``jenkins2021``.
    normalise
        ``standard``: values less their mean over their standard deviation, both over all cells of all
        windows; else as ``model.normalise`` of a configuration, which takes values as power in dB.
    gamma
        Weight of the clustering loss beside the reconstruction (``idec``).
    augmentation
        Moves of the windows trained on, e.g. :class:`scaledec.numerics.augment.Augmentation`; ``None``:
        as they are.
    pretrain_epochs, epochs
        Passes over the windows; ``auto``: enough for some thousand steps.
    batch
        Windows of one step.
    learning_rate
        Of Adam.
    restarts
        Starts of k-means and of mixtures.
    validation
        Share of windows held out to choose the best pretrained weights; they are labelled like the others.
    random_state
        Seed, generator or ``None``. The same seed gives the same result, bit by bit, with the same number
        of threads.
    device
        ``auto``: a GPU if there is one; ``cpu``; ``gpu``.
    progress
        ``none``, ``auto``, ``bar`` or ``lines``, on stderr.

    Attributes
    ----------
    labels_ : (N,)
        Cluster of each window; 0 is the largest.
    cluster_centers_ : (n_clusters, latent)
    embedding_ : (N, latent)
    history_ : dict of lists of dict
        What ``pretrain`` and ``cluster`` reported: losses epoch by epoch, refreshes of the target.
    model_ : SavedModel
        Network, normaliser and clusters; ``model_.save(Location(...))`` is what the pipeline's label stage
        reads.
    n_iter_ : int
        Passes of the clustering.
    n_features_in_, window_shape_
        What ``fit`` was given.

    Notes
    -----
    X is (N, H, W), (N, planes, H, W) or flat (N, D). Flat rows are laid row by row on the smallest square
    that holds them, which is the image if they were a square one.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> windows = rng.normal(size=(60, 8, 8)) + 4 * rng.integers(0, 2, 60)[:, None, None] * np.eye(8)
    >>> found = DeepEmbeddedClustering(2, widths=(4,), latent=3, pretrain_epochs=5, epochs=2, random_state=0)
    >>> found.fit_predict(windows).shape, found.transform(windows[:5]).shape
    ((60,), (5, 3))
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        method: Literal["auto", "n2d", "idec", "dec", "gmm", "kmeans"] = "auto",
        init: Literal["manifold", "gmm", "kmeans"] = "manifold",
        latent: int = 10,
        widths: tuple[int, ...] = (32, 64, 128),
        preset: Preset | None = None,
        normalise: Literal["standard", "whiten", "zscore", "max", "centred_max", "l2"] = "standard",
        gamma: float = 1.0,
        augmentation: Augmentation | None = None,
        pretrain_epochs: int | Literal["auto"] = "auto",
        epochs: int | Literal["auto"] = "auto",
        batch: int = 128,
        learning_rate: float = 1e-3,
        restarts: int = 10,
        validation: float = 0.05,
        random_state: int | np.random.RandomState | None = None,
        device: Literal["auto", "cpu", "gpu"] = "auto",
        progress: Show = "none",
    ) -> None:
        self.n_clusters = n_clusters
        self.method = method
        self.init = init
        self.latent = latent
        self.widths = widths
        self.preset = preset
        self.normalise = normalise
        self.gamma = gamma
        self.augmentation = augmentation
        self.pretrain_epochs = pretrain_epochs
        self.epochs = epochs
        self.batch = batch
        self.learning_rate = learning_rate
        self.restarts = restarts
        self.validation = validation
        self.random_state = random_state
        self.device = device
        self.progress = progress

    def fit(self, X: npt.ArrayLike, y: object = None) -> DeepEmbeddedClustering:
        """Train the network on windows X and cluster them.

        Raises
        ------
        ValueError
            If X cannot be windows, or holds fewer of them than clusters.
        TrainingError
            If the windows cannot be clustered; the message says what to change.
        """
        from scaledec.training.arrays import as_windows

        x = self._checked(X, reset=True)
        if len(x) < max(self.n_clusters, 2):
            raise ValueError(
                f"n_samples={len(x)} should be >= n_clusters={self.n_clusters}, and at least 2: use more "
                "windows or fewer clusters"
            )
        windows = as_windows(x)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        with tempfile.TemporaryDirectory() as folder:
            run = Location(folder)
            pretrain = self._pretrain_job(run, windows, seed)
            self._run("pretrain", pretrain, pretrain.epochs)
            cluster = self._cluster_job(pretrain, windows)
            self._run("cluster", cluster, cluster.epochs)
            self.model_ = _load(run)
            self.history_ = {
                "pretrain": _read_lines(Path(folder) / "metrics.jsonl"),
                "cluster": _read_lines(Path(folder) / "metrics-cluster.jsonl"),
            }
        self.embedding_ = self.model_.embed(windows)
        self.labels_ = _labels(self.model_, self.embedding_)
        self.cluster_centers_ = self.model_.centroids
        self.n_iter_ = max(1, int(self.model_.facts["epochs"]))
        return self

    def fit_predict(self, X: npt.ArrayLike, y: object = None) -> Integers:
        """Cluster of each window X, after fitting to them."""
        return self.fit(X).labels_

    def transform(self, X: npt.ArrayLike) -> Float32:
        """Embedding (N, latent) of windows X."""
        from scaledec.training.arrays import as_windows

        check_is_fitted(self)
        return self.model_.embed(as_windows(self._checked(X, reset=False)))

    def predict(self, X: npt.ArrayLike) -> Integers:
        """Cluster of each window X."""
        embedding = self.transform(X)
        return _labels(self.model_, embedding)

    def save(self, folder: str | Path) -> str:
        """Write network, normaliser and clusters into ``folder``; return the model's checksum."""
        check_is_fitted(self)
        facts = {**self.model_.facts, "window_shape": list(self.window_shape_)}
        return replace(self.model_, facts=facts).save(Location(str(folder)))

    @classmethod
    def load(cls, folder: str | Path) -> DeepEmbeddedClustering:
        """An estimator that predicts and transforms as the one that was saved; it knows no training data.

        Raises
        ------
        StoreNotFoundError
            If no model lies there.
        """
        model = _load(Location(str(folder)))
        spec = model.spec
        found = cls(model.n_clusters, latent=spec.latent, widths=spec.widths, preset=spec.preset)
        if model.method != "autoencoder":
            found.method = model.method
        found.model_ = model
        found.window_shape_ = tuple(model.facts.get("window_shape", (spec.frames, spec.frequencies)))
        found.n_features_in_ = found.window_shape_[0]
        found.cluster_centers_ = model.centroids
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.non_deterministic = False
        return tags

    def _checked(self, X: npt.ArrayLike, *, reset: bool) -> Float32:
        """X as scikit-learn wants it checked; windows of another shape than those fitted are refused."""
        x: Float32 = validate_data(
            self, X, reset=reset, allow_nd=True, dtype=np.float32, ensure_min_samples=2 if reset else 1
        )
        if x.ndim > 4:
            raise ValueError(f"X has shape {x.shape}; expected (N, H, W), (N, planes, H, W) or flat (N, D)")
        if reset:
            self.window_shape_ = x.shape[1:]
        elif x.shape[1:] != self.window_shape_:
            raise ValueError(f"X holds windows of shape {x.shape[1:]}; fitted to {self.window_shape_}")
        return x

    def _pretrain_job(self, run: Location, windows: Float32, seed: int) -> PretrainJob:
        from scaledec.numerics.nets.presets import NetworkSpec
        from scaledec.stages.pretrain import PretrainJob
        from scaledec.training.arrays import held_out, standard_normaliser
        from scaledec.training.sources import ArrayWindows

        *planes, frames, frequencies = windows.shape[1:]
        epochs = _passes(self.pretrain_epochs, "pretrain", self.batch, len(windows))
        return PretrainJob(
            run=run,
            source=ArrayWindows(windows, held_out(len(windows), self.validation, seed)),
            network=NetworkSpec(
                frames, frequencies, self.widths, self.latent, self.preset, planes=planes[0] if planes else 1
            ),
            normalise="whiten" if self.normalise == "standard" else self.normalise,
            normaliser=standard_normaliser(windows) if self.normalise == "standard" else None,
            epochs=epochs,
            batch=self.batch,
            learning_rate=self.learning_rate,
            patience=epochs,
            augmentation=self.augmentation,
            seed=seed,
        )

    def _cluster_job(self, pretrain: PretrainJob, windows: Float32) -> ClusterJob:
        from scaledec.stages.cluster_job import ClusterJob
        from scaledec.training.sources import ArrayWindows

        return ClusterJob(
            run=pretrain.run,
            # Every window is clustered; the held-out ones have done their work.
            source=ArrayWindows(windows, np.zeros(len(windows), bool)),
            method=self._method,
            n_clusters=self.n_clusters,
            init=self.init,
            restarts=self.restarts,
            gamma=self.gamma,
            epochs=_passes(self.epochs, "cluster", self.batch, len(windows)),
            batch=self.batch,
            learning_rate=self.learning_rate / 2,
            augmentation=self.augmentation,
            seed=pretrain.seed,
        )

    @property
    def _method(self) -> Method:
        if self.n_clusters == 1:
            return "kmeans"  # one cluster needs no training to tell it from others
        return "n2d" if self.method == "auto" else self.method

    def _run(self, stage: str, job: PretrainJob | ClusterJob, epochs: int) -> None:
        from scaledec.engines.local_train import run_training
        from scaledec.stages.cluster import cluster_loop
        from scaledec.stages.pretrain import pretrain_loop

        loop: Any = pretrain_loop if stage == "pretrain" else cluster_loop
        with track(stage, total=epochs, unit="epochs", show=self.progress) as shown:

            def on_report(metrics: Metrics) -> None:
                told = {name: metrics[name] for name in _TOLD if metrics.get(name) is not None}
                shown.advance(max(0, int(str(metrics["epoch"])) - shown.done), **told)

            gpu: bool | Literal["auto"] = "auto" if self.device == "auto" else self.device == "gpu"
            run_training(loop, job, storage=None, name=stage, gpu=gpu, on_report=on_report)


def _passes(asked: int | Literal["auto"], stage: str, batch: int, n: int) -> int:
    if asked != "auto":
        return asked
    fewest, most = EPOCHS[stage]
    return min(max(round(STEPS[stage] * batch / n), fewest), most)


def _labels(model: SavedModel, embedding: Float32) -> Integers:
    return model.assign(embedding).label.astype(np.int64)


def _load(location: Location) -> SavedModel:
    from scaledec.training.saved_model import SavedModel

    return SavedModel.load(location)


def _read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
