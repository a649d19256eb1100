"""Networks by name: what a configuration asks for, as a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

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

    def build(self, seed: int = 0) -> ConvAutoencoder:
        """The network, its weights drawn from ``seed`` and laid out as convolutions are fastest."""
        network = build_network(
            self.preset, self.frames, self.frequencies, self.widths, self.latent, seed=seed
        )
        # torch's own annotation of Module.to leaves this form out.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "widths": list(self.widths)}

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
    frames, frequencies, widths, latent
        See :class:`ConvAutoencoder`.

    Raises
    ------
    ConfigError
        If the window is too small for the network.
    """
    # Layers draw default weights when they are made; the fork keeps that from moving the caller's generator.
    with torch.random.fork_rng(devices=[]):
        if preset == "jenkins2021":
            network = ConvAutoencoder(
                frames, frequencies, JENKINS_WIDTHS, latent, rectified=True, paddings=_JENKINS_PADDINGS
            )
        else:
            network = ConvAutoencoder(frames, frequencies, widths, latent)
        network.initialise(seed)
    return network
