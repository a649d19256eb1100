"""What decides a pretraining, and how one ended."""

from __future__ import annotations

from dataclasses import dataclass

from scaledec.config import Config, pretrain_fingerprint
from scaledec.location import Location
from scaledec.numerics.augment import Augmentation
from scaledec.numerics.nets.presets import NetworkSpec
from scaledec.numerics.normalise import Kind, Normaliser
from scaledec.training.arithmetic import Precision
from scaledec.training.placement import Placement
from scaledec.training.sources import WindowSource

__all__ = ["PretrainJob", "PretrainOutcome"]


@dataclass(frozen=True, kw_only=True)
class PretrainJob:
    """All that decides a pretraining; picklable, small unless the source holds its windows itself."""

    run: Location
    """The run's folder: metrics and the pretrained model go there."""
    source: WindowSource
    """The sampled windows."""
    network: NetworkSpec
    normalise: Kind = "whiten"
    normaliser: Normaliser | None = None
    """Used as it is instead of one fitted to the training windows."""
    clip_db: tuple[float, float] | None = None
    """Bounds of power in dB before normalising."""
    epochs: int = 100
    """At most this many passes over the training windows."""
    batch: int = 64
    """Windows of one optimiser step over all ranks."""
    learning_rate: float = 1e-3
    """Of Adam."""
    patience: int = 10
    """Stop after this many epochs without a lower validation loss."""
    augmentation: Augmentation | None = None
    """Moves of the windows trained on, new ones each epoch; ``None``: as they are."""
    seed: int = 0
    """Of initial weights, shuffling and moves."""
    fingerprint: str = ""
    """Of the settings; a model or checkpoint of another one is refused."""
    precision: Precision = "float32"
    """Of the network's forward pass while training."""
    compiled: bool = False
    """Whether the network is compiled before training."""
    placement: Placement = "auto"
    """Where the windows are kept while training; it changes no number."""
    shown_every: int | None = None
    """After so many epochs each, leave what pictures are drawn from in the run's folder; ``None``: never."""
    checkpoint_interval_s: float = 5.0
    """A checkpoint after the first epoch that ends this long after the last one: 0 keeps every epoch."""

    checkpoint_windows: int = 2**18
    """Within an epoch, a checkpoint after so many windows each: an epoch may take hours."""

    @classmethod
    def from_config(cls, config: Config, run: Location, source: WindowSource) -> PretrainJob:
        """The job that a configuration describes."""
        model, pretrain = config.model, config.pretrain
        network = NetworkSpec(
            frames=config.window_grid.length,
            frequencies=config.spectrogram_grid.n_frequencies,
            widths=model.widths,
            latent=model.latent,
            preset=model.preset,
            planes=config.windows.n_planes,
            kernel=model.kernel,
            activation=model.activation,
            rectified=model.rectified,
            skip_dropout=model.skip_dropout,
        )
        return cls(
            run=run,
            source=source,
            network=network,
            normalise=model.normalise,
            clip_db=model.clip_db,
            epochs=pretrain.epochs,
            batch=pretrain.batch,
            learning_rate=pretrain.learning_rate,
            patience=pretrain.patience,
            seed=pretrain.seed,
            precision=config.pretrain.precision,
            compiled=config.compute.compiled,
            placement=config.compute.training_set,
            shown_every=config.compute.pictures_every,
            fingerprint=pretrain_fingerprint(config),
        )


@dataclass(frozen=True, slots=True)
class PretrainOutcome:
    """How a pretraining ended."""

    epochs: int
    """Epochs trained in all, earlier sessions included."""
    best_epoch: int
    """The epoch, from 1, whose weights were kept."""
    validation_loss: float
    """Mean squared error of the kept weights on the held-out windows."""
    embedding_loss: float | None = None
    """The same of reconstructions from the embedding alone; only for networks with skips."""
    already_finished: bool = False
    """Whether nothing was left to do."""
