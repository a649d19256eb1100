"""Bytes of miniSEED to pieces of samples; headers decide, names are only printed.

pymseed (libmseed) reads first. What it stops at is cut out and the good records are read again; where
it finds no record at all ObsPy has a try. What neither can read is an ``UnreadableInputError``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pymseed import MS3TraceList, get_error_messages, sourceid2nslc

from scaledec.archive import rescue
from scaledec.errors import UnreadableInputError
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId, format_time

__all__ = ["Allocate", "HeaderSpan", "Piece", "ReadOutcome", "read_pieces", "scan_headers"]

Allocate: TypeAlias = Callable[[int, Any], npt.NDArray[Any]]
"""Where decoded samples go: (number, dtype) -> one-dimensional array, ``numpy.empty`` by default."""

_DTYPES: dict[str, Any] = {"i": np.int32, "f": np.float32, "d": np.float64}
_TEXT = "t"
# Fraction of a sample by which record times may leave a piece's own start and rate before it is split.
_STEADY = 0.1
# A corrupt header may claim any number of samples; packing never gets below half a byte for one.
_SAMPLES_PER_BYTE = 2
_MOST_NOTES = 5
# What a header may say; text records say 0, damaged ones anything.
_RATES_HZ = (1e-6, 1e6)


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Unbroken samples of one channel."""

    channel: ChannelId
    start_ns: int
    """Time of the first sample."""
    sampling_rate_hz: float
    samples: npt.NDArray[Any]
    """(sample,) int32, float32 or float64."""


@dataclass(frozen=True, slots=True)
class HeaderSpan:
    """Unbroken samples of one channel, known from headers alone."""

    channel: ChannelId
    start_ns: int
    end_ns: int
    """One sample after the last one."""
    sampling_rate_hz: float


@dataclass(frozen=True, slots=True, eq=False)
class ReadOutcome:
    """What one object held of a channel and an interval."""

    pieces: tuple[Piece, ...]
    """By start time, of two together the longer first."""
    foreign: tuple[str, ...]
    """Ids of other channels that were met and left alone."""
    dropped_bytes: int
    """Bytes that belong to no readable record."""
    notes: tuple[str, ...]
    """Sentences about what was left out or looked wrong."""


@dataclass(slots=True)
class _Findings:
    """What is gathered while one object is read."""

    notes: dict[str, None] = field(default_factory=dict)  # a set that keeps its order
    foreign: dict[str, None] = field(default_factory=dict)
    dropped_bytes: int = 0
    bad_records: int = 0
    first_reason: str = ""

    def collect_messages(self) -> None:
        for message in get_error_messages():
            self.notes.setdefault(message)

    def drop_record(self, length: int, reason: object) -> None:
        self.bad_records += 1
        self.dropped_bytes += length
        self.first_reason = self.first_reason or str(reason)

    def outcome(self, pieces: list[Piece]) -> ReadOutcome:
        if self.bad_records:
            self.notes.setdefault(f"{self.bad_records} records cannot be decoded: {self.first_reason}")
        if self.dropped_bytes:
            self.notes.setdefault(f"{self.dropped_bytes} bytes belong to no readable record")
        notes = list(self.notes)
        if len(notes) > _MOST_NOTES:
            notes[_MOST_NOTES:] = [f"and {len(notes) - _MOST_NOTES} more messages"]
        pieces.sort(key=lambda piece: (piece.start_ns, -len(piece.samples)))
        return ReadOutcome(tuple(pieces), tuple(self.foreign), self.dropped_bytes, tuple(notes))


def read_pieces(
    data: bytes,
    *,
    channel: ChannelId | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
    name: str,
    allocate: Allocate = np.empty,
) -> ReadOutcome:
    """Decode the records that touch ``[start_ns, end_ns)``, whole.

    Parameters
    ----------
    data
        One object of an archive.
    channel
        The only channel to decode; others are reported in ``foreign``. ``None`` decodes all.
    start_ns, end_ns
        Records with no sample in this interval are not decoded; ``None`` is without limit.
    name
        Of the object, for messages.
    allocate
        Where samples go.

    Raises
    ------
    UnreadableInputError
        If no record can be read, or if none is of the wanted channel.

    Examples
    --------
    >>> from scaledec.archive.write import write_miniseed
    >>> channel = ChannelId.parse("XX.A..HHZ")
    >>> data = write_miniseed(channel, 0, 100.0, np.arange(3, dtype=np.int32))
    >>> read_pieces(data, channel=channel, name="a file").pieces[0].samples.tolist()
    [0, 1, 2]
    """
    findings = _Findings()
    traces = _load(data, findings, start_ns=start_ns, end_ns=end_ns, record_list=True)
    pieces = [] if traces is None else _decode(traces, channel, findings, allocate, len(data))
    if traces is None or (findings.bad_records and not pieces):
        pieces = _decode_with_obspy(data, channel, start_ns, end_ns, name, findings)
    if channel is not None and not pieces:
        _check_holds(data, channel, name)
    return findings.outcome(pieces)


