"""Bytes of miniSEED to pieces of samples; headers decide, names are only printed.

pymseed (libmseed) reads first. What it stops at is cut out and the good records are read again; where
it finds no record at all ObsPy has a try. What neither can read is an ``UnreadableInputError``.
"""

from __future__ import annotations

import numpy as np

from scaledec.archive import by_obspy, records, rescue
from scaledec.archive.pieces import Findings, HeaderSpan, Piece, ReadOutcome
from scaledec.archive.records import Allocate, is_believable
from scaledec.errors import UnreadableInputError
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId

__all__ = ["Allocate", "HeaderSpan", "Piece", "ReadOutcome", "read_pieces", "scan_headers"]


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
    findings = Findings()
    traces = records.load(data, findings, start_ns=start_ns, end_ns=end_ns, record_list=True)
    pieces = [] if traces is None else records.decode(traces, channel, findings, allocate, data)
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
    traces = records.load(data, Findings(), start_ns=None, end_ns=None, record_list=False)
    if traces is None:
        return [
            HeaderSpan(
                trace.channel,
                trace.start_ns,
                trace.end_ns + _period_ns(trace.sampling_rate_hz),
                trace.sampling_rate_hz,
            )
            for trace in _ask_obspy(data, name, Findings(), headers_only=True)
            if is_believable(trace.sampling_rate_hz)
        ]
    return [
        HeaderSpan(
            channel, segment.starttime, segment.endtime + _period_ns(segment.samprate), segment.samprate
        )
        for trace in traces
        if isinstance(channel := records.identify(trace), ChannelId)
        for segment in trace
        if segment.samplecnt > 0 and is_believable(segment.samprate)
    ]


def _period_ns(sampling_rate_hz: float) -> int:
    return round(NANOSECONDS_PER_SECOND / sampling_rate_hz)


def _decode_with_obspy(
    data: bytes,
    wanted: ChannelId | None,
    start_ns: int | None,
    end_ns: int | None,
    name: str,
    findings: Findings,
) -> list[Piece]:
    traces = _ask_obspy(data, name, findings, headers_only=False)
    pieces = []
    for trace in traces:
        if wanted not in (None, trace.channel):
            findings.foreign.setdefault(str(trace.channel))
        elif not is_believable(trace.sampling_rate_hz):
            findings.notes.setdefault(
                f"{len(trace.samples)} samples at {trace.sampling_rate_hz:g} Hz left out"
            )
        elif (start_ns is None or trace.end_ns >= start_ns) and (end_ns is None or trace.start_ns < end_ns):
            pieces.append(Piece(trace.channel, trace.start_ns, trace.sampling_rate_hz, trace.samples))
    return pieces


def _ask_obspy(
    data: bytes, name: str, findings: Findings, *, headers_only: bool
) -> list[by_obspy.ObspyTrace]:
    try:
        traces, notes = by_obspy.read_with_obspy(data, headers_only=headers_only)
    except ValueError as error:
        reasons = "; ".join([*findings.notes, findings.first_reason, str(error)]).strip("; ")
        raise UnreadableInputError(
            f"{name} ({len(data)} bytes) holds no readable miniSEED record: "
            f"{rescue.describe(data)} ({reasons})"
        ) from error
    findings.forget_losses()  # of the first attempt; ObsPy tells by warnings
    findings.notes.update(dict.fromkeys([*notes, "read with ObsPy: pymseed cannot"]))
    return traces


def _check_holds(data: bytes, channel: ChannelId, name: str) -> None:
    """Refuse an object that has no record of the channel at any time."""
    held = sorted({str(span.channel) for span in scan_headers(data, name)})
    if str(channel) not in held:
        what = ", ".join(held) or "no samples at all"
        raise UnreadableInputError(f"{name} holds {what}, not {channel}")
