"""Networks by name: what a configuration asks for, as a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from scaledec.errors import ConfigError
from scaledec.numerics.nets.autoencoder import ConvAutoencoder

__all__ = ["JENKINS_WIDTHS", "NetworkSpec", "build_network"]

JENKINS_WIDTHS = (8, 16, 32, 64, 128)
"""Channels of the convolutions of Jenkins et al. (2021)."""
# As published, the last convolution pads the frequency axis only: 100 frames x 87 frequencies end at 3 x 3.
_JENKINS_PADDINGS = ((1, 1), (1, 1), (1, 1), (1, 1), (0, 1))


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """What decides a network's architecture; kept beside its weights."""

    frames: int
    frequencies: int
    widths: tuple[int, ...]
    latent: int
    preset: str | None = None
    planes: int = 1
    """Components stacked in a window."""

    def build(self, seed: int = 0) -> ConvAutoencoder:
        """The network, its weights drawn from ``seed`` and laid out as convolutions are fastest."""
        network = build_network(
            self.preset,
            self.frames,
            self.frequencies,
            self.widths,
            self.latent,
            planes=self.planes,
            seed=seed,
        )
        # torch's own annotation of Module.to leaves this form out.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        values = {**asdict(self), "widths": list(self.widths)}
        # Models of one plane are described as they were before there were others.
        return {name: value for name, value in values.items() if name != "planes" or value != 1}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> NetworkSpec:
        """Back from :meth:`to_json`."""
        return cls(**{**values, "widths": tuple(values["widths"])})


def build_network(
    preset: str | None,
    frames: int,
    frequencies: int,
    widths: Sequence[int],
    latent: int,
    *,
    planes: int = 1,
    seed: int = 0,
) -> ConvAutoencoder:
    """An autoencoder for windows of ``frames x frequencies``, its weights drawn from ``seed``.

    Parameters
    ----------
    preset
        ``"jenkins2021"``: the network of Jenkins et al. (2021, JGR Solid Earth 126, e2021JB021716), which
        has a ReLU on the embedding and sets the widths. The paper writes a window as 87 frequencies x 100
        frames; here frames come first, so its axes are swapped and nothing else: 100 x 87 with nine
        dimensions has 218,250 parameters. ``None``: as the other arguments say, linear embedding.
    frames, frequencies, widths, latent, planes
        See :class:`ConvAutoencoder`.

    Raises
    ------
    ConfigError
        If the window is too small for the network, or a published one is asked for several planes.
    """
    if preset is not None and planes != 1:
        raise ConfigError(
            f"model.preset {preset} is a published network for one plane, and windows have {planes} "
            "(windows.components): leave model.preset out, or windows.components"
        )
    # Layers draw default weights when they are made; the fork keeps that from moving the caller's generator.
    with torch.random.fork_rng(devices=[]):
        if preset == "jenkins2021":
            network = ConvAutoencoder(
                frames, frequencies, JENKINS_WIDTHS, latent, rectified=True, paddings=_JENKINS_PADDINGS
            )
        else:
            network = ConvAutoencoder(frames, frequencies, widths, latent, planes=planes)
        network.initialise(seed)
    return network
