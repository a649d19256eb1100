"""How sampling and labelling see the windows of a cube, whichever way they were cut.

Windows are numbered within a segment of a channel. Where one starts, whether it can be used and how it
is read is the reader's business: windows at a stride, windows at events, or several components stacked
differ in nothing else.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from scaledec.errors import StoreConflictError
from scaledec.grid import EventGrid, WindowGrid, Windows
from scaledec.stages.component_windows import ComponentWindows
from scaledec.stages.continuous_windows import ContinuousWindows
from scaledec.stages.event_windows import EventWindows
from scaledec.stages.sensors import Components, sensors_of
from scaledec.store.cube import CubeStore
from scaledec.store.event_cube import EventCubeStore

__all__ = ["SegmentWindows", "WindowReader", "open_windows"]


class SegmentWindows(Protocol):
    """The windows of one segment, read once; a day is never copied."""

    @property
    def state(self) -> npt.NDArray[np.uint8]:
        """Of every window, shape (n_windows,): :class:`~scaledec.vocabulary.WindowState`.

        ``LABELLED`` are those that can be; the others have what they lack.
        """
        ...

    @property
    def usable(self) -> npt.NDArray[np.int64]:
        """Numbers of the windows with enough real samples and no value that is not finite, ascending."""
        ...

    @property
    def onset_ns(self) -> npt.NDArray[np.int64] | None:
        """First sample of every window, shape (n_windows,); ``None`` where windows lie at a stride."""
        ...

    def gather(self, chosen: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Power of the chosen windows (ascending), shape (chosen, frame, frequency)."""
        ...


class WindowReader(Protocol):
    """The windows of a cube. Methods may be called from several threads at once.

    An axis of planes, where there is one, stands between windows and frames.
    """

    @property
    def n_windows(self) -> int:
        """The most windows that a segment holds: numbers run from 0 to one less."""
        ...

    def covered(self, channel_index: int, time_index: int) -> npt.NDArray[np.int64]:
        """Numbers of the windows with enough real samples, ascending; power is not read."""
        ...

    def reach_on(
        self, channel_index: int, time_index: int, windows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Which of the windows use samples of the next segment."""
        ...

    def start_ns(self, channel_index: int, time_index: int) -> npt.NDArray[np.int64]:
        """First sample of every window, nanoseconds of UTC, shape (n_windows,)."""
        ...

    def read(
        self, channel_index: int, time_index: int, candidates: npt.NDArray[np.int64], wanted: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
        """The first ``wanted`` of the candidates whose values are all finite.

        Returns
        -------
        Their numbers in the order of the candidates, shape (window,), and their power, shape
        (window, frame, frequency).

        Raises
        ------
        StoreError
            If the cube cannot be read.
        """
        ...

    def read_segment(
        self, channel_index: int, time_index: int, following: SegmentWindows | None = None
    ) -> SegmentWindows:
        """All windows of a segment, for labelling; ``StoreError`` if the cube cannot be read.

        ``following`` is the next segment of the channel where that was read before: what windows need of it
        is then not read again.
        """
        ...


def open_windows(
    cube: CubeStore | EventCubeStore, windows: Windows, components: Components | None = None
) -> WindowReader:
    """The reader of a cube's windows: of its channels, or of the sensors that they are components of.

    Raises
    ------
    StoreConflictError
        If windows at a stride are asked of a cube of events, or the reverse.
    """
    single = _of_channels(cube, windows)
    if components is None:
        return single
    return ComponentWindows(single, sensors_of(cube.channels, components), components)


def _of_channels(cube: CubeStore | EventCubeStore, windows: Windows) -> WindowReader:
    if isinstance(cube, EventCubeStore) and isinstance(windows, EventGrid):
        return EventWindows(cube, windows)
    if isinstance(cube, CubeStore) and isinstance(windows, WindowGrid):
        return ContinuousWindows(cube, windows)
    raise StoreConflictError(
        f"{cube.location} is {'of events' if isinstance(cube, EventCubeStore) else 'continuous'}, and "
        "windows.mode asks for the other kind: choose another root, or the mode it was made with"
    )
