"""The network and what is done to windows before it, as configured."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from scaledec.config.section import Count, Fraction, Section
from scaledec.errors import ConfigError

__all__ = ["ModelConfig"]

Decibels: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]

_LATENT = {"snover2020": 14}
_SET_BY_PRESETS = ("widths", "kernel", "activation", "rectified")
_NEEDS_NO_NEGATIVE = ("das_cube",)
ONE_PLANE_PRESETS = ("jenkins2021", "zclust", "snover2020", "das_cube")
"""Networks that are as published: for windows of a single component."""
# Keys that were added later; not written while they are at their defaults.
_LATER = ("kernel", "activation", "rectified", "skip_dropout", "clip_db")


class ModelConfig(Section):
    """The autoencoder and what is done to a window before it."""

    preset: Literal["jenkins2021", "zclust", "unet2021", "snover2020", "das_cube", "residual"] | None = None
    """A published network as it was (jenkins2021, zclust, snover2020, das_cube) or one after a description
    (unet2021, residual); it sets widths, kernels, activations and initialisation. null: as below."""
    widths: Annotated[tuple[Count, ...], Field(min_length=1)] = (8, 16, 32, 64, 128)
    """Channels of the convolutions, one stride-2 layer each."""
    latent: Annotated[Count, Field(json_schema_extra={"written": None})] = 9
    """Dimensions of the embedding; null: as published with a preset, else 9."""
    kernel: Annotated[int, Field(ge=3)] = 3
    """Side of the convolutions' kernels, odd."""
    activation: Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"] = "relu"
    """What follows a convolution."""
    rectified: bool = False
    """Let the activation follow the embedding too, as older networks do; dimensions can die of it."""
    skip_dropout: Fraction = 0.5
    """unet2021: chance that a window's skip connections are dropped in a training step; at 0 the network
    learns to do without its embedding."""
    normalise: Literal["whiten", "zscore", "max", "centred_max", "l2"] = "whiten"
    """whiten: dB, centred and scaled per frequency over the training set; zscore: dB, per window;
    max and l2: linear power of a window divided by its maximum or its Euclidean norm; centred_max: linear
    power less its mean, divided by its maximum."""
    clip_db: tuple[Decibels, Decibels] | None = None
    """Power is clipped to [low, high] in dB before normalising; null: it is not."""

    @model_validator(mode="before")
    @classmethod
    def _published_latent(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("latent") is not None:
            return given
        preset = given.get("preset")
        others = {name: value for name, value in given.items() if name != "latent"}
        return {**others, "latent": _LATENT[preset]} if preset in _LATENT else others

    @model_validator(mode="after")
    def _check(self) -> ModelConfig:
        if self.kernel % 2 == 0:
            raise ConfigError(
                f"model.kernel is {self.kernel}: expected an odd number, e.g. {self.kernel + 1}"
            )
        if self.clip_db is not None and not self.clip_db[0] < self.clip_db[1]:
            raise ConfigError(f"model.clip_db is {list(self.clip_db)}: expected [low, high] with low < high")
        if self.preset is not None:
            self._check_preset()
        return self

    def _check_preset(self) -> None:
        fields = type(self).model_fields
        for name in _SET_BY_PRESETS:
            if getattr(self, name) != fields[name].default:
                raise ConfigError(
                    f"model.preset {self.preset} has its own {name}; leave out model.{name}, or model.preset"
                )
        if self.preset in _NEEDS_NO_NEGATIVE and self.normalise not in ("max", "l2"):
            raise ConfigError(
                f"model.preset {self.preset} gives back no negative values and model.normalise "
                f"{self.normalise} makes some; use normalise: max or l2"
            )

    @model_serializer(mode="wrap")
    def _leave_out_later_keys(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # So the fingerprints of runs made before these keys were there stay what they are.
        written: dict[str, Any] = write(self)
        fields = type(self).model_fields
        return {
            name: value
            for name, value in written.items()
            if name not in _LATER or getattr(self, name) != fields[name].default
        }
