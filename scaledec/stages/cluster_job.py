"""What decides a clustering, given a pretrained model, and how one ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from scaledec.config import Config, pretrain_fingerprint, run_fingerprint
from scaledec.location import Location
from scaledec.numerics.augment import Augmentation
from scaledec.training.arithmetic import Precision
from scaledec.training.placement import Placement
from scaledec.training.sources import StoredWindows, WindowSource

__all__ = ["ClusterJob", "ClusterOutcome", "Method"]

Method: TypeAlias = Literal["dec", "idec", "n2d", "kmeans", "gmm"]


@dataclass(frozen=True, kw_only=True)
class ClusterJob:
    """All that decides a clustering, given a pretrained model; picklable like its source."""

    run: Location
    """The run's folder: the pretrained model is read there, metrics and the final model go there."""
    source: WindowSource
    """The sampled windows: those to train on, and those held out, which are only labelled."""
    training_set: Location | None = None
    """Training store that every window's assignments are added to; ``None``: they are not kept."""
    method: Method = "idec"
    n_clusters: int = 8
    init: Literal["kmeans", "gmm", "manifold"] = "gmm"
    """Where DEC's centroids start; ``n2d`` always starts from the manifold."""
    restarts: int = 20
    """Random starts of k-means and of the mixture."""
    gamma: float = 1.0
    """Weight of the clustering loss beside the reconstruction (idec)."""
    alpha: float = 1.0
    """Degrees of freedom of Student's t in the soft assignment."""
    loss: Literal["scaled", "raw"] = "scaled"
    """``scaled``: losses and embedding in their own units (see numerics/dec/loss.py and sphere.py);
    ``raw``: as published."""
    epochs: int = 100
    """At most this many passes over the training windows."""
    batch: int = 256
    """Windows of one step over all ranks."""
    optimiser: Literal["adam", "sgd"] = "adam"
    """``sgd``: with momentum 0.9."""
    learning_rate: float = 1e-3
    """Of the optimiser."""
    updates_per_epoch: int = 2
    """Refreshes of the target distribution in one pass."""
    refresh_steps: int | None = None
    """Refresh it after so many steps instead."""
    tolerance: float = 0.003
    """Stop when a smaller share of windows changed its label."""
    taught_epochs: int = 10
    """So many first passes bring the network to tell the manifold's clusters apart, where it starts there."""
    augmentation: Augmentation | None = None
    """Moves of the windows trained on, new ones each epoch; ``None``: as they are."""
    seed: int = 0
    """Of the restarts, of shuffling and of moves."""
    fingerprint: str = ""
    """Of the settings; a model or checkpoint of another one is refused."""
    pretrain_fingerprint: str = ""
    """Of the settings of the pretrained model; one of other settings is refused."""
    precision: Precision = "float32"
    """Of the network's forward pass while training."""
    compiled: bool = False
    """Whether the network is compiled before training."""
    placement: Placement = "auto"
    """Where the windows are kept while training; it changes no number."""
    table_bytes: int = 256 * 2**20
    """Largest table of soft assignments kept in memory; it changes the speed, not the numbers."""

    @property
    def starts_on_manifold(self) -> bool:
        """Whether the manifold's clusters are where training starts."""
        return self.method == "n2d" or (self.init == "manifold" and self.method in ("dec", "idec"))

    @classmethod
    def from_config(cls, config: Config, run: Location, training_set: Location) -> ClusterJob:
        """The job that a configuration describes."""
        return cls(
            run=run,
            source=StoredWindows(training_set),
            training_set=training_set,
            precision=config.pretrain.precision,
            compiled=config.compute.compiled,
            placement=config.compute.training_set,
            fingerprint=run_fingerprint(config),
            pretrain_fingerprint=pretrain_fingerprint(config),
            **{name: value for name, value in config.cluster.model_dump().items() if name != "preset"},
        )


@dataclass(frozen=True, slots=True)
class ClusterOutcome:
    """How a clustering ended."""

    method: Method
    stop_reason: str
    """``tolerance``: labels settled; ``epochs``: all passes were used; ``start``: k-means or GMM only."""
    epochs: int
    """Passes over the training windows that were begun."""
    steps: int
    """Optimiser steps in all, earlier sessions included."""
    counts: tuple[int, ...]
    """Training windows of each cluster, from the largest cluster to the smallest."""
    already_finished: bool = False
    """Whether nothing was left to do."""
