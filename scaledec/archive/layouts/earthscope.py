"""The layout of EarthScope: one object holds all channels of a station for a day."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from scaledec.archive.apart import scan_headers
from scaledec.archive.folders import described, together
from scaledec.archive.layouts.keyed import KeyedLayout, Name
from scaledec.archive.layouts.layout import DAY_NS, day_of, matcher, plain_code
from scaledec.archive.listing import Span
from scaledec.archive.objects import read_object
from scaledec.errors import StoreNotFoundError, UnreadableInputError
from scaledec.location import Location
from scaledec.vocabulary import ArchiveObject, ChannelId

__all__ = ["EarthscopeLayout"]

_INDEX_FORMAT = 1
# Objects of a station whose headers are tried before the archive counts as unreadable.
_TRIES = 3


@dataclass(frozen=True, slots=True)
class EarthscopeLayout(KeyedLayout):
    """``miniseed/NET/YEAR/DOY/STA.NET.YEAR.DOY``; of keys that end in ``#N`` the highest N counts.

    A web server writes the mark as it stands in a URL, ``%23N``.

    Names do not tell channels. A pattern without wildcards names its channel; for any other the headers
    of a station's first and last wanted object are read, once, and kept in ``index``. The records of an
    object are ordered by channel as a rule, so a part of it would not do. A channel that is there in
    between alone is missed: name it without wildcards.
    """

    index: Location | None = None
    """Folder where it is kept which channels objects hold; ``None`` reads headers at every listing."""

    expected: ClassVar[str] = "miniseed/NET/YEAR/DOY/STA.NET.YEAR.DOY"
    root: ClassVar[str] = "miniseed"
    has_networks: ClassVar[bool] = True
    day_format: ClassVar[str] = "%j"
    day_name: ClassVar[re.Pattern[str]] = re.compile(r"(?P<day>\d{3})")
    _key: ClassVar[re.Pattern[str]] = re.compile(
        r".*/(?P<sta>[^./]+)\.(?P<net>[^./]+)\.(?P<year>\d{4})\.(?P<day>\d{3})(?:(?:#|%23)(?P<version>\d+))?"
    )

    def parse(self, key: str) -> Name | None:
        """See :class:`.KeyedLayout`; the channel is that of a station."""
        match = self._key.fullmatch(key)
        day = None if match is None else day_of(match["year"], match["day"])
        if match is None or day is None:
            return None
        return Name(ChannelId(match["net"], match["sta"], "", ""), day)

    def prefix(self, network: str, station: str) -> str:
        """See :class:`.KeyedLayout`."""
        return f"{station}.{network}."

    def spans(
        self, location: Location, patterns: Sequence[str], found: Iterator[tuple[Name, ArchiveObject]]
    ) -> Iterator[tuple[ChannelId, Span]]:
        """See :class:`.KeyedLayout`; an object is listed for each channel that it is expected to hold."""
        stations = self._newest(found, patterns)
        channels = self._channels(location, patterns, stations)
        for station, by_day in stations.items():
            for day, item in described(location, by_day.items()):
                for channel in channels[station]:
                    yield channel, Span(day * DAY_NS, (day + 1) * DAY_NS, item)

    def _newest(
        self, found: Iterator[tuple[Name, ArchiveObject]], patterns: Sequence[str]
    ) -> dict[ChannelId, dict[int, ArchiveObject]]:
        """For each station that can match, the object of each day."""
        stations: dict[ChannelId, dict[int, ArchiveObject]] = {}
        for (station, day), item in found:
            if any(_may_hold(pattern, station) for pattern in patterns):
                by_day = stations.setdefault(station, {})
                if day not in by_day or self._version(item) > self._version(by_day[day]):
                    by_day[day] = item
        return {station: dict(sorted(by_day.items())) for station, by_day in sorted(stations.items())}

    def _version(self, item: ArchiveObject) -> int:
        match = self._key.fullmatch(item.key)
        return int(match["version"] or 0) if match else 0

    def _channels(
        self,
        location: Location,
        patterns: Sequence[str],
        stations: Mapping[ChannelId, Mapping[int, ArchiveObject]],
    ) -> dict[ChannelId, list[ChannelId]]:
        """The channels wanted of each station."""
        matches = matcher(patterns)
        place = self._place(location)
        known = _load(place)
        asked = [station for station in stations if not _all_named(patterns, station)]
        looked_at = {station: _ends(stations[station]) for station in asked}
        missing = [some for ends in looked_at.values() for some in ends if _mark(some[0]) not in known]
        heard = together(partial(_held, location), missing, location)
        known |= {_mark(some[0]): held for some, held in zip(missing, heard, strict=True)}
        if missing and place is not None:
            place.write_bytes(json.dumps({"format": _INDEX_FORMAT, "objects": known}, indent=0).encode())
        channels: dict[ChannelId, list[ChannelId]] = {}
        for station in stations:
            named = {c for pattern in patterns if (c := _named(pattern)) and _at(c, station)}
            held = {ChannelId.parse(c) for some in looked_at.get(station, ()) for c in known[_mark(some[0])]}
            channels[station] = sorted(named | {c for c in held if matches(c) and _at(c, station)})
        return channels

    def _place(self, location: Location) -> Location | None:
        if self.index is None:
            return None
        name = hashlib.sha256(str(location).encode()).hexdigest()[:16]
        return self.index.child(f"earthscope-{name}.json")


def _held(location: Location, items: Sequence[ArchiveObject]) -> list[str]:
    """The channels that the first readable of some objects holds; raises what the last one does."""
    for item in items[:-1]:
        with suppress(UnreadableInputError):  # its own task will tell
            return _read_channels(location, item)
    return _read_channels(location, items[-1])


def _read_channels(location: Location, item: ArchiveObject) -> list[str]:
    headers = scan_headers(read_object(location, item), item.key)
    return sorted({str(header.channel) for header in headers})


def _ends(by_day: Mapping[int, ArchiveObject]) -> list[list[ArchiveObject]]:
    """The first object and the last, each with those next to it should it be unreadable."""
    items = list(by_day.values())
    return [items[:_TRIES], items[::-1][:_TRIES]] if len(items) > 1 else [items]


def _mark(item: ArchiveObject) -> str:
    return f"{item.key} {item.size} {item.version}"


def _at(channel: ChannelId, station: ChannelId) -> bool:
    return channel.station_key == station.station_key


def _may_hold(pattern: str, station: ChannelId) -> bool:
    """Whether a channel of a station can match; a pattern not of four parts rules nothing out."""
    parts = pattern.split(".")
    if len(parts) != 4 or "[" in pattern:
        return True
    return ChannelId(station.network, station.station, "", "").matches(f"{parts[0]}.{parts[1]}..")


def _named(pattern: str) -> ChannelId | None:
    """The channel that a pattern without wildcards names."""
    codes = [plain_code(pattern, part) for part in range(4)]
    return None if None in codes else ChannelId.parse(pattern)


def _all_named(patterns: Sequence[str], station: ChannelId) -> bool:
    return all(_named(pattern) for pattern in patterns if _may_hold(pattern, station))


def _load(place: Location | None) -> dict[str, list[str]]:
    """What was learned earlier; empty where there is none, or none of this format."""
    if place is None:
        return {}
    try:
        saved = json.loads(place.read_bytes())
        objects = saved["objects"] if saved["format"] == _INDEX_FORMAT else {}
        return {str(mark): [str(channel) for channel in held] for mark, held in objects.items()}
    except (StoreNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}
