"""Images of handwritten-like digits, drawn from strokes: stand-ins for sets that are not at hand.

Every digit is one of a few ways of writing it (a seven with or without a bar, a four open or closed), each a
skeleton of curves through control points. A seed is a population of writers: it draws how often each way is
used and how the population's skeletons differ from ours. A sample moves the control points, bends the sheet,
slants, turns and stretches it, and draws with a pen of its own width. Images are then normalised as MNIST's
(box of 20 x 20 cells, centre of mass in the middle of 28 x 28) or as USPS's (16 x 16, filled).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

__all__ = ["MNIST_LIKE", "USPS_LIKE", "Sheet", "draw"]

Strokes = tuple[tuple[tuple[float, float], ...], ...]

# (x, y), y downwards, in a box of 1 x 1; a curve goes through its points.
_RING = ((0.5, 0.0), (0.2, 0.15), (0.1, 0.5), (0.2, 0.85), (0.5, 1.0), (0.8, 0.85), (0.9, 0.5), (0.8, 0.15))
_WAYS: tuple[tuple[Strokes, ...], ...] = (
    (((*_RING, (0.5, 0.0), (0.35, 0.05)),), ((*_RING, (0.55, 0.05), (0.6, 0.1)),)),
    (
        (((0.5, 0.0), (0.5, 0.35), (0.5, 0.7), (0.5, 1.0)),),
        (((0.3, 0.2), (0.4, 0.12), (0.5, 0.0)), ((0.5, 0.0), (0.5, 0.5), (0.5, 1.0))),
    ),
    (
        (
            ((0.15, 0.25), (0.3, 0.03), (0.65, 0.02), (0.82, 0.25), (0.6, 0.6), (0.15, 1.0)),
            ((0.15, 1.0), (0.5, 0.98), (0.9, 1.0)),
        ),
        (
            (
                (0.15, 0.2),
                (0.45, 0.0),
                (0.8, 0.2),
                (0.6, 0.6),
                (0.25, 0.95),
                (0.12, 0.85),
                (0.3, 0.75),
                (0.55, 0.95),
                (0.95, 0.9),
            ),
        ),
    ),
    (
        (
            ((0.15, 0.12), (0.45, 0.0), (0.8, 0.15), (0.75, 0.38), (0.4, 0.48)),
            ((0.4, 0.48), (0.8, 0.58), (0.85, 0.82), (0.5, 1.0), (0.12, 0.88)),
        ),
        (
            ((0.15, 0.02), (0.5, 0.0), (0.82, 0.03)),
            ((0.82, 0.03), (0.6, 0.22), (0.4, 0.42)),
            ((0.4, 0.42), (0.8, 0.55), (0.85, 0.82), (0.5, 1.0), (0.12, 0.9)),
        ),
    ),
    (
        (
            ((0.3, 0.0), (0.2, 0.3), (0.15, 0.55)),
            ((0.15, 0.55), (0.5, 0.57), (0.85, 0.53)),
            ((0.75, 0.05), (0.72, 0.5), (0.7, 1.0)),
        ),
        (
            ((0.7, 0.0), (0.4, 0.35), (0.12, 0.62)),
            ((0.12, 0.62), (0.5, 0.63), (0.92, 0.62)),
            ((0.7, 0.0), (0.69, 0.5), (0.67, 1.0)),
        ),
    ),
    (
        (
            ((0.85, 0.02), (0.55, 0.0), (0.28, 0.02)),
            ((0.28, 0.02), (0.25, 0.2), (0.2, 0.42)),
            ((0.2, 0.42), (0.55, 0.36), (0.85, 0.58), (0.75, 0.9), (0.4, 1.0), (0.1, 0.9)),
        ),
        (((0.85, 0.0), (0.35, 0.08), (0.25, 0.4), (0.6, 0.45), (0.8, 0.7), (0.6, 0.97), (0.15, 0.95)),),
    ),
    (
        (
            (
                (0.7, 0.0),
                (0.35, 0.2),
                (0.15, 0.6),
                (0.3, 0.95),
                (0.6, 1.0),
                (0.82, 0.78),
                (0.65, 0.55),
                (0.35, 0.58),
                (0.2, 0.75),
            ),
        ),
        (
            (
                (0.45, 0.0),
                (0.28, 0.3),
                (0.2, 0.7),
                (0.4, 1.0),
                (0.75, 0.9),
                (0.72, 0.65),
                (0.45, 0.6),
                (0.25, 0.78),
            ),
        ),
    ),
    (
        (((0.12, 0.05), (0.5, 0.04), (0.85, 0.02)), ((0.85, 0.02), (0.6, 0.45), (0.42, 1.0))),
        (
            ((0.12, 0.12), (0.2, 0.02), (0.5, 0.06), (0.85, 0.02)),
            ((0.85, 0.02), (0.55, 0.5), (0.4, 1.0)),
            ((0.3, 0.52), (0.55, 0.5), (0.78, 0.5)),
        ),
    ),
    (
        (
            (
                (0.75, 0.12),
                (0.45, 0.0),
                (0.2, 0.2),
                (0.45, 0.45),
                (0.8, 0.72),
                (0.5, 1.0),
                (0.2, 0.76),
                (0.5, 0.47),
                (0.78, 0.2),
                (0.65, 0.05),
            ),
        ),
        (
            ((0.5, 0.0), (0.25, 0.1), (0.28, 0.36), (0.5, 0.46), (0.72, 0.36), (0.75, 0.1), (0.5, 0.0)),
            ((0.5, 0.46), (0.2, 0.62), (0.25, 0.92), (0.5, 1.0), (0.75, 0.92), (0.8, 0.62), (0.5, 0.46)),
        ),
    ),
    (
        (
            ((0.78, 0.15), (0.5, 0.0), (0.22, 0.18), (0.3, 0.45), (0.6, 0.45), (0.78, 0.15)),
            ((0.78, 0.15), (0.76, 0.5), (0.7, 1.0)),
        ),
        (
            ((0.75, 0.2), (0.55, 0.02), (0.25, 0.2), (0.3, 0.48), (0.6, 0.45), (0.76, 0.2)),
            ((0.76, 0.2), (0.75, 0.6), (0.6, 0.92), (0.25, 0.97)),
        ),
    ),
)
_POINTS_A_CURVE = 16
_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a set of images looks like."""

    side: int
    box: float
    """Side of the box that a digit is stretched into, in cells."""
    centred: bool
    """Whether the centre of mass lies in the middle; else the box does."""
    shares: tuple[float, ...]
    """Of the ten digits."""
    wobble: float
    """Standard deviation of a control point, in digit heights."""
    spread: float
    """How much slant, turn, width and bends differ between samples; 1: 0.3, 0.12, 0.22 and 0.04."""
    pen: tuple[float, float] = (0.045, 0.085)
    """Half the width of a stroke at least and at most, in digit heights."""