def scan_headers(data: bytes, name: str) -> list[HeaderSpan]:
    """Unbroken stretches of samples by header, in time order within a channel; nothing is decoded.

    Raises
    ------
    UnreadableInputError
        If no record can be read.
    """
    traces = _load(data, _Findings(), start_ns=None, end_ns=None, record_list=False)
    if traces is None:
        return [
            HeaderSpan(
                trace.channel,
                trace.start_ns,
                trace.end_ns + _period_ns(trace.sampling_rate_hz),
                trace.sampling_rate_hz,
            )
            for trace in _ask_obspy(data, name, _Findings(), headers_only=True)
            if _is_believable(trace.sampling_rate_hz)
        ]
    return [
        HeaderSpan(
            channel, segment.starttime, segment.endtime + _period_ns(segment.samprate), segment.samprate
        )
        for trace in traces
        if isinstance(channel := _identify(trace), ChannelId)
        for segment in trace
        if segment.samplecnt > 0 and _is_believable(segment.samprate)
    ]


def _is_believable(sampling_rate_hz: float) -> bool:
    return _RATES_HZ[0] <= sampling_rate_hz <= _RATES_HZ[1]


def _period_ns(sampling_rate_hz: float) -> int:
    return round(NANOSECONDS_PER_SECOND / sampling_rate_hz)


def _load(
    data: bytes,
    findings: _Findings,
    *,
    start_ns: int | None,
    end_ns: int | None,
    record_list: bool,
) -> MS3TraceList | None:
    """Headers of the records in the interval; ``None`` if there is no good record among the bytes."""
    selection = {
        "starttime": None if start_ns is None else f"{format_time(start_ns)}Z",
        "endtime": None if end_ns is None else f"{format_time(end_ns - 1)}Z",
        "record_list": record_list,
    }
    if rescue.is_whole(data) and (traces := _parse(data, selection, findings)) is not None:
        return traces
    good, findings.dropped_bytes = rescue.good_records(data)
    return _parse(good, selection, findings) if good else None


def _parse(data: bytes, selection: dict[str, Any], findings: _Findings) -> MS3TraceList | None:
    traces = MS3TraceList()
    try:
        traces.add_buffer(data, **selection)
    except RuntimeError as error:
        findings.notes.setdefault(str(error))
        return None
    findings.collect_messages()
    return traces


def _decode(
    traces: MS3TraceList,
    wanted: ChannelId | None,
    findings: _Findings,
    allocate: Allocate,
    n_bytes: int,
) -> list[Piece]:
    pieces: list[Piece] = []
    for trace in traces:
        channel = _identify(trace)
        if not isinstance(channel, ChannelId) or wanted not in (None, channel):
            findings.foreign.setdefault(str(channel))
            continue
        for segment in trace:
            if segment.samplecnt <= 0:
                continue
            if _sample_type(segment) == _TEXT:
                findings.notes.setdefault(f"text records of {channel} hold no samples")
                continue
            if not _is_believable(segment.samprate):
                findings.notes.setdefault(f"{segment.samplecnt} samples at {segment.samprate:g} Hz left out")
                continue
            pieces.extend(_decode_segment(segment, channel, findings, allocate, n_bytes))
    return pieces


def _identify(trace: Any) -> ChannelId | str:
    """The channel of a libmseed trace, or the bare source id where that names no channel."""
    try:
        source = str(trace.sourceid)
    except UnicodeDecodeError:
        return "a source id that is not UTF-8"
    return _channel_of(source)


@functools.lru_cache(maxsize=4096)
def _channel_of(source: str) -> ChannelId | str:
    try:
        return ChannelId(*sourceid2nslc(source))
    except ValueError:
        return source


def _sample_type(segment: Any) -> str | None:
    """libmseed's letter for the first record's samples; ``None`` where its header does not say."""
    try:
        return str(segment.sample_size_type[1])
    except (ValueError, RuntimeError):
        return None


