"""Bytes that may not be plain miniSEED: find the complete records among them, or say what they are.

A record's header says how long the record is, and every reader believes it: one flipped bit there makes
a reader step over the records that follow, in silence. So lengths are checked here before reading.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pymseed import MS3Record

__all__ = [
    "LENGTH_IN_1000",
    "RECORD_START",
    "Survey",
    "byte_order",
    "describe",
    "good_records",
    "place_of_length",
    "whole_records",
]

# Sequence number, quality and reserved byte of a miniSEED 2 header; indicator and version of miniSEED 3.
RECORD_START = re.compile(rb"[0-9 \x00]{6}[DRQM][ \x00]|MS\x03")
"""How a header begins."""
LENGTH_IN_1000 = 6
"""Where blockette 1000 holds the exponent of 2 that is the record's length."""

_QUALITIES = np.frombuffer(b"DRQM", np.uint8)
_LONGEST_RECORD_2 = 1 << 16
_SHORTEST_RECORD_2 = 128
_SHORTEST_HEADER_2 = 64
# Blockettes stand before the samples; a chain of them beyond this is a wrong one.
_LONGEST_HEADER_2 = 4096
_HEADER_3 = 40
# Places in a miniSEED 2 header: station to network codes; year; samples; first blockette.
_CODES = slice(8, 20)
_YEAR = slice(20, 22)
_COUNT = 30
_FIRST_BLOCKETTE = slice(46, 48)
_FIXED_HEADER_2 = 48
_YEARS = range(1900, 2101)
_BLOCKETTE_1000 = 1000
# Each false start costs about 20 microseconds; beyond this many the rest is taken as garbage.
_MOST_FALSE_STARTS = 20_000
_QUOTED = 60


class Survey(NamedTuple):
    """The complete records among some bytes."""

    records: bytes
    """All of them, joined; then the beginning of another where only that tells the last one's length."""
    left_out: tuple[tuple[int, int], ...]
    """(first byte, end) of the stretches that belong to none."""
    n_without_samples: int
    """Records whose header says that they hold none."""


def whole_records(data: bytes) -> Survey | None:
    """The survey of bytes that plainly are nothing but complete records; ``None`` means: look closely.

    Exact for miniSEED 3, and for miniSEED 2 of one record length: there every header must stand where
    that length puts it and say that length itself.
    """
    if data[:3] == b"MS\x03":
        return _whole_3(data)
    try:
        length = MS3Record.parse(memoryview(data)[:_LONGEST_RECORD_2]).reclen
    except (RuntimeError, ValueError):
        return None
    if len(data) % length or not _is_as_long_as_it_says(memoryview(data), 0, length):
        return None
    octets = np.frombuffer(data, np.uint8).reshape(-1, length)
    if not (np.isin(octets[:, 6], _QUALITIES).all() and (octets[:, 0] < ord(":")).all()):
        return None
    place = place_of_length(data[: min(length, _LONGEST_HEADER_2)])
    if place is not None and not _lengths_agree(octets, place):
        return None
    n_without = len(octets) - int(np.count_nonzero(octets[:, _COUNT] | octets[:, _COUNT + 1]))
    return Survey(data if place is not None else _with_end(data), (), n_without)


def _lengths_agree(octets: npt.NDArray[np.uint8], place: int) -> bool:
    """Whether all records (one a row) have blockette 1000 where the first one has it, with its length."""
    first = _FIRST_BLOCKETTE.start
    telling = octets[:, [first, first + 1, place, place + 1, place + LENGTH_IN_1000]]
    return bool((telling == telling[0]).all())


def byte_order(record: bytes) -> Literal["big", "little"]:
    """Of a miniSEED 2 header: the one in which its year makes sense."""
    return "big" if int.from_bytes(record[_YEAR], "big") in _YEARS else "little"


