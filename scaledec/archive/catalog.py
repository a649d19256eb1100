"""Picks and origins from QuakeML or CSV: instants at which windows are wanted."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from scaledec.errors import ArchiveError
from scaledec.location import Location
from scaledec.vocabulary import ChannelId, parse_time

__all__ = ["Catalog", "Entry", "Hypocentre", "WhenOriginsArrive", "load_obspy", "read_catalog"]

_QUAKEML = (".xml", ".qml", ".quakeml")
_SOURCE = ("network", "station", "location", "channel")
# Letters of a pick's channel that name its sensor; the third names a component, and it is meant for all.
_LETTERS = 2
# Names of columns, the first of which counts.
_LATITUDE, _LONGITUDE, _DEPTH = ("latitude", "lat"), ("longitude", "lon"), ("depth_km", "depth")


class Hypocentre(NamedTuple):
    """Where an origin lies."""

    latitude: float
    longitude: float
    depth_km: float | None
    """``None`` where it is not told."""


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
    hypocentre: Hypocentre | None = field(default=None, compare=False, kw_only=True)
    """Of an origin, where the catalogue tells it."""

    def serves(self, channel: ChannelId) -> bool:
        """Whether a channel gets a window at a pick: its sensor does, all components."""
        return (
            self.station == channel.station
            and self.network in ("", channel.network)
            and self.location in ("", "--", channel.location)
            and channel.channel.startswith(self.channel[:_LETTERS])
        )


WhenOriginsArrive: TypeAlias = Callable[[ChannelId, Sequence[Entry]], npt.NDArray[np.int64]]
"""A channel and origins -> when each has its window there; those that have none are left out."""


def _at_once(channel: ChannelId, origins: Sequence[Entry]) -> npt.NDArray[np.int64]:
    return np.array([origin.time_ns for origin in origins], np.int64)


class Catalog:
    """The entries of a catalogue, in the order of time.

    Parameters
    ----------
    entries
        In any order.
    arrive
        When origins have their windows; left out: at their own times on every channel.
    """

    def __init__(self, entries: Sequence[Entry], arrive: WhenOriginsArrive = _at_once) -> None:
        self.entries = tuple(sorted(entries))
        self.origins = tuple(entry for entry in self.entries if not entry.station)
        self._picks = tuple(entry for entry in self.entries if entry.station)
        self._arrive = arrive
        self._times: dict[ChannelId, npt.NDArray[np.int64]] = {}

    def arriving(self, arrive: WhenOriginsArrive) -> Catalog:
        """The same entries with other instants for the origins."""
        return Catalog(self.entries, arrive)

    def times_ns(self, channel: ChannelId) -> npt.NDArray[np.int64]:
        """The instants at which a channel gets windows, ascending, each once; nanoseconds of UTC."""
        found = self._times.get(channel)
        if found is None:
            picks = [entry.time_ns for entry in self._picks if entry.serves(channel)]
            origins = self._arrive(channel, self.origins)
            found = self._times[channel] = np.unique(np.concatenate([np.array(picks, np.int64), origins]))
        return found


def read_catalog(location: Location, phase: str | None = None) -> Catalog:
    """Read a catalogue; the ending of its name says in which format it is.

    QuakeML: every pick of every event, and the preferred origin of each event that has no pick. CSV: a row
    an entry, with a column ``time`` (ISO 8601, UTC) and, for picks, ``network``, ``station`` and optionally
    ``location``, ``channel`` and ``phase``; for origins ``latitude``, ``longitude`` and ``depth_km`` (or
    ``depth``, in km too) tell where they lie. Other columns are ignored.

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
    return Catalog([e for e in entries if phase is None or not e.station or e.phase == phase])


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
        source = [values.get(name, "") for name in (*_SOURCE, "phase")]
        yield Entry(time_ns, *source, hypocentre=_hypocentre(values, f"{location}, line {rows.line_num}"))


def _hypocentre(values: Mapping[str, str], where: str) -> Hypocentre | None:
    """Of a row, if it has both coordinates."""
    found: list[float | None] = []
    for names, largest in ((_LATITUDE, 90.0), (_LONGITUDE, 360.0), (_DEPTH, 1000.0)):
        name = next((name for name in names if values.get(name)), None)
        if name is None:
            found.append(None)
            continue
        try:
            number = float(values[name])
        except ValueError:
            number = float("nan")
        if not abs(number) <= largest:
            raise ArchiveError(f"{where}: {name} is {values[name]!r}; expected a number up to {largest:g}")
        found.append(number)
    latitude, longitude, depth_km = found
    return None if latitude is None or longitude is None else Hypocentre(latitude, longitude, depth_km)


def _from_quakeml(data: bytes, location: Location) -> Iterator[Entry]:
    obspy = load_obspy()
    try:
        events = obspy.read_events(io.BytesIO(data), format="QUAKEML")
    except Exception as error:
        raise ArchiveError(f"{location} is no QuakeML that ObsPy reads: {error}") from error
    for event in events:
        for pick in event.picks:
            stream = pick.waveform_id
            source = [str(getattr(stream, f"{name}_code", None) or "") for name in _SOURCE]
            if source[1]:
                yield Entry(pick.time.ns, *[*source, pick.phase_hint or ""])
        origin = event.preferred_origin() or (event.origins[0] if event.origins else None)
        if not event.picks and origin is not None:
            yield Entry(origin.time.ns, hypocentre=_hypocentre_of(origin))


def _hypocentre_of(origin: Any) -> Hypocentre | None:
    """Of an origin of ObsPy's, which tells depths in metres."""
    if origin.latitude is None or origin.longitude is None:
        return None
    depth_km = None if origin.depth is None else origin.depth / 1000
    return Hypocentre(origin.latitude, origin.longitude, depth_km)


@lru_cache(maxsize=1)
def load_obspy() -> Any:
    """ObsPy, imported without its warnings."""
    import warnings

    with warnings.catch_warnings():
        # It lists its plugins in a way that newer Python versions deprecate.
        warnings.simplefilter("ignore")
        import obspy
    return obspy
