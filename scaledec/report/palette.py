"""Colours of classes: the same class has the same colour in every figure, for every kind of eye.

The first seven colours are those of Okabe and Ito (2008), the others from Tol's muted scheme. The first
eight, the background and the grey keep apart under all common kinds of colour blindness; beyond them
numbers have to help.
"""

from __future__ import annotations

__all__ = ["BACKGROUND", "UNLABELLED_COLOUR", "class_colours", "mixed"]

BACKGROUND = "#d5dfe8"
"""Windows that hold nothing: pale, because they are most of any archive."""
UNLABELLED_COLOUR = "#bababa"
"""Where there is no label."""

_COLOURS = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#56b4e9",
    "#f0e442",
    "#882255",
    "#117733",
    "#332288",
    "#999933",
    "#aa4499",
    "#661100",
    "#44aa99",
)


# Beyond the palette its colours come again lighter, then darker: what they are mixed with, and how much.
_ROUNDS = (("#ffffff", 0.0), ("#ffffff", 0.5), ("#000000", 0.45))


def class_colours(n_clusters: int, background: int | None = None) -> tuple[str, ...]:
    """The colour of each cluster of a run, by its number; the background's is pale.

    Every figure, page and notebook of a run takes its colours from here. Up to 42 clusters have
    different ones; figures write the number beside the colour wherever there is room.

    Parameters
    ----------
    background
        The cluster of windows that hold nothing, if there is one.

    Examples
    --------
    >>> class_colours(3, background=0)
    ('#d5dfe8', '#e69f00', '#009e73')
    """
    return tuple(BACKGROUND if k == background else _colour(k) for k in range(n_clusters))


def mixed(colour: str, other: str, share: float) -> str:
    """A colour with a share (0 to 1) of another one; both as ``#rrggbb``."""
    parts = [(int(colour[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in parts)


def _colour(k: int) -> str:
    other, share = _ROUNDS[k // len(_COLOURS) % len(_ROUNDS)]
    return mixed(_COLOURS[k % len(_COLOURS)], other, share)