def _decode_segment(
    segment: Any, channel: ChannelId, findings: _Findings, allocate: Allocate, n_bytes: int
) -> Iterator[Piece]:
    number, rate = int(segment.samplecnt), float(segment.samprate)
    dtype = _DTYPES.get(_sample_type(segment) or "")
    if dtype is not None and number <= _SAMPLES_PER_BYTE * n_bytes:
        samples = allocate(number, dtype)
        if _unpack_whole(segment, samples):
            findings.collect_messages()
            for start_ns, first, stop in _steady_parts(segment):
                yield Piece(channel, start_ns, rate, samples[first:stop])
            return
    yield from _decode_records(segment, channel, findings)


def _unpack_whole(segment: Any, samples: npt.NDArray[Any]) -> bool:
    try:
        return bool(segment.unpack_recordlist(samples) == len(samples))
    except RuntimeError:
        return False


def _steady_parts(segment: Any) -> Iterator[tuple[int, int, int]]:
    """(start time, first sample, end) of the parts of a segment whose record times keep to its rate.

    libmseed joins records that follow within half a sample, so a clock that drifts can take the end of a
    day many samples away from where its start and rate would put it. A segment that ends on time is
    taken as steady; only the others cost a look at every record.
    """
    period = NANOSECONDS_PER_SECOND / segment.samprate
    start, number = int(segment.starttime), int(segment.samplecnt)
    if abs(segment.endtime - start - (number - 1) * period) <= _STEADY * period:
        yield start, 0, number
        return
    first = position = 0
    for entry in segment.recordlist:
        record = entry.record
        if abs(record.starttime - start - (position - first) * period) > _STEADY * period:
            if position > first:
                yield start, first, position
            start, first = int(record.starttime), position
        position += record.samplecnt
    yield start, first, position


def _decode_records(segment: Any, channel: ChannelId, findings: _Findings) -> Iterator[Piece]:
    """Record by record, for segments that mix encodings or hold a damaged record."""
    for entry in segment.recordlist:
        record = entry.record
        if record.samplecnt > _SAMPLES_PER_BYTE * record.reclen:
            findings.drop_record(record.reclen, f"{record.samplecnt} samples in {record.reclen} bytes")
            continue
        try:
            record.unpack_data()
        except (RuntimeError, ValueError) as error:
            findings.drop_record(record.reclen, error)
            continue
        samples = np.array(record.np_datasamples)
        if samples.dtype.kind in "if" and len(samples):
            yield Piece(channel, int(record.starttime), float(record.samprate), samples)


def _decode_with_obspy(
    data: bytes,
    wanted: ChannelId | None,
    start_ns: int | None,
    end_ns: int | None,
    name: str,
    findings: _Findings,
) -> list[Piece]:
    traces = _ask_obspy(data, name, findings, headers_only=False)
    findings.dropped_bytes = findings.bad_records = 0  # of the first attempt; ObsPy tells by warnings
    pieces = []
    for trace in traces:
        if wanted not in (None, trace.channel):
            findings.foreign.setdefault(str(trace.channel))
        elif not _is_believable(trace.sampling_rate_hz):
            findings.notes.setdefault(
                f"{len(trace.samples)} samples at {trace.sampling_rate_hz:g} Hz left out"
            )
        elif (start_ns is None or trace.end_ns >= start_ns) and (end_ns is None or trace.start_ns < end_ns):
            pieces.append(Piece(trace.channel, trace.start_ns, trace.sampling_rate_hz, trace.samples))
    return pieces


def _ask_obspy(data: bytes, name: str, findings: _Findings, *, headers_only: bool) -> list[rescue.ObspyTrace]:
    try:
        traces, notes = rescue.read_with_obspy(data, headers_only=headers_only)
    except ValueError as error:
        reasons = "; ".join([*findings.notes, findings.first_reason, str(error)]).strip("; ")
        raise UnreadableInputError(
            f"{name} ({len(data)} bytes) holds no readable miniSEED record: "
            f"{rescue.describe(data)} ({reasons})"
        ) from error
    findings.notes.clear()
    findings.notes.update(dict.fromkeys([*notes, "read with ObsPy: pymseed cannot"]))
    return traces


def _check_holds(data: bytes, channel: ChannelId, name: str) -> None:
    """Refuse an object that has no record of the channel at any time."""
    held = sorted({str(span.channel) for span in scan_headers(data, name)})
    if str(channel) not in held:
        what = ", ".join(held) or "no samples at all"
        raise UnreadableInputError(f"{name} holds {what}, not {channel}")
