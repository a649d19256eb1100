"""Which windows a question is about: channels, times, hours of the day, labels, confidence, outliers."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from scaledec.errors import ConfigError
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId, parse_time

__all__ = [
    "HOUR_NS",
    "Filters",
    "Instant",
    "Selection",
    "chosen",
    "chosen_channels",
    "chosen_hours",
    "chosen_instant",
    "chosen_labels",
]

Instant = str | dt.date | dt.datetime

HOUR_NS = 3_600 * NANOSECONDS_PER_SECOND
_HOURS = 24


class Filters(TypedDict, total=False):
    """What every question to labels can be narrowed by; left out or ``None``: not at all."""

    run: str | None
    """Name of the run; the newest if left out."""
    channel: str | Sequence[str] | None
    """Glob over NET.STA.LOC.CHA, or several of them."""
    label: int | str | Sequence[int | str] | None
    """Cluster by number or by the name it was given, or several of them."""
    start: Instant | None
    """Windows that start at or after it (ISO 8601 or datetime, UTC)."""
    end: Instant | None
    """Windows that start before it."""
    hours: str | tuple[int, int] | None
    """Hours of the day (UTC) in which windows start: ``"22-4"`` or ``(22, 4)``, 22:00 to before 04:00."""
    min_confidence: float | None
    """Least confidence, 0 to 1."""
    min_outlier: float | None
    """Least outlier score."""
    storage_options: Mapping[str, Any] | None
    """Passed to fsspec."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which windows are asked for, checked against what a run holds."""

    channels: tuple[ChannelId, ...]
    """In the order of their names."""
    labels: tuple[int, ...] | None
    start_ns: int | None
    end_ns: int | None
    min_confidence: float | None
    limit: int | None = None
    hours: tuple[bool, ...] | None = None
    """For each hour of the day in UTC whether it is asked for."""
    min_outlier: float | None = None

    def __post_init__(self) -> None:
        if self.start_ns is not None and self.end_ns is not None and self.start_ns >= self.end_ns:
            raise ConfigError("start is not before end: no window can start between them")
        if self.min_confidence is not None and not 0 <= self.min_confidence <= 1:
            raise ConfigError(f"min_confidence is {self.min_confidence:g}; expected 0 to 1")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit is {self.limit}; expected at least 1")

    def fits(self, label: npt.NDArray[np.int16], start_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which windows have a label and a start that are asked for (arrays of one shape)."""
        fits = np.asarray(label >= 0 if self.labels is None else np.isin(label, self.labels))
        if self.start_ns is not None:
            fits &= start_ns >= self.start_ns
        if self.end_ns is not None:
            fits &= start_ns < self.end_ns
        if self.hours is not None:
            fits &= np.array(self.hours)[start_ns // HOUR_NS % _HOURS]
        return fits


def chosen(
    known: Sequence[ChannelId], names: Sequence[str], filters: Filters, *, limit: int | None = None
) -> Selection:
    """What filters stand for where these channels and these names of clusters are known.

    Raises
    ------
    ConfigError
        If a filter can fit nothing.
    """
    return Selection(
        channels=chosen_channels(filters.get("channel"), known),
        labels=chosen_labels(filters.get("label"), names),
        start_ns=chosen_instant("start", filters.get("start")),
        end_ns=chosen_instant("end", filters.get("end")),
        min_confidence=filters.get("min_confidence"),
        limit=limit,
        hours=chosen_hours(filters.get("hours")),
        min_outlier=filters.get("min_outlier"),
    )


def chosen_hours(hours: str | tuple[int, int] | None) -> tuple[bool, ...] | None:
    """For each hour of the day whether it is asked for; ``None``: any.

    Examples
    --------
    >>> [hour for hour, asked in enumerate(chosen_hours("22-2,12")) if asked]
    [0, 1, 12, 22, 23]
    """
    if hours is None:
        return None
    spans = hours.split(",") if isinstance(hours, str) else ["-".join(map(str, hours))]
    asked = {hour for span in spans for hour in _hours_of(span)}
    return tuple(hour in asked for hour in range(_HOURS))


def _hours_of(span: str) -> Sequence[int]:
    first, dash, end = span.partition("-")
    try:
        begin = int(first)
        stop = int(end) if dash else begin + 1
    except ValueError:
        begin = stop = -1
    if not (0 <= begin < _HOURS and 0 <= stop <= _HOURS and begin != stop):
        raise ConfigError(
            f"hours are {span!r}; expected hours of the day in UTC from 0 to 24, end exclusive: "
            "9-17, 22-4 (over midnight), 12, or several: 6-9,18-21"
        )
    return range(begin, stop) if begin < stop else [*range(begin, _HOURS), *range(stop)]


def chosen_channels(
    patterns: str | Sequence[str] | None, known: Sequence[ChannelId]
) -> tuple[ChannelId, ...]:
    """Channels that match any pattern, by name."""
    if patterns is None:
        return tuple(sorted(known, key=str))
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    found = {channel for channel in known for pattern in patterns if channel.matches(pattern)}
    if found:
        return tuple(sorted(found, key=str))
    names = [str(channel) for channel in known]
    near = [
        name for pattern in patterns for name in difflib.get_close_matches(pattern, names, n=3, cutoff=0.4)
    ]
    hint = "nearest: " + ", ".join(dict.fromkeys(near)) if near else "there are: " + ", ".join(names[:5])
    raise ConfigError(f"no channel matches {', '.join(map(repr, patterns))}; {hint}")


def chosen_labels(
    label: int | str | Sequence[int | str] | None, names: Sequence[str]
) -> tuple[int, ...] | None:
    """Clusters by number or name; ``None``: any."""
    if label is None:
        return None
    wanted = [label] if isinstance(label, int | np.integer | str) else list(label)
    if not wanted:
        raise ConfigError(f"no label asked for; this run has the labels 0 to {len(names) - 1}")
    return tuple(cluster for one in wanted for cluster in _clusters(one, names))


def _clusters(label: int | str, names: Sequence[str]) -> list[int]:
    """The clusters that a number or a name stands for."""
    if isinstance(label, str) and not label.isdecimal():
        found = [k for k, name in enumerate(names) if name == label]
        if not found:
            near = difflib.get_close_matches(label, names, n=3, cutoff=0.0)
            raise ConfigError(f"no cluster is named {label!r}; nearest: {', '.join(near)}")
        return found
    if not 0 <= int(label) < len(names):
        raise ConfigError(f"label {label} asked for; this run has the labels 0 to {len(names) - 1}")
    return [int(label)]


def chosen_instant(name: str, value: Instant | None) -> int | None:
    """Nanoseconds of an instant that a person gave; ``ConfigError`` naming it if it is none."""
    if value is None:
        return None
    try:
        return parse_time(value)
    except (ValueError, AttributeError) as error:
        raise ConfigError(
            f"{name} is {value!r}; expected a time such as 2019-07-04T12:00:00 (UTC)"
        ) from error
