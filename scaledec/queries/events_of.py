"""Episodes as events: those that begin together at a station, or at several, are one event with picks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scaledec.archive.quakeml import PickedEvent, write_quakeml
from scaledec.errors import ConfigError
from scaledec.queries.tables import write_whole
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId

__all__ = ["events_of", "write_episodes_quakeml"]


def write_episodes_quakeml(
    episodes: pd.DataFrame, path: str, *, run: str, associate_s: float | None = None
) -> int:
    """Write episodes as QuakeML, whole or not at all; return the number of events.

    Parameters
    ----------
    episodes
        From :func:`~scaledec.queries.episodes.episodes`.
    path
        File to write.
    run
        Name of the run, for the public ids.
    associate_s
        As for :func:`events_of`.
    """
    catalog = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in run)
    count = 0

    def write(to: Path) -> None:
        nonlocal count
        count = write_quakeml(to, events_of(episodes, associate_s), catalog=catalog)

    write_whole(path, write)
    return count


def events_of(episodes: pd.DataFrame, associate_s: float | None = None) -> Iterator[PickedEvent]:
    """Events in the order of time, each with a pick at the start of every episode that belongs to it.

    An event begins with the first episode; further ones of the same class that begin on other channels
    within ``associate_s`` of that belong to it.

    Parameters
    ----------
    associate_s
        ``None``: only channels of the same station, within a second.

    Raises
    ------
    ConfigError
        If ``associate_s`` is negative.
    """
    if associate_s is not None and not associate_s >= 0:
        raise ConfigError(f"associate_s is {associate_s:g}; expected at least 0")
    channel = episodes["channel"].astype(str)
    station = (
        channel.str.split(".").str[:2].str.join(".") if associate_s is None else pd.Series("", channel.index)
    )
    rows = episodes.assign(channel=channel, station=station).sort_values(
        ["station", "label", "start", "channel"], kind="stable"
    )
    within = np.timedelta64(
        round((1.0 if associate_s is None else associate_s) * NANOSECONDS_PER_SECOND), "ns"
    )
    groups: list[list[Any]] = []
    for row in rows.itertuples(index=False):
        if groups and _belongs(row, groups[-1], within):
            groups[-1].append(row)
        else:
            groups.append([row])
    groups.sort(key=lambda members: (members[0].start, members[0].channel))
    return map(_event, groups)


def _belongs(row: Any, members: Sequence[Any], within: np.timedelta64) -> bool:
    first = members[0]
    return bool(
        (row.station, row.label) == (first.station, first.label)
        and row.start - first.start <= within
        and row.channel not in {member.channel for member in members}
    )


def _event(members: Sequence[Any]) -> PickedEvent:
    first = members[0]
    name = str(getattr(first, "name", f"cluster_{first.label}"))
    windows = sum(member.windows for member in members)
    confidence = sum(member.confidence * member.windows for member in members) / windows
    end = max(member.end for member in members)
    told = (
        f"label {first.label}, {windows} windows, mean confidence {confidence:.3f}, until {end.isoformat()}Z"
    )
    return PickedEvent(
        name, told, [(ChannelId.parse(m.channel), m.start.as_unit("ns").value) for m in members]
    )
