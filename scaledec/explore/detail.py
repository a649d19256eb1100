"""What one channel shows over a span that fits a screen: its labels and its spectrogram."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scaledec.errors import StoreError
from scaledec.explore.opened import OpenedRun, Span
from scaledec.store.cube import CubeStore
from scaledec.store.event_cube import EventCubeStore
from scaledec.store.event_variables import NOT_A_TIME
from scaledec.vocabulary import NANOSECONDS_PER_SECOND

__all__ = ["Picture", "Place", "Windows", "read_windows", "spectrogram"]

MOST_COLUMNS = 1000
"""Columns of a spectrogram: about one a pixel."""
MOST_ROWS = 256
MOST_WINDOWS = 20_000
"""Windows of a span that are looked at one by one."""
# Frames of a span that are read at all: eight days of a 100 Hz channel at a hop of 0.64 s.
_MOST_FRAMES = 1_100_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a window lies in a label store, and when it starts."""

    channel_index: int
    segment: int
    number: int
    start_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """The windows of one channel that start in a span, by time; arrays of shape (window,)."""

    channel_index: int
    start_ns: npt.NDArray[np.int64]
    segment: npt.NDArray[np.int64]
    """Index of the segment each is in."""
    number: npt.NDArray[np.int64]
    """Number in its segment."""
    label: npt.NDArray[np.int64]
    """Class, negative without a label."""
    confidence: npt.NDArray[np.float32]
    distance: npt.NDArray[np.float32]
    outlier: npt.NDArray[np.float32]
    """How far outside the training windows of its class."""
    state: npt.NDArray[np.uint8]
    """Of :class:`~scaledec.vocabulary.WindowState`."""
    length_ns: int
    """Of every window."""
    step_ns: int
    """From one window's start to the next, at most; a window's length at events."""

    of_events: bool
    """Whether they lie at events instead of a stride."""

    def __len__(self) -> int:
        return len(self.start_ns)

    def place(self, index: int) -> Place:
        """Where one of them lies."""
        return Place(
            self.channel_index, int(self.segment[index]), int(self.number[index]), int(self.start_ns[index])
        )

    def at(self, time_ns: int) -> int | None:
        """The last window that begins at or before an instant and reaches it."""
        index = int(np.searchsorted(self.start_ns, time_ns, side="right")) - 1
        if index < 0 or self.start_ns[index] + self.length_ns <= time_ns:
            return None
        return index


