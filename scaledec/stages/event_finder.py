"""Where the windows of a segment's events begin: detection, de-duplication, centring, and who owns them.

Everything is counted in samples of the cube's rate, 0 being the segment's start. Samples handed in begin
``lead`` before it, so that averages have settled when the segment begins, and go on for ``tail`` behind its
end. An event belongs to the segment in which its window begins: one near midnight is found by both
neighbours and kept by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scaledec.config import WindowsConfig
from scaledec.grid import EventGrid, SpectrogramGrid
from scaledec.numerics.signal.detect import (
    Detections,
    characteristic_function,
    detect,
    far_enough_apart,
    strongest,
)
from scaledec.store.event_variables import PROPERTIES
from scaledec.vocabulary import NANOSECONDS_PER_SECOND

if TYPE_CHECKING:
    from scaledec.numerics.signal.stft import SpectrogramTransform

__all__ = ["EventFinder", "FoundEvents"]

# After so many long windows an exponential average has forgotten where it began to one part in 10^8.
_SETTLED = 18
# Detections chained closer than the least interval: after this many links a segment forgets the chain.
_CHAIN = 12
# An event's duration and largest value are followed so far behind a segment's end.
_FOLLOWED_S = 60.0


@dataclass(frozen=True, slots=True)
class FoundEvents:
    """The events of one segment, in the order of time."""

    first: npt.NDArray[np.int64]
    """First sample of each window after the segment's start, shape (event,)."""
    properties: npt.NDArray[np.float32]
    """Shape (event, property), as the store keeps them."""
    n_dropped: int
    """Weaker ones for which there was no room."""


class EventFinder:
    """Finds events in the preprocessed samples of a segment.

    Parameters
    ----------
    settings
        The windows section, of mode triggered or catalog.
    windows, grid
        Of the same configuration.
    power
        Linear power of frames on the cube's grid: where windows are centred. ``None``: they are not.
    """

    def __init__(
        self,
        settings: WindowsConfig,
        windows: EventGrid,
        grid: SpectrogramGrid,
        power: SpectrogramTransform | None,
    ) -> None:
        self._settings, self._windows, self._grid, self._power = settings, windows, grid, power
        rate = grid.sampling_rate_hz
        detector = settings.detector
        n_sta = max(1, round(detector.sta_s * rate))
        n_lta = 1 if detector.kind == "z_detect" else max(1, round(detector.lta_s * rate))
        self._function = characteristic_function(detector.kind, n_sta, n_lta)
        self._interval = round(settings.min_interval_s * rate)
        self._before = 0 if settings.centre else round(settings.before_s * rate)
        self._half = (windows.length // 2) * grid.hop
        self._span = (windows.length - 1) * grid.hop
        # A peak is looked for in every frame that holds a sample of one window's length from the detection.
        self._back = (grid.nperseg - 1) // grid.hop * grid.hop
        self._settle = n_sta + (_SETTLED if detector.kind == "recursive_sta_lta" else 1) * n_lta

    @property
    def earliest(self) -> int:
        """First sample at which a detection may have its window in the segment."""
        return self._half - self._span if self._settings.centre else self._before

    @property
    def latest(self) -> int:
        """The last such sample, exclusive."""
        after = self._half + self._back if self._settings.centre else self._before
        return self._grid.samples_per_segment + after

    @property
    def lead(self) -> int:
        """Samples wanted before the segment's start, to search it."""
        if self._settings.mode == "catalog":
            return max(0, self._back - self.earliest)
        return max(0, self._back - self.earliest) + self._settle + _CHAIN * self._interval

    @property
    def tail(self) -> int:
        """Samples wanted behind the segment's end, to search it and to cut its windows."""
        used = self._windows.n_samples(self._grid)
        searched = self.latest - self._grid.samples_per_segment + used
        followed = math.ceil(_FOLLOWED_S * self._grid.sampling_rate_hz)
        return max(used, searched) + (followed if self._settings.mode == "triggered" else 0)

    def search(
        self, samples: npt.NDArray[np.float32], runs: Sequence[tuple[int, int]], lead: int
    ) -> FoundEvents:
        """Detect events in samples that begin ``lead`` before the segment."""
        detector = self._settings.detector
        found = detect(samples, runs, self._function, on=detector.on, off=detector.off)
        found = found[far_enough_apart(found.on, self._interval)]
        duration = (found.off - found.on).astype(np.float64) / self._grid.sampling_rate_hz
        return self._own(Detections(found.on - lead, found.off - lead, found.value), duration, samples, lead)

    def at(
        self, times_ns: Sequence[int], start_ns: int, samples: npt.NDArray[np.float32], lead: int
    ) -> FoundEvents:
        """Windows at given instants; ``start_ns`` is the segment's start."""
        seconds = (np.array(times_ns, np.int64) - start_ns) / NANOSECONDS_PER_SECOND
        on = np.rint(seconds * self._grid.sampling_rate_hz).astype(np.int64)
        unknown = np.full(on.size, np.nan)
        return self._own(Detections(on, on, unknown), unknown, samples, lead)

    def _own(
        self,
        found: Detections,
        duration: npt.NDArray[np.float64],
        samples: npt.NDArray[np.float32],
        lead: int,
    ) -> FoundEvents:
        """Those whose windows begin in the segment, with their properties."""
        near = (found.on >= self.earliest) & (found.on < self.latest)
        found, duration = found[near], duration[near]
        first, peak, peak_power = self._place(found.on, samples, lead)
        chosen = np.flatnonzero((first >= 0) & (first < self._grid.samples_per_segment))
        # Two detections closer than a window may be centred on one peak: one event.
        chosen = chosen[np.unique(first[chosen], return_index=True)[1]]
        kept = chosen[strongest(found.value[chosen], self._windows.max_events)]
        values = {
            "detected": (found.on - first) / self._grid.sampling_rate_hz,
            "duration": duration,
            "value": found.value,
            "peak": peak,
            "peak_power": peak_power,
            "dropped": np.full(len(found), len(chosen) - len(kept)),
        }
        properties = np.stack([np.asarray(values[name], np.float32)[kept] for name in PROPERTIES], axis=1)
        return FoundEvents(first[kept], properties, len(chosen) - len(kept))

    def _place(
        self, on: npt.NDArray[np.int64], samples: npt.NDArray[np.float32], lead: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """First sample of each window; the peak's time after it and power, NaN where none is looked for."""
        unknown = np.full(on.size, np.nan)
        if self._power is None:
            return on - self._before, unknown, unknown
        first, power = np.empty_like(on), unknown
        for index, place in enumerate(on.tolist()):
            begin = max(0, place - self._back + lead)
            frames = self._power(samples[begin : place + lead + self._span + self._grid.nperseg])
            total = frames.sum(axis=1, dtype=np.float64)
            # A record that ends before one frame is full has no peak: the window begins half of it earlier.
            best = int(np.argmax(total)) if total.size else 0
            first[index] = begin - lead + best * self._grid.hop - self._half
            power[index] = 10 * math.log10(total[best]) if total.size and total[best] > 0 else np.nan
        centre_s = (self._half + self._grid.nperseg / 2) / self._grid.sampling_rate_hz
        return first, np.where(np.isnan(power), np.nan, centre_s), power
