"""A blank figure in the project's style, and how it becomes a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["new_figure", "save_figure"]

_STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "font.family": "DejaVu Sans",
    "axes.linewidth": 0.6,
    "axes.labelcolor": "#333333",
    "axes.edgecolor": "#666666",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "text.color": "#222222",
}
_DPI = 150


@contextmanager
def new_figure(size_in: tuple[float, float]) -> Iterator[Figure]:
    """A figure of the Agg back end in the project's style; it needs no display and leaves no state."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size_in)
        FigureCanvasAgg(figure)
        yield figure


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, the same picture as the same bytes; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Matplotlib's version in the file would change its bytes.
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    return path
