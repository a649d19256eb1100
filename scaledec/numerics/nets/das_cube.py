"""An autoencoder for windows of a few frames: spectrograms cut from cubes of distributed acoustic sensing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from scaledec.numerics.nets.attention import mean_and_maximum
from scaledec.numerics.nets.base import Autoencoder, check_sides
from scaledec.numerics.nets.layers import output_padding, sides_after_each_layer
from scaledec.numerics.nets.noise import Noise

__all__ = ["DasCubeAutoencoder"]

# A kernel of even sides with a padding of one: frames grow by one a layer, frequencies are halved.
_KERNEL, _STRIDE, _PADDING = (2, 4), (1, 2), (1, 1)


class DasCubeAutoencoder(Autoencoder):
    """Convolutions that leave frames and halve frequencies, a map of attention, a dense embedding.

    The map is all that the embedding sees: of the channels' mean and maximum one convolution makes a
    single channel, which weighs itself. Embedding and reconstruction are rectified: windows must not have
    negative cells (normalise max or l2).

    Parameters
    ----------
    frames, frequencies
        Sides of a window, at least 1 and 8.
    widths
        Channels of the convolutions.
    latent
        Dimensions of the embedding.
    planes
        Channels of a window (1: power).

    Raises
    ------
    ConfigError
        If the window is too small.

    Examples
    --------
    >>> network = DasCubeAutoencoder(4, 101, widths=(8, 8, 8), latent=9)
    >>> [tuple(t.shape) for t in network(torch.zeros(2, 1, 4, 101))]
    [(2, 1, 4, 101), (2, 9)]
    """

    def __init__(
        self, frames: int, frequencies: int, widths: Sequence[int], latent: int, *, planes: int = 1
    ) -> None:
        super().__init__(frames, frequencies, latent, planes=planes)
        n = len(widths)
        check_sides(frames, frequencies, least=(1, _STRIDE[1] ** n), network="the network for DAS cubes")
        sides = sides_after_each_layer((frames, frequencies), [_KERNEL] * n, [_STRIDE] * n, [_PADDING] * n)
        channels = [planes, *widths]
        self._map = (1, *sides[-1])

        self.down = nn.Sequential()
        for i in range(n):
            self.down.append(nn.Conv2d(channels[i], channels[i + 1], _KERNEL, _STRIDE, _PADDING))
            self.down.append(nn.ReLU(inplace=True))
        self.down.append(_SelfWeighingMap())
        self.to_latent = nn.Linear(sides[-1][0] * sides[-1][1], latent)
        self.rectify = nn.ReLU()
        self.from_latent = nn.Linear(latent, sides[-1][0] * sides[-1][1])
        self.up = nn.Sequential(
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(1, channels[-1], 3, padding=1, bias=False),
        )
        for i in reversed(range(n)):
            extra = output_padding(sides[i], sides[i + 1], _KERNEL, _STRIDE, _PADDING)
            self.up.append(nn.ReLU(inplace=True))
            self.up.append(
                nn.ConvTranspose2d(channels[i + 1], channels[i], _KERNEL, _STRIDE, _PADDING, extra)
            )
        self.up.append(nn.ReLU(inplace=True))

    def encode(self, x_NPTF: Tensor, noise: Noise | None = None) -> Tensor:
        """Embedding (window, latent) of windows (window, plane, frame, frequency)."""
        return self._embed(self.down(x_NPTF).flatten(1))

    def decode(self, z_ND: Tensor) -> Tensor:
        """Reconstruction (window, plane, frame, frequency) of embeddings (window, latent)."""
        h_N1TF = self.from_latent(z_ND).unflatten(1, self._map)
        return cast("Tensor", self.up(h_N1TF.contiguous(memory_format=torch.channels_last)))


class _SelfWeighingMap(nn.Module):
    """One channel made of the channels' mean and maximum, times its own sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.judge = nn.Conv2d(2, 1, 3, padding=1, bias=False)

    def forward(self, h_NCTF: Tensor) -> Tensor:
        judged_N1TF: Tensor = self.judge(mean_and_maximum(h_NCTF))
        return judged_N1TF * judged_N1TF.sigmoid()
