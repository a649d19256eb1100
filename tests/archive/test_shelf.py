"""What a process holds of a remote archive: each object once while it is needed, the next ones ahead."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter

import pytest

from scaledec.archive import shelf as module
from scaledec.archive.objects import read_object
from scaledec.archive.shelf import Shelf
from scaledec.errors import UnreadableInputError
from scaledec.location import Location
from scaledec.vocabulary import ArchiveObject


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts what is really read."""
    counts: Counter[str] = Counter()
    lock = threading.Lock()

    def counting(base: Location, item: ArchiveObject) -> bytes:
        with lock:
            counts[item.key] += 1
        return read_object(base, item)

    monkeypatch.setattr(module, "read_object", counting)
    return counts


@pytest.fixture
def archive() -> tuple[Location, list[ArchiveObject]]:
    """Ten objects of a hundred bytes."""
    base = Location(f"memory://{uuid.uuid4().hex}")
    items = []
    for number in range(10):
        base.child(str(number)).write_bytes(bytes([number]) * 100)
        items.append(ArchiveObject(str(number), 100, ""))
    return base, items


def wait_for(counts: Counter[str], total: int) -> None:
    end = time.monotonic() + 5
    while counts.total() < total and time.monotonic() < end:
        time.sleep(0.005)
    time.sleep(0.05)
    assert counts.total() == total


def test_the_next_objects_are_fetched_while_memory_allows(
    archive: tuple[Location, list[ArchiveObject]], fetched: Counter[str]
) -> None:
    base, items = archive
    shelf = Shelf(350)
    with shelf.working(base, [[item] for item in items]) as numbers:
        for number in numbers:
            assert shelf.read(base, items[number]) == bytes([number]) * 100
            wait_for(fetched, min(10, number + 3))  # this one and the next two, the one before may go
    assert set(fetched.values()) == {1}


def test_an_object_of_many_tasks_is_fetched_once_however_large(
    archive: tuple[Location, list[ArchiveObject]], fetched: Counter[str]
) -> None:
    base, items = archive
    shelf = Shelf(50)  # less than one object
    tasks = [[item] for item in items[:3] for _ in range(4)]
    with shelf.working(base, tasks) as numbers:
        for number in numbers:
            shelf.read(base, tasks[number][0])
            after = number // 4 + 1
            if after < 3:
                shelf.read(base, items[after])  # the neighbour, needed by tasks that come later
    assert fetched == {"0": 1, "1": 1, "2": 1}
    assert sum(held.n_bytes for held in shelf._held.values()) <= 50


def test_threads_that_ask_at_once_wait_for_one_request(
    archive: tuple[Location, list[ArchiveObject]], fetched: Counter[str]
) -> None:
    base, items = archive
    shelf = Shelf(1000)
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(shelf.read(base, items[0]))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [bytes([0]) * 100] * 8
    assert fetched == {"0": 1}


def test_a_failure_is_told_where_the_object_is_asked_for_and_the_next_one_asks_again(
    archive: tuple[Location, list[ArchiveObject]], fetched: Counter[str]
) -> None:
    base, items = archive
    shelf = Shelf(1000)
    lost = ArchiveObject("lost", 100, "")
    with shelf.working(base, [[items[0]], [lost]]) as numbers:
        assert next(numbers) == 0
        shelf.read(base, items[0])
        wait_for(fetched, 2)
        with pytest.raises(UnreadableInputError, match="lost has vanished"):
            shelf.read(base, lost)
        base.child("lost").write_bytes(b"back")
        assert shelf.read(base, lost) == b"back"


def test_a_batch_that_is_given_up_leaves_nothing_to_fetch(
    archive: tuple[Location, list[ArchiveObject]], fetched: Counter[str]
) -> None:
    base, items = archive
    shelf = Shelf(100)
    with shelf.working(base, [[item] for item in items]) as numbers:
        shelf.read(base, items[next(numbers)])
    assert not shelf._ahead
    assert not shelf._needed
    assert fetched.total() == 1
