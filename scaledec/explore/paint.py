"""Counts as colours: what share of each moment belongs to which class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from scaledec.report.palette import UNLABELLED_COLOUR

__all__ = ["OTHERS_COLOUR", "packed", "painted_rows"]

OTHERS_COLOUR = "#f3f5f7"
"""Windows of classes that are not chosen."""


def packed(colour: str) -> np.uint32:
    """A colour ``#rrggbb`` as one number: red in the lowest byte, opaque."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return np.uint32(red | green << 8 | blue << 16 | 0xFF << 24)


def painted_rows(
    counts: npt.NDArray[np.int32], colours: Sequence[str], chosen: Sequence[int], height: int
) -> npt.NDArray[np.uint32]:
    """Rows of stacked colours, the first row at the top; transparent where no window lies.

    Of each column's height a class takes its share of the windows: chosen classes from the ground up, the
    rarest first, then the others together, then what has no label.

    Parameters
    ----------
    counts
        Shape (row, column, class + 1); the last class is what has no label.
    colours
        Of each class.
    chosen
        Classes with a colour of their own.
    height
        Points of a row.

    Returns
    -------
    Shape (row * height, column), the lowest point first as images of Bokeh have it; see :func:`packed`.
    """
    n_rows, n_columns, n_kinds = counts.shape
    kept = sorted(chosen, key=lambda k: int(counts[:, :, k].sum()))
    others = [k for k in range(n_kinds - 1) if k not in set(kept)]
    stacked = np.concatenate(
        [counts[:, :, kept], counts[:, :, others].sum(axis=2, keepdims=True), counts[:, :, -1:]], axis=2
    )
    palette = np.array(
        [packed(colour) for colour in (*(colours[k] for k in kept), OTHERS_COLOUR, UNLABELLED_COLOUR)]
    )
    upper = np.cumsum(stacked, axis=2, dtype=np.float64)
    total = upper[:, :, -1:]
    level = (np.arange(height) + 0.5) / height
    image = np.zeros((n_rows, height, n_columns), np.uint32)
    for row in range(n_rows):
        # Above each level lies the class whose upper edge is the first beyond it.
        below = upper[row][np.newaxis] <= level[:, np.newaxis, np.newaxis] * total[row][np.newaxis]
        place = np.minimum(below.sum(axis=2), len(palette) - 1)
        image[n_rows - 1 - row] = np.where(total[row, :, 0] > 0, palette[place], np.uint32(0))
    return image.reshape(n_rows * height, n_columns)
