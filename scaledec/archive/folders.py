"""Names, sizes and versions below a place, local or remote alike."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from typing import Any, NamedTuple

from scaledec.errors import ArchiveError
from scaledec.location import Location

__all__ = ["Entry", "entries", "key_below", "walk_files"]

# What object stores and file systems call the thing that changes with the content, best first.
_VERSION_KEYS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")


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
    try:
        found = _local(location) if location.is_local else _remote(location)
        return sorted(found)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except Exception as error:  # object stores raise their client libraries' own exceptions
        raise ArchiveError(f"cannot list {location}: {type(error).__name__}: {error}") from error


def walk_files(location: Location) -> Iterator[tuple[str, Entry]]:
    """(key, entry) of every file below a folder, by key; names that begin with a dot are left out."""
    for entry in entries(location):
        if entry.name.startswith("."):
            continue
        if entry.is_folder:
            for key, below in walk_files(location.child(entry.name)):
                yield f"{entry.name}/{key}", below
        else:
            yield entry.name, entry


def key_below(location: Location, key: str) -> Location:
    """The place of an object of an archive."""
    return location.child(*key.split("/"))


def _local(location: Location) -> Iterator[Entry]:
    with os.scandir(location.path) as found:
        for item in found:
            try:
                status = item.stat()
            except FileNotFoundError:  # removed meanwhile, or a link to nowhere: reading it will say so
                yield Entry(item.name, False, 0, "missing")
                continue
            yield Entry(item.name, item.is_dir(), status.st_size, str(status.st_mtime_ns))


def _remote(location: Location) -> Iterator[Entry]:
    filesystem, path = location.filesystem()
    filesystem.invalidate_cache()
    for info in filesystem.ls(path, detail=True):
        name = posixpath.basename(str(info["name"]).rstrip("/"))
        if posixpath.normpath(str(info["name"])) == posixpath.normpath(path):
            continue  # a marker object, or the file itself where a folder was asked for
        is_folder = info["type"] == "directory"
        yield Entry(name, is_folder, int(info.get("size") or 0), "" if is_folder else _version(info))


def _version(info: dict[str, Any]) -> str:
    for key in _VERSION_KEYS:
        if info.get(key):
            return str(info[key]).strip('"')
    return str(info.get("size"))
