"""Gather the many parts of a ledger into few, whatever happens meanwhile.

The newest entry of every key is written to new parts, unchanged; when these are durable the old parts are
removed. Killed before that, both say the same; killed while removing, what is left is old news. A reader
that finds a part gone begins again. Nothing is lost but what somebody appends to a part after it was read:
such a task is done again.
"""

from __future__ import annotations

import itertools
import json
from array import array
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from scaledec.ledger.index import microseconds
from scaledec.ledger.parts import new_part_name, part_names, read_parts
from scaledec.location import Location

__all__ = ["MANY_PARTS", "compact"]

MANY_PARTS = 100
"""More parts than these are worth gathering: each costs a reader a request."""

_LINES_A_PART = 20_000  # 10 MB: what is in memory at a time


def compact(location: Location, *, if_more_than: int = MANY_PARTS) -> int:
    """Gather the parts of a ledger; the coordinator's task. Returns how many parts were removed.

    Memory holds seventeen bytes an entry, and one new part.

    Raises
    ------
    StoreError
        If parts cannot be read, written or removed; what the ledger says is not changed by that.
    """
    names = part_names(location)
    if len(names) <= if_more_than:
        return 0
    newest = _newest(location, names)
    moment = names[-1].split("-")[1]  # what is gathered is as old as it was
    for lines in _batched(_lines(location, names), newest):
        location.child(new_part_name(moment)).write_bytes(b"".join(lines))
    for name in names:
        location.child(name).remove()
    return len(names)


def _lines(location: Location, names: Sequence[str]) -> Iterator[bytes]:
    return itertools.chain.from_iterable(lines for _, lines in read_parts(location, names))


def _newest(location: Location, names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Numbers of the lines that count, ascending."""
    hashes, times, numbers = array("q"), array("q"), array("q")
    for number, line in enumerate(_lines(location, names)):
        try:
            entry = json.loads(line)
            key, time_us = hash(entry["key"]), microseconds(entry["written_at"])
        except (ValueError, KeyError, TypeError):
            continue  # cut short by a killed process: it says nothing
        hashes.append(key)
        times.append(time_us)
        numbers.append(number)
    order = np.lexsort((np.array(times, np.int64), np.array(hashes, np.int64)))
    ordered = np.array(hashes, np.int64)[order]
    is_last = np.ones(len(order), bool)
    is_last[:-1] = ordered[1:] != ordered[:-1]
    return np.sort(np.array(numbers, np.int64)[order[is_last]])


def _batched(lines: Iterator[bytes], chosen: npt.NDArray[np.int64]) -> Iterator[list[bytes]]:
    """The chosen lines, some at a time."""
    wanted = iter(chosen.tolist())
    next_number = next(wanted, None)
    batch: list[bytes] = []
    for number, line in enumerate(lines):
        if next_number is None:
            break
        if number == next_number:
            batch.append(line if line.endswith(b"\n") else line + b"\n")
            next_number = next(wanted, None)
            if len(batch) == _LINES_A_PART:
                yield batch
                batch = []
    if batch:
        yield batch
