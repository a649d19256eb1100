"""Networks by name: what a configuration asks for, as a network.

Frames come first here and frequencies first in most papers: axes are swapped and nothing else.

==============  =======================  ======  ==========  =========================================
preset          window as published      latent  parameters  source
==============  =======================  ======  ==========  =========================================
jenkins2021     100 x 87                 9       218,250     Jenkins et al. (2021), JGR Solid Earth 126,
                                                             e2021JB021716, and its code RISCluster
zclust          67 x 87                  9       218,250     the code zClust (nimanzik/zClust)
snover2020      40 x 120                 14      87,247      Snover et al. (2020), Seismological Research
                                                             Letters 92; count and layers as its notebook
                                                             CAE_wDEC prints them
das_cube        4 x 101                  9       3,912       the code "Clustering of Spectrogram Cubes"
                                                             (Julia310/RISCluster, Models/networks.py);
                                                             the count is that of its layers
unet2021        any                      9       (ours)      after the description "contracting and
                                                             expanding paths with skips and dropout, 9
                                                             dimensions"; no publication was found
residual        any                      9       (ours)      after the description "residual blocks with
                                                             channel and spatial attention"
==============  =======================  ======  ==========  =========================================

What is not as published: the decoder of ``jenkins2021`` undoes the sizes of its encoder, where the published
one, of the same layers, ends at 101 x 95 and cuts the edges off; convolutions of ``snover2020`` are padded
by two cells at either end, where its library pads one at one end and two at the other. The other way round:
``zclust`` cuts as published while windows have the published size, and undoes sizes on any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any, Literal, TypeAlias

import torch

from scaledec.errors import ConfigError
from scaledec.numerics.nets.autoencoder import ConvAutoencoder, Expansion
from scaledec.numerics.nets.base import Autoencoder
from scaledec.numerics.nets.das_cube import DasCubeAutoencoder
from scaledec.numerics.nets.layers import Activation, Start, draw_uniform, draw_xavier
from scaledec.numerics.nets.residual import ResidualAutoencoder
from scaledec.numerics.nets.unet import UNetAutoencoder

__all__ = ["LATENT", "NetworkSpec", "Preset"]

Preset: TypeAlias = Literal["jenkins2021", "zclust", "unet2021", "snover2020", "das_cube", "residual"]

LATENT: Mapping[Preset, int] = {
    "jenkins2021": 9,
    "zclust": 9,
    "unet2021": 9,
    "snover2020": 14,
    "das_cube": 9,
    "residual": 9,
}
"""Dimensions of the embedding as published."""

_WIDTHS = (8, 16, 32, 64, 128)
_ZCLUST_SIDES = (67, 87)
_ZCLUST_EXPANSION = Expansion(kernels=(3,) * 5, paddings=((1, 1), (1, 0), (1, 0), (0, 1), (1, 1)), cut=(1, 1))
# The second kernel of this decoder is larger than the one it undoes.
_SNOVER_EXPANSION = Expansion(kernels=(3, 5, 5, 5), paddings=((0, 0), (2, 2), (2, 2), (2, 2)))
_UNET_WIDTHS = (16, 32, 64, 128, 256)
# Between the two convolutions of a level, from the top of the U-Net to its bottom.
_UNET_DROPOUT = (0.1, 0.1, 0.2, 0.2, 0.3)


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """What decides a network's architecture; kept beside its weights.

    With a preset, ``widths``, ``kernel``, ``activation`` and ``rectified`` are the preset's own and what
    stands here is not looked at.
    """

    frames: int
    frequencies: int
    widths: tuple[int, ...]
    latent: int
    preset: Preset | None = None
    planes: int = 1
    """Components stacked in a window."""
    kernel: int = 3
    """Side of the convolutions' kernels, odd."""
    activation: Activation = "relu"
    rectified: bool = False
    """Whether the activation follows the embedding too."""
    skip_dropout: float = 0.5
    """For networks with skips: chance that a window's skips are dropped in a training step."""

    def build(self, seed: int = 0) -> Autoencoder:
        """The network, its weights drawn from ``seed`` alone and laid out as convolutions are fastest.

        Raises
        ------
        ConfigError
            If the window is too small for the network, or a published one is asked for several planes.
        """
        if self.preset in _OF_ONE_PLANE and self.planes != 1:
            raise ConfigError(
                f"model.preset {self.preset} is a published network for one plane, and windows have "
                f"{self.planes} (windows.components): leave model.preset out, or windows.components"
            )
        # Layers draw default weights when they are made; the fork keeps the caller's generator where it was.
        with torch.random.fork_rng(devices=[]):
            network = _network(self)
        start = _START.get(self.preset, draw_xavier)
        start(network, torch.Generator().manual_seed(seed & 0xFFFF_FFFF_FFFF_FFFF))
        # torch's own annotation of Module.to leaves this form out.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def to_json(self) -> dict[str, Any]:
        """As JSON values.

        What was added later is left out at its default, so that older models keep their checksums.
        """
        values = {**asdict(self), "widths": list(self.widths)}
        later = {field.name: field.default for field in fields(self)[_FIRST_FIELDS:]}
        return {name: value for name, value in values.items() if name not in later or value != later[name]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> NetworkSpec:
        """Back from :meth:`to_json`."""
        return cls(**{**values, "widths": tuple(values["widths"])})


_OF_ONE_PLANE: tuple[Preset, ...] = ("jenkins2021", "zclust", "snover2020", "das_cube")
# Fields that every description has, whatever their value.
_FIRST_FIELDS = 5

# Keras starts from biases of zero and zClust from torch's own weights; the others from Xavier and 0.01.
_START: Mapping[Preset | None, Start] = {
    "zclust": draw_uniform,
    "snover2020": partial(draw_xavier, bias=0.0),
}


def _network(spec: NetworkSpec) -> Autoencoder:
    """The network with whatever weights it comes with."""
    sides, latent, planes = (spec.frames, spec.frequencies), spec.latent, spec.planes
    match spec.preset:
        case "jenkins2021":
            # The last convolution pads the frequencies only: 100 frames x 87 frequencies end at 3 x 3.
            paddings = [(1, 1)] * 4 + [(0, 1)]
            return ConvAutoencoder(*sides, _WIDTHS, latent, rectified=True, paddings=paddings)
        case "zclust":
            return ConvAutoencoder(
                *sides,
                _WIDTHS,
                latent,
                activation_name="leaky_relu",
                rectified=True,
                rectified_output=True,
                expansion=_ZCLUST_EXPANSION if sides == _ZCLUST_SIDES else None,
            )
        case "snover2020":
            kernels, paddings = (5, 5, 3, 3), [(2, 2), (2, 2), (1, 1), (0, 0)]
            return ConvAutoencoder(
                *sides,
                _WIDTHS[:4],
                latent,
                kernel=kernels,
                rectified=True,
                paddings=paddings,
                expansion=_SNOVER_EXPANSION,
            )
        case "das_cube":
            return DasCubeAutoencoder(*sides, (8, 8, 8), latent)
        case "unet2021":
            return UNetAutoencoder(
                *sides,
                _UNET_WIDTHS,
                latent,
                planes=planes,
                dropout=_UNET_DROPOUT,
                skip_dropout=spec.skip_dropout,
            )
        case "residual":
            return ResidualAutoencoder(*sides, _WIDTHS, latent, planes=planes)
        case None:
            return ConvAutoencoder(
                *sides,
                spec.widths,
                latent,
                planes=planes,
                kernel=spec.kernel,
                activation_name=spec.activation,
                rectified=spec.rectified,
            )
