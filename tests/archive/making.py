"""Tiny archives, made with the project's own writer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scaledec.archive.write import write_miniseed
from scaledec.location import Location
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId, format_time, parse_time

DAY_NS = 86_400 * NANOSECONDS_PER_SECOND
CHANNEL = ChannelId.parse("XX.AAA.00.HHZ")
START_NS = parse_time("2021-03-04")


def numbers(count: int, first: int = 0) -> npt.NDArray[np.int32]:
    """Samples that tell by their value where they belong."""
    return np.arange(first, first + count, dtype=np.int32)


def record_bytes(
    start_ns: int,
    samples: npt.NDArray[Any],
    *,
    channel: ChannelId = CHANNEL,
    rate_hz: float = 1.0,
    **how: Any,
) -> bytes:
    return write_miniseed(channel, start_ns, rate_hz, samples, **how)


def sds_key(channel: ChannelId, time_ns: int) -> str:
    import datetime as dt

    day = dt.datetime.fromisoformat(format_time(time_ns))
    name = f"{channel}.D.{day.year}.{day.timetuple().tm_yday:03d}"
    return f"{day.year}/{channel.network}/{channel.station}/{channel.channel}.D/{name}"


def put_day(root: Location | Path, time_ns: int, data: bytes, *, channel: ChannelId = CHANNEL) -> str:
    """Write an object of the day that holds ``time_ns`` into an SDS tree; returns its key."""
    place = Location(str(root)) if isinstance(root, Path) else root
    key = sds_key(channel, time_ns)
    place.child(*key.split("/")).write_bytes(data)
    return key


def put_days(root: Location | Path, days: Iterable[int], *, channel: ChannelId = CHANNEL) -> None:
    """One record of ten samples at the start of each day, counted from ``START_NS``."""
    for day in days:
        start = START_NS + day * DAY_NS
        put_day(root, start, record_bytes(start, numbers(10), channel=channel), channel=channel)
