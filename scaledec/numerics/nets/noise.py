"""Noise for dropout that depends on the window and the epoch, and on nothing else.

Drawn from a generator it would depend on how windows are batched, on which rank sees them and on what was
drawn before, so that a resumed training would not be the same training. Here it is a hash of where the
window lies in the training set, of the epoch and of what is dropped: the same for any number of ranks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = ["Noise", "drop_channels"]

Int64: TypeAlias = Tensor

# Increment and multipliers of splitmix64 (Steele, Lea and Flood 2014), as signed numbers: torch has no
# unsigned ones, and its products wrap around as they should.
_INCREMENT = 0x9E3779B97F4A7C15 - 2**64
_MULTIPLIERS = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64))
_LAST_SHIFT = 31
_BITS = 53
_SIGNED = 2**63


@dataclass(frozen=True, slots=True)
class Noise:
    """What is dropped of a batch in one epoch.

    Examples
    --------
    >>> noise = Noise(seed=0, epoch=3, position=torch.arange(4))
    >>> noise.kept(0, 2, rate=0.5).shape
    torch.Size([4, 2])
    """

    seed: int
    epoch: int
    position: Tensor
    """int64 (window,): where the batch's windows lie in the training set."""

    def kept(self, place: int, channels: int, *, rate: float) -> Tensor:
        """Which channels of which windows are kept, bool (window, channel), each lost with chance ``rate``.

        ``place`` tells apart the layers of a network.
        """
        device = self.position.device
        key = torch.tensor([_signed(self.seed), self.epoch, place], device=device)
        state = _mix(_mix(_mix(key[:1]) ^ key[1:2]) ^ key[2:])
        bits_N1 = _mix(state ^ self.position)[:, None]
        bits_NC = _mix(bits_N1 + torch.arange(channels, device=device))
        return _shift(bits_NC, 64 - _BITS) >= int(rate * 2**_BITS)


def drop_channels(h_NCTF: Tensor, noise: Noise | None, place: int, *, rate: float) -> Tensor:
    """Whole channels set to zero and the rest scaled so that means stay (Tompson et al. 2015).

    Without noise nothing is dropped.
    """
    if noise is None or rate == 0:
        return h_NCTF
    kept_NC = noise.kept(place, h_NCTF.shape[1], rate=rate).to(h_NCTF.device, h_NCTF.dtype)
    return h_NCTF * (kept_NC / (1 - rate))[:, :, None, None]


def _mix(x: Int64) -> Int64:
    """The output function of splitmix64: every bit of the result depends on every bit of ``x``."""
    x = x + _INCREMENT
    for shift, multiplier in _MULTIPLIERS:
        x = (x ^ _shift(x, shift)) * multiplier
    return x ^ _shift(x, _LAST_SHIFT)


def _shift(x: Int64, by: int) -> Int64:
    """Shift right as if unsigned."""
    shifted: Int64 = (x >> by) & (2 ** (64 - by) - 1)
    return shifted


def _signed(seed: int) -> int:
    """The last 64 bits of a seed as torch's int64."""
    return (seed + _SIGNED) % (2 * _SIGNED) - _SIGNED
