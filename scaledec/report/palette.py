"""Colours of classes: the same class has the same colour in every figure, for every kind of eye.

The colours are those of Okabe and Ito (2008) and, beyond eight classes, Tol's muted scheme; both keep
apart under all common kinds of colour blindness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["BACKGROUND", "UNLABELLED_COLOUR", "cluster_colours", "family_colours"]

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
