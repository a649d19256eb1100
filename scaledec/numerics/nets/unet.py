"""A U-Net with an embedding at its bottom (after Ronneberger, Fischer and Brox 2015).

Skip connections carry each level of the contracting path over to the expanding one. They make good
reconstructions and, left alone, useless embeddings: the decoder takes all it needs from the skips and the
embedding stays empty. So while training the skips of a window are dropped now and then, all of them at
once: the decoder has to learn what it can do with the embedding alone, which is also how it decodes
centroids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from scaledec.numerics.nets.base import Autoencoder, check_sides
from scaledec.numerics.nets.layers import Sides, activation
from scaledec.numerics.nets.noise import Noise, drop_channels

__all__ = ["UNetAutoencoder"]

_POOL = 2
# What noise is drawn for: levels of the contracting path are 0, 1, ...; the expanding one comes after them.
_SKIPS = -1


class UNetAutoencoder(Autoencoder):
    """Contracting and expanding path with skips, and the embedding between them.

    A level is two 3 x 3 convolutions with ReLU and, between levels, a 2 x 2 maximum; on the way up a
    transposed convolution doubles the sides and the level's skip is laid beside it.

    Parameters
    ----------
    frames, frequencies
        Sides of a window; each must be at least 2 to the power of the levels less one.
    widths
        Channels of the levels.
    latent
        Dimensions of the embedding.
    planes
        Channels of a window (1: power).
    dropout
        Chance that a channel is dropped between the two convolutions of each level, while training.
    skip_dropout
        Chance that a window's skips are dropped, all of them, while training.

    Raises
    ------
    ConfigError
        If a level would leave no cell.

    Examples
    --------
    >>> network = UNetAutoencoder(20, 17, widths=(4, 8), latent=3, dropout=(0.1, 0.1))
    >>> [tuple(t.shape) for t in network(torch.zeros(2, 1, 20, 17))]
    [(2, 1, 20, 17), (2, 3)]
    """

    has_skips: ClassVar[bool] = True

    down: nn.ModuleList
    up: nn.ModuleList

    def __init__(
        self,
        frames: int,
        frequencies: int,
        widths: Sequence[int],
        latent: int,
        *,
        planes: int = 1,
        dropout: Sequence[float],
        skip_dropout: float = 0.5,
    ) -> None:
        super().__init__(frames, frequencies, latent, planes=planes)
        least = _POOL ** (len(widths) - 1)
        check_sides(frames, frequencies, least=(least, least), network=f"a U-Net of {len(widths)} levels")
        self._dropout, self._skip_dropout = tuple(dropout), skip_dropout
        self._sides = [(frames // _POOL**level, frequencies // _POOL**level) for level in range(len(widths))]
        self._widths = tuple(widths)
        n_features = widths[-1] * self._sides[-1][0] * self._sides[-1][1]

        channels = [planes, *widths]
        self.down = nn.ModuleList(_Level(channels[i], channels[i + 1]) for i in range(len(widths)))
        self.pool = nn.MaxPool2d(_POOL)
        self.to_latent = nn.Linear(n_features, latent)
        self.rectify = nn.Identity()
        self.from_latent = nn.Linear(latent, n_features)
        self.up = nn.ModuleList(
            _Expanding(widths[i + 1], widths[i], self._sides[i], self._sides[i + 1])
            for i in reversed(range(len(widths) - 1))
        )
        self.up.append(nn.Conv2d(widths[0], planes, 1))

    def encode(self, x_NPTF: Tensor, noise: Noise | None = None) -> Tensor:
        """Embedding (window, latent) of windows (window, plane, frame, frequency)."""
        return self._contract(x_NPTF, noise)[0]

    def decode(self, z_ND: Tensor) -> Tensor:
        """Windows (window, plane, frame, frequency) of embeddings (window, latent): all skips are zero."""
        skips = [
            z_ND.new_zeros((len(z_ND), width, *sides))
            for width, sides in zip(self._widths[:-1], self._sides[:-1], strict=True)
        ]
        return self._expand(z_ND, skips, None)

    def forward(self, x_NPTF: Tensor, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        """Reconstruction, with the help of the skips, and embedding of windows."""
        z_ND, skips = self._contract(x_NPTF, noise)
        if noise is not None:
            kept_N1 = noise.kept(_SKIPS, 1, rate=self._skip_dropout).to(x_NPTF.device, x_NPTF.dtype)
            skips = [skip * kept_N1[:, :, None, None] for skip in skips]
        return self._expand(z_ND, skips, noise), z_ND

    def _contract(self, x_NPTF: Tensor, noise: Noise | None) -> tuple[Tensor, list[Tensor]]:
        """Embedding, and the skip of every level but the last."""
        skips: list[Tensor] = []
        h_NCTF = x_NPTF
        for place, level in enumerate(self.down):
            if skips:
                h_NCTF = self.pool(h_NCTF)
            h_NCTF = level(h_NCTF, noise, place, self._dropout[place])
            skips.append(h_NCTF)
        return self._embed(skips.pop().flatten(1)), skips

    def _expand(self, z_ND: Tensor, skips: Sequence[Tensor], noise: Noise | None) -> Tensor:
        """Window (window, plane, frame, frequency) of embeddings and skips."""
        levels = len(self._widths)
        h_NCTF = self.from_latent(z_ND).unflatten(1, (self._widths[-1], *self._sides[-1])).relu()
        h_NCTF = h_NCTF.contiguous(memory_format=torch.channels_last)
        *stages, last = self.up
        for i, (stage, skip) in enumerate(zip(stages, reversed(skips), strict=True)):
            h_NCTF = stage(h_NCTF, skip, noise, levels + i, self._dropout[levels - 2 - i])
        return cast("Tensor", last(h_NCTF))


class _Level(nn.Module):
    """Two convolutions, with dropout of channels between them."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, padding=1)
        self.second = nn.Conv2d(after, after, 3, padding=1)
        self.activation = activation("relu")

    def forward(self, h_NCTF: Tensor, noise: Noise | None, place: int, rate: float) -> Tensor:
        h_NCTF = self.activation(self.first(h_NCTF))
        h_NCTF = drop_channels(h_NCTF, noise, place, rate=rate)
        return cast("Tensor", self.activation(self.second(h_NCTF)))


class _Expanding(nn.Module):
    """A transposed convolution to the sides of the level above, and that level with its skip beside it."""

    def __init__(self, before: int, after: int, sides: Sides, sides_before: Sides) -> None:
        super().__init__()
        # An odd side lost a cell to the maximum: it is added again, of the bias alone.
        frames, frequencies = (n - _POOL * m for n, m in zip(sides, sides_before, strict=True))
        self.enlarge = nn.ConvTranspose2d(before, after, _POOL, _POOL, 0, (frames, frequencies))
        self.level = _Level(2 * after, after)

    def forward(self, h_NCTF: Tensor, skip: Tensor, noise: Noise | None, place: int, rate: float) -> Tensor:
        beside = torch.cat([skip, self.enlarge(h_NCTF)], dim=1)
        return cast("Tensor", self.level(beside, noise, place, rate))
