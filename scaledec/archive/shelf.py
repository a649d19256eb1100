"""Objects of remote archives that this process holds: what is needed again soon, and what is needed next.

A station-day object serves many tasks, and the day after a segment serves the segment's edge and then a
task of its own: each is fetched once while its tasks are worked on together. The next objects are fetched
in threads meanwhile, so that computing does not wait for the network.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from scaledec.archive.objects import read_object
from scaledec.location import Location
from scaledec.vocabulary import ArchiveObject

__all__ = ["Shelf", "shelf"]

_Key: TypeAlias = tuple[str, ArchiveObject]
# More connections than this do not make the next object come sooner.
_FETCHERS = 4


@dataclass(slots=True, eq=False)
class _Held:
    """An object that is here, or on its way."""

    data: Future[bytes]
    n_bytes: int
    is_used: bool = False


class Shelf:
    """Objects by name and version, while memory allows; threads share it.

    What unfinished tasks need stays whatever its size; the rest, and what is fetched ahead, stays within
    ``most_bytes``.
    """

    def __init__(self, most_bytes: int = 0) -> None:
        self.most_bytes = most_bytes
        self._lock = threading.Lock()
        self._held: dict[_Key, _Held] = {}
        self._needed: Counter[_Key] = Counter()
        self._ahead: deque[tuple[Location, ArchiveObject]] = deque()
        self._fetchers: ThreadPoolExecutor | None = None

    def read(self, base: Location, item: ArchiveObject) -> bytes:
        """The bytes of an object, fetched unless they are here or on their way.

        Raises
        ------
        UnreadableInputError
            As :func:`.read_object`; the next reader asks again.
        """
        with self._lock:
            held, is_mine = self._take(base, item)
            held.is_used = True
        if is_mine:
            self._fetch(base, item, held)
        try:
            return held.data.result()
        except BaseException:
            with self._lock:
                if self._held.get(_key(base, item)) is held:
                    del self._held[_key(base, item)]
            raise

    @contextmanager
    def working(self, base: Location, tasks: Sequence[Sequence[ArchiveObject]]) -> Iterator[Iterator[int]]:
        """Announce the objects of tasks that come one after another.

        Yields the numbers of the tasks; asking for the next one says that the one before is finished.
        """
        left = Counter(_key(base, item) for items in tasks for item in items)
        with self._lock:
            self._needed.update(left)
            self._ahead.extend(
                (base, item) for item in dict.fromkeys(item for task in tasks for item in task)
            )
            self._fetch_ahead()
        try:
            yield self._numbers(base, tasks, left)
        finally:
            with self._lock:
                self._forget(left)
                mine = {item for task in tasks for item in task}
                self._ahead = deque(found for found in self._ahead if found[1] not in mine)
                self._make_room(0)

    def _numbers(
        self, base: Location, tasks: Sequence[Sequence[ArchiveObject]], left: Counter[_Key]
    ) -> Iterator[int]:
        for number, items in enumerate(tasks):
            yield number
            done = Counter(_key(base, item) for item in items)
            left.subtract(done)
            with self._lock:
                self._forget(done)
                self._fetch_ahead()

    def _forget(self, done: Counter[_Key]) -> None:
        self._needed.subtract(done)
        for key in done:
            if self._needed[key] <= 0:
                del self._needed[key]

    def _take(self, base: Location, item: ArchiveObject) -> tuple[_Held, bool]:
        """What is held of an object, the most recent one now, and whether the caller has to fetch it."""
        key = _key(base, item)
        held = self._held.pop(key, None)
        is_new = held is None
        if held is None:
            self._make_room(item.size)
            held = _Held(Future(), item.size)
        self._held[key] = held
        return held, is_new

    def _make_room(self, n_bytes: int) -> bool:
        """Let go of what is not needed, the longest unused first; whether ``n_bytes`` more fit then."""
        total = sum(held.n_bytes for held in self._held.values())
        for key, held in list(self._held.items()):
            if total + n_bytes <= self.most_bytes:
                break
            if held.is_used and held.data.done() and key not in self._needed:
                del self._held[key]
                total -= held.n_bytes
        return total + n_bytes <= self.most_bytes

    def _fetch(self, base: Location, item: ArchiveObject, held: _Held) -> None:
        try:
            data = read_object(base, item)
        except BaseException as error:  # noqa: BLE001  (raised where the object is asked for)
            held.data.set_exception(error)
        else:
            held.n_bytes = len(data)
            held.data.set_result(data)
        with self._lock:
            self._fetch_ahead()

    def _fetch_ahead(self) -> None:
        """Begin to fetch the next objects, as many as fit."""
        while self._ahead:
            base, item = self._ahead[0]
            if _key(base, item) not in self._held:
                flying = sum(not held.data.done() for held in self._held.values())
                if flying >= _FETCHERS or not self._make_room(item.size):
                    return
                held, _ = self._take(base, item)
                self._pool().submit(self._fetch, base, item, held)
            self._ahead.popleft()

    def _pool(self) -> ThreadPoolExecutor:
        if self._fetchers is None:
            self._fetchers = ThreadPoolExecutor(_FETCHERS, thread_name_prefix="read-ahead")
        return self._fetchers


def _key(base: Location, item: ArchiveObject) -> _Key:
    return base.url, item


_shelf = Shelf()


def shelf(most_bytes: int | None = None) -> Shelf:
    """The shelf of this process, from now on with room for that much."""
    if most_bytes is not None:
        _shelf.most_bytes = most_bytes
    return _shelf
