"""Windows that show what a cluster is, from its centroid outwards, read from cube and archive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scaledec.report.gather.reservoir import ClusterSample
from scaledec.report.gather.waveforms import Waveform, WaveformReader
from scaledec.stages.sensors import Components
from scaledec.stages.window_reader import WindowReader, open_windows
from scaledec.store.cube import CubeStore
from scaledec.store.event_cube import EventCubeStore
from scaledec.store.labels import LabelStore
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId

__all__ = ["PERCENTILES", "Example", "ExampleReader", "outwards"]

PERCENTILES = (0, 10, 25, 50, 75, 90)
"""Of the distances of a cluster's windows: those that a gallery shows."""


@dataclass(frozen=True, slots=True)
class Example:
    """One window of a cluster."""

    channel: ChannelId
    start_ns: int
    distance: float
    power: npt.NDArray[Any]
    """Shape ([plane,] frame, frequency); NaN where the cube has it no more."""
    waveform: Waveform | None


def outwards(sample: ClusterSample, percentiles: Sequence[int] = PERCENTILES) -> npt.NDArray[np.int64]:
    """Positions in a sample, by distance, of the windows at these percentiles; each once."""
    n = len(sample.distance)
    places = np.round(np.asarray(percentiles) / 100 * (n - 1)).astype(np.int64)
    return np.unique(places) if n else np.empty(0, np.int64)


class ExampleReader:
    """Reads single windows.

    Parameters
    ----------
    labels, cube
        Of the same root; without a cube there is no power to show.
    waveforms
        Where raw samples are cut; ``None``: nowhere.
    """

    def __init__(
        self,
        labels: LabelStore,
        cube: CubeStore | EventCubeStore | None,
        waveforms: WaveformReader | None,
    ) -> None:
        self._labels, self._waveforms = labels, waveforms
        stacked = labels.components
        self._components = None if stacked is None else Components.from_json(stacked)
        self._reader: WindowReader | None = None
        self._place: Callable[[int], int] = lambda channel: channel
        if cube is not None:
            self._reader = open_windows(cube, labels.windows, self._components)
            if self._components is None:
                self._place = lambda channel: cube.channel_index(labels.extent.channels[channel])

    def read(self, sample: ClusterSample, position: int) -> Example:
        """The window at a position of a sample."""
        channel, start_ns = int(sample.channel[position]), int(sample.start_ns[position])
        return Example(
            self._labels.extent.channels[channel],
            start_ns,
            float(sample.distance[position]),
            self._power(channel, start_ns),
            self._waveform(self._labels.extent.channels[channel], start_ns),
        )

    def _power(self, channel: int, start_ns: int) -> npt.NDArray[Any]:
        labels = self._labels
        planes = (len(labels.planes),) if labels.planes else ()
        empty = np.full((*planes, labels.windows.length, labels.grid.n_frequencies), np.nan, np.float32)
        if self._reader is None:
            return empty
        segment = (start_ns - labels.extent.start_ns) // labels.grid.segment_ns
        number = np.flatnonzero(labels.start_ns(channel, segment, segment + 1)[0] == start_ns)[:1]
        _, power = self._reader.read(self._place(channel), segment, number, 1)
        return power[0] if len(power) else empty

    def _waveform(self, channel: ChannelId, start_ns: int) -> Waveform | None:
        if self._waveforms is None:
            return None
        length_ns = round(self._labels.windows.length_s * NANOSECONDS_PER_SECOND)
        for one in self._single_channels(channel):
            found = self._waveforms.read(one, start_ns, start_ns + length_ns)
            if found is not None:
                return found
        return None

    def _single_channels(self, channel: ChannelId) -> list[ChannelId]:
        """Of a sensor the channels of its first plane, which may have one of several codes."""
        if self._components is None:
            return [channel]
        codes = self._components.planes[0].split("/")
        return [
            ChannelId(channel.network, channel.station, channel.location, channel.channel[:-1] + code)
            for code in codes
        ]
