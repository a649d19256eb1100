"""What every autoencoder is to the loops that train it and to the stages that use it.

Tensor names carry their axes: ``x_NPTF`` is (window, plane, frame, frequency), ``z_ND`` is
(window, latent).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from scaledec.errors import ConfigError
from scaledec.numerics.nets.noise import Noise

__all__ = ["SMALLEST_SIDE", "Autoencoder", "check_sides", "sides_text", "with_planes"]

SMALLEST_SIDE = 8
"""Fewest frames or frequencies of a window: below it a stride-2 network has nothing to reduce."""


_ALIGNED_CELLS = 4


class Autoencoder(nn.Module, ABC):
    """A network that embeds windows and makes windows of embeddings.

    Its weights are the whole of it: there are no running statistics and no dropout layers, so that the
    mode (train or eval) changes nothing. What is dropped while training comes with the call, as
    :class:`Noise`; without it a network is a function of the window alone.

    Parameters
    ----------
    frames, frequencies, planes
        Shape of a window; planes are its channels (1: power).
    latent
        Dimensions of the embedding.
    """

    has_skips: ClassVar[bool] = False
    """Whether the reconstruction of a window sees more of it than its embedding."""

    down: nn.Module
    """The encoder up to its last linear map."""
    to_latent: nn.Linear
    """The last linear map of the encoder."""
    rectify: nn.Module
    """What follows it: nothing, for a linear embedding."""
    from_latent: nn.Linear
    """The first linear map of the decoder."""
    up: nn.Module
    """The decoder after it."""

    def __init__(self, frames: int, frequencies: int, latent: int, *, planes: int = 1) -> None:
        super().__init__()
        self.frames, self.frequencies, self.planes, self.latent = frames, frequencies, planes, latent

    @abstractmethod
    def encode(self, x_NPTF: Tensor, noise: Noise | None = None) -> Tensor:
        """Embedding (window, latent) of windows (window, plane, frame, frequency)."""

    @abstractmethod
    def decode(self, z_ND: Tensor) -> Tensor:
        """Windows (window, plane, frame, frequency) that embeddings (window, latent) alone stand for.

        Skip connections are zero: a centroid has no window they could come from.
        """

    def forward(self, x_NPTF: Tensor, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        """Reconstruction and embedding of windows."""
        z_ND = self.encode(x_NPTF, noise)
        return self.decode(z_ND), z_ND

    def reconstruct_from_embedding(self, x_NPTF: Tensor) -> Tensor:
        """What is left of windows when only their embedding is known, skips or no skips."""
        return self.decode(self.encode(x_NPTF))

    @property
    def embeds_linearly(self) -> bool:
        """Whether nothing follows the last linear map of the encoder."""
        return isinstance(self.rectify, nn.Identity)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """What an embedding depends on; the decoder's parameters are left out."""
        return [*self.down.parameters(), *self.to_latent.parameters()]

    def _embed(self, h_NF: Tensor) -> Tensor:
        """Embedding of flattened features (window, feature)."""
        # Rows that do not begin at a multiple of 16 bytes are multiplied by other kernels than those that
        # do, and round otherwise: a window's embedding would depend on where it lies in its batch.
        if h_NF.dtype != self.to_latent.weight.dtype:
            # Lower precision ends here: an embedding of eight bits would tie windows that differ.
            with torch.autocast(h_NF.device.type, enabled=False):
                return self._embed(h_NF.to(self.to_latent.weight.dtype))
        n_features = h_NF.shape[1]
        if n_features % _ALIGNED_CELLS == 0:
            return cast("Tensor", self.rectify(self.to_latent(h_NF)))
        missing = (0, -n_features % _ALIGNED_CELLS)
        weight_DF = pad(self.to_latent.weight, missing)
        return cast("Tensor", self.rectify(linear(pad(h_NF, missing), weight_DF, self.to_latent.bias)))


def with_planes(windows: Tensor) -> Tensor:
    """Windows (window, plane, frame, frequency); those of one plane may come without that axis."""
    return windows.unsqueeze(1) if windows.dim() == 3 else windows


def check_sides(frames: int, frequencies: int, *, least: tuple[int, int], network: str) -> None:
    """Refuse windows that ``network`` has no cells for.

    Raises
    ------
    ConfigError
        If a side is shorter than ``least`` (frames, frequencies).
    """
    if frames < least[0] or frequencies < least[1]:
        raise ConfigError(
            f"a window of {sides_text(frames, frequencies)} is too small for {network}; expected at least "
            f"{sides_text(*least)}: raise windows.length_s or widen spectrogram.band_hz"
        )


def sides_text(frames: int, frequencies: int) -> str:
    """A window's sides in words."""
    return f"{frames} frames x {frequencies} frequencies"
