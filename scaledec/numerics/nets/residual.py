"""Residual blocks with attention, down to an embedding and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from scaledec.numerics.nets.attention import ChannelAttention, SpatialAttention
from scaledec.numerics.nets.base import SMALLEST_SIDE, Autoencoder, check_sides
from scaledec.numerics.nets.layers import Sides, output_padding, sides_after_each_layer
from scaledec.numerics.nets.noise import Noise

__all__ = ["ResidualAutoencoder"]

_KERNEL, _STRIDE, _PADDING = (3, 3), (2, 2), (1, 1)


class ResidualAutoencoder(Autoencoder):
    """Residual blocks (He, Zhang, Ren and Sun 2016) whose branch is weighed by channel and by cell.

    Each block of the encoder halves the sides; the decoder enlarges by transposed convolutions that undo
    them and refines with a block, but for the last one, which leads to the window. Without batch
    normalisation: a window's embedding must not depend on what it is trained or labelled with.

    Parameters
    ----------
    frames, frequencies
        Sides of a window, at least 8 each.
    widths
        Channels of the blocks.
    latent
        Dimensions of the embedding.
    planes
        Channels of a window (1: power).

    Raises
    ------
    ConfigError
        If a side is shorter than 8.

    Examples
    --------
    >>> network = ResidualAutoencoder(20, 17, widths=(4, 8), latent=3)
    >>> [tuple(t.shape) for t in network(torch.zeros(2, 1, 20, 17))]
    [(2, 1, 20, 17), (2, 3)]
    """

    def __init__(
        self, frames: int, frequencies: int, widths: Sequence[int], latent: int, *, planes: int = 1
    ) -> None:
        super().__init__(frames, frequencies, latent, planes=planes)
        check_sides(frames, frequencies, least=(SMALLEST_SIDE, SMALLEST_SIDE), network="the residual network")
        n = len(widths)
        sides = sides_after_each_layer((frames, frequencies), [_KERNEL] * n, [_STRIDE] * n, [_PADDING] * n)
        channels = [planes, *widths]
        self._features = (channels[-1], *sides[-1])
        n_features = channels[-1] * sides[-1][0] * sides[-1][1]

        self.down = nn.Sequential(*(_Block(channels[i], channels[i + 1], _STRIDE) for i in range(n)))
        self.to_latent = nn.Linear(n_features, latent)
        self.rectify = nn.Identity()
        self.from_latent = nn.Linear(latent, n_features)
        self.up = nn.Sequential(nn.ReLU(inplace=True))
        for i in reversed(range(n)):
            self.up.append(_enlarging(channels[i + 1], channels[i], sides[i], sides[i + 1]))
            if i:
                self.up.append(nn.ReLU(inplace=True))
                self.up.append(_Block(channels[i], channels[i], (1, 1)))

    def encode(self, x_NPTF: Tensor, noise: Noise | None = None) -> Tensor:
        """Embedding (window, latent) of windows (window, plane, frame, frequency)."""
        return self._embed(self.down(x_NPTF).flatten(1))

    def decode(self, z_ND: Tensor) -> Tensor:
        """Reconstruction (window, plane, frame, frequency) of embeddings (window, latent)."""
        h_NHTF = self.from_latent(z_ND).unflatten(1, self._features)
        return cast("Tensor", self.up(h_NHTF.contiguous(memory_format=torch.channels_last)))


class _Block(nn.Module):
    """Two convolutions, attention over channels and cells, and the shortcut around all of it."""

    def __init__(self, before: int, after: int, stride: Sides) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(before, after, _KERNEL, stride, _PADDING),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, _KERNEL, padding=_PADDING),
            ChannelAttention(after),
            SpatialAttention(),
        )
        same = before == after and stride == (1, 1)
        self.shortcut = nn.Identity() if same else nn.Conv2d(before, after, 1, stride)

    def forward(self, h_NCTF: Tensor) -> Tensor:
        total: Tensor = self.branch(h_NCTF) + self.shortcut(h_NCTF)
        return total.relu()


def _enlarging(before: int, after: int, sides: Sides, sides_before: Sides) -> nn.ConvTranspose2d:
    extra = output_padding(sides, sides_before, _KERNEL, _STRIDE, _PADDING)
    return nn.ConvTranspose2d(before, after, _KERNEL, _STRIDE, _PADDING, extra)
