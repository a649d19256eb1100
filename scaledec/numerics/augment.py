"""Small random moves of windows: what a cluster should not depend on.

A network that sees a window a little shifted, turned or stretched each time, and is asked for the
assignment of the window as it is, learns clusters that bear it (Guo et al. 2018, "Deep embedded
clustering with data augmentation").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

__all__ = ["Augmentation"]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far windows are moved at most; each move is drawn evenly up to its limit, either way."""

    shift_frames: float = 0.1
    """Share of the window's frames (or an image's rows)."""
    shift_frequencies: float = 0.1
    """Share of the window's frequencies (or an image's columns)."""
    rotation_deg: float = 10.0
    zoom: float = 0.1
    """Share of the window's size."""

    def draw(self, n: int, *, seed: int, epoch: int) -> Tensor:
        """Moves (n, 2, 3) of an epoch's windows, float32; only the arguments decide them."""
        rng = np.random.Generator(np.random.PCG64([seed & 0xFFFF_FFFF_FFFF_FFFF, epoch, 1]))
        turn, size, up, along = rng.uniform(-1, 1, (4, n))
        angle = turn * math.radians(self.rotation_deg)
        scale = np.exp(size * math.log1p(self.zoom))
        # Columns (x) first, as sampling grids have it; a grid is two units wide.
        move = np.empty((n, 2, 3), np.float32)
        move[:, 0] = np.stack([np.cos(angle), -np.sin(angle), 2 * along * self.shift_frequencies / scale]).T
        move[:, 1] = np.stack([np.sin(angle), np.cos(angle), 2 * up * self.shift_frames / scale]).T
        return torch.from_numpy(move * scale[:, None, None].astype(np.float32))

    @staticmethod
    def apply(x_NPTF: Tensor, move: Tensor) -> Tensor:
        """Windows (n, plane, frame, frequency) after moves (n, 2, 3); what comes in repeats the edge."""
        grid = affine_grid(move.to(x_NPTF.device), list(x_NPTF.shape), align_corners=False)
        return grid_sample(x_NPTF, grid, mode="bilinear", padding_mode="border", align_corners=False)
