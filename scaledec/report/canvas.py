"""A blank figure in the project's style, what its text may hold, and how it becomes files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["drawable", "new_figure", "save_figure", "shortened"]

_FONT = "DejaVu Sans"
_STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "font.family": _FONT,
    "axes.linewidth": 0.6,
    "axes.labelcolor": "#333333",
    "axes.edgecolor": "#666666",
    "axes.titlesize": 9.0,
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "text.color": "#222222",
    # A name that a person gave may hold a dollar sign: it is no formula.
    "text.parse_math": False,
    # Ids of an SVG's parts come from this instead of chance: the same picture is the same file.
    "svg.hashsalt": "scaledec",
}
_DPI = 150
_NO_GLYPH = "\u25a1"


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
    """Write a figure as its ending says (PNG, SVG), the same picture as the same bytes; folders are made."""
    import matplotlib as mpl

    path.parent.mkdir(parents=True, exist_ok=True)
    # Matplotlib's version and the date in the file would change its bytes.
    metadata = {"Date": None, "Creator": None} if path.suffix == ".svg" else {"Software": None}
    with mpl.rc_context(_STYLE):
        figure.savefig(path, dpi=_DPI, metadata=metadata)
    return path


def drawable(text: str) -> str:
    """Text with a box for every character that the figures' font has no glyph for.

    Examples
    --------
    >>> drawable("tremor é")
    'tremor é'
    """
    glyphs = _glyphs()
    return "".join(letter if ord(letter) in glyphs else _NO_GLYPH for letter in text)


def shortened(text: str, most: int) -> str:
    """At most so many characters of a text that can be drawn, the last one an ellipsis if any are left out.

    Examples
    --------
    >>> shortened("icequake at the ice front", 12)
    'icequake at…'
    """
    text = drawable(text)
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont(_FONT)).get_charmap())
