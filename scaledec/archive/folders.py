"""Names, sizes and versions below a place, local or remote alike."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from scaledec.errors import ArchiveError
from scaledec.location import Location
from scaledec.vocabulary import ArchiveObject

__all__ = [
    "UNKNOWN_SIZE",
    "Entry",
    "described",
    "entries",
    "entry_at",
    "files_below",
    "find_files",
    "key_below",
    "split_glob",
    "together",
    "version_of",
    "walk_files",
]

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
# A bracket alone is no wildcard here: folders have them in their names.
_GLOB = re.compile(r"[*?]")


ItemT = TypeVar("ItemT")
ValueT = TypeVar("ValueT")

UNKNOWN_SIZE = -1
"""Of an entry whose size the listing does not tell; :func:`described` asks for it."""


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


def files_below(location: Location, prefix: str = "") -> list[Entry]:
    """Every file below a folder whose key starts with ``prefix``, sorted; stores that can list only those.

    Raises
    ------
    ArchiveError
        As :func:`entries`.
    """

    def remote_tree(place: Location) -> Iterator[Entry]:
        return _remote_tree(place, prefix)

    found = _listed(_local_tree if location.is_local else remote_tree, location)
    return [entry for entry in found if entry.name.startswith(prefix)]


def together(
    function: Callable[[ItemT], ValueT], items: Iterable[ItemT], location: Location
) -> Iterator[ValueT]:
    """``function`` of each item, in order; for a remote place, as many at a time as its access allows.

    Items are taken and values kept only a few ahead of who asks for them.
    """
    if location.is_local:
        yield from map(function, items)
        return
    at_once = location.access.concurrency
    with ThreadPoolExecutor(at_once, thread_name_prefix="listing") as pool:
        waiting: deque[Future[ValueT]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= 2 * at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def described(
    location: Location, found: Iterable[tuple[ItemT, ArchiveObject]]
) -> Iterator[tuple[ItemT, ArchiveObject]]:
    """The same objects, each with what is said of it, but with sizes and versions that HTTP does not list.

    Raises
    ------
    ArchiveError
        As :func:`entries`.
    """

    def ask(pair: tuple[ItemT, ArchiveObject]) -> tuple[ItemT, ArchiveObject]:
        said, item = pair
        if item.size != UNKNOWN_SIZE:
            return pair
        place = key_below(location, item.key)
        remote, path = place.remote()
        try:
            info = remote.info(path)
        except FileNotFoundError:
            return said, ArchiveObject(item.key, 0, "missing")  # reading it will say so
        except Exception as error:  # noqa: BLE001  (object stores raise their clients' own)
            raise _cannot_list(place, error) from place.cause(error)
        return said, ArchiveObject(item.key, int(info.get("size") or 0), version_of(info))

    pairs = iter(found)
    first = next(pairs, None)
    if first is None:
        return
    every = itertools.chain([first], pairs)
    # One listing tells the sizes of all or of none.
    yield from together(ask, every, location) if first[1].size == UNKNOWN_SIZE else every


def _cannot_list(location: Location, error: Exception) -> ArchiveError:
    return ArchiveError(f"cannot list {location}: {type(error).__name__}: {location.told(error)}")


def entry_at(location: Location) -> Entry | None:
    """What lies at a place: a file, a folder, or nothing.

    Raises
    ------
    ArchiveError
        As :func:`entries`.
    """

    def look(_: Location) -> Iterator[Entry]:
        if location.is_local:
            path = location.path
            status = path.stat()
            yield Entry(path.name, path.is_dir(), status.st_size, str(status.st_mtime_ns))
            return
        remote, key = location.remote()
        yield _entry(key.rstrip("/").rpartition("/")[2], remote.info(key))

    return next(iter(_listed(look, location)), None)


def split_glob(location: Location) -> tuple[Location, re.Pattern[str] | None]:
    """The folder without wildcards, and what a key below it must match."""
    parts = location.url.split("/")
    wild = next((number for number, part in enumerate(parts) if _GLOB.search(part)), None)
    if wild is None:
        return location, None
    from fsspec.utils import glob_translate

    base = "/".join(parts[:wild]) or ("/" if location.url.startswith("/") else ".")
    folder = dataclasses.replace(location, url=base)
    return folder, re.compile(glob_translate("/".join(parts[wild:])))


def find_files(base: Location, glob: re.Pattern[str] | None) -> list[ArchiveObject]:
    """Every file below a folder, or those whose key matches."""
    found = (
        ArchiveObject(entry.name, entry.size, entry.version)
        for entry in walk_files(base)
        if glob is None or glob.match(entry.name)
    )
    return [item for _, item in described(base, ((None, item) for item in found))]


def _listed(how: Callable[[Location], Iterator[Entry]], location: Location) -> list[Entry]:
    try:
        return sorted(how(location))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except ArchiveError:
        raise
    except Exception as error:  # noqa: BLE001  (object stores raise their clients' own)
        raise _cannot_list(location, error) from location.cause(error)


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


def _remote_tree(location: Location, prefix: str = "") -> Iterator[Entry]:
    remote, path = location.remote()
    for info in remote.list_tree(path, prefix):
        if name := _below(path, info):
            yield _entry(name, info)


def _below(path: str, info: Mapping[str, Any]) -> str:
    """The name below a path; empty for the path itself (marker objects, a file asked for as a folder)."""
    root, name = str(path).strip("/"), str(info["name"]).strip("/")
    return name.removeprefix(root).strip("/") if name != root else ""


def _entry(name: str, info: dict[str, Any]) -> Entry:
    is_folder = info["type"] == "directory"
    if is_folder:
        return Entry(name, True, 0, "")
    size = info.get("size")
    return Entry(name, False, UNKNOWN_SIZE if size is None else int(size), version_of(info))


def version_of(info: Mapping[str, Any]) -> str:
    """What changes when the content of an object does; its size where the store tells nothing better."""
    for key in _VERSION_KEYS:
        value = info.get(key)
        if isinstance(value, dt.datetime):
            return str(value.timestamp())  # one store tells both, in listings and of single objects
        if value:
            return str(value).strip('"')
    return str(info.get("size"))
