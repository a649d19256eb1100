"""A second opinion: what ObsPy makes of bytes in which libmseed finds no record."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy.typing as npt

from scaledec.archive.rescue import RECORD_START
from scaledec.vocabulary import ChannelId

__all__ = ["ObspyTrace", "read_with_obspy"]


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
