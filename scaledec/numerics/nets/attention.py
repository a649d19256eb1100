"""Attention over channels and over cells (Woo, Park, Lee and Kweon 2018, "CBAM")."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

__all__ = ["ChannelAttention", "SpatialAttention", "mean_and_maximum"]

_REDUCTION = 8


class ChannelAttention(nn.Module):
    """Weighs channels by what their mean and their maximum over the window say (equation 2 there)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = max(1, channels // _REDUCTION)
        self.judge = nn.Sequential(nn.Linear(channels, narrow), nn.ReLU(), nn.Linear(narrow, channels))

    def forward(self, h_NCTF: Tensor) -> Tensor:
        """The same features, weighed."""
        # Pooling finds the maximum five times as fast as a reduction over both axes.
        greatest_NC = max_pool2d(h_NCTF, h_NCTF.shape[2:]).flatten(1)
        judged_NC: Tensor = self.judge(h_NCTF.mean((2, 3))) + self.judge(greatest_NC)
        return h_NCTF * judged_NC.sigmoid()[:, :, None, None]


class SpatialAttention(nn.Module):
    """Weighs cells by what the mean and the maximum over channels around them say (equation 3 there)."""

    def __init__(self, kernel: int = 7) -> None:
        super().__init__()
        self.judge = nn.Conv2d(2, 1, kernel, padding=kernel // 2)

    def forward(self, h_NCTF: Tensor) -> Tensor:
        """The same features, weighed."""
        judged_N1TF: Tensor = self.judge(mean_and_maximum(h_NCTF))
        return h_NCTF * judged_N1TF.sigmoid()


def mean_and_maximum(h_NCTF: Tensor) -> Tensor:
    """Mean and maximum over channels, as two channels."""
    return torch.cat([h_NCTF.mean(1, keepdim=True), h_NCTF.amax(1, keepdim=True)], dim=1)