def read_windows(run: OpenedRun, channel_index: int, span: Span) -> Windows | None:
    """The windows of a channel that start in a span; ``None`` where it has too many for a screen."""
    extent, n_windows = run.store.extent, run.store.windows.n_windows
    first = max(0, (span.start_ns - extent.start_ns) // run.segment_ns)
    stop = min(extent.n_segments, -((extent.start_ns - span.end_ns) // run.segment_ns))
    stop = max(first, stop)
    if not run.of_events and span.length_ns / run.segment_ns * n_windows > MOST_WINDOWS:
        return None
    start_ns = run.store.start_ns(channel_index, first, stop)
    inside = (start_ns >= span.start_ns) & (start_ns < span.end_ns) & (start_ns != NOT_A_TIME)
    if np.count_nonzero(inside) > MOST_WINDOWS:
        return None
    place = {"channel": channel_index, "time": slice(first, stop)}
    value = {
        name: run.dataset[name].isel(place).to_numpy()[inside]
        for name in ("label", "confidence", "distance", "outlier", "state")
    }
    segment, number = np.nonzero(inside)
    length_ns = round(run.store.windows.length_s * NANOSECONDS_PER_SECOND)
    return Windows(
        channel_index,
        start_ns[inside],
        segment + first,
        number,
        value["label"].astype(np.int64),
        value["confidence"],
        value["distance"],
        value["outlier"],
        value["state"],
        length_ns,
        length_ns if run.of_events else min(length_ns, run.segment_ns // n_windows),
        run.of_events,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A spectrogram as an image."""

    span: Span
    """From the first column's start to the last one's end."""
    power_db: npt.NDArray[np.float32]
    """Shape (frequency, column), lowest first; NaN where nothing was recorded."""
    frequency_hz: tuple[float, float]
    """Lower edge of the lowest row and upper edge of the highest."""
    frames_per_column: int
    """Frames whose loudest a column shows."""
    problem: str = ""
    """Why there is nothing to see; empty where there is something."""

    @classmethod
    def without(cls, span: Span, problem: str) -> Picture:
        """No spectrogram, and why."""
        return cls(span, np.full((1, 1), np.nan, np.float32), (0.0, 1.0), 1, problem)

    @property
    def colour_range(self) -> tuple[float, float]:
        """Values between which colours change: what 98 in 100 points lie in."""
        finite = self.power_db[np.isfinite(self.power_db)]
        if not finite.size:
            return 0.0, 1.0
        low, high = np.percentile(finite, (2.0, 99.7))
        return float(low), float(max(high, low + 1.0))


def spectrogram(
    cube: CubeStore | EventCubeStore, channel_index: int, span: Span, n_columns: int = MOST_COLUMNS
) -> Picture:
    """The spectrogram of a channel over a span in at most ``n_columns`` columns.

    A column shows, at each frequency, the loudest of its frames: a mean would hide short signals. One
    segment is in memory at a time.
    """
    span = span.clipped(Span(cube.start_ns, cube.segment_start_ns(cube.n_segments)))
    low, high = _edges_hz(cube.grid.frequency_hz)
    nothing = Picture(span, np.full((1, 1), np.nan, np.float32), (low, high), 1)
    hop_ns = round(cube.grid.hop_s * NANOSECONDS_PER_SECOND)
    if span.length_ns < hop_ns:
        return _without(nothing, "the cube has nothing of this time")
    if span.length_ns > _MOST_FRAMES * hop_ns:
        days = _MOST_FRAMES * hop_ns / (86_400 * NANOSECONDS_PER_SECOND)
        return _without(nothing, f"zoom in to {days:.2g} days or less to see the spectrogram")
    try:
        read = _of_events if isinstance(cube, EventCubeStore) else _continuous
        picture = read(cube, channel_index, span, n_columns)  # type: ignore[arg-type]
    except StoreError as error:
        return _without(nothing, str(error))
    if not np.isfinite(picture.power_db).any():
        what = "no event" if isinstance(cube, EventCubeStore) else "nothing recorded"
        return _without(picture, f"{what} in this time")
    return picture


def _without(picture: Picture, problem: str) -> Picture:
    return Picture(picture.span, picture.power_db, picture.frequency_hz, picture.frames_per_column, problem)


def _continuous(cube: CubeStore, channel_index: int, span: Span, n_columns: int) -> Picture:
    n_frames = cube.grid.n_frames
    hop = cube.segment_ns / n_frames
    first = math.floor((span.start_ns - cube.start_ns) / hop)
    stop = min(cube.n_segments * n_frames, math.ceil((span.end_ns - cube.start_ns) / hop))
    per_column = max(1, -(-(stop - first) // n_columns))
    number = -(-(stop - first) // per_column)
    image = np.full((number, cube.grid.n_frequencies), np.nan, np.float32)
    here = first
    while here < stop:
        segment = here // n_frames
        end = min(stop, (segment + 1) * n_frames)
        offset = segment * n_frames
        power, _ = cube.read_frames(channel_index, segment, first=here - offset, stop=end - offset)
        _lay(image, _decibels(power, cube), (np.arange(here, end) - first) // per_column)
        here = end
    begin = cube.start_ns + round(first * hop)
    ends = begin + round(number * per_column * hop)
    return Picture(Span(begin, ends), _fewer_rows(image).T, _edges_hz(cube.grid.frequency_hz), per_column)


def _of_events(cube: EventCubeStore, channel_index: int, span: Span, n_columns: int) -> Picture:
    """Events drawn where they lie; between them is nothing."""
    hop_ns = round(cube.grid.hop_s * NANOSECONDS_PER_SECOND)
    per_column = max(1, math.ceil(span.length_ns / hop_ns / n_columns))
    number = max(1, math.ceil(span.length_ns / (hop_ns * per_column)))
    image = np.full((number, cube.grid.n_frequencies), np.nan, np.float32)
    reach_ns = cube.room.frames * hop_ns
    first = max(0, (span.start_ns - reach_ns - cube.start_ns) // cube.segment_ns)
    stop = min(cube.n_segments, -((cube.start_ns - span.end_ns) // cube.segment_ns))
    for segment in range(first, stop):
        events = cube.read_segment(channel_index, segment)
        for onset, power in zip(events.onset_ns.tolist(), events.power, strict=True):
            column = (onset - span.start_ns + np.arange(len(power)) * hop_ns) // (hop_ns * per_column)
            inside = (column >= 0) & (column < number)
            if inside.any():
                _lay(image, _decibels(power[inside], cube), column[inside])
    end_ns = span.start_ns + number * hop_ns * per_column
    return Picture(
        Span(span.start_ns, end_ns), _fewer_rows(image).T, _edges_hz(cube.grid.frequency_hz), per_column
    )


def _lay(
    image: npt.NDArray[np.float32], power_db: npt.NDArray[np.float32], column: npt.NDArray[np.int64]
) -> None:
    """The loudest of each column's frames and of what is there; columns ascend."""
    edges = np.flatnonzero(np.diff(column, prepend=column[0] - 1))
    loudest = np.fmax.reduceat(power_db, edges, axis=0)
    place = column[edges]
    image[place] = np.fmax(image[place], loudest)


def _decibels(power: npt.NDArray[Any], cube: CubeStore | EventCubeStore) -> npt.NDArray[np.float32]:
    values = power.astype(np.float32)
    if cube.template.scale == "db":
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        decibels = 10 * np.log10(values)
    decibels[np.isneginf(decibels)] = np.nan
    return np.asarray(decibels, np.float32)


def _fewer_rows(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """At most :data:`MOST_ROWS` frequencies, the loudest of neighbours; shape (column, frequency)."""
    n = image.shape[1]
    if n <= MOST_ROWS:
        return image
    per_row = -(-n // MOST_ROWS)
    return np.fmax.reduceat(image, np.arange(0, n, per_row), axis=1)


def _edges_hz(frequency_hz: npt.NDArray[np.float64]) -> tuple[float, float]:
    half = float(frequency_hz[1] - frequency_hz[0]) / 2
    return float(frequency_hz[0]) - half, float(frequency_hz[-1]) + half
