"""What a part of a report is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["AT_ONCE", "Picture", "Section", "Table", "numbered"]

AT_ONCE = 8
"""Clusters in one figure of rows or columns: more would be larger than two screens."""


def numbered(name: str, first: int, total: int) -> str:
    """Name of the figure that begins with cluster ``first``; with its number if there are several."""
    return name if total <= AT_ONCE else f"{name}-{first // AT_ONCE + 1}"


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure of a section."""

    name: str
    """Of its files, without ending."""
    alt: str
    """What it shows, for who does not see it."""
    draw: Callable[[], Figure]
    """Called once, when its files are written."""


@dataclass(frozen=True, slots=True)
class Table:
    """Plain rows of text; the first column names the row."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    colours: Sequence[str] = ()
    """Of a mark before each row's first entry; none: no marks."""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, what there is to say, and tables and figures; or why there are none."""

    id: str
    title: str
    text: str
    """How to read it, in a sentence or two."""
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    missing: str = ""
    """Why the section shows nothing, or less than it could."""
