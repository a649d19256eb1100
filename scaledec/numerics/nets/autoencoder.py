"""A convolutional autoencoder for spectrogram windows of any size.

Tensor names carry their axes: ``x_NPTF`` is (window, plane, frame, frequency), ``z_ND`` is
(window, latent).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from scaledec.errors import ConfigError

__all__ = ["SMALLEST_SIDE", "ConvAutoencoder", "with_planes"]

SMALLEST_SIDE = 8
"""Fewest frames or frequencies of a window: below it a stride-2 network has nothing to reduce."""

_KERNEL = 3
_STRIDE = 2
# A small positive bias keeps every rectifier open at the start.
_INITIAL_BIAS = 0.01


class ConvAutoencoder(nn.Module):
    """Stride-2 convolutions down to an embedding, transposed convolutions back to the window.

    Every layer but the embedding and the reconstruction is followed by a ReLU. Each transposed
    convolution undoes the sizes of its convolution exactly, so the reconstruction has the input's
    shape for odd and even sides alike, without cropping.

    Parameters
    ----------
    frames, frequencies
        Sides of a window, at least 8 each.
    widths
        Channels of the convolutions, one layer each.
    latent
        Dimensions of the embedding.
    planes
        Channels of a window (1: power).
    rectified
        Whether a ReLU follows the embedding too. It can silence dimensions for good; published
        networks have it, new ones should not.
    paddings
        Padding on (frames, frequencies) of each convolution; one cell each by default.

    Raises
    ------
    ConfigError
        If a side is shorter than 8 or a layer would leave no cell.

    Examples
    --------
    >>> network = ConvAutoencoder(100, 87, widths=(8, 16), latent=9)
    >>> x_hat, z = network(torch.zeros(2, 1, 100, 87))
    >>> tuple(x_hat.shape), tuple(z.shape)
    ((2, 1, 100, 87), (2, 9))
    """

    def __init__(
        self,
        frames: int,
        frequencies: int,
        widths: Sequence[int],
        latent: int,
        *,
        planes: int = 1,
        rectified: bool = False,
        paddings: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        super().__init__()
        self.frames, self.frequencies, self.planes, self.latent = frames, frequencies, planes, latent
        paddings = [(1, 1)] * len(widths) if paddings is None else list(paddings)
        sides = _sides_after_each_layer(frames, frequencies, paddings)
        channels = [planes, *widths]
        self._features = (channels[-1], *sides[-1])
        n_features = channels[-1] * sides[-1][0] * sides[-1][1]

        self.down = nn.Sequential()
        for i, padding in enumerate(paddings):
            self.down.append(nn.Conv2d(channels[i], channels[i + 1], _KERNEL, _STRIDE, padding))
            self.down.append(nn.ReLU(inplace=True))
        self.to_latent = nn.Linear(n_features, latent)
        self.rectify = nn.ReLU() if rectified else nn.Identity()
        self.from_latent = nn.Linear(latent, n_features)
        self.up = nn.Sequential()
        for i, padding in reversed(list(enumerate(paddings))):
            self.up.append(nn.ReLU(inplace=True))
            extra = _output_padding(sides[i], sides[i + 1], padding)
            self.up.append(nn.ConvTranspose2d(channels[i + 1], channels[i], _KERNEL, _STRIDE, padding, extra))

    def initialise(self, seed: int) -> None:
        """Draw all weights from ``seed`` alone: Xavier uniform, biases 0.01."""
        generator = torch.Generator().manual_seed(seed & 0xFFFF_FFFF_FFFF_FFFF)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter, generator=generator)
            else:
                nn.init.constant_(parameter, _INITIAL_BIAS)

    def encode(self, x_NPTF: Tensor) -> Tensor:
        """Embedding (window, latent) of windows (window, plane, frame, frequency)."""
        h_NHTF = self.down(x_NPTF)
        return cast("Tensor", self.rectify(self.to_latent(h_NHTF.flatten(1))))

    def decode(self, z_ND: Tensor) -> Tensor:
        """Reconstruction (window, plane, frame, frequency) of embeddings (window, latent)."""
        h_NHTF = self.from_latent(z_ND).unflatten(1, self._features)
        # Convolutions are fastest with the channels of a cell side by side.
        return cast("Tensor", self.up(h_NHTF.contiguous(memory_format=torch.channels_last)))

    def forward(self, x_NPTF: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction and embedding of windows."""
        z_ND = self.encode(x_NPTF)
        return self.decode(z_ND), z_ND


def with_planes(windows: Tensor) -> Tensor:
    """Windows (window, plane, frame, frequency); those of one plane may come without that axis."""
    return windows.unsqueeze(1) if windows.dim() == 3 else windows


def _sides_after_each_layer(
    frames: int, frequencies: int, paddings: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """(frames, frequencies) of the input and after each convolution."""
    if min(frames, frequencies) < SMALLEST_SIDE:
        raise ConfigError(
            f"a window of {frames} frames x {frequencies} frequencies is too small for the autoencoder; "
            f"expected at least {SMALLEST_SIDE} of each: raise windows.length_s or widen spectrogram.band_hz"
        )
    sides = [(frames, frequencies)]
    for layer, padding in enumerate(paddings):
        shorter = tuple((n + 2 * p - _KERNEL) // _STRIDE + 1 for n, p in zip(sides[-1], padding, strict=True))
        if min(shorter) < 1:
            raise ConfigError(
                f"convolution {layer + 1} of {len(paddings)} leaves nothing of a window of {frames} frames x "
                f"{frequencies} frequencies; use longer windows, fewer model.widths or no preset"
            )
        sides.append((shorter[0], shorter[1]))
    return sides


def _output_padding(
    before: tuple[int, int], after: tuple[int, int], padding: tuple[int, int]
) -> tuple[int, int]:
    """Cells a transposed convolution must add so that it leads from ``after`` back to ``before``."""
    frames, frequencies = (
        n - (_STRIDE * (m - 1) - 2 * p + _KERNEL) for n, m, p in zip(before, after, padding, strict=True)
    )
    return frames, frequencies
