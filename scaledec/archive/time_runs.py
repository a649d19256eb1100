"""Where a time axis advances regularly, found from a few of its values.

The axis of a foreign cube may have 10^9 values. Between two frames that lie as far apart as their count
says, nothing is looked at; only where time is missing (or drifts) is the interval halved. What a task reads
is checked value by value when it is read.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scaledec.errors import ArchiveError
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, format_time

__all__ = ["TOLERANCE", "PlacedRun", "TimeRun", "regular_runs", "runs_in_segment"]

TOLERANCE = 0.1
"""Of a hop: by how much the ends of a regular run may be off; neither clocks nor coded times are exact."""

_MOST_RUNS = 100_000


@dataclass(frozen=True, slots=True)
class TimeRun:
    """Frames ``[first, stop)`` that follow one another at the hop."""

    first: int
    stop: int
    start_ns: int
    """Start of frame ``first``."""


def regular_runs(time_at: Callable[[int], int], n: int, hop_ns: float) -> tuple[TimeRun, ...]:
    """Divide a time axis into runs at the hop, by bisection.

    Parameters
    ----------
    time_at
        Start of the frame of an index, in nanoseconds.
    n
        Frames of the axis.
    hop_ns
        From one frame's start to the next.

    Raises
    ------
    ArchiveError
        If time does not ascend, frames follow closer than the hop, or there are too many breaks.

    Examples
    --------
    >>> regular_runs([0, 10, 20, 70, 80].__getitem__, 5, 10)
    (TimeRun(first=0, stop=3, start_ns=0), TimeRun(first=3, stop=5, start_ns=70))
    """
    if not n:
        return ()
    runs: list[TimeRun] = []
    first, start_ns = 0, time_at(0)
    for index, at_ns in _run_starts(time_at, n, hop_ns):
        expected = start_ns + (index - first) * hop_ns
        if abs(at_ns - expected) > TOLERANCE * hop_ns:
            runs.append(TimeRun(first, index, start_ns))
            first, start_ns = index, at_ns
        if len(runs) > _MOST_RUNS:
            raise ArchiveError(
                f"its frames are not regular: more than {_MOST_RUNS} breaks before {format_time(at_ns)} at a "
                f"hop of {hop_ns / NANOSECONDS_PER_SECOND:g} s"
            )
    return (*runs, TimeRun(first, n, start_ns))


class PlacedRun(NamedTuple):
    """Frames of a run that belong to one segment."""

    run: TimeRun
    first: int
    """Of the foreign axis; ``stop`` is exclusive."""
    stop: int
    position: int
    """Frame of the segment where the first one lies."""
    offset_s: float
    """From there to where it really starts, at most half a hop either way."""


def runs_in_segment(
    runs: Sequence[TimeRun], start_ns: int, segment_ns: int, n_frames: int
) -> Iterator[PlacedRun]:
    """The runs that have frames in a segment, each put to the nearest frame as a whole.

    Parameters
    ----------
    runs
        Ascending.
    start_ns, segment_ns, n_frames
        The segment's start, length and frames.
    """
    # Starts ascend: only the run that holds the segment's start, and later ones, can touch it.
    begin = max(0, bisect.bisect_right(runs, start_ns, key=lambda run: run.start_ns) - 1)
    for run in itertools.islice(runs, begin, None):
        # Whole numbers throughout: a frame belongs to exactly one of two neighbouring segments.
        base = (2 * (run.start_ns - start_ns) * n_frames + segment_ns) // (2 * segment_ns)
        if base >= n_frames:
            return
        skipped = max(0, -base)
        stop = min(run.stop, run.first + n_frames - base)
        if run.first + skipped < stop:
            away_ns = run.start_ns - start_ns - base * segment_ns / n_frames
            yield PlacedRun(run, run.first + skipped, stop, max(base, 0), away_ns / NANOSECONDS_PER_SECOND)


def _run_starts(time_at: Callable[[int], int], n: int, hop_ns: float) -> Iterator[tuple[int, int]]:
    """(index, time) of frames, ascending, between which the axis is regular or has exactly one break."""
    pending = [(0, time_at(0), n - 1, time_at(n - 1))]
    while pending:
        low, low_ns, high, high_ns = pending.pop()
        excess = (high_ns - low_ns) - (high - low) * hop_ns
        if abs(excess) <= TOLERANCE * hop_ns or high - low <= 1:
            if excess < -TOLERANCE * hop_ns:
                raise ArchiveError(
                    f"its frame {high} starts at {format_time(high_ns)}, "
                    f"{(high_ns - low_ns) / 1e9:g} s after the one before; expected at least "
                    f"the hop of {hop_ns / NANOSECONDS_PER_SECOND:g} s"
                )
            yield high, high_ns
            continue
        middle = (low + high) // 2
        middle_ns = time_at(middle)
        pending += [(middle, middle_ns, high, high_ns), (low, low_ns, middle, middle_ns)]
