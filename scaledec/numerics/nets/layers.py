"""Activations by name, initial weights, and the sizes that convolutions leave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias, get_args

import torch
from torch import nn

from scaledec.errors import ConfigError
from scaledec.numerics.nets.base import sides_text

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Start",
    "activation",
    "draw_uniform",
    "draw_xavier",
    "output_padding",
    "sides_after_each_layer",
]

Activation: TypeAlias = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"]
"""What follows a convolution; ``leaky_relu`` has a slope of 0.02 below zero, as in zClust."""
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)

Sides: TypeAlias = tuple[int, int]
"""Of frames and frequencies: cells, kernel, stride or padding."""
Start: TypeAlias = Callable[[nn.Module, torch.Generator], None]
"""Draws all weights of a network from a generator."""

_LEAKY_SLOPE = 0.02
# A small positive bias keeps every rectifier open at the start.
_OPEN_BIAS = 0.01


def activation(name: Activation) -> nn.Module:
    """The activation of that name; rectifiers work in place, which saves a copy of every layer."""
    match name:
        case "relu":
            return nn.ReLU(inplace=True)
        case "leaky_relu":
            return nn.LeakyReLU(_LEAKY_SLOPE, inplace=True)
        case "elu":
            return nn.ELU()
        case "gelu":
            return nn.GELU()
        case "silu":
            return nn.SiLU()
        case "tanh":
            return nn.Tanh()


def draw_xavier(network: nn.Module, generator: torch.Generator, *, bias: float = _OPEN_BIAS) -> None:
    """Xavier (Glorot) uniform weights, every bias the same."""
    for parameter in network.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter, generator=generator)
        else:
            nn.init.constant_(parameter, bias)


def draw_uniform(network: nn.Module, generator: torch.Generator) -> None:
    """Weights and biases uniform within 1 / sqrt(inputs of a cell), which is what torch does by itself."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            bound = layer.weight[0].numel() ** -0.5
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            if layer.bias is not None:
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)


def sides_after_each_layer(
    window: Sides, kernels: Sequence[Sides], strides: Sequence[Sides], paddings: Sequence[Sides]
) -> list[Sides]:
    """(frames, frequencies) of the window and after each convolution.

    Raises
    ------
    ConfigError
        If a layer would leave no cell.
    """
    sides = [window]
    for layer, (kernel, stride, padding) in enumerate(zip(kernels, strides, paddings, strict=True)):
        frames, frequencies = (
            (n + 2 * p - k) // s + 1 for n, k, s, p in zip(sides[-1], kernel, stride, padding, strict=True)
        )
        if min(frames, frequencies) < 1:
            raise ConfigError(
                f"convolution {layer + 1} of {len(kernels)} leaves nothing of a window of "
                f"{sides_text(*window)}; use longer windows, fewer model.widths or no preset"
            )
        sides.append((frames, frequencies))
    return sides


def output_padding(before: Sides, after: Sides, kernel: Sides, stride: Sides, padding: Sides) -> Sides:
    """Cells a transposed convolution must add so that it leads from ``after`` back to ``before``."""
    frames, frequencies = (
        n - (s * (m - 1) - 2 * p + k)
        for n, m, k, s, p in zip(before, after, kernel, stride, padding, strict=True)
    )
    return frames, frequencies
