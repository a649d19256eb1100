"""The layout of SeisComP."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from scaledec.archive.folders import Entry, described, entries, together
from scaledec.archive.layouts.layout import DAY_NS, Days, can_match, check_found, day_of, matcher
from scaledec.archive.listing import Listing, Span
from scaledec.errors import ArchiveError
from scaledec.location import Location
from scaledec.vocabulary import ArchiveObject, ChannelId

__all__ = ["SdsLayout"]

_SHOWN = 5


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
        days = Days.around(start_ns, end_ns)
        ignored: list[str] = []
        found = self._find(location, patterns, days, ignored)
        spans = (
            (name.channel, Span(name.day * DAY_NS, (name.day + 1) * DAY_NS, item))
            for name, item in described(location, found)
        )
        listing = Listing(spans, start_ns=start_ns, end_ns=end_ns, slack_ns=DAY_NS, ignored=ignored)
        if not listing.channels:
            self._explain_nothing(location, patterns, start_ns, end_ns)
        return listing

    def base(self, location: Location) -> Location:
        """The archive's own folder."""
        return location

    def nominal_span_ns(self, key: str) -> tuple[int, int] | None:
        """The UTC day in the name."""
        name = self._parse(key.rpartition("/")[2])
        return None if name is None else (name.day * DAY_NS, (name.day + 1) * DAY_NS)

    def _find(
        self, location: Location, patterns: Sequence[str], days: Days, ignored: list[str]
    ) -> Iterator[tuple[_Name, ArchiveObject]]:
        """The objects that match; names that say nothing go to ``ignored``."""
        matches = matcher(patterns)
        for key, entry in self._walk(location, patterns, days):
            name = self._parse(entry.name)
            if name is None:
                ignored.append(key)
            elif days.have(name.day) and matches(name.channel):
                yield name, ArchiveObject(key, entry.size, entry.version)

    def _parse(self, name: str) -> _Name | None:
        match = self._name.fullmatch(name)
        if match is None:
            return None
        *codes, year, day_of_year = match.groups()
        day = day_of(year, day_of_year)
        return None if day is None else _Name(ChannelId(*codes), day)

    def _walk(self, location: Location, patterns: Sequence[str], days: Days) -> Iterator[tuple[str, Entry]]:
        """(key, entry) of the files in every channel folder that can match."""
        for year in entries(location):
            if not (year.is_folder and re.fullmatch(r"\d{4}", year.name)):
                continue
            if not days.have_year(int(year.name)):
                continue
            yield from self._walk_year(location.child(year.name), year.name, patterns)

    def _walk_year(
        self, location: Location, key: str, patterns: Sequence[str]
    ) -> Iterator[tuple[str, Entry]]:
        stations = (
            (network, station)
            for network in _folders(location, patterns, 0)
            for station in _folders(location.child(network), patterns, 1)
        )
        for found in together(partial(self._walk_station, location, patterns), stations, location):
            yield from ((f"{key}/{below}", entry) for below, entry in found)

    def _walk_station(
        self, location: Location, patterns: Sequence[str], station: tuple[str, str]
    ) -> list[tuple[str, Entry]]:
        return [
            ("/".join((*station, channel, entry.name)), entry)
            for channel in _folders(location.child(*station), patterns, 3)
            for entry in entries(location.child(*station, channel))
            if not entry.is_folder
        ]

    def _explain_nothing(
        self, location: Location, patterns: Sequence[str], start_ns: int | None, end_ns: int | None
    ) -> None:
        names = [entry.name for entry in entries(location)]
        if not any(re.fullmatch(r"\d{4}", name) for name in names):
            there = (
                f"found {', '.join(names[:_SHOWN])}" if names else "there is no such folder, or it is empty"
            )
            raise ArchiveError(
                f"no archive of layout sds at {location}: {there}; expected {self.expected} below it"
            )
        every = {
            (name.channel, name.day)
            for _, entry in self._walk(location, ("*.*.*.*",), Days(None, None))
            if (name := self._parse(entry.name)) is not None
        }
        spans = [(channel, (day * DAY_NS, (day + 1) * DAY_NS)) for channel, day in every]
        check_found(location, patterns, start_ns, end_ns, spans)


def _folders(location: Location, patterns: Sequence[str], part: int) -> Iterator[str]:
    """Folders whose name can be that part of a matching channel; ``CHA.D`` for the channel itself."""
    for entry in entries(location):
        code = entry.name.removesuffix(".D") if part == 3 else entry.name
        is_data = part != 3 or entry.name.endswith(".D")
        if entry.is_folder and is_data and any(can_match(code, pattern, part) for pattern in patterns):
            yield entry.name
