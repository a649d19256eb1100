"""A second opinion: what ObsPy makes of bytes in which libmseed finds no record."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy.typing as npt

from scaledec.archive.rescue import LENGTH_IN_1000, RECORD_START, byte_order, place_of_length
from scaledec.vocabulary import ChannelId

__all__ = ["ObspyTrace", "read_with_obspy"]


_HEADER_2 = 64
_ENCODING_IN_1000 = 4
# Bytes of a sample by encoding: the integers and floats, GEOSCOPE, CDSN, SRO, DWWSSN. Steim gets below one.
_BYTES_PER_SAMPLE = {1: 2.0, 3: 4.0, 4: 4.0, 5: 8.0, 12: 3.0, 13: 2.0, 14: 2.0, 16: 2.0, 30: 2.0, 32: 2.0}
_FEWEST_BYTES_PER_SAMPLE = 0.5


class ObspyTrace(NamedTuple):
    """One trace that ObsPy read; ``samples`` is empty when only headers were asked for."""

    channel: ChannelId
    start_ns: int
    end_ns: int
    sampling_rate_hz: float
    samples: npt.NDArray[Any]


def read_with_obspy(data: bytes, *, headers_only: bool = False) -> tuple[list[ObspyTrace], list[str]]:
    """What ObsPy reads, and its warnings.

    Raises
    ------
    ValueError
        With ObsPy's reason, if it cannot read the bytes either.
    """
    if RECORD_START.search(data) is None:
        raise ValueError("no record header in it")
    _check_claims(data)
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
    if not headers_only and any(len(trace.data) != trace.stats.npts for trace in stream):
        raise ValueError("ObsPy: finds fewer samples than the headers say")
    traces = [
        _from_obspy(trace) for trace in stream if trace.data.dtype.kind in "if" and trace.stats.npts > 0
    ]
    return traces, [f"ObsPy: {warning.message}" for warning in caught]


def _check_claims(data: bytes) -> None:
    """Raise ``ValueError`` if a header claims more samples than its record can hold.

    The library inside ObsPy would read on behind the record: what it returns is then other memory.
    """
    for found in RECORD_START.finditer(data):
        header = data[found.start() : found.start() + _HEADER_2]
        if len(header) < _HEADER_2 or header[:2] == b"MS":
            continue
        order = byte_order(header)
        number = int.from_bytes(header[30:32], order)
        length, size = len(data) - found.start(), _FEWEST_BYTES_PER_SAMPLE
        if (place := place_of_length(header)) is not None:
            length = min(length, 1 << min(header[place + LENGTH_IN_1000], 31))
            size = _BYTES_PER_SAMPLE.get(header[place + _ENCODING_IN_1000], size)
        if number * size > length - int.from_bytes(header[44:46], order):
            raise ValueError(f"ObsPy is not asked: the header at {found.start()} claims {number} samples")


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
