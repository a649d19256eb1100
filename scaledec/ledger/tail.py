"""Follow a ledger while others write to it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from scaledec.errors import StoreNotFoundError
from scaledec.ledger.index import to_result
from scaledec.location import Location
from scaledec.vocabulary import TaskResult

__all__ = ["LedgerTail"]


class LedgerTail:
    """Entries that came after the tail was made; reads only what is new.

    Examples
    --------
    >>> tail = LedgerTail(location)  # doctest: +SKIP
    >>> Ledger(location).append([result])  # doctest: +SKIP
    >>> list(tail.new()) == [result]  # doctest: +SKIP
    True
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._offsets: dict[str, int] = {}
        for name in self._part_names():
            self._offsets[name] = self._size(name)

    def new(self) -> Iterator[TaskResult]:
        """Entries written since the last call (or since the tail was made), in the order of each part."""
        for name in self._part_names():
            for line in self._new_lines(name):
                yield to_result(json.loads(line))

    def _part_names(self) -> list[str]:
        return [name for name in self._location.list_names() if name.endswith(".jsonl")]

    def _size(self, name: str) -> int:
        if self._location.is_local:
            return self._location.child(name).path.stat().st_size
        return -1  # an object is written whole: once seen, it has no more to say

    def _new_lines(self, name: str) -> list[bytes]:
        offset = self._offsets.get(name, 0)
        place = self._location.child(name)
        if not self._location.is_local:
            if name in self._offsets:
                return []
            try:
                data = place.read_bytes()
            except StoreNotFoundError:
                return []  # gathered into another object meanwhile, which comes next
            self._offsets[name] = -1
            return data.splitlines()
        with place.path.open("rb") as file:
            file.seek(offset)
            data = file.read()
        # A line that is still being written waits for the next call.
        complete = data[: data.rfind(b"\n") + 1]
        self._offsets[name] = offset + len(complete)
        return complete.splitlines()
