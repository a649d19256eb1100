"""Colours of classes: the same class has the same colour in every figure, for every kind of eye.

The colours are those of Okabe and Ito (2008) and, beyond eight classes, Tol's muted scheme; both keep
apart under all common kinds of colour blindness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["BACKGROUND", "UNLABELLED_COLOUR", "class_colours", "cluster_colours", "family_colours", "mixed"]

BACKGROUND = "#d5dfe8"
"""Windows that hold nothing: pale, because they are most of any archive."""
UNLABELLED_COLOUR = "#a6a6a6"
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


def family_colours(names: Sequence[str], background: str = "noise") -> dict[str, str]:
    """A colour for each class name; the background's is pale.

    Beyond the palette's 14 colours they repeat.
    """
    named = [name for name in names if name != background]
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(named)}
    return {name: colours.get(name, BACKGROUND) for name in names}


def cluster_colours(
    n_clusters: int, families: Sequence[str] | None = None, known: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """A colour for each cluster.

    Parameters
    ----------
    families
        The family each cluster stands for, one a cluster; the first cluster of a family takes its colour.
        ``None``: colours by number.
    known
        Colours by family, as :func:`family_colours` gives them.
    """
    if families is None or known is None:
        return tuple(_COLOURS[k % len(_COLOURS)] for k in range(n_clusters))
    # A second cluster of a family needs a colour of its own.
    spare = [colour for colour in _COLOURS if colour not in known.values()]
    colours: list[str] = []
    for family in families:
        own = known.get(family, BACKGROUND)
        if own in colours:
            own = spare.pop(0) if spare else own
        colours.append(own)
    return tuple(colours)
