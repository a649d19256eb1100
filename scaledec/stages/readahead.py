"""Read the next thing while the last one is being worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["read_ahead"]

PlaceT = TypeVar("PlaceT")
ValueT = TypeVar("ValueT")


def read_ahead(
    read: Callable[[PlaceT], ValueT], places: Iterable[PlaceT], *, ahead: int = 1
) -> Iterator[ValueT]:
    """Yield ``read(place)`` in order, with the next ``ahead`` places being read in threads.

    Memory holds at most ``ahead + 1`` values. What a read raises is raised where its value was due.

    Examples
    --------
    >>> list(read_ahead(str.upper, "abc"))
    ['A', 'B', 'C']
    """
    with ThreadPoolExecutor(ahead, thread_name_prefix="read-ahead") as pool:
        waiting: deque[Future[ValueT]] = deque()
        try:
            for place in places:
                waiting.append(pool.submit(read, place))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
