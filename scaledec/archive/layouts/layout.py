"""What a layout is, and what all layouts share."""

from __future__ import annotations

import calendar
import datetime as dt
import difflib
import fnmatch
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from scaledec.archive.listing import Listing
from scaledec.errors import ArchiveError
from scaledec.location import Location
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId, format_time

__all__ = [
    "DAY_NS",
    "Days",
    "Layout",
    "between",
    "can_match",
    "check_found",
    "date_of",
    "day_of",
    "matcher",
    "plain_code",
    "tidy_location",
]

DAY_NS = 86_400 * NANOSECONDS_PER_SECOND
_EPOCH = dt.date(1970, 1, 1)
_NEAREST = 5
_EMPTY_LOCATIONS = {"", "__", "--", "  "}


class Layout(Protocol):
    """Where objects lie and what their names promise."""

    def listing(
        self, location: Location, patterns: Sequence[str], start_ns: int | None, end_ns: int | None
    ) -> Listing:
        """Objects of the channels that match any pattern, in ``[start_ns, end_ns)`` and just around it."""

    def base(self, location: Location) -> Location:
        """The folder that keys count from."""

    def nominal_span_ns(self, key: str) -> tuple[int, int] | None:
        """The time the name of an object stands for; ``None`` if it says nothing."""


class Days(NamedTuple):
    """Days since 1970 that are looked at, both ends included; ``None`` is without limit."""

    first: int | None
    last: int | None

    @classmethod
    def around(cls, start_ns: int | None, end_ns: int | None) -> Days:
        """The days of an interval, and one on either side: a day's file may begin late or run over."""
        return cls(
            None if start_ns is None else start_ns // DAY_NS - 1,
            None if end_ns is None else (end_ns - 1) // DAY_NS + 1,
        )

    def have(self, day: int) -> bool:
        """Whether a day is among them."""
        return between(day, self.first, self.last)

    def have_year(self, year: int) -> bool:
        """Whether a day of the year is among them."""
        first, last = (None if day is None else date_of(day).year for day in self)
        return between(year, first, last)


def date_of(day: int) -> dt.date:
    """The date of a day since 1970."""
    return _EPOCH + dt.timedelta(days=day)


def day_of(year: str, day_of_year: str) -> int | None:
    """Days since 1970 of a year and a day of it, counted from 1; ``None`` if they are none."""
    if not int(year) or not 1 <= int(day_of_year) <= 365 + calendar.isleap(int(year)):
        return None
    return (dt.date(int(year), 1, 1) - _EPOCH).days + int(day_of_year) - 1


def tidy_location(code: str) -> str:
    """A location code without the marks that stand for an empty one.

    Examples
    --------
    >>> [tidy_location(code) for code in ("00", "__", "--", "2C")]
    ['00', '', '', '2C']
    """
    return "" if code in _EMPTY_LOCATIONS else code


def plain_code(pattern: str, part: int) -> str | None:
    """One part of a pattern (0 network, 1 station, ...) if it holds no wildcard."""
    parts = pattern.split(".")
    if len(parts) != 4 or set("*?[") & set(parts[part]) or "[" in pattern:
        return None
    return parts[part]


def matcher(patterns: Sequence[str]) -> Callable[[ChannelId], bool]:
    """Whether a channel matches any pattern; remembers, as each channel comes once a day."""
    return functools.cache(lambda channel: any(map(channel.matches, patterns)))


def check_found(
    location: Location,
    patterns: Sequence[str],
    start_ns: int | None,
    end_ns: int | None,
    spans: Sequence[tuple[ChannelId, tuple[int, int]]],
) -> None:
    """Raise the ``ArchiveError`` that says why nothing was found although ``spans`` are there."""
    wanted = ", ".join(patterns)
    matches = matcher(patterns)
    matching = [span for channel, span in spans if matches(channel)]
    if matching:
        first, last = min(start for start, _ in matching), max(end for _, end in matching)
        asked = f"{_show(start_ns, 'its start')} to {_show(end_ns, 'its end')}"
        raise ArchiveError(
            f"{location} holds nothing of {wanted} from {asked}; it holds {format_time(first)} to "
            f"{format_time(last)}: correct archive.start and archive.end"
        )
    ids = sorted({str(channel) for channel, _ in spans})
    near = difflib.get_close_matches(patterns[0], ids, n=_NEAREST, cutoff=0.0)
    there = (
        f"nearest of {len(ids)} channels there: {', '.join(near)}" if ids else "it holds no channel at all"
    )
    raise ArchiveError(f"no channel of {location} matches {wanted}; {there}")


def _show(time_ns: int | None, otherwise: str) -> str:
    return otherwise if time_ns is None else format_time(time_ns)


def can_match(code: str, pattern: str, part: int) -> bool:
    """Whether a channel with this code can match; a pattern not of four parts rules nothing out."""
    parts = pattern.split(".")
    return len(parts) != 4 or "[" in pattern or fnmatch.fnmatchcase(code, parts[part])


def between(value: int, first: int | None, last: int | None) -> bool:
    """Whether a number is in a range, both ends included; ``None`` is without limit."""
    return (first is None or value >= first) and (last is None or value <= last)