MNIST_LIKE = Sheet(28, 20.0, True, (0.1,) * 10, wobble=0.045, spread=0.9)
_USPS_SHARES = (0.167, 0.137, 0.1, 0.089, 0.092, 0.077, 0.09, 0.085, 0.076, 0.087)
USPS_LIKE = Sheet(16, 15.0, False, _USPS_SHARES, wobble=0.035, spread=0.75)


def draw(n: int, sheet: Sheet, seed: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Images (n, side, side) from 0 to 1 and their digits (n,), of the population of writers ``seed``.

    Parameters
    ----------
    n
        Number of images.
    sheet
        What they look like.
    seed
        Of the population and of the samples.
    """
    rng = np.random.default_rng(seed)
    ways = [_population(way, rng) for way in _WAYS]
    preferred = [rng.dirichlet(np.full(len(way), 3.0)) for way in ways]
    truth = rng.choice(10, n, p=np.asarray(sheet.shares) / sum(sheet.shares))
    way = np.array([rng.choice(len(ways[t]), p=preferred[t]) for t in truth])
    images = np.empty((n, sheet.side, sheet.side), np.float32)
    for digit in range(10):
        for w, strokes in enumerate(ways[digit]):
            rows = np.flatnonzero((truth == digit) & (way == w))
            for part in np.array_split(rows, max(1, len(rows) // _AT_ONCE)):
                if len(part):
                    images[part] = _written(strokes, len(part), sheet, rng)
    return images, truth


def _population(ways: tuple[Strokes, ...], rng: np.random.Generator) -> list[list[npt.NDArray[Any]]]:
    """The ways of writing a digit as this population does: our skeletons with points moved."""
    return [[np.asarray(s) + rng.normal(0, 0.02, (len(s), 2)) for s in strokes] for strokes in ways]


def _written(
    strokes: list[npt.NDArray[Any]], n: int, sheet: Sheet, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """``n`` samples (n, side, side) of one way of writing."""
    joints: dict[tuple[float, float], npt.NDArray[Any]] = {}
    lines = []
    for stroke in strokes:
        moved = stroke + rng.normal(0, sheet.wobble, (n, *stroke.shape))
        for i in (0, -1):  # strokes that meet do so, nearly, in every sample
            key = (round(float(stroke[i, 0]), 1), round(float(stroke[i, 1]), 1))
            moved[:, i] = joints.setdefault(key, moved[:, i]) + rng.normal(0, sheet.wobble / 3, (n, 2))
        lines.append(_bent(moved))
    line = [_on_paper(p, rng) for p in _together(lines, n, sheet.spread, rng)]
    return _inked(line, n, sheet, rng)


def _bent(points: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Catmull-Rom curves (n, m, 2) through points (n, k, 2)."""
    before = np.concatenate(
        [2 * points[:, :1] - points[:, 1:2], points, 2 * points[:, -1:] - points[:, -2:-1]], 1
    )
    t = np.linspace(0, 1, _POINTS_A_CURVE // 2)[:, None]
    parts = []
    for i in range(points.shape[1] - 1):
        a, b, c, d = (before[:, i + j, None] for j in range(4))
        parts.append(
            0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        )
    return np.concatenate(parts, axis=1)


def _together(
    lines: list[npt.NDArray[Any]], n: int, spread: float, rng: np.random.Generator
) -> list[npt.NDArray[Any]]:
    """Slant, turn, stretch and bend all strokes of a sample alike."""
    slant, turn = rng.normal(0.15, 0.3 * spread, n)[:, None], rng.normal(0, 0.12 * spread, n)[:, None]
    wide = np.exp(rng.normal(-0.3, 0.22 * spread, n))[:, None]
    phase, size = rng.uniform(0, 2 * np.pi, (2, 2, n, 1)), rng.normal(0, 0.04 * spread, (2, 2, n, 1))

    def bent(axis: int, other: npt.NDArray[Any]) -> npt.NDArray[Any]:
        waves = (size[axis, i] * np.sin(4.4 * (i + 1) * other + phase[axis, i]) for i in (0, 1))
        return np.asarray(sum(waves))

    out = []
    for p in lines:
        x, y = (p[..., 0] - 0.5) * wide, p[..., 1] - 0.5
        u, v = x + bent(0, y), y + bent(1, x)
        u = u - slant * v
        out.append(
            np.stack([np.cos(turn) * u - np.sin(turn) * v, np.sin(turn) * u + np.cos(turn) * v], axis=2)
        )
    return out


def _on_paper(p: npt.NDArray[Any], rng: np.random.Generator) -> npt.NDArray[Any]:
    """A hand that trembles a little along the stroke."""
    return p + np.cumsum(rng.normal(0, 0.002, p.shape), axis=1)


def _inked(
    lines: list[npt.NDArray[Any]], n: int, sheet: Sheet, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Strokes as ink (n, side, side): by distance to the nearest piece of a line."""
    everything = np.concatenate(lines, axis=1)
    low, high = everything.min(axis=1), everything.max(axis=1)
    size = np.maximum(high - low, 0.12)
    # MNIST keeps the shape of the box, USPS keeps it nearly.
    scale = (sheet.box / size.max(axis=1))[:, None, None]
    middle = ((low + high) / 2)[:, None]
    pen = (rng.uniform(*sheet.pen, n) * sheet.box).reshape(-1, 1, 1)
    cells = torch.arange(sheet.side).float() - (sheet.side - 1) / 2
    grid = torch.stack(torch.meshgrid(cells, cells, indexing="xy"), dim=2).reshape(1, -1, 2)
    nearest = torch.full((n, grid.shape[1]), torch.inf)
    for p in lines:
        q = torch.from_numpy(((p - middle) * scale).astype(np.float32))
        for i in range(q.shape[1] - 1):
            nearest = torch.minimum(nearest, _distance(grid, q[:, i : i + 1], q[:, i + 1 : i + 2]))
    ink = torch.sigmoid((torch.from_numpy(pen[..., 0].astype(np.float32)) - nearest) * 2.2)
    ink = ((ink - 0.02) / 0.95).clamp(0, 1).reshape(n, 1, sheet.side, sheet.side)
    return (_centred(ink) if sheet.centred else ink)[:, 0].numpy()


def _distance(grid: Tensor, a: Tensor, b: Tensor) -> Tensor:
    along = b - a
    share = ((grid - a) * along).sum(2) / along.square().sum(2).clamp_min(1e-9)
    return (grid - a - share.clamp(0, 1).unsqueeze(2) * along).square().sum(2).sqrt()


def _centred(ink: Tensor) -> Tensor:
    """Ink (n, 1, side, side) with its centre of mass in the middle."""
    side = ink.shape[-1]
    cells = torch.linspace(-1 + 1 / side, 1 - 1 / side, side)
    mass = ink.sum((1, 2, 3)).clamp_min(1e-6)
    x, y = (ink.sum((1, 2)) * cells).sum(1) / mass, (ink.sum((1, 3)) * cells).sum(1) / mass
    move = torch.zeros(len(ink), 2, 3)
    move[:, 0, 0] = move[:, 1, 1] = 1
    move[:, 0, 2], move[:, 1, 2] = x, y
    return grid_sample(ink, affine_grid(move, list(ink.shape), align_corners=False), align_corners=False)
