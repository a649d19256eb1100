"""Picks and origins from QuakeML or CSV: instants at which windows are wanted."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from scaledec.errors import ArchiveError
from scaledec.location import Location
from scaledec.vocabulary import ChannelId, parse_time

__all__ = ["Catalog", "Entry", "read_catalog"]

_QUAKEML = (".xml", ".qml", ".quakeml")
_SOURCE = ("network", "station", "location", "channel")
# Letters of a pick's channel that name its sensor; the third names a component, and it is meant for all.
_LETTERS = 2


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One pick or origin."""

    time_ns: int
    network: str = ""
    station: str = ""
    """Empty for an origin, which serves every station."""
    location: str = ""
    """Empty where the catalogue does not say."""
    channel: str = ""
    """Empty where the catalogue does not say."""
    phase: str = ""

    def serves(self, channel: ChannelId) -> bool:
        """Whether a channel gets a window: an origin serves all, a pick its sensor (all components)."""
        if not self.station:
            return True
        return (
            self.station == channel.station
            and self.network in ("", channel.network)
            and self.location in ("", "--", channel.location)
            and channel.channel.startswith(self.channel[:_LETTERS])
        )


class Catalog:
    """The entries of a catalogue, in the order of time."""

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self.entries = tuple(sorted(entries))
        self._times: dict[ChannelId, npt.NDArray[np.int64]] = {}

    def times_ns(self, channel: ChannelId) -> npt.NDArray[np.int64]:
        """The instants at which a channel gets windows, ascending, each once; nanoseconds of UTC."""
        found = self._times.get(channel)
        if found is None:
            times = [entry.time_ns for entry in self.entries if entry.serves(channel)]
            found = self._times[channel] = np.unique(np.array(times, np.int64))
        return found


def read_catalog(location: Location, phase: str | None = None) -> Catalog:
    """Read a catalogue; the ending of its name says in which format it is.

    QuakeML: every pick of every event, and the preferred origin of each event that has no pick. CSV: a row
    an entry, with a column ``time`` (ISO 8601, UTC) and, for picks, ``network``, ``station`` and optionally
    ``location``, ``channel`` and ``phase``; other columns (latitude, longitude, depth, ...) are ignored.

    Parameters
    ----------
    location
        Where it lies.
    phase
        Keep only picks of this phase; origins are kept.

    Raises
    ------
    ArchiveError
        If it cannot be read, or a row has no valid time.
    """
    try:
        data = location.read_bytes()
    except OSError as error:
        raise ArchiveError(f"the catalogue {location} cannot be read: {error}") from error
    of_xml = str(location).lower().endswith(_QUAKEML)
    entries = _from_quakeml(data, location) if of_xml else _from_csv(data, location)
    return Catalog(tuple(e for e in entries if phase is None or not e.station or e.phase == phase))


def _from_csv(data: bytes, location: Location) -> Iterator[Entry]:
    try:
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig")), skipinitialspace=True)
        names = {name.strip().lower(): name for name in rows.fieldnames or ()}
    except (UnicodeDecodeError, csv.Error) as error:
        raise ArchiveError(f"{location} is no CSV in UTF-8: {error}") from error
    if "time" not in names:
        raise ArchiveError(
            f"{location} has the columns {', '.join(names) or '(none)'}; expected time and, for picks, "
            "network, station, and optionally location, channel, phase"
        )
    for row in rows:
        values = {name: (row.get(column) or "").strip() for name, column in names.items()}
        try:
            time_ns = parse_time(values["time"])
        except ValueError as error:
            raise ArchiveError(f"{location}, line {rows.line_num}: time is no ISO 8601: {error}") from error
        yield Entry(time_ns, **{name: values.get(name, "") for name in (*_SOURCE, "phase")})


def _from_quakeml(data: bytes, location: Location) -> Iterator[Entry]:
    obspy = _obspy()
    try:
        events = obspy.read_events(io.BytesIO(data), format="QUAKEML")
    except Exception as error:
        raise ArchiveError(f"{location} is no QuakeML that ObsPy reads: {error}") from error
    for event in events:
        for pick in event.picks:
            stream = pick.waveform_id
            source = {name: getattr(stream, f"{name}_code", None) or "" for name in _SOURCE}
            if source["station"]:
                yield Entry(pick.time.ns, **source, phase=pick.phase_hint or "")
        origin = event.preferred_origin() or (event.origins[0] if event.origins else None)
        if not event.picks and origin is not None:
            yield Entry(origin.time.ns)


@lru_cache(maxsize=1)
def _obspy() -> Any:
    import warnings

    with warnings.catch_warnings():
        # It lists its plugins in a way that newer Python versions deprecate.
        warnings.simplefilter("ignore")
        import obspy
    return obspy
