"""Windows at a stride on the frames of a continuous cube."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scaledec.grid import Grid, WindowGrid
from scaledec.numerics.windows import (
    cut_windows,
    finite_frames,
    finite_windows,
    gather_windows,
    usable_windows,
    window_coverage,
)
from scaledec.store.cube import CubeStore
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, WindowState

if TYPE_CHECKING:
    from scaledec.stages.window_reader import SegmentWindows

__all__ = ["ContinuousWindows", "windows_within_segment"]

# Up to so many windows are read one by one: about as many as a day at 100 Hz has inner chunks.
_READ_SINGLY = 8


@dataclass(frozen=True, slots=True)
class ContinuousWindows:
    """A :class:`~scaledec.stages.window_reader.WindowReader`: window ``w`` begins at frame ``w * stride``."""

    cube: CubeStore
    windows: WindowGrid

    @property
    def n_windows(self) -> int:
        """Windows that start in a segment."""
        return self.windows.n_windows

    def covered(self, channel_index: int, time_index: int) -> npt.NDArray[np.int64]:
        """Numbers of the windows with enough real samples, ascending."""
        windows = self.windows
        coverage = self.cube.read_coverage(
            channel_index, time_index, stop=windows.n_frames + windows.head_frames
        )
        return np.flatnonzero(_covered(coverage, windows))

    def reach_on(
        self, channel_index: int, time_index: int, windows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Which of the windows use samples of the next segment."""
        return np.asarray(windows >= windows_within_segment(self.cube.grid, self.windows))

    def start_ns(self, channel_index: int, time_index: int) -> npt.NDArray[np.int64]:
        """First sample of every window, nanoseconds of UTC."""
        after = np.round(self.windows.window_s * NANOSECONDS_PER_SECOND).astype(np.int64)
        return np.asarray(self.cube.segment_start_ns(time_index) + after)

    def read(
        self, channel_index: int, time_index: int, candidates: npt.NDArray[np.int64], wanted: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
        """The first ``wanted`` finite ones of the candidates: a few by themselves, many from the whole."""
        read = self.read_singly if wanted <= _READ_SINGLY else self.read_whole
        return read(channel_index, time_index, candidates, wanted)

    def read_whole(
        self, channel_index: int, time_index: int, candidates: npt.NDArray[np.int64], wanted: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
        """As :meth:`read`, from all frames of the segment."""
        windows = self.windows
        power, _ = self.cube.read_frames(
            channel_index, time_index, stop=windows.n_frames + windows.head_frames
        )
        cut = {"length": windows.length, "stride": windows.stride, "n_windows": windows.n_windows}
        finite = finite_windows(finite_frames(power), **cut)
        chosen = candidates[finite[candidates]][:wanted]
        return chosen, cut_windows(power, **cut)[chosen]

    def read_singly(
        self, channel_index: int, time_index: int, candidates: npt.NDArray[np.int64], wanted: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
        """As :meth:`read`, one window after another."""
        windows = self.windows
        chosen: list[int] = []
        powers: list[npt.NDArray[Any]] = []
        for window in map(int, candidates):
            if len(chosen) == wanted:
                break
            first = window * windows.stride
            power, _ = self.cube.read_frames(
                channel_index, time_index, first=first, stop=first + windows.length
            )
            if np.isfinite(power).all():
                chosen.append(window)
                powers.append(power)
        shape = 0, windows.length, self.cube.grid.n_frequencies
        return (
            np.array(chosen, np.int64),
            np.stack(powers) if powers else np.empty(shape, self.cube.template.dtype),
        )

    def read_segment(
        self, channel_index: int, time_index: int, following: SegmentWindows | None = None
    ) -> ContinuousSegment:
        """All windows of a segment."""
        n_frames, n_head = self.windows.n_frames, self.windows.head_frames
        power, coverage = self.cube.read_frames(channel_index, time_index)
        if not n_head:
            return ContinuousSegment(self.windows, power, power[:0], coverage)
        if isinstance(following, ContinuousSegment) and n_head <= n_frames:
            # Copied, so that the following segment can go.
            head, head_coverage = following.power[:n_head].copy(), following.coverage[:n_head]
        else:
            head, head_coverage = self.cube.read_frames(
                channel_index, time_index, first=n_frames, stop=n_frames + n_head
            )
        return ContinuousSegment(self.windows, power, head, np.concatenate([coverage, head_coverage]))


@dataclass(frozen=True, slots=True)
class ContinuousSegment:
    """What a segment's windows are cut from; kept apart because joining them would copy a day."""

    windows: WindowGrid
    power: npt.NDArray[Any]
    """Shape (frame, frequency)."""
    head: npt.NDArray[Any]
    """The next segment's first frames, shape (head frame, frequency)."""
    coverage: npt.NDArray[np.uint8]
    """Of both, shape (frame + head frame,)."""

    @property
    def state(self) -> npt.NDArray[np.uint8]:
        """Which windows can be labelled, and what the others lack."""
        windows = self.windows
        cut = {"length": windows.length, "stride": windows.stride, "n_windows": windows.n_windows}
        usable = _covered(self.coverage, windows)
        lacking = np.where(
            window_coverage(self.coverage, **cut) == 0, WindowState.NO_DATA, WindowState.LOW_COVERAGE
        )
        state = np.where(usable, WindowState.LABELLED, lacking).astype(np.uint8)
        if usable.any():
            finite = np.concatenate([finite_frames(self.power), finite_frames(self.head)])
            state[usable & ~finite_windows(finite, **cut)] = WindowState.NOT_FINITE
        return state

    @property
    def usable(self) -> npt.NDArray[np.int64]:
        """Numbers of the windows that can be labelled, ascending."""
        return np.flatnonzero(self.state == WindowState.LABELLED)

    @property
    def onset_ns(self) -> None:
        """Windows lie at a stride."""
        return None

    def gather(self, chosen: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Power of the chosen windows, shape (chosen, frame, frequency)."""
        return gather_windows(
            self.power, self.head, chosen, length=self.windows.length, stride=self.windows.stride
        )


def windows_within_segment(grid: Grid, windows: WindowGrid) -> int:
    """How many windows, from the first on, use no sample of the next segment."""
    whole = math.floor((grid.closed_frames - windows.length) / windows.stride) + 1
    return min(windows.n_windows, max(0, whole))


def _covered(coverage: npt.NDArray[np.uint8], windows: WindowGrid) -> npt.NDArray[np.bool_]:
    return usable_windows(
        coverage,
        length=windows.length,
        stride=windows.stride,
        n_windows=windows.n_windows,
        min_coverage=windows.min_coverage,
    )
