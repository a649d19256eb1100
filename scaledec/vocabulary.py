"""The words of the project as frozen dataclasses: channel, archive object, task, result.

Instants are integers: nanoseconds of UTC since 1970-01-01, so that arithmetic is exact and a
value prints the same on every machine. Spans are half-open: the end is exclusive.
"""

from __future__ import annotations

import datetime as dt
import enum
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = [
    "NANOSECONDS_PER_SECOND",
    "ArchiveObject",
    "ChannelId",
    "CubeTask",
    "JsonValue",
    "LabelTask",
    "ResponseSpan",
    "Status",
    "TaskResult",
    "WindowState",
    "format_time",
    "parse_task_key",
    "parse_time",
    "task_key",
]

NANOSECONDS_PER_SECOND = 1_000_000_000

JsonValue: TypeAlias = "str | int | float | bool | Sequence[JsonValue] | Mapping[str, JsonValue] | None"

Status: TypeAlias = Literal["done", "empty", "failed"]
"""``done``: written. ``empty``: the archive holds no sample of it, nothing is stored.
``failed``: something it needed could not be used; listed with the reason, tried again by the next run."""


class WindowState(enum.IntEnum):
    """Whether a window has a label, and if not, why; the numbers are those stored in ``state``."""

    NOT_LABELLED = 0
    """Labelling has not come to it, or its whole shard (32 segments by default) holds no power at all."""
    LABELLED = 1
    NO_DATA = 2
    """A gap: the cube holds no real sample of it."""
    LOW_COVERAGE = 3
    """Part of it is missing, more than ``windows.min_coverage`` allows."""
    NOT_FINITE = 4
    """A value of its power is not finite."""
    COMPONENT_MISSING = 5
    """At least one component of the sensor has it, but not all."""
    NO_EVENT = 6
    """Windows lie at events, and the segment has fewer."""


def parse_time(text: str | dt.date | dt.datetime) -> int:
    """Nanoseconds since 1970 of an ISO 8601 date or time, UTC unless it says otherwise.

    Raises
    ------
    ValueError
        If ``text`` is no ISO 8601 date or time.

    Examples
    --------
    >>> parse_time("1970-01-02")
    86400000000000
    """
    if isinstance(text, str):
        moment = dt.datetime.fromisoformat(text)
    elif isinstance(text, dt.datetime):
        moment = text
    else:
        moment = dt.datetime(text.year, text.month, text.day)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    since_epoch = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return (since_epoch.days * 86_400 + since_epoch.seconds) * NANOSECONDS_PER_SECOND + (
        since_epoch.microseconds * 1_000
    )


def format_time(time_ns: int) -> str:
    """ISO 8601 in UTC without a zone mark, as short as it is exact: ``2019-12-24T18:59:59.998``.

    Examples
    --------
    >>> format_time(86_400_000_000_000)
    '1970-01-02T00:00:00'
    """
    seconds, nanoseconds = divmod(time_ns, NANOSECONDS_PER_SECOND)
    moment = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=seconds)
    fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    return f"{moment.isoformat(timespec='seconds')}{fraction}"


@dataclass(frozen=True, slots=True, order=True)
class ChannelId:
    """One FDSN source, ``NET.STA.LOC.CHA``; an empty location is an empty string.

    Examples
    --------
    >>> str(ChannelId.parse("CI.WBM..LHZ"))
    'CI.WBM..LHZ'
    >>> ChannelId("CM", "CHI", "00", "HHZ").matches("CM.*.*.HHZ")
    True
    """

    network: str
    station: str
    location: str
    channel: str

    @classmethod
    def parse(cls, text: str) -> ChannelId:
        """Read ``NET.STA.LOC.CHA``; raise ``ValueError`` for any other number of parts."""
        parts = text.split(".")
        if len(parts) != 4:
            raise ValueError(
                f"channel {text!r} has {len(parts)} parts; expected four, NET.STA.LOC.CHA "
                "(an empty location leaves two dots: CI.WBM..LHZ)"
            )
        return cls(*parts)

    def __str__(self) -> str:
        return f"{self.network}.{self.station}.{self.location}.{self.channel}"

    @property
    def station_key(self) -> str:
        """``NET.STA``: what all sensors of one site share."""
        return f"{self.network}.{self.station}"

    def matches(self, pattern: str) -> bool:
        """Whether the whole id matches a glob such as ``CM.*.*.HH?`` (case counts)."""
        return fnmatch.fnmatchcase(str(self), pattern)


@dataclass(frozen=True, slots=True, order=True)
class ArchiveObject:
    """One object (file) of an archive, known from listing alone."""

    key: str
    """Path below the archive's URL, with forward slashes."""
    size: int
    """Bytes."""
    version: str
    """What changes when the content does: modification time of a file, ETag of an object."""


def task_key(channel: ChannelId, start_ns: int) -> str:
    """Name of a task in a ledger: its channel and the start of its (first) segment.

    Examples
    --------
    >>> task_key(ChannelId.parse("CI.WBM..LHZ"), 0)
    'CI.WBM..LHZ/1970-01-01T00:00:00'
    """
    return f"{channel}/{format_time(start_ns)}"


def parse_task_key(key: str) -> tuple[ChannelId, int]:
    """The channel and the start that :func:`task_key` was given."""
    channel, _, start = key.partition("/")
    return ChannelId.parse(channel), parse_time(start)


@dataclass(frozen=True, slots=True)
class ResponseSpan:
    """How a channel records from one instant to another, end exclusive."""

    start_ns: int
    end_ns: int
    response: str | None
    """Name of the stored gain; ``None`` where none can be told."""
    reason: str | None = None
    """Why none can be told."""


@dataclass(frozen=True, slots=True)
class CubeTask:
    """Compute one segment of one channel: one shard of the cube."""

    key: str
    """Name in the ledger: ``NET.STA.LOC.CHA/segment start``."""
    fingerprint: str
    """Changes when the inputs, the settings or the algorithm that decide the result change."""
    channel: ChannelId
    channel_index: int
    time_index: int
    start_ns: int
    objects: tuple[ArchiveObject, ...]
    """Everything that may hold samples of the segment or of its margins, the neighbours' files included:
    those expected to end before it, those of its own time, those expected to begin after it."""
    neighbours: tuple[int, int] = (0, 0)
    """How many of the objects, from the first and from the last, are expected before and after it."""
    responses: tuple[ResponseSpan, ...] = ()
    """Of the channel's epochs that meet the segment and its last frames; empty where none is removed."""
    detect_on: ChannelId | None = None
    """Channel of the station that is searched for events; ``None`` where none is but the task's own."""
    detect_objects: tuple[ArchiveObject, ...] = ()
    """Of that channel, as ``objects``."""
    detect_neighbours: tuple[int, int] = (0, 0)
    """As ``neighbours``."""
    times_ns: tuple[int, ...] = ()
    """Picks or origins that may have windows in the segment, ascending."""


@dataclass(frozen=True, slots=True)
class LabelTask:
    """Label the windows of one shard of a label store: one channel, a run of segments."""

    key: str
    fingerprint: str
    channel: ChannelId
    channel_index: int
    first_time_index: int
    stop_time_index: int


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What came of a task: a few hundred bytes, what the ledger keeps."""

    key: str
    fingerprint: str
    status: Status
    reason: str | None = None
    """Why it failed, or what was left out of it; ``None`` when there is nothing to say."""
    details: Mapping[str, JsonValue] = field(default_factory=dict)
    """Numbers worth keeping: checksum, samples, gaps, seconds per step."""