def place_of_length(record: bytes) -> int | None:
    """Where blockette 1000 begins; ``None`` in a record that has none and ends where the next one begins."""
    order = byte_order(record)
    place = int.from_bytes(record[_FIRST_BLOCKETTE], order)
    while _FIXED_HEADER_2 <= place < len(record) - LENGTH_IN_1000:
        if int.from_bytes(record[place : place + 2], order) == _BLOCKETTE_1000:
            return place
        following = int.from_bytes(record[place + 2 : place + 4], order)
        if following <= place:  # the last one, or a chain that loops
            return None
        place = following
    return None


def _whole_3(data: bytes) -> Survey | None:
    offset = n_without = 0
    while offset + _HEADER_3 <= len(data) and data[offset : offset + 3] == b"MS\x03":
        identifier = data[offset + 33]
        extra = int.from_bytes(data[offset + 34 : offset + 36], "little")
        payload = int.from_bytes(data[offset + 36 : offset + 40], "little")
        n_without += not any(data[offset + 24 : offset + 28])
        offset += _HEADER_3 + identifier + extra + payload
    return Survey(data, (), n_without) if offset == len(data) else None


def _with_end(records: bytes) -> bytes:
    """A miniSEED 2 record without blockette 1000 ends where the next begins: libmseed leaves out the last."""
    return records + records[:_SHORTEST_HEADER_2]


def good_records(data: bytes) -> Survey:
    """The complete records among any bytes, found by their headers."""
    view = memoryview(data)
    good: list[tuple[int, int]] = []
    offset = n_without = 0
    ends_itself = True
    for _ in range(_MOST_FALSE_STARTS):
        found = RECORD_START.search(data, offset)
        if found is None:
            break
        start = end = found.start()
        for record in _records_in_a_row(view[start:]):
            end += record.reclen
            n_without += not record.samplecnt
            ends_itself = record.encoding >= 0
        if end > start:
            good.append((start, end))
        offset = max(end, start + 1)
    joined = b"".join(view[start:end] for start, end in good)
    left_out = tuple(_stretches_between(good, len(data)))
    return Survey(joined if ends_itself else _with_end(joined), left_out, n_without)


def _records_in_a_row(view: memoryview) -> Iterator[MS3Record]:
    """Each complete record, until something else comes; valid until the next one."""
    offset = 0
    try:
        for record in MS3Record.from_buffer(view):
            if record.formatversion == 2 and not _is_as_long_as_it_says(view, offset, record.reclen):
                return
            yield record
            offset += record.reclen
    except (RuntimeError, ValueError):
        return  # what comes next is no complete record: the caller looks on from there


def _is_as_long_as_it_says(view: memoryview, offset: int, length: int) -> bool:
    """Whether a miniSEED 2 record of the length that libmseed takes it for can be one.

    Not if its blockette 1000 says another (libmseed's shift overflows), and not if headers of the same
    channel stand inside it.
    """
    if length < _SHORTEST_HEADER_2:
        return False
    record = view[offset : offset + length]
    place = place_of_length(bytes(record[:_LONGEST_HEADER_2]))
    if place is not None and 1 << record[place + LENGTH_IN_1000] != length:
        return False
    return not any(
        found.start() % _SHORTEST_RECORD_2 == 0 and record[found.start() :][_CODES] == record[_CODES]
        for found in RECORD_START.finditer(record, _SHORTEST_RECORD_2)
    )


def _stretches_between(good: list[tuple[int, int]], n_bytes: int) -> Iterator[tuple[int, int]]:
    edge = 0
    for start, end in [*good, (n_bytes, n_bytes)]:
        if start > edge:
            yield edge, start
        edge = end


def describe(data: bytes) -> str:
    """What bytes without a record look like, with their first words: for an error message."""
    if not data:
        return "it is empty"
    head = data[:400].decode("latin-1")
    if sum(character in string.printable for character in head) > 0.95 * len(head):
        words = " ".join(head.split())
        return f"it is text that begins {words[:_QUOTED]!r}, perhaps an error page saved as data"
    return f"it begins with the bytes {data[:8].hex(' ')}"
