"""Where StationXML comes from: files by name, or an FDSN station service."""

from __future__ import annotations

import datetime as dt
import http.client
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from scaledec.archive.folders import entry_at, find_files, split_glob
from scaledec.archive.objects import read_object
from scaledec.errors import ArchiveError, UnreadableInputError
from scaledec.location import Location
from scaledec.transport.access import Access
from scaledec.transport.retry import retried
from scaledec.vocabulary import ArchiveObject

__all__ = ["FdsnStations", "StationFiles", "StationSource", "station_source"]

_SERVICE = re.compile(r"^https?://.+/fdsnws/station/1(/query)?/?$")
# CI_WBM.xml (SCEDC), BK.CMB.xml (NCEDC), IU.ANMO.00.BHZ_station.xml: network, station, and maybe more.
_STATION_NAME = re.compile(r"([A-Z0-9]{1,2})[._]([A-Z0-9]{1,5})([._].*)?\.xml", re.IGNORECASE)
_NO_DATA = {204, 404}


class StationSource(Protocol):
    """Documents of StationXML by name and version."""

    def documents(self, stations: Collection[str]) -> Sequence[ArchiveObject]:
        """Those that may hold any of the stations (``NET.STA``); their bytes are not read."""

    def read(self, item: ArchiveObject) -> bytes:
        """All bytes of a document; none if it holds no station. ``UnreadableInputError`` where that fails."""


def station_source(location: Location, *, service_level: str) -> StationSource:
    """The source at a URL: a service by its path, else files.

    Parameters
    ----------
    location
        ``archive.stationxml``.
    service_level
        What to ask a service for: ``channel`` or ``response``.
    """
    if _SERVICE.match(location.url):
        return FdsnStations(location, service_level)
    return StationFiles.at(location)


@dataclass(frozen=True, slots=True)
class StationFiles:
    """StationXML files: one, all in a folder or below a prefix, or those that match a glob."""

    base: Location
    files: tuple[ArchiveObject, ...]

    @classmethod
    def at(cls, location: Location) -> StationFiles:
        """List the files; ``ArchiveError`` if there are none."""
        base, glob = split_glob(location)
        if glob is None:
            found = entry_at(location)
            if found is not None and not found.is_folder:
                url, _, name = location.url.rpartition("/")
                folder = replace(location, url=url or ("/" if location.url.startswith("/") else "."))
                return cls(folder, (ArchiveObject(name, found.size, found.version),))
        files = [item for item in find_files(base, glob) if item.key.lower().endswith(".xml")]
        if not files:
            raise ArchiveError(
                f"no StationXML at {location}; expected a file, a folder or glob of .xml files, or an FDSN "
                "station service (https://HOST/fdsnws/station/1): correct archive.stationxml"
            )
        return cls(base, tuple(files))

    def documents(self, stations: Collection[str]) -> Sequence[ArchiveObject]:
        """Files named for a wanted station, and those whose names tell no station.

        Where no file is named for any of them, names are taken to tell nothing.
        """
        named = {item: _station_of(item.key) for item in self.files}
        if not any(station in stations for station in named.values()):
            return self.files
        return [item for item, station in named.items() if station is None or station in stations]

    def read(self, item: ArchiveObject) -> bytes:
        """See :class:`StationSource`."""
        return read_object(self.base, item)


@dataclass(frozen=True, slots=True)
class FdsnStations:
    """An FDSN station service, asked once for each station on a day (UTC): its answers have no version."""

    location: Location
    level: str

    def documents(self, stations: Collection[str]) -> Sequence[ArchiveObject]:
        """One answer for each station."""
        today = f"{self.level}, {dt.datetime.now(dt.UTC):%Y-%m-%d}"
        return [ArchiveObject(station, 0, today) for station in sorted(stations)]

    def read(self, item: ArchiveObject) -> bytes:
        """See :class:`StationSource`."""
        network, _, station = item.key.partition(".")
        asked = {"network": network, "station": station, "level": self.level, "format": "xml"}
        base = self.location.url.rstrip("/").removesuffix("/query")
        return _get(
            f"{base}/query?{urllib.parse.urlencode(asked)}",
            f"{item.key} from {self.location}",
            self.location.access,
        )


def _station_of(key: str) -> str | None:
    match = _STATION_NAME.fullmatch(key.rpartition("/")[2])
    return None if match is None else f"{match[1]}.{match[2]}"


def _get(url: str, what: str, access: Access) -> bytes:
    """The body of an answer, asked for again as often as ``access`` allows; empty for "no data"."""

    def attempt() -> bytes:
        try:
            with urllib.request.urlopen(url, timeout=access.timeout_s) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            if error.code in _NO_DATA:
                return b""
            raise
        except urllib.error.URLError as error:
            # What is wrong with the connection, from which it can be told whether it passes.
            if isinstance(error.reason, OSError):
                raise error.reason from None
            raise

    try:
        return retried(attempt, access)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnreadableInputError(f"cannot read {what}: {type(error).__name__}: {error}") from error
