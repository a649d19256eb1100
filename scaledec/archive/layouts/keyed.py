"""Archives with one folder a day, whose keys say what an object holds: what they share.

Only day folders that can hold what is asked for are listed, and of those, where the store can, only the
keys of the stations that are named. With a start and an end given no folder above them is listed at all.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

from scaledec.archive.folders import Entry, described, entries, files_below, together
from scaledec.archive.layouts.layout import (
    DAY_NS,
    Days,
    can_match,
    check_found,
    date_of,
    day_of,
    matcher,
    plain_code,
)
from scaledec.archive.listing import Listing, Span
from scaledec.errors import ArchiveError
from scaledec.location import Location
from scaledec.vocabulary import ArchiveObject, ChannelId

__all__ = ["DayFolder", "KeyedLayout", "Name"]

# More stations than this, and the whole folder of a day is listed at once.
_MOST_PREFIXES = 4
_SHOWN = 5


class Name(NamedTuple):
    """What the key of an object says."""

    channel: ChannelId
    """Location and channel are empty where the object holds all of a station."""
    day: int
    """Days since 1970."""


class DayFolder(NamedTuple):
    """One folder that is listed."""

    key: str
    day: int


@dataclass(frozen=True, slots=True)
class KeyedLayout:
    """What the layouts of data centres have in common; each says how its keys are made."""

    expected: ClassVar[str]
    """How keys are made, for people."""
    root: ClassVar[str]
    """The folder of all data, below the bucket."""
    has_networks: ClassVar[bool] = False
    """Whether there is a folder for each network above those of the years."""
    day_format: ClassVar[str]
    """How the folder of a day is named."""
    day_name: ClassVar[re.Pattern[str]]
    """The same, read: groups ``year`` (where it is in the name) and ``day``."""

    def parse(self, key: str) -> Name | None:
        """What a key says; ``None`` if it is none of this layout."""
        raise NotImplementedError

    def prefix(self, network: str, station: str) -> str:
        """How all keys of a station begin, below the folder of a day."""
        raise NotImplementedError

    def listing(
        self, location: Location, patterns: Sequence[str], start_ns: int | None, end_ns: int | None
    ) -> Listing:
        """See :class:`.layout.Layout`; raises ``ArchiveError`` where nothing fits, naming what is there."""
        days = Days.around(start_ns, end_ns)
        ignored: list[str] = []
        found = self.find(location, patterns, days, ignored)
        spans = self.spans(location, patterns, found)
        listing = Listing(spans, start_ns=start_ns, end_ns=end_ns, slack_ns=DAY_NS, ignored=ignored)
        if not listing.channels:
            self._explain_nothing(location, patterns, start_ns, end_ns)
        return listing

    def base(self, location: Location) -> Location:
        """The bucket: keys are as the data centre documents them."""
        return location

    def nominal_span_ns(self, key: str) -> tuple[int, int] | None:
        """The UTC day in the key."""
        name = self.parse(key)
        return None if name is None else (name.day * DAY_NS, (name.day + 1) * DAY_NS)

    def find(
        self,
        location: Location,
        patterns: Sequence[str],
        days: Days,
        ignored: list[str],
        known: Container[int] = (),
    ) -> Iterator[tuple[Name, ArchiveObject]]:
        """Objects of those days that can match, ``known`` days left out; ``ignored`` gets odd keys."""
        look = partial(self._look, location, patterns)
        folders = (f for f in self._folders(location, patterns, days) if f.day not in known)
        for folder, items in together(look, folders, location):
            for entry in items:
                key = f"{folder.key}/{entry.name}"
                name = self.parse(key)
                if name is None:
                    ignored.append(key)
                elif days.have(name.day):
                    yield name, ArchiveObject(key, entry.size, entry.version)

    def spans(
        self,
        location: Location,
        patterns: Sequence[str],
        found: Iterator[tuple[Name, ArchiveObject]],
    ) -> Iterator[tuple[ChannelId, Span]]:
        """For each channel that matches, its objects and their days."""
        matches = matcher(patterns)
        chosen = ((name, item) for name, item in found if matches(name.channel))
        for name, item in described(location, chosen):
            yield name.channel, Span(name.day * DAY_NS, (name.day + 1) * DAY_NS, item)

    def _look(
        self, location: Location, patterns: Sequence[str], folder: DayFolder
    ) -> tuple[DayFolder, list[Entry]]:
        place = location.child(*folder.key.split("/"))
        prefixes = self._prefixes(patterns)
        if len(prefixes) > _MOST_PREFIXES:
            prefixes = [""]
        return folder, [entry for prefix in prefixes for entry in files_below(place, prefix)]

    def _prefixes(self, patterns: Sequence[str]) -> list[str]:
        found = set()
        for pattern in patterns:
            network, station = plain_code(pattern, 0), plain_code(pattern, 1)
            if network is None or station is None:
                return [""]
            found.add(self.prefix(network, station))
        return sorted(found)

    def _folders(self, location: Location, patterns: Sequence[str], days: Days) -> Iterator[DayFolder]:
        """The folders of the days, those of known names without looking whether they are there."""
        tops = [self.root]
        if self.has_networks:
            tops = [f"{self.root}/{network}" for network in self._networks(location, patterns)]
        for top in tops:
            if days.first is not None and days.last is not None:
                for day in range(days.first, days.last + 1):
                    date = date_of(day)
                    yield DayFolder(f"{top}/{date:%Y}/{date.strftime(self.day_format)}", day)
            else:
                yield from self._folders_there(location, top, days)

    def _networks(self, location: Location, patterns: Sequence[str]) -> list[str]:
        named = [plain_code(pattern, 0) for pattern in patterns]
        if None not in named:
            return sorted({network for network in named if network})
        there = entries(location.child(*self.root.split("/")))
        return [
            entry.name
            for entry in there
            if entry.is_folder and any(can_match(entry.name, pattern, 0) for pattern in patterns)
        ]

    def _folders_there(self, location: Location, top: str, days: Days) -> Iterator[DayFolder]:
        for year in entries(location.child(*top.split("/"))):
            if not (year.is_folder and re.fullmatch(r"\d{4}", year.name) and days.have_year(int(year.name))):
                continue
            for folder in entries(location.child(*top.split("/"), year.name)):
                match = self.day_name.fullmatch(folder.name)
                day = None if match is None else day_of(year.name, match["day"])
                if folder.is_folder and day is not None and days.have(day):
                    yield DayFolder(f"{top}/{year.name}/{folder.name}", day)

    def _explain_nothing(
        self, location: Location, patterns: Sequence[str], start_ns: int | None, end_ns: int | None
    ) -> None:
        """Say what is there instead: what a day holds, as listing all of a large archive would take hours."""
        there = next(self._folders(location, ("*.*.*.*",), Days(None, None)), None)
        if there is None:
            names = [entry.name for entry in entries(location)]
            shown = f"found {', '.join(names[:_SHOWN])}" if names else "nothing is there"
            raise ArchiveError(f"no archive at {location}: {shown}; expected {self.expected} below it")
        around = Days.around(start_ns, end_ns)
        for days in (around, Days(there.day, there.day)):
            found = list(self.find(location, ("*.*.*.*",), days, []))
            if found:
                spans = [(name.channel, (name.day * DAY_NS, (name.day + 1) * DAY_NS)) for name, _ in found]
                check_found(location, patterns, start_ns, end_ns, spans)
        raise ArchiveError(f"no object of {location} is named {self.expected}")
