"""How the objects of an archive are named. A layout is anything with these methods."""

from __future__ import annotations

import datetime as dt
import difflib
import fnmatch
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from scaledec.archive.folders import Entry, entries
from scaledec.archive.listing import Listing, Span
from scaledec.errors import ArchiveError
from scaledec.location import Location
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ArchiveObject, ChannelId, format_time

__all__ = ["Layout", "SdsLayout", "check_found", "matcher"]

_DAY_NS = 86_400 * NANOSECONDS_PER_SECOND
_EPOCH = dt.date(1970, 1, 1)
_NEAREST = 5


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


class _Name(NamedTuple):
    channel: ChannelId
    day: int
    """Days since 1970."""


class SdsLayout:
    """SeisComP Data Structure: ``YEAR/NET/STA/CHA.D/NET.STA.LOC.CHA.D.YEAR.DOY``.

    Only folders that can match are listed, so a narrow question to a large archive stays quick.
    """

    expected = "YEAR/NET/STA/CHA.D/NET.STA.LOC.CHA.D.YEAR.DOY"
    _name = re.compile(r"([^.]*)\.([^.]*)\.([^.]*)\.([^.]*)\.D\.(\d{4})\.(\d{3})")

    def listing(
        self, location: Location, patterns: Sequence[str], start_ns: int | None, end_ns: int | None
    ) -> Listing:
        """See :class:`Layout`; raises ``ArchiveError`` where nothing fits, naming what is there."""
        first_day = None if start_ns is None else start_ns // _DAY_NS - 1
        last_day = None if end_ns is None else (end_ns - 1) // _DAY_NS + 1
        matches = matcher(patterns)
        ignored: list[str] = []
        spans: list[tuple[ChannelId, Span]] = []
        for key, entry in self._walk(location, patterns, _year(first_day), _year(last_day)):
            name = self._parse(entry.name)
            if name is None:
                ignored.append(key)
            elif _between(name.day, first_day, last_day) and matches(name.channel):
                start = name.day * _DAY_NS
                found = ArchiveObject(key, entry.size, entry.version)
                spans.append((name.channel, Span(start, start + _DAY_NS, found)))
        listing = Listing(spans, start_ns=start_ns, end_ns=end_ns, slack_ns=_DAY_NS, ignored=ignored)
        if not listing.channels:
            self._explain_nothing(location, patterns, start_ns, end_ns)
        return listing

    def base(self, location: Location) -> Location:
        """The archive's own folder."""
        return location

    def nominal_span_ns(self, key: str) -> tuple[int, int] | None:
        """The UTC day in the name."""
        name = self._parse(key.rpartition("/")[2])
        return None if name is None else (name.day * _DAY_NS, (name.day + 1) * _DAY_NS)

    def _parse(self, name: str) -> _Name | None:
        match = self._name.fullmatch(name)
        if match is None:
            return None
        *codes, year, day_of_year = match.groups()
        new_year = dt.date(int(year), 1, 1) if int(year) else None
        if new_year is None or not 1 <= int(day_of_year) <= 366:
            return None
        return _Name(ChannelId(*codes), (new_year - _EPOCH).days + int(day_of_year) - 1)

    def _walk(
        self, location: Location, patterns: Sequence[str], first_year: int | None, last_year: int | None
    ) -> Iterator[tuple[str, Entry]]:
        """(key, entry) of the files in every channel folder that can match."""
        for year in entries(location):
            if not (year.is_folder and re.fullmatch(r"\d{4}", year.name)):
                continue
            if not _between(int(year.name), first_year, last_year):
                continue
            yield from self._walk_year(location.child(year.name), year.name, patterns)

    def _walk_year(
        self, location: Location, key: str, patterns: Sequence[str]
    ) -> Iterator[tuple[str, Entry]]:
        for network in _folders(location, patterns, 0):
            for station in _folders(location.child(network), patterns, 1):
                for channel in _folders(location.child(network, station), patterns, 3):
                    below = f"{key}/{network}/{station}/{channel}"
                    for entry in entries(location.child(network, station, channel)):
                        if not entry.is_folder:
                            yield f"{below}/{entry.name}", entry

    def _explain_nothing(
        self, location: Location, patterns: Sequence[str], start_ns: int | None, end_ns: int | None
    ) -> None:
        names = [entry.name for entry in entries(location)]
        if not any(re.fullmatch(r"\d{4}", name) for name in names):
            there = (
                f"found {', '.join(names[:_NEAREST])}" if names else "there is no such folder, or it is empty"
            )
            raise ArchiveError(
                f"no archive of layout sds at {location}: {there}; expected {self.expected} below it"
            )
        every = {
            (name.channel, name.day)
            for _, entry in self._walk(location, ("*.*.*.*",), None, None)
            if (name := self._parse(entry.name)) is not None
        }
        spans = [(channel, (day * _DAY_NS, (day + 1) * _DAY_NS)) for channel, day in every]
        check_found(location, patterns, start_ns, end_ns, spans)


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


def _folders(location: Location, patterns: Sequence[str], part: int) -> Iterator[str]:
    """Folders whose name can be that part of a matching channel; ``CHA.D`` for the channel itself."""
    for entry in entries(location):
        code = entry.name.removesuffix(".D") if part == 3 else entry.name
        is_data = part != 3 or entry.name.endswith(".D")
        if entry.is_folder and is_data and any(_can_match(code, pattern, part) for pattern in patterns):
            yield entry.name


def _can_match(code: str, pattern: str, part: int) -> bool:
    """Whether a channel with this code can match; a pattern not made of four parts rules nothing out."""
    parts = pattern.split(".")
    return len(parts) != 4 or "[" in pattern or fnmatch.fnmatchcase(code, parts[part])


def _year(day: int | None) -> int | None:
    return None if day is None else (_EPOCH + dt.timedelta(days=day)).year


def _between(value: int, first: int | None, last: int | None) -> bool:
    return (first is None or value >= first) and (last is None or value <= last)
