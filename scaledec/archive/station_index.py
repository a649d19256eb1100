"""Station metadata of the wanted channels, read once from each version of each document and then kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from scaledec.archive.responses import ResponseRequest, response_name, save_gain_db
from scaledec.archive.station_sources import StationSource, station_source
from scaledec.archive.stations import Epoch, Stations
from scaledec.archive.stationxml import KeepGain, read_stationxml
from scaledec.config.fingerprint import hash_json
from scaledec.errors import ArchiveError, StoreNotFoundError, UnreadableInputError
from scaledec.location import Location
from scaledec.vocabulary import ArchiveObject, ChannelId

__all__ = ["read_stations"]

Gain: TypeAlias = npt.NDArray[np.float64]

_INDEX_FORMAT = 1
_READERS = 8
# Documents held at once while they wait to be parsed, which goes one by one: evalresp is not thread-safe.
_BATCH = 64
# Version of a document that could not be read: never current, so it is tried again next time.
_NOT_READ = ""


@dataclass(frozen=True, slots=True)
class _Scan:
    """What one version of a document says."""

    size: int
    version: str
    epochs: tuple[Epoch, ...]
    reason: str | None = None
    """Why it could not be read, if it could not."""


def read_stations(
    location: Location,
    channels: Sequence[ChannelId],
    *,
    index: Location,
    responses: Location,
    request: ResponseRequest | None,
    start_ns: int,
    end_ns: int,
) -> Stations:
    """Epochs of the stations of some channels, and the gains of those channels.

    Documents that have not changed since they were read are taken from the index; a document that cannot be
    read now is taken from it too if an older version is there, and is listed as unreadable either way.

    Parameters
    ----------
    location
        ``archive.stationxml``.
    channels
        The channels wanted.
    index, responses
        Folders where epochs and gains are kept.
    request
        The gains wanted; ``None``: none.
    start_ns, end_ns
        Gains are wanted of epochs that meet this time.

    Raises
    ------
    ArchiveError
        If there is no document, or none can be read.
    """
    level = "channel" if request is None else "response"
    source = station_source(location, service_level=level)
    reader = _Reader(source, frozenset(channels), request, responses, start_ns, end_ns)
    name = hash_json([str(location), None if request is None else asdict(request)])
    place = index.child(f"{name}.json")
    known = _load(place)
    items = source.documents({channel.station_key for channel in channels})
    scans = reader.scans(items, known)
    if scans and all(scan.reason and not scan.epochs for scan in scans.values()):
        raise ArchiveError(
            f"no document of {location} can be read: {next(iter(scans.values())).reason}; correct "
            "archive.stationxml"
        )
    if any(known.get(key) != scan for key, scan in scans.items()):
        _save(place, {**known, **scans})
    epochs = [epoch for item in items for epoch in scans[item.key].epochs]
    unreadable = [(key, scan.reason) for key, scan in scans.items() if scan.reason]
    return Stations(epochs, str(location), unreadable=unreadable)


@dataclass(slots=True)
class _Reader:
    """Reads what is missing from an index."""

    source: StationSource
    channels: frozenset[ChannelId]
    request: ResponseRequest | None
    responses: Location
    start_ns: int
    end_ns: int

    def scans(self, items: Sequence[ArchiveObject], known: Mapping[str, _Scan]) -> dict[str, _Scan]:
        """What every document says: by the index where that is current, else read now."""
        stored = set(self.responses.list_names()) if self.request is not None else set()
        scans = {
            item.key: scan
            for item in items
            if (scan := known.get(item.key)) and self._is_current(scan, item, stored)
        }
        missing = [item for item in items if item.key not in scans]
        gains: dict[str, Gain] = {}

        def keep(gain_db: Gain) -> str:
            name = response_name(gain_db)
            gains[name] = gain_db
            return name

        with ThreadPoolExecutor(_READERS) as readers:
            for first in range(0, len(missing), _BATCH):
                batch = missing[first : first + _BATCH]
                for item, data in zip(batch, readers.map(self._fetch, batch), strict=True):
                    scans[item.key] = self._scan(item, data, known.get(item.key), keep)
            new = [gain for name, gain in gains.items() if f"{name}.json" not in stored]
            # Gains before the index that names them: a killed process leaves no name without numbers.
            list(readers.map(lambda gain: save_gain_db(self.responses, gain), new))
        return {item.key: scans[item.key] for item in items}

    def _fetch(self, item: ArchiveObject) -> bytes | str:
        """The document, or why it cannot be had."""
        try:
            return self.source.read(item)
        except UnreadableInputError as error:
            return str(error)

    def _scan(self, item: ArchiveObject, data: bytes | str, older: _Scan | None, keep: KeepGain) -> _Scan:
        if isinstance(data, str):
            if older is not None and older.epochs:
                return _Scan(older.size, _NOT_READ, older.epochs, f"{data}; what was read before is used")
            return _Scan(item.size, _NOT_READ, (), data)
        try:
            epochs = read_stationxml(data, item.key, self.request, self._is_wanted, keep)
        except UnreadableInputError as error:
            return _Scan(item.size, item.version, (), str(error))
        return _Scan(item.size, item.version, epochs)

    def _is_wanted(self, epoch: Epoch) -> bool:
        return (
            epoch.channel in self.channels and epoch.start_ns < self.end_ns and epoch.end_ns > self.start_ns
        )

    def _is_current(self, scan: _Scan, item: ArchiveObject, stored: set[str]) -> bool:
        if (scan.size, scan.version) != (item.size, item.version):
            return False
        return self.request is None or all(
            epoch.reason is not None or f"{epoch.response}.json" in stored
            for epoch in scan.epochs
            if self._is_wanted(epoch)
        )


def _load(place: Location) -> dict[str, _Scan]:
    """The saved index; empty where there is none, or none of this format: then it is made anew."""
    try:
        saved = json.loads(place.read_bytes())
        if saved["format"] != _INDEX_FORMAT:
            return {}
        return {key: _from_json(scan) for key, scan in saved["documents"].items()}
    except (StoreNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _from_json(scan: Mapping[str, Any]) -> _Scan:
    epochs = tuple(_epoch(found) for found in scan["epochs"])
    return _Scan(int(scan["size"]), str(scan["version"]), epochs, scan["reason"])


def _epoch(found: Mapping[str, Any]) -> Epoch:
    return Epoch(**{**found, "channel": ChannelId.parse(found["channel"])})


def _save(place: Location, scans: Mapping[str, _Scan]) -> None:
    documents = {
        key: {**asdict(scan), "epochs": list(_epochs_as_json(scan.epochs))} for key, scan in scans.items()
    }
    place.write_bytes(json.dumps({"format": _INDEX_FORMAT, "documents": documents}).encode())


def _epochs_as_json(epochs: Iterable[Epoch]) -> Iterable[dict[str, Any]]:
    for epoch in epochs:
        yield {**asdict(epoch), "channel": str(epoch.channel)}
