"""What `scaledec tune` searches, as configured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from scaledec.config.section import Count, Fraction, NonNegative, Positive, Section
from scaledec.errors import ConfigError

__all__ = ["TuneConfig"]


class TuneConfig(Section):
    """The search of `scaledec tune`; no other verb looks at it, and no result depends on it."""

    trials: Count = 16
    """Pretrainings to try, the configuration's own values first; with a larger number the search goes on."""
    epochs: Count = 20
    """At most this many passes of each."""
    batch: Annotated[tuple[Count, ...], Field(min_length=1)] = (32, 64, 128, 256)
    """Values of pretrain.batch."""
    learning_rate: tuple[Positive, Positive] = (3e-4, 1e-2)
    """Least and greatest pretrain.learning_rate, drawn evenly in its logarithm."""
    latent: Annotated[tuple[Count, ...], Field(min_length=1)] = (4, 6, 9, 14, 20)
    """Values of model.latent. A larger one always reproduces windows better, so the smallest is chosen
    whose best trial loses no more than latent_slack."""
    latent_slack: Fraction = 0.05
    """Share by which a trial's validation loss may exceed the least one for a smaller embedding's sake."""
    gamma: tuple[NonNegative, ...] = (0.03, 0.1, 0.3, 1.0)
    """Values of cluster.gamma, tried on the chosen network where cluster.method is idec; []: none."""
    seed: int = 0
    """Of the values that are drawn."""
    parallel: Count | Literal["auto"] = "auto"
    """Trials at once, each with compute.ray.threads_per_worker cores (auto: 1); auto: as many as the Ray
    cluster has cores for. With engine: serial they follow one another."""

    @model_validator(mode="after")
    def _check(self) -> TuneConfig:
        low, high = self.learning_rate
        if low > high:
            raise ConfigError(
                f"tune.learning_rate is [{low:g}, {high:g}]: expected the least, then the greatest value"
            )
        return self
