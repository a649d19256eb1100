"""Windows of several components of a sensor, stacked as planes.

Built on the reader of single channels, whichever way that one cuts windows: a window has the same number
in every channel of a sensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scaledec.stages.sensors import Components, Sensor
from scaledec.vocabulary import WindowState

if TYPE_CHECKING:
    from scaledec.stages.window_reader import SegmentWindows, WindowReader

__all__ = ["ComponentWindows"]

Windows = npt.NDArray[np.int64]
Stack = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class ComponentWindows:
    """A :class:`~scaledec.stages.window_reader.WindowReader` whose first index counts sensors.

    Where channels of several alternatives hold a segment (ZNE before a sensor was changed, Z12 since), the
    one that gives the most is taken for it.
    """

    single: WindowReader
    sensors: tuple[Sensor, ...]
    components: Components

    @property
    def n_windows(self) -> int:
        """The most windows that a segment holds."""
        return self.single.n_windows

    def covered(self, sensor_index: int, time_index: int) -> Windows:
        """Numbers of the windows with enough real samples in every plane (or any, if planes are filled)."""
        stack, found = self._best_stack(sensor_index, time_index)
        there, _ = self._at_one_time(stack, time_index, [None if c is None else found[c] for c in stack])
        return _joined(there, fill=self.components.fill)

    def reach_on(self, sensor_index: int, time_index: int, windows: Windows) -> npt.NDArray[np.bool_]:
        """Which of the windows use samples of the next segment."""
        stack, _ = self._best_stack(sensor_index, time_index)
        reach = [self.single.reach_on(c, time_index, windows) for c in stack if c is not None]
        return np.asarray(np.logical_or.reduce(reach))

    def start_ns(self, sensor_index: int, time_index: int) -> npt.NDArray[np.int64]:
        """First sample of every window, nanoseconds of UTC."""
        stack, found = self._best_stack(sensor_index, time_index)
        return self._at_one_time(stack, time_index, [None if c is None else found[c] for c in stack])[1]

    def read(
        self, sensor_index: int, time_index: int, candidates: Windows, wanted: int
    ) -> tuple[Windows, npt.NDArray[Any]]:
        """The first ``wanted`` of the candidates that are finite, shape (window, plane, frame, frequency)."""
        stack, _ = self._best_stack(sensor_index, time_index)
        if None not in stack and not self.components.fill:
            found = self._read_few(stack, time_index, candidates, wanted)
            if len(found[0]) == min(wanted, len(candidates)):
                return found
        segment = self.read_segment(sensor_index, time_index)
        chosen = candidates[np.isin(candidates, segment.usable)][:wanted]
        order = np.argsort(chosen)
        power = segment.gather(chosen[order])
        return chosen, power[np.argsort(order)]

    def read_segment(
        self, sensor_index: int, time_index: int, following: SegmentWindows | None = None
    ) -> ComponentSegment:
        """All windows of a segment; those of the following one may be of other channels, and are not used."""
        del following
        stack, _ = self._best_stack(sensor_index, time_index)
        planes = tuple(
            None if channel is None else self.single.read_segment(channel, time_index) for channel in stack
        )
        usable = [None if plane is None else plane.usable for plane in planes]
        there, start_ns = self._at_one_time(stack, time_index, usable)
        return ComponentSegment(planes, there, start_ns, fill=self.components.fill)

    def _at_one_time(
        self, stack: Stack, time_index: int, windows: Sequence[Windows | None]
    ) -> tuple[tuple[Windows | None, ...], npt.NDArray[np.int64]]:
        """What is left of each plane's windows where all must start together, and where that is.

        Windows at a stride always do; events do where one channel of a station detects for all. The first
        plane that has a window says where it starts; a plane with another event under its number lacks it.
        """
        own = [None if channel is None else self.single.start_ns(channel, time_index) for channel in stack]
        start_ns = np.array(next(starts for starts in own if starts is not None))
        for starts, numbers in reversed(list(zip(own, windows, strict=True))):
            if starts is not None and numbers is not None:
                start_ns[numbers] = starts[numbers]
        left = tuple(
            None if starts is None or numbers is None else numbers[starts[numbers] == start_ns[numbers]]
            for starts, numbers in zip(own, windows, strict=True)
        )
        return left, start_ns

    def _read_few(
        self, stack: Stack, time_index: int, candidates: Windows, wanted: int
    ) -> tuple[Windows, npt.NDArray[Any]]:
        """Without reading whole segments: what the first plane takes is asked of the others."""
        chosen = candidates
        planes: list[npt.NDArray[Any]] = []
        for channel in stack:
            assert channel is not None
            kept, power = self.single.read(channel, time_index, chosen, wanted)
            planes = [plane[np.isin(chosen, kept)] if len(plane) else plane for plane in planes]
            planes.append(power)
            chosen = kept
        return chosen, np.stack(planes, axis=1)

    def _best_stack(self, sensor_index: int, time_index: int) -> tuple[Stack, dict[int, Windows]]:
        """The alternative with the most windows in a segment, and what each of its channels covers."""
        sensor = self.sensors[sensor_index]
        found = {channel: self.single.covered(channel, time_index) for channel in sensor.sources}
        if len(sensor.stacks) == 1:
            return sensor.stacks[0], found
        return max(sensor.stacks, key=lambda stack: self._value(stack, found)), found

    def _value(self, stack: Stack, found: dict[int, Windows]) -> tuple[int, int]:
        planes = sum(len(found[channel]) for channel in stack if channel is not None)
        return len(self._joined(stack, found)), planes

    def _joined(self, stack: Stack, found: dict[int, Windows]) -> Windows:
        return _joined([None if c is None else found[c] for c in stack], fill=self.components.fill)


@dataclass(frozen=True, slots=True)
class ComponentSegment:
    """The windows of one segment of a sensor."""

    planes: tuple[SegmentWindows | None, ...]
    """Of each plane's channel; ``None`` where the cube has none."""
    there: tuple[Windows | None, ...]
    """Windows that each plane can give."""
    start_ns: npt.NDArray[np.int64]
    """First sample of every window, shape (n_windows,)."""
    fill: bool

    @property
    def state(self) -> npt.NDArray[np.uint8]:
        """Which windows can be labelled, and what the others lack: a component, or what the first lacks."""
        state = next(plane.state for plane in self.planes if plane is not None).copy()
        state[_joined(self.there, fill=True)] = WindowState.COMPONENT_MISSING
        state[state == WindowState.LABELLED] = WindowState.COMPONENT_MISSING
        state[self.usable] = WindowState.LABELLED
        return state

    @property
    def usable(self) -> Windows:
        """Numbers of the windows that can be labelled, ascending."""
        return _joined(self.there, fill=self.fill)

    @property
    def onset_ns(self) -> npt.NDArray[np.int64] | None:
        """First sample of every window; ``None`` where windows lie at a stride."""
        at_events = any(plane is not None and plane.onset_ns is not None for plane in self.planes)
        return self.start_ns if at_events else None

    def gather(self, chosen: Windows) -> npt.NDArray[Any]:
        """Power of the chosen windows, shape (chosen, plane, frame, frequency); a missing plane is NaN."""
        parts = [None if plane is None else plane.gather(chosen) for plane in self.planes]
        first = next(part for part in parts if part is not None)
        stacked = np.full((len(chosen), len(parts), *first.shape[1:]), np.nan, first.dtype)
        for number, (part, there) in enumerate(zip(parts, self.there, strict=True)):
            if part is not None and there is not None:
                given = np.isin(chosen, there)
                stacked[given, number] = part[given]
        return stacked


def _joined(planes: Sequence[Windows | None], *, fill: bool) -> Windows:
    """The windows that all planes have; where planes are filled, those that any has. Ascending."""
    there = [plane for plane in planes if plane is not None]
    if fill:
        return np.unique(np.concatenate([np.empty(0, np.int64), *there]))
    if len(there) < len(planes):
        return np.empty(0, np.int64)
    joined = there[0]
    for plane in there[1:]:
        joined = np.intersect1d(joined, plane)
    return joined
