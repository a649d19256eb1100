"""Faults of real archives, planted on purpose: which station-day gets which, and what it does to the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from scaledec.archive.write import write_miniseed
from scaledec.synthetic.settings import SyntheticSettings
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId, format_time

__all__ = ["Fault", "FaultKind", "day_file", "plan_faults"]

FaultKind: TypeAlias = Literal["gap", "overlap", "missing day", "unreadable file"]

_ERROR_PAGE = b"""<!DOCTYPE html>
<html><head><title>503 Service Unavailable</title></head>
<body><h1>Service Unavailable</h1>
<p>The data centre is down for maintenance. Please try again later.</p></body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one station-day."""

    kind: FaultKind
    station: str
    day: int
    """Days since 1970-01-01."""
    start_ns: int
    """First instant without data (gap), or stored twice (overlap), or the day's start."""
    end_ns: int

    def sentence(self) -> str:
        """What was done, for the archive's README."""
        between = f"{format_time(self.start_ns)} to {format_time(self.end_ns)}"
        told = {
            "gap": f"no data from {between}",
            "overlap": f"the samples from {between} are stored twice, in two pieces that overlap",
            "missing day": f"no file from {between}",
            "unreadable file": f"an error page of a data centre is saved in place of the data from {between}",
        }
        return f"{self.kind} at {self.station}: {told[self.kind]}"


def plan_faults(settings: SyntheticSettings) -> tuple[Fault, ...]:
    """One fault of each kind on station-days of their own, as far as there are station-days.

    The first station has the gap (first day) and the overlap (last day), the last station misses its last
    day, the one before it has the unreadable file on its first day; so every station keeps a good day.
    """
    if not settings.faults:
        return ()
    first, last = settings.days[0], settings.days[-1]
    codes = [station.code for station in settings.stations]
    found = [_inside(settings, "gap", codes[0], first, 0.25, 0.29)]
    if last > first:
        found.append(_inside(settings, "overlap", codes[0], last, 0.5, 0.502))
    if last > first and len(codes) > 1:
        found.append(_inside(settings, "missing day", codes[-1], last, 0.0, 1.0))
    if last > first and len(codes) > 2:
        found.append(_inside(settings, "unreadable file", codes[-2], first, 0.0, 1.0))
    return tuple(found)


def _inside(
    settings: SyntheticSettings, kind: FaultKind, station: str, day: int, first: float, stop: float
) -> Fault:
    """A fault over a share of a day, on whole seconds."""
    start_ns, end_ns = settings.span_of_day(day)
    length_s = (end_ns - start_ns) // NANOSECONDS_PER_SECOND

    def at(share: float) -> int:
        return start_ns + round(share * length_s) * NANOSECONDS_PER_SECOND

    return Fault(kind, station, day, at(first), at(stop))


def day_file(
    settings: SyntheticSettings,
    channel: ChannelId,
    start_ns: int,
    samples: npt.NDArray[np.int32],
    faults: tuple[Fault, ...],
) -> bytes | None:
    """The bytes of one day's file with its faults; ``None`` where the fault is that there is none.

    Parameters
    ----------
    start_ns
        Time of the first sample.
    samples
        The day's samples, shape (n_samples,).
    faults
        Those of this station-day.
    """
    rate = settings.sampling_rate_hz
    pieces = [(0, samples.size)]
    for fault in faults:
        if fault.kind == "missing day":
            return None
        if fault.kind == "unreadable file":
            return _ERROR_PAGE
        first = round((fault.start_ns - start_ns) / NANOSECONDS_PER_SECOND * rate)
        stop = round((fault.end_ns - start_ns) / NANOSECONDS_PER_SECOND * rate)
        pieces = (
            [(0, first), (stop, samples.size)] if fault.kind == "gap" else [(0, stop), (first, samples.size)]
        )
    return b"".join(
        write_miniseed(channel, start_ns + _lapse_ns(first, rate), rate, samples[first:stop])
        for first, stop in pieces
    )


def _lapse_ns(n_samples: int, rate_hz: float) -> int:
    return n_samples * 1000 * NANOSECONDS_PER_SECOND // round(rate_hz * 1000)
