"""Which windows become the training set: equal shares, and a split without leaks. No I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from scaledec.errors import TrainingError

__all__ = ["Group", "share_equally", "split_groups"]

Group: TypeAlias = tuple[str, int]
"""Station (NET.STA) and segment: what is never divided between training and validation."""


def share_equally(total: int, limits: Sequence[int] | npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Divide ``total`` as equally as the limits allow; what one cannot take goes to the others.

    Parameters
    ----------
    total
        How much there is to give out; with too little room, everyone gets its limit.
    limits
        The most that each may get, shape (n,).

    Returns
    -------
    ndarray
        Integers, shape (n,); their sum is ``min(total, sum(limits))``.

    Examples
    --------
    >>> share_equally(10, [100, 2, 100])
    array([4, 2, 4])
    """
    room = np.asarray(limits, dtype=np.int64)
    shares = np.zeros_like(room)
    left = min(total, int(room.sum()))
    # The tightest limits first: what they cannot take is shared by all that follow.
    for place, index in enumerate(np.argsort(room, kind="stable")):
        shares[index] = min(int(room[index]), left // (len(room) - place))
        left -= int(shares[index])
    return shares


def split_groups(weights: Mapping[Group, int], share: float, rng: np.random.Generator) -> frozenset[Group]:
    """Choose the groups that are held out for validation.

    Groups are taken one station after another in random order, so that stations are held out alike,
    until the held-out weight is as close to ``share`` of all as whole groups come.

    Parameters
    ----------
    weights
        Windows that each group may give; groups of weight 0 are left aside.
    share
        Share of the weight to hold out, between 0 and 1.

    Returns
    -------
    frozenset
        At least one group, and never all of them.

    Raises
    ------
    TrainingError
        If fewer than two groups hold windows.
    """
    order = _one_station_after_another([group for group in sorted(weights) if weights[group]], rng)
    if len(order) < 2:
        raise TrainingError(
            f"usable windows were found in {len(order)} segment(s) of one station; training and validation "
            "need whole segments of their own, so at least two: widen archive.start, archive.end or "
            "archive.channels, shorten spectrogram.segment_s, or lower windows.min_coverage"
        )
    wanted = share * sum(weights[group] for group in order)
    held_out: list[Group] = []
    weight = 0
    for group in order[:-1]:
        if held_out and weight + weights[group] / 2 > wanted:
            break
        held_out.append(group)
        weight += weights[group]
    return frozenset(held_out)


def _one_station_after_another(groups: Sequence[Group], rng: np.random.Generator) -> list[Group]:
    by_station: dict[str, list[Group]] = defaultdict(list)
    for index in rng.permutation(len(groups)):
        by_station[groups[index][0]].append(groups[index])
    queues = list(by_station.values())
    return [
        queue[turn]
        for turn in range(max(map(len, queues), default=0))
        for queue in queues
        if turn < len(queue)
    ]
