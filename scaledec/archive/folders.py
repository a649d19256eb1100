"""Names, sizes and versions below a place, local or remote alike."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from scaledec.errors import ArchiveError
from scaledec.location import Location

__all__ = ["Entry", "entries", "key_below", "version_of", "walk_files"]

# What object stores and file systems call the thing that changes with the content, best first.
_VERSION_KEYS = (
    "ETag",
    "etag",
    "mtime",
    "LastModified",
    "last_modified",
    "Last-Modified",
    "updated",
    "created",
)


class Entry(NamedTuple):
    """One name of a folder."""

    name: str
    is_folder: bool
    size: int
    version: str


def entries(location: Location) -> list[Entry]:
    """What lies directly in a folder, sorted by name; empty where there is no such folder.

    Raises
    ------
    ArchiveError
        If the place cannot be reached or must not be read.
    """
    return _listed(_local if location.is_local else _remote, location)


def walk_files(location: Location) -> list[Entry]:
    """Every file below a folder, sorted; names are keys with slashes, dot files are left out.

    Raises
    ------
    ArchiveError
        As :func:`entries`.
    """
    found = _listed(_local_tree if location.is_local else _remote_tree, location)
    return [entry for entry in found if not any(part.startswith(".") for part in entry.name.split("/"))]


def _listed(how: Callable[[Location], Iterator[Entry]], location: Location) -> list[Entry]:
    try:
        return sorted(how(location))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except ArchiveError:
        raise
    except Exception as error:  # noqa: BLE001  (object stores raise their clients' own)
        raise ArchiveError(
            f"cannot list {location}: {type(error).__name__}: {location.told(error)}"
        ) from location.cause(error)


def key_below(location: Location, key: str) -> Location:
    """The place of an object of an archive."""
    return location.child(*key.split("/"))


def _local(location: Location) -> Iterator[Entry]:
    with os.scandir(location.path) as found:
        for item in found:
            try:
                status = item.stat()
            except OSError:  # removed meanwhile, or a link to nowhere: reading it will say so
                yield Entry(item.name, False, 0, "missing")
                continue
            yield Entry(item.name, item.is_dir(), status.st_size, str(status.st_mtime_ns))


def _local_tree(location: Location) -> Iterator[Entry]:
    for entry in entries(location):
        if entry.is_folder:
            for below in _local_tree(location.child(entry.name)):
                yield below._replace(name=f"{entry.name}/{below.name}")
        else:
            yield entry


def _remote(location: Location) -> Iterator[Entry]:
    remote, path = location.remote()
    for info in remote.list_folder(path):
        if (name := _below(path, info)) and "/" not in name:
            yield _entry(name, info)


def _remote_tree(location: Location) -> Iterator[Entry]:
    remote, path = location.remote()
    for info in remote.list_tree(path):
        if name := _below(path, info):
            yield _entry(name, info)


def _below(path: str, info: dict[str, Any]) -> str:
    """The name below a path; empty for the path itself (marker objects, a file asked for as a folder)."""
    root, name = str(path).strip("/"), str(info["name"]).strip("/")
    return name.removeprefix(root).strip("/") if name != root else ""


def _entry(name: str, info: dict[str, Any]) -> Entry:
    is_folder = info["type"] == "directory"
    return Entry(name, is_folder, int(info.get("size") or 0), "" if is_folder else version_of(info))


def version_of(info: Mapping[str, Any]) -> str:
    """What changes when the content of an object does; its size where the store tells nothing better."""
    for key in _VERSION_KEYS:
        value = info.get(key)
        if isinstance(value, dt.datetime):
            return str(value.timestamp())  # one store tells both, in listings and of single objects
        if value:
            return str(value).strip('"')
    return str(info.get("size"))
