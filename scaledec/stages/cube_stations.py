"""What station metadata decides in a plan: which segments there are to compute, and with which responses."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from scaledec.archive.stations import Stations
from scaledec.config import Config, cube_fingerprint, hash_json
from scaledec.grid import EventGrid, Grid, SpectrogramGrid, Windows
from scaledec.vocabulary import (
    NANOSECONDS_PER_SECOND,
    ChannelId,
    ResponseSpan,
    format_time,
)

__all__ = ["OutsideEpochs", "StationRules", "channel_coordinates", "rules_of"]


@dataclass(frozen=True, slots=True)
class OutsideEpochs:
    """Segments of a channel for which the archive lists objects, outside every operating epoch."""

    channel: ChannelId
    n_segments: int
    start_ns: int
    """Of the first of them."""
    end_ns: int
    """Of the last of them."""

    def __str__(self) -> str:
        return (
            f"{self.n_segments} segments from {format_time(self.start_ns)} to {format_time(self.end_ns)} "
            "lie outside every operating epoch of the channel and are not planned; correct the station "
            "metadata or the names in the archive"
        )


class StationRules:
    """Answers for each segment of a plan; without metadata every segment is planned.

    Parameters
    ----------
    stations
        The metadata, or ``None``.
    grid
        Of the cube.
    windows
        Of the same configuration: those of events reach further out of a segment than its frames.
    cube_fingerprint
        Of the settings that all tasks share.
    removes_response
        Whether tasks need responses.
    """

    def __init__(
        self,
        stations: Stations | None,
        grid: Grid,
        windows: Windows,
        cube_fingerprint: str,
        *,
        removes_response: bool,
    ) -> None:
        self._stations = stations
        self._segment_ns = grid.segment_ns
        self._removes_response = removes_response
        self._reach_ns = grid.segment_ns + _tail_ns(grid, windows)
        self._cube_fingerprint = cube_fingerprint
        # The same responses hold over thousands of segments.
        self._hash = functools.cache(self._hash_settings)
        self._outside: dict[ChannelId, OutsideEpochs] = {}

    def plans(self, channel: ChannelId, start_ns: int, *, has_own: bool) -> bool:
        """Whether to plan a segment: not where it lies wholly outside the channel's epochs.

        Segments for which the archive lists objects of their own time (``has_own``) are kept in mind in
        ``outside``; others only had a neighbour that might have run over.
        """
        end_ns = start_ns + self._segment_ns
        if self._stations is None or self._stations.operates(channel, start_ns, end_ns):
            return True
        if has_own:
            before = self._outside.get(channel)
            n_before, first_ns = (0, start_ns) if before is None else (before.n_segments, before.start_ns)
            self._outside[channel] = OutsideEpochs(channel, n_before + 1, first_ns, end_ns)
        return False

    @property
    def outside(self) -> tuple[OutsideEpochs, ...]:
        """What was not planned although the archive lists it."""
        return tuple(self._outside.values())

    def responses(self, channel: ChannelId, start_ns: int) -> tuple[ResponseSpan, ...]:
        """What a task must know of responses: those of its segment and of its last frames or windows."""
        if self._stations is None or not self._removes_response:
            return ()
        return self._stations.responses(channel, start_ns, start_ns + self._reach_ns)

    def settings(self, responses: tuple[ResponseSpan, ...], start_ns: int) -> str:
        """First part of a task's fingerprint: the cube's settings, and which responses hold from where to
        where inside the task's reach.
        """
        if not responses:
            return self._cube_fingerprint[:8]
        return self._hash(
            tuple(
                (
                    span.response,
                    max(span.start_ns - start_ns, 0),
                    min(span.end_ns - start_ns, self._reach_ns),
                )
                for span in responses
                if span.response is not None
            )
        )

    def _hash_settings(self, decisive: tuple[tuple[str, int, int], ...]) -> str:
        whole = hash_json([self._cube_fingerprint, decisive]) if decisive else self._cube_fingerprint
        return whole[:8]


def _tail_ns(grid: Grid, windows: Windows) -> int:
    """How far beyond its segment a task uses samples: its last frames', or a window's at its last sample."""
    if not isinstance(grid, SpectrogramGrid):
        return 0
    tail = windows.n_samples(grid) if isinstance(windows, EventGrid) else grid.tail_samples
    return round(tail / grid.sampling_rate_hz * NANOSECONDS_PER_SECOND)


def rules_of(config: Config, stations: Stations | None) -> StationRules:
    """The rules of a configuration."""
    removes = config.spectrogram.response is not None
    fingerprint = cube_fingerprint(config)
    grid, windows = config.spectrogram_grid, config.window_grid
    return StationRules(stations, grid, windows, fingerprint, removes_response=removes)


def channel_coordinates(
    stations: Stations, channels: Iterable[ChannelId], time_ns: int
) -> dict[str, dict[ChannelId, float]]:
    """Latitude, longitude and elevation_m of the channels that are known, where they stood at an instant."""
    epochs = {channel: stations.epoch(channel, time_ns) for channel in channels}
    found = {channel: epoch for channel, epoch in epochs.items() if epoch is not None}
    return {
        "latitude": {channel: epoch.latitude for channel, epoch in found.items()},
        "longitude": {channel: epoch.longitude for channel, epoch in found.items()},
        "elevation_m": {channel: epoch.elevation_m for channel, epoch in found.items()},
    }
