"""Reading one object whole."""

from __future__ import annotations

from scaledec.archive.folders import key_below, version_of
from scaledec.errors import UnreachableInputError, UnreadableInputError
from scaledec.location import Location
from scaledec.transport.faults import TruncatedError
from scaledec.transport.retry import GaveUpError
from scaledec.vocabulary import ArchiveObject

__all__ = ["UNKNOWN_VERSION", "read_object"]

UNKNOWN_VERSION = ""
"""Of objects that are known from an index which holds neither their size nor their version."""


def read_object(base: Location, item: ArchiveObject) -> bytes:
    """All bytes of an object, as it was when it was listed.

    Raises
    ------
    UnreadableInputError
        If it has vanished or changed since it was listed, or must not be read.
    UnreachableInputError
        If the connection fails more often than ``base.access`` allows.
    """
    place = key_below(base, item.key)
    try:
        return place.path.read_bytes() if place.is_local else _read_remote(place, item)
    except UnreadableInputError:
        raise
    except FileNotFoundError as error:
        raise UnreadableInputError(f"{place} has vanished since it was listed") from place.cause(error)
    except Exception as error:  # noqa: BLE001  (object stores raise their clients' own)
        kind = UnreachableInputError if isinstance(error, GaveUpError) else UnreadableInputError
        what = "" if isinstance(error, GaveUpError) else f"{type(error).__name__}: "
        raise kind(f"cannot read {place}: {what}{place.told(error)}") from place.cause(error)


def _read_remote(place: Location, item: ArchiveObject) -> bytes:
    remote, path = place.remote()
    if item.version == UNKNOWN_VERSION:
        return remote.read(path, size=item.size)

    def check(data: bytes, version: str | None) -> None:
        if len(data) != item.size or version is None:
            _check_unchanged(place, item)
        elif version != item.version:
            raise _changed(place, item, f"version {version}")
        if len(data) != item.size:
            raise TruncatedError(f"{len(data)} bytes came of {item.size}")

    return remote.read(path, size=item.size, check=check)


def _check_unchanged(place: Location, item: ArchiveObject) -> None:
    """Raise if an object is no longer the one that was listed."""
    remote, path = place.remote()
    info = remote.info(path)
    size, version = int(info.get("size") or 0), version_of(info)
    if size != item.size:
        raise _changed(place, item, f"{size} bytes")
    if version != item.version:
        raise _changed(place, item, f"version {version}")


def _changed(place: Location, item: ArchiveObject, now: str) -> UnreadableInputError:
    return UnreadableInputError(
        f"{place} has changed since it was listed ({item.size} bytes, version {item.version}; now {now}): "
        "run again"
    )
