"""The parts of a ledger: which there are, and their lines."""

from __future__ import annotations

import datetime as dt
import io
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from scaledec.errors import StoreError, StoreNotFoundError
from scaledec.location import Location

__all__ = ["VanishedPartError", "new_part_name", "part_names", "read_parts"]

_ENDING = ".jsonl"
# Parts on an object store that are in memory together while they are read.
_FETCHED_AT_ONCE = 200


class VanishedPartError(StoreError):
    """A part was gathered into another one between listing and reading it: list again."""


def part_names(location: Location) -> list[str]:
    """Names of the parts in a ledger's folder, sorted: in the order in which they were begun.

    A listing is no snapshot: while parts are gathered into another one it may come too early for the new
    one and too late for an old one. What two listings agree on holds everything.
    """
    names = location.list_names()
    while (again := location.list_names()) != names:
        names = again
    return [name for name in names if name.endswith(_ENDING)]


def new_part_name(moment: str | None = None) -> str:
    """A name that no other part has; ``moment`` as another part's name has it, now by default."""
    if moment is None:
        moment = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%f")
    return f"part-{moment}-{uuid.uuid4().hex[:8]}{_ENDING}"


def read_parts(location: Location, names: Iterable[str]) -> Iterator[tuple[str, Iterable[bytes]]]:
    """Name and lines of each part; a part on this machine is never in memory as a whole.

    Raises
    ------
    VanishedPartError
        If a part is no longer there.
    StoreError
        If a part cannot be read.
    """
    if location.is_local:
        for name in names:
            try:
                with location.child(name).path.open("rb") as lines:
                    yield name, lines
            except FileNotFoundError as error:
                raise VanishedPartError(f"{location.child(name)} has vanished") from error
            except OSError as error:
                raise StoreError(f"cannot read the ledger in {location}: {error}") from error
        return
    # Small objects: the time goes into waiting for answers, so many are asked for at once.
    names = list(names)
    with ThreadPoolExecutor(location.access.concurrency) as readers:
        for first in range(0, len(names), _FETCHED_AT_ONCE):
            some = names[first : first + _FETCHED_AT_ONCE]
            found = readers.map(Location.read_bytes, map(location.child, some))
            try:
                yield from zip(some, map(io.BytesIO, found), strict=True)
            except StoreNotFoundError as error:
                raise VanishedPartError(str(error)) from error
