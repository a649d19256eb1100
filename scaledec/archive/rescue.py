"""Bytes that are not plain miniSEED: cut out the good records, ask ObsPy, or say what they are."""

from __future__ import annotations

import contextlib
import io
import re
import string
import sys
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pymseed import MS3Record

from scaledec.vocabulary import ChannelId

__all__ = ["ObspyTrace", "describe", "good_records", "is_whole", "read_with_obspy", "with_end"]

# Sequence number, quality and reserved byte of a miniSEED 2 header; indicator and version of miniSEED 3.
_RECORD_START = re.compile(rb"[0-9 \x00]{6}[DRQM][ \x00]|MS\x03")
_QUALITIES = np.frombuffer(b"DRQM", np.uint8)
_LONGEST_RECORD_2 = 1 << 16
_SHORTEST_HEADER_2 = 64
_HEADER_3 = 40
# Each false start costs about 20 microseconds; beyond this many the rest is taken as garbage.
_MOST_FALSE_STARTS = 20_000
_QUOTED = 60


class ObspyTrace(NamedTuple):
    """One trace that ObsPy read; ``samples`` is empty when only headers were asked for."""

    channel: ChannelId
    start_ns: int
    end_ns: int
    sampling_rate_hz: float
    samples: npt.NDArray[Any]


def is_whole(data: bytes) -> bool:
    """Whether the bytes are plainly nothing but complete records, each after the other.

    Exact for miniSEED 3 and for miniSEED 2 of one record length; ``False`` only means: look closely.
    """
    if data[:3] == b"MS\x03":
        return _is_whole_3(data)
    try:
        length = MS3Record.parse(memoryview(data)[:_LONGEST_RECORD_2]).reclen
    except (RuntimeError, ValueError):
        return False
    if len(data) % length:
        return False
    headers = np.frombuffer(data, np.uint8)
    return bool(np.isin(headers[6::length], _QUALITIES).all() and (headers[::length] < ord(":")).all())


def _is_whole_3(data: bytes) -> bool:
    offset = 0
    while offset + _HEADER_3 <= len(data) and data[offset : offset + 3] == b"MS\x03":
        identifier = data[offset + 33]
        extra = int.from_bytes(data[offset + 34 : offset + 36], "little")
        payload = int.from_bytes(data[offset + 36 : offset + 40], "little")
        offset += _HEADER_3 + identifier + extra + payload
    return offset == len(data)


def with_end(data: bytes) -> bytes:
    """The records, followed by the beginning of another one where only that tells the last one's length.

    A miniSEED 2 record without blockette 1000 ends where the next one begins; libmseed's trace lists
    leave out the last record of a buffer of such.
    """
    try:
        ends_itself = next(MS3Record.from_buffer(data)).encoding >= 0
    except (RuntimeError, ValueError):
        return data
    return data if ends_itself else data + data[:_SHORTEST_HEADER_2]


def good_records(data: bytes) -> tuple[bytes, int]:
    """The complete records among the bytes, joined, and how many bytes lie outside them."""
    view = memoryview(data)
    good: list[memoryview] = []
    offset = 0
    for _ in range(_MOST_FALSE_STARTS):
        found = _RECORD_START.search(data, offset)
        if found is None:
            break
        length = _length_of_records(view[found.start() :])
        if length:
            good.append(view[found.start() : found.start() + length])
        offset = found.start() + max(length, 1)
    joined = b"".join(good)
    return joined, len(data) - len(joined)


def _length_of_records(view: memoryview) -> int:
    """Bytes of the unbroken row of complete records that the bytes begin with."""
    length = 0
    try:
        for record in MS3Record.from_buffer(view):
            length += record.reclen
    except (RuntimeError, ValueError):
        return length  # what comes next is no complete record: the caller looks on from there
    return length


def read_with_obspy(data: bytes, *, headers_only: bool = False) -> tuple[list[ObspyTrace], list[str]]:
    """What ObsPy reads, and its warnings.

    Raises
    ------
    ValueError
        With ObsPy's reason, if it cannot read the bytes either.
    """
    if _RECORD_START.search(data) is None:
        raise ValueError("no record header in it")
    with warnings.catch_warnings():
        # ObsPy 1.5 looks up its plugins through a deprecated interface of importlib.metadata.
        warnings.simplefilter("ignore", DeprecationWarning)
        import obspy
    with warnings.catch_warnings(record=True) as caught, _no_unraisable_reports():
        warnings.simplefilter("always")
        try:
            stream = obspy.read(io.BytesIO(data), format="MSEED", headonly=headers_only)
        except Exception as error:  # ObsPy documents no base class for what its readers raise
            raise ValueError(f"ObsPy: {type(error).__name__}: {error}") from error
    traces = [
        _from_obspy(trace) for trace in stream if trace.data.dtype.kind in "if" and trace.stats.npts > 0
    ]
    return traces, [f"ObsPy: {warning.message}" for warning in caught]


@contextlib.contextmanager
def _no_unraisable_reports() -> Iterator[None]:
    """Silence: ObsPy's log callback trips over station names that are not UTF-8 and reports to stderr."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = hook


def _from_obspy(trace: Any) -> ObspyTrace:
    stats = trace.stats
    return ObspyTrace(
        ChannelId(stats.network, stats.station, stats.location, stats.channel),
        int(stats.starttime.ns),
        int(stats.endtime.ns),
        float(stats.sampling_rate),
        trace.data,
    )


def describe(data: bytes) -> str:
    """What bytes without a record look like, with their first words: for an error message."""
    if not data:
        return "it is empty"
    head = data[:400].decode("latin-1")
    if sum(character in string.printable for character in head) > 0.95 * len(head):
        words = " ".join(head.split())
        return f"it is text that begins {words[:_QUOTED]!r}, perhaps an error page saved as data"
    return f"it begins with the bytes {data[:8].hex(' ')}"
