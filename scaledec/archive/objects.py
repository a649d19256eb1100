"""Reading one object whole."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from scaledec.archive.folders import key_below, version_of
from scaledec.errors import UnreachableInputError, UnreadableInputError
from scaledec.location import Location
from scaledec.transport.faults import TruncatedError
from scaledec.transport.retry import GaveUpError
from scaledec.vocabulary import ArchiveObject

__all__ = ["UNKNOWN_VERSION", "has_changed", "read_object"]

UNKNOWN_VERSION = ""
"""Of objects that are known from an index which holds neither their size nor their version."""

# A file that a recorder appends to changes every few seconds, and is read in milliseconds.
_MOST_READS = 5


def read_object(base: Location, item: ArchiveObject) -> bytes:
    """All bytes of an object at one instant: as it was when it was listed or, of a local file, is now.

    Raises
    ------
    UnreadableInputError
        If it has vanished since it was listed, is remote and has changed, or must not be read.
    UnreachableInputError
        If the connection fails more often than ``base.access`` allows.
    """
    place = key_below(base, item.key)
    try:
        return _read_local(place.path) if place.is_local else _read_remote(place, item)
    except UnreadableInputError:
        raise
    except FileNotFoundError as error:
        raise UnreadableInputError(f"{place} has vanished since it was listed") from place.cause(error)
    except Exception as error:  # noqa: BLE001  (object stores raise their clients' own)
        kind = UnreachableInputError if isinstance(error, GaveUpError) else UnreadableInputError
        what = "" if isinstance(error, GaveUpError) else f"{type(error).__name__}: "
        raise kind(f"cannot read {place}: {what}{place.told(error)}") from place.cause(error)


def has_changed(base: Location, item: ArchiveObject) -> bool:
    """Whether a local file is no longer what was listed; remote objects are looked at while they are read."""
    if not base.is_local or item.version == UNKNOWN_VERSION:
        return False
    try:
        status = key_below(base, item.key).path.stat()
    except OSError:
        return True
    return (status.st_size, str(status.st_mtime_ns)) != (item.size, item.version)


def _read_local(path: Path) -> bytes:
    """A file that nobody wrote to meanwhile: half of an old one and half of a new one is neither."""
    for _ in range(_MOST_READS):
        # Opening a pipe that nobody writes to would wait for somebody.
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:  # noqa: PTH123
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise UnreadableInputError(f"{path} is no file but a {_kind(before.st_mode)}")
            data = file.read()
            after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) == (len(data), after.st_mtime_ns):
            return data
    raise UnreadableInputError(f"{path} is being written: it changed each of {_MOST_READS} times it was read")


def _kind(mode: int) -> str:
    return "folder" if stat.S_ISDIR(mode) else "pipe" if stat.S_ISFIFO(mode) else "device"


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
