"""Windows at events: each is stored whole, so reading one is all there is to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scaledec.grid import EventGrid, SpectrogramGrid
from scaledec.numerics.windows import finite_frames
from scaledec.store.event_cube import EventCubeStore, SegmentEvents, count_events
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, WindowState

if TYPE_CHECKING:
    from scaledec.stages.window_reader import SegmentWindows

__all__ = ["EventWindows"]


@dataclass(frozen=True, slots=True)
class EventWindows:
    """A :class:`~scaledec.stages.window_reader.WindowReader`: window ``w`` is a segment's event ``w``."""

    cube: EventCubeStore
    windows: EventGrid

    @property
    def n_windows(self) -> int:
        """The most events that a segment holds."""
        return self.windows.n_windows

    def covered(self, channel_index: int, time_index: int) -> npt.NDArray[np.int64]:
        """Numbers of the events with enough real samples, ascending."""
        n_events = count_events(self.cube.read_onsets(channel_index, time_index))
        if not n_events:
            return np.empty(0, np.int64)
        coverage = self.cube.read_coverage(channel_index, time_index, n_events)
        return np.flatnonzero(_covered(coverage, self.windows.min_coverage))

    def reach_on(
        self, channel_index: int, time_index: int, windows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Which of the windows use samples of the next segment."""
        grid = self.cube.grid
        assert isinstance(grid, SpectrogramGrid)
        length_ns = round(self.windows.n_samples(grid) / grid.sampling_rate_hz * NANOSECONDS_PER_SECOND)
        ends = self.start_ns(channel_index, time_index)[windows] + length_ns
        return np.asarray(ends > self.cube.segment_start_ns(time_index + 1))

    def start_ns(self, channel_index: int, time_index: int) -> npt.NDArray[np.int64]:
        """First sample of every event's window; ``NOT_A_TIME`` behind the last event."""
        return self.cube.read_onsets(channel_index, time_index)

    def read(
        self, channel_index: int, time_index: int, candidates: npt.NDArray[np.int64], wanted: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
        """The first ``wanted`` of the candidates whose values are all finite."""
        power = self.cube.read_segment(channel_index, time_index).power
        chosen = candidates[np.isin(candidates, np.flatnonzero(_finite(power)))][:wanted]
        return chosen, power[chosen]

    def read_segment(
        self, channel_index: int, time_index: int, following: SegmentWindows | None = None
    ) -> EventSegment:
        """All events of a segment, each of which is stored with it as a whole."""
        del following
        return EventSegment(self.windows, self.cube.read_segment(channel_index, time_index))


@dataclass(frozen=True, slots=True)
class EventSegment:
    """The windows of one segment's events."""

    windows: EventGrid
    events: SegmentEvents

    @property
    def state(self) -> npt.NDArray[np.uint8]:
        """Which windows can be labelled, and what the others lack."""
        coverage = self.events.coverage
        state = np.full(self.windows.n_windows, WindowState.NO_EVENT, np.uint8)
        lacking = np.where(coverage.any(axis=1), WindowState.LOW_COVERAGE, WindowState.NO_DATA)
        usable = np.where(_finite(self.events.power), WindowState.LABELLED, WindowState.NOT_FINITE)
        state[: len(coverage)] = np.where(_covered(coverage, self.windows.min_coverage), usable, lacking)
        return state

    @property
    def usable(self) -> npt.NDArray[np.int64]:
        """Numbers of the windows that can be labelled, ascending."""
        return np.flatnonzero(self.state == WindowState.LABELLED)

    @property
    def onset_ns(self) -> npt.NDArray[np.int64]:
        """First sample of every window, ``NOT_A_TIME`` behind the last event."""
        return self.events.padded_onsets(self.windows.n_windows)

    def gather(self, chosen: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Power of the chosen windows, shape (chosen, frame, frequency); NaN where there is no event."""
        power = self.events.power
        there = chosen < len(power)
        if there.all():
            return power[chosen]
        gathered = np.full((len(chosen), *power.shape[1:]), np.nan, power.dtype)
        gathered[there] = power[chosen[there]]
        return gathered


def _covered(coverage: npt.NDArray[np.uint8], least: float) -> npt.NDArray[np.bool_]:
    """Whether enough samples are real and no frame is without any, shape (event,)."""
    total = coverage.sum(axis=1, dtype=np.int64)
    return np.asarray((total / (100 * coverage.shape[1]) >= least) & (coverage > 0).all(axis=1))


def _finite(power: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether every value of a window is finite, shape (event,)."""
    return finite_frames(power)
