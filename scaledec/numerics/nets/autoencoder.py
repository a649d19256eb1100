"""A convolutional autoencoder for spectrogram windows of any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from scaledec.errors import ConfigError
from scaledec.numerics.nets.base import SMALLEST_SIDE, Autoencoder, check_sides, sides_text
from scaledec.numerics.nets.layers import (
    Activation,
    Sides,
    activation,
    output_padding,
    sides_after_each_layer,
)
from scaledec.numerics.nets.noise import Noise

__all__ = ["ConvAutoencoder", "Expansion"]

_STRIDE = (2, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """A decoder that is not the encoder turned round, as some published ones are; from the embedding on."""

    kernels: tuple[int, ...]
    """Side of each transposed convolution's kernel."""
    paddings: tuple[Sides, ...]
    """Padding on (frames, frequencies) of each."""
    cut: Sides | None = None
    """Frames and frequencies cut off at either end of what the last one gives; ``None``: each one undoes
    the sizes of its convolution, and there is nothing to cut."""


class ConvAutoencoder(Autoencoder):
    """Stride-2 convolutions down to an embedding, transposed convolutions back to the window.

    The activation follows every layer but the embedding and the reconstruction. Each transposed
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
    kernel
        Side of the convolutions' kernels, odd; one number or one a layer.
    activation_name
        What follows a layer.
    rectified
        Whether the activation follows the embedding too. A ReLU there can silence dimensions for good;
        published networks have it, new ones should not.
    rectified_output
        Whether it follows the reconstruction too.
    paddings
        Padding on (frames, frequencies) of each convolution; half the kernel by default.
    expansion
        A published decoder's own sizes; by default the encoder's, turned round.

    Raises
    ------
    ConfigError
        If a side is shorter than 8, a layer would leave no cell, or an expansion misses the window.

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
        kernel: int | Sequence[int] = 3,
        activation_name: Activation = "relu",
        rectified: bool = False,
        rectified_output: bool = False,
        paddings: Sequence[Sides] | None = None,
        expansion: Expansion | None = None,
    ) -> None:
        super().__init__(frames, frequencies, latent, planes=planes)
        check_sides(frames, frequencies, least=(SMALLEST_SIDE, SMALLEST_SIDE), network="the autoencoder")
        kernels = [kernel] * len(widths) if isinstance(kernel, int) else list(kernel)
        squares = [(k, k) for k in kernels]
        paddings = [(k // 2, k // 2) for k in kernels] if paddings is None else list(paddings)
        sides = sides_after_each_layer((frames, frequencies), squares, [_STRIDE] * len(widths), paddings)
        channels = [planes, *widths]
        self._features = (channels[-1], *sides[-1])
        n_features = channels[-1] * sides[-1][0] * sides[-1][1]

        self.down = nn.Sequential()
        for i, padding in enumerate(paddings):
            self.down.append(nn.Conv2d(channels[i], channels[i + 1], kernels[i], _STRIDE, padding))
            self.down.append(activation(activation_name))
        self.to_latent = nn.Linear(n_features, latent)
        self.rectify = activation(activation_name) if rectified else nn.Identity()
        self.from_latent = nn.Linear(latent, n_features)
        self.up = nn.Sequential()
        if expansion is None:
            expansion = Expansion(kernels=tuple(reversed(kernels)), paddings=tuple(reversed(paddings)))
        layers = reversed(range(len(widths)))
        for i, k, padding in zip(layers, expansion.kernels, expansion.paddings, strict=True):
            extra = (0, 0)
            if expansion.cut is None:
                extra = output_padding(sides[i], sides[i + 1], (k, k), _STRIDE, padding)
            self.up.append(activation(activation_name))
            self.up.append(nn.ConvTranspose2d(channels[i + 1], channels[i], k, _STRIDE, padding, extra))
        if rectified_output:
            self.up.append(activation(activation_name))
        self._cut = _window_in(sides, expansion)

    def encode(self, x_NPTF: Tensor, noise: Noise | None = None) -> Tensor:
        """Embedding (window, latent) of windows (window, plane, frame, frequency)."""
        h_NHTF = self.down(x_NPTF)
        return self._embed(h_NHTF.flatten(1))

    def decode(self, z_ND: Tensor) -> Tensor:
        """Reconstruction (window, plane, frame, frequency) of embeddings (window, latent)."""
        h_NHTF = self.from_latent(z_ND).unflatten(1, self._features)
        # Convolutions are fastest with the channels of a cell side by side.
        x_NPTF = cast("Tensor", self.up(h_NHTF.contiguous(memory_format=torch.channels_last)))
        return x_NPTF if self._cut is None else x_NPTF[:, :, self._cut[0], self._cut[1]]


def _window_in(sides: Sequence[Sides], expansion: Expansion) -> tuple[slice, slice] | None:
    """Where the window lies in what the decoder ends with; ``None``: nothing is cut."""
    if expansion.cut is None:
        return None
    cells = sides[-1]
    for kernel, padding in zip(expansion.kernels, expansion.paddings, strict=True):
        frames, frequencies = (
            s * (m - 1) - 2 * p + kernel for m, p, s in zip(cells, padding, _STRIDE, strict=True)
        )
        cells = frames, frequencies
    kept = (
        slice(expansion.cut[0], cells[0] - expansion.cut[0]),
        slice(expansion.cut[1], cells[1] - expansion.cut[1]),
    )
    found = kept[0].stop - kept[0].start, kept[1].stop - kept[1].start
    if found != sides[0]:
        raise ConfigError(
            f"the decoder ends with {sides_text(*found)} where the window has {sides_text(*sides[0])}; its "
            "own sizes are for the published window only"
        )
    return kept
