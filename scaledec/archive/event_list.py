"""The events of a catalogue: origin time, place and size of each; from QuakeML or a table."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scaledec.errors import ArchiveError, ConfigError
from scaledec.location import Location
from scaledec.vocabulary import parse_time

__all__ = ["SeismicEvent", "read_events"]

_QUAKEML = (".xml", ".qml", ".quakeml")
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lon"),
    "depth_km": ("depth_km", "depth", "depth/km"),
    "magnitude": ("magnitude", "mag"),
}
_IDS = ("event_id", "eventid", "id")


@dataclass(frozen=True, slots=True)
class SeismicEvent:
    """One event; NaN for what the catalogue does not say."""

    id: str
    time_ns: int
    latitude: float = math.nan
    longitude: float = math.nan
    depth_km: float = math.nan
    magnitude: float = math.nan


def read_events(location: Location) -> tuple[SeismicEvent, ...]:
    """The events of a catalogue in the order of time; the ending of its name says in which format it is.

    QuakeML (.xml, .qml, .quakeml): the preferred origin (else the first) and magnitude of each event; events
    without origin are left out. Anything else is a table with a line of names, separated by commas, or by
    ``|`` as FDSN services write it: ``time`` (ISO 8601, UTC) and, where they are known, latitude, longitude,
    depth (km), magnitude and id. Other columns are ignored.

    Raises
    ------
    ArchiveError
        If it cannot be read.
    ConfigError
        If it holds no event.
    """
    try:
        data = location.read_bytes()
    except OSError as error:
        raise ArchiveError(f"the catalogue {location} cannot be read: {error}") from error
    of_xml = str(location).lower().endswith(_QUAKEML)
    found = _from_quakeml(data, location) if of_xml else _from_table(data, location)
    events = tuple(sorted(found, key=lambda event: (event.time_ns, event.id)))
    if not events:
        raise ConfigError(f"the catalogue {location} holds no event with an origin")
    return events


def _from_table(data: bytes, location: Location) -> Iterator[SeismicEvent]:
    try:
        text = data.decode("utf-8-sig").lstrip("#")
    except UnicodeDecodeError as error:
        raise ArchiveError(f"{location} is no table in UTF-8: {error}") from error
    delimiter = "|" if "|" in text.partition("\n")[0] else ","
    rows = csv.DictReader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    names = {name.strip().lower(): name for name in rows.fieldnames or ()}
    if "time" not in names:
        raise ArchiveError(
            f"{location} has the columns {', '.join(names) or '(none)'}; expected time and, where they are "
            "known, latitude, longitude, depth, magnitude and id"
        )
    for number, row in enumerate(rows):
        values = {name: (row.get(column) or "").strip() for name, column in names.items()}
        try:
            numbers = {
                field: float(next((values[name] for name in known if values.get(name)), "nan"))
                for field, known in _COLUMNS.items()
            }
            time_ns = parse_time(values["time"])
        except ValueError as error:
            raise ArchiveError(f"{location}, line {rows.line_num}: {error}") from error
        name = next((values[name] for name in _IDS if values.get(name)), str(number))
        yield SeismicEvent(name, time_ns, **numbers)


def _from_quakeml(data: bytes, location: Location) -> Iterator[SeismicEvent]:
    from scaledec.archive.catalog import load_obspy

    try:
        events = load_obspy().read_events(io.BytesIO(data), format="QUAKEML")
    except Exception as error:
        raise ArchiveError(f"{location} is no QuakeML that ObsPy reads: {error}") from error
    for event in events:
        origin = event.preferred_origin() or (event.origins[0] if event.origins else None)
        if origin is None:
            continue
        magnitude = event.preferred_magnitude() or (event.magnitudes[0] if event.magnitudes else None)
        yield SeismicEvent(
            str(event.resource_id).rpartition("/")[2],
            origin.time.ns,
            _known(origin.latitude),
            _known(origin.longitude),
            _known(origin.depth) / 1000,
            _known(None if magnitude is None else magnitude.mag),
        )


def _known(value: Any) -> float:
    return math.nan if value is None else float(value)
