"""Which windows a question is about: channels, times, labels, confidence."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scaledec.errors import ConfigError
from scaledec.vocabulary import ChannelId, parse_time

__all__ = ["Instant", "Selection", "chosen_channels", "chosen_instant", "chosen_labels"]

Instant = str | dt.date | dt.datetime


@dataclass(frozen=True, slots=True)
class Selection:
    """Which windows are asked for, checked against what a run holds."""

    channels: tuple[ChannelId, ...]
    """In the order of their names."""
    labels: tuple[int, ...] | None
    start_ns: int | None
    end_ns: int | None
    min_confidence: float | None
    limit: int | None

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
        return fits


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
