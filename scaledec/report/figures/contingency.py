"""Two labellings of the same windows against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scaledec.report.canvas import new_figure
from scaledec.report.figures.parts import number_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = ["Contingency", "contingency_tables"]

_CELL_IN, _MOST_TOLD = 0.42, 12


@dataclass(frozen=True, slots=True)
class Contingency:
    """How many windows fall into each pair of classes."""

    title: str
    counts: npt.NDArray[np.int64]
    """Shape (row, column)."""
    rows: Sequence[str]
    columns: Sequence[str]
    row_title: str
    column_title: str


def contingency_tables(tables: Sequence[Contingency]) -> Figure:
    """Draw tables side by side: a cell's colour is its share of the row, its number how many windows.

    Numbers are left out where a table has more than twelve classes.
    """
    left_in = [0.3 + 0.075 * max(len(name) for name in t.rows) for t in tables]
    cell_in = [min(_CELL_IN, 4.4 / max(len(t.rows), len(t.columns))) for t in tables]
    wide_in = [max(2.0, c * len(t.columns)) for c, t in zip(cell_in, tables, strict=True)]
    tall_in = [c * len(t.rows) for c, t in zip(cell_in, tables, strict=True)]
    above_in = 0.7 + 0.07 * max(max(len(name) for name in t.columns) for t in tables)
    width = sum(left_in) + sum(wide_in) + 0.35 * len(tables)
    with new_figure((max(width, 5.0), max(tall_in) + above_in + 0.75)) as figure:
        width, height = figure.get_size_inches()
        x_in = 0.0
        for left, wide, tall, cell, table in zip(left_in, wide_in, tall_in, cell_in, tables, strict=True):
            x_in += left
            axes = figure.add_axes(
                (x_in / width, 1 - (above_in + tall) / height, wide / width, tall / height)
            )
            image = _table(axes, table, cell)
            figure.text(
                (x_in - left + 0.1) / width, 1 - 0.18 / height, table.title, weight="bold", va="center"
            )
            x_in += wide + 0.35
        bar = figure.add_axes((left_in[0] / width, 0.42 / height, 2.2 / width, 0.08 / height))
        scale = figure.colorbar(image, cax=bar, orientation="horizontal")
        scale.set_ticks([0.0, 0.5, 1.0], labels=["0", "50%", "100%"])
        bar.set_xlabel("share of the row", labelpad=2)
        return figure


def _table(axes: Axes, table: Contingency, cell_in: float) -> AxesImage:
    total = table.counts.sum(axis=1, keepdims=True)
    share = table.counts / np.maximum(total, 1)
    image = axes.imshow(share, vmin=0, vmax=1, cmap="Blues", aspect="auto", interpolation="nearest")
    if max(share.shape) <= _MOST_TOLD:
        for row, column in np.argwhere(table.counts > 0).tolist():
            axes.text(
                column,
                row,
                number_text(table.counts[row, column]),
                ha="center",
                va="center",
                fontsize=7,
                color="white" if share[row, column] > 0.55 else "#222222",
            )
    size = 8 if cell_in > 0.25 else 6
    axes.set_xticks(np.arange(len(table.columns)), labels=list(table.columns), rotation=90, fontsize=size)
    axes.set_yticks(np.arange(len(table.rows)), labels=list(table.rows), fontsize=size)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.tick_params(length=0)
    axes.set_xlabel(f"{table.column_title} →", labelpad=4, loc="left", color="#555555")
    corner = f"{table.row_title} ↓ "
    axes.text(
        0, 1.01, corner, transform=axes.transAxes, ha="right", va="bottom", fontsize=8.5, color="#555555"
    )
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color("#cfd6dc")
    return image
