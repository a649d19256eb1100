"""Records to samples through pymseed (libmseed)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pymseed import MS3TraceList, sourceid2nslc

from scaledec.archive import rescue
from scaledec.archive.pieces import Findings, Piece
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId, format_time

__all__ = ["Allocate", "decode", "identify", "is_believable", "load"]

Allocate: TypeAlias = Callable[[int, Any], npt.NDArray[Any]]
"""Where decoded samples go: (number, dtype) -> one-dimensional array, ``numpy.empty`` by default."""

_DTYPES: dict[str, Any] = {"i": np.int32, "f": np.float32, "d": np.float64}
_TEXT = "t"
# Fraction of a sample by which record times may leave a piece's own start and rate before it is split.
_STEADY = 0.1
# A corrupt header may claim any number of samples; packing never gets below half a byte for one.
_SAMPLES_PER_BYTE = 2
# What a header may say; text records say 0, damaged ones anything.
_RATES_HZ = (1e-6, 1e6)


def is_believable(sampling_rate_hz: float) -> bool:
    """Whether a header may mean this rate."""
    return _RATES_HZ[0] <= sampling_rate_hz <= _RATES_HZ[1]


def load(
    data: bytes,
    findings: Findings,
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
    survey = rescue.whole_records(data)
    traces = None if survey is None else _parse(survey.records, selection, findings)
    if survey is None or traces is None:
        survey = rescue.good_records(data)
        traces = _parse(survey.records, selection, findings) if survey.records else None
    findings.left_out.extend(survey.left_out)
    findings.n_without_samples = survey.n_without_samples
    return traces


def _parse(data: bytes, selection: dict[str, Any], findings: Findings) -> MS3TraceList | None:
    traces = MS3TraceList()
    try:
        traces.add_buffer(data, **selection)
    except RuntimeError as error:
        findings.notes.setdefault(str(error))
        return None
    findings.collect_messages()
    return traces


def decode(
    traces: MS3TraceList,
    wanted: ChannelId | None,
    findings: Findings,
    allocate: Allocate,
    data: bytes,
) -> list[Piece]:
    """All samples of the wanted channel (of every one, if ``None``); what is left out goes to findings."""
    pieces: list[Piece] = []
    for trace in traces:
        channel = identify(trace)
        if not isinstance(channel, ChannelId) or wanted not in (None, channel):
            findings.foreign.setdefault(str(channel))
            continue
        for segment in trace:
            if segment.samplecnt <= 0:
                continue
            if not is_believable(segment.samprate):
                _leave_out(segment, channel, findings)
                continue
            pieces.extend(_decode_segment(segment, channel, findings, allocate, data))
    return pieces


def _leave_out(segment: Any, channel: ChannelId, findings: Findings) -> None:
    if _sample_type(segment) == _TEXT:
        findings.text_records[channel] += len(segment.recordlist)
    else:
        findings.notes.setdefault(f"{segment.samplecnt} samples at {segment.samprate:g} Hz left out")


def identify(trace: Any) -> ChannelId | str:
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
    segment: Any, channel: ChannelId, findings: Findings, allocate: Allocate, data: bytes
) -> Iterator[Piece]:
    number, rate = int(segment.samplecnt), float(segment.samprate)
    dtype = _DTYPES.get(_sample_type(segment) or "")
    if dtype is not None and number <= _SAMPLES_PER_BYTE * len(data):
        samples = allocate(number, dtype)
        if _unpack_whole(segment, samples):
            findings.collect_messages()
            for start_ns, first, stop in _steady_parts(segment):
                yield Piece(channel, start_ns, rate, samples[first:stop])
            return
    yield from _decode_records(segment, channel, findings, data)


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


def _decode_records(segment: Any, channel: ChannelId, findings: Findings, data: bytes) -> Iterator[Piece]:
    """Record by record, for segments that mix encodings or hold text or a damaged record."""
    for entry in segment.recordlist:
        record = entry.record
        if record.samplecnt <= 0:  # counted by the survey of all records
            continue
        try:
            samples = _samples_of(record)
        except (RuntimeError, ValueError) as error:
            findings.drop_record(data.find(record.record_mv), record.reclen, error)
            continue
        if samples is None:
            findings.text_records[channel] += 1
        else:
            yield Piece(channel, int(record.starttime), float(record.samprate), samples)


def _samples_of(record: Any) -> npt.NDArray[Any] | None:
    """A copy of a record's samples; ``None`` for text. Raises ``ValueError`` or ``RuntimeError``."""
    if record.samplecnt > _SAMPLES_PER_BYTE * record.reclen:
        raise ValueError(f"{record.samplecnt} samples in {record.reclen} bytes")
    record.unpack_data()
    if record.sampletype == _TEXT:
        return None
    samples = np.array(record.np_datasamples)
    if len(samples) != record.samplecnt:
        raise ValueError(f"{len(samples)} samples where its header says {record.samplecnt}")
    return samples
