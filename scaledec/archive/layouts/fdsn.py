"""FDSN web services: a channel and day is one request to dataselect."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlencode

from scaledec.archive.layouts.centres import estimated_bytes
from scaledec.archive.layouts.layout import DAY_NS, check_found, matcher
from scaledec.archive.listing import Listing, Span
from scaledec.archive.objects import UNKNOWN_VERSION
from scaledec.errors import ArchiveError, StoreError, StoreNotFoundError
from scaledec.location import Location
from scaledec.vocabulary import ArchiveObject, ChannelId, format_time, parse_time

__all__ = ["FdsnLayout"]

_QUERY = "fdsnws/dataselect/1/query"
# Gaps inside a day make no difference here: a day with anything is one request.
_MERGED_GAPS_S = 86_400


class _Extent(NamedTuple):
    channel: ChannelId
    start_ns: int
    end_ns: int
    sampling_rate_hz: float


@dataclass(frozen=True, slots=True)
class FdsnLayout:
    """A data centre's dataselect service, listed by its availability service, else by its station service.

    The location is the server (``https://service.iris.edu``). The station service tells when a channel
    was in operation, not what is there: days without data are then asked for too, and found empty. Sizes
    are estimated; that data have changed since is not noticed.
    """

    def base(self, location: Location) -> Location:
        """The server."""
        return location

    def nominal_span_ns(self, key: str) -> tuple[int, int] | None:
        """The day that is asked for."""
        _, mark, start = key.partition("&start=")
        if not mark:
            return None
        start_ns = parse_time(start.partition("&")[0])
        return start_ns, start_ns + DAY_NS

    def listing(
        self, location: Location, patterns: Sequence[str], start_ns: int | None, end_ns: int | None
    ) -> Listing:
        """See :class:`.layout.Layout`."""
        matches = matcher(patterns)
        extents = list(_ask(location, patterns, start_ns, end_ns))
        spans = {
            (extent.channel, day): Span(day * DAY_NS, (day + 1) * DAY_NS, _request(extent, day))
            for extent in extents
            if matches(extent.channel)
            for day in _days(extent, start_ns, end_ns)
        }
        listing = Listing(
            [(channel, span) for (channel, _), span in spans.items()],
            start_ns=start_ns,
            end_ns=end_ns,
            slack_ns=DAY_NS,
        )
        if not listing.channels:
            found = [(extent.channel, (extent.start_ns, extent.end_ns)) for extent in extents]
            check_found(location, patterns, start_ns, end_ns, found)
        return listing


def _days(extent: _Extent, start_ns: int | None, end_ns: int | None) -> range:
    """The days of an extent that are wanted, and one on either side for the edges."""
    first, last = extent.start_ns // DAY_NS, (extent.end_ns - 1) // DAY_NS
    if start_ns is not None:
        first = max(first, start_ns // DAY_NS - 1)
    if end_ns is not None:
        last = min(last, (end_ns - 1) // DAY_NS + 1)
    return range(first, last + 1)


def _request(extent: _Extent, day: int) -> ArchiveObject:
    channel = extent.channel
    query = urlencode(
        {
            "net": channel.network,
            "sta": channel.station,
            "loc": channel.location or "--",
            "cha": channel.channel,
            "start": format_time(day * DAY_NS),
            "end": format_time((day + 1) * DAY_NS),
        },
        safe=":",
    )
    return ArchiveObject(f"{_QUERY}?{query}", estimated_bytes(extent.sampling_rate_hz), UNKNOWN_VERSION)


def _ask(
    location: Location, patterns: Sequence[str], start_ns: int | None, end_ns: int | None
) -> Iterator[_Extent]:
    """What the services say is there of each pattern."""
    merging = {"merge": "samplerate,quality,overlap", "mergegaps": str(_MERGED_GAPS_S), "format": "text"}
    for pattern in dict.fromkeys(patterns):
        query = _codes(pattern)
        if start_ns is not None:
            query["start"] = format_time(start_ns - DAY_NS)
        if end_ns is not None:
            query["end"] = format_time(end_ns + DAY_NS)
        try:
            text = _get(location, "fdsnws/availability/1/query", query | merging)
        except StoreNotFoundError:
            yield from _epochs(_stations(location, query))
        else:
            yield from _available(text)


def _stations(location: Location, query: dict[str, str]) -> str:
    try:
        return _get(location, "fdsnws/station/1/query", query | {"level": "channel", "format": "text"})
    except StoreNotFoundError as error:
        raise ArchiveError(
            f"{location} is no FDSN server: neither its availability nor its station service is there"
        ) from error


def _codes(pattern: str) -> dict[str, str]:
    """A pattern as parameters; services know no sets of letters, what they send too much is left out."""
    parts = pattern.split(".")
    if len(parts) != 4 or "[" in pattern:
        parts = ["*"] * 4
    return dict(
        zip(("net", "sta", "loc", "cha"), [parts[0], parts[1], parts[2] or "--", parts[3]], strict=True)
    )


def _get(location: Location, path: str, query: dict[str, str]) -> str:
    """An answer, empty where nothing is there (204); ``StoreNotFoundError`` if the service is not."""
    place = location.child(*path.split("/"))
    asked = Location(
        f"{place.url}?{urlencode(query, safe=':*?,-')}", location.storage_options, location.access
    )
    try:
        return asked.read_bytes().decode("utf-8", errors="replace")
    except StoreNotFoundError:
        raise
    except StoreError as error:
        raise ArchiveError(f"{error}; is archive.url the address of an FDSN server?") from error.__cause__


def _rows(text: str, separator: str | None) -> Iterator[dict[str, str]]:
    """The lines of a table by the names in its first one."""
    lines = [line for line in text.splitlines() if line.strip()]
    names = [name.strip().lower() for name in lines[0].lstrip("#").split(separator)] if lines else []
    for line in itertools.islice(lines, 1, None):
        yield dict(zip(names, (value.strip() for value in line.split(separator)), strict=False))


def _channel(row: dict[str, str]) -> ChannelId:
    location = row["location"]
    return ChannelId(row["network"], row["station"], "" if location == "--" else location, row["channel"])


def _available(text: str) -> Iterator[_Extent]:
    for row in _rows(text, None):
        start_ns, end_ns = parse_time(row["earliest"]), parse_time(row["latest"])
        yield _Extent(_channel(row), start_ns, end_ns + 1, float(row.get("samplerate") or 0))


def _epochs(text: str) -> Iterator[_Extent]:
    for row in _rows(text, "|"):
        start_ns = parse_time(row["starttime"])
        # An open epoch lasts until today, and so does one that ends in the far future.
        end_ns = min(parse_time(row["endtime"] or "2200-01-01"), time.time_ns())
        if start_ns < end_ns:
            yield _Extent(_channel(row), start_ns, end_ns, float(row.get("samplerate") or 0))
