"""What a segment of an event cube depends on beside its own objects: the channel that detects, the catalogue.

Told from listings and the catalogue alone, so that every process plans the same and a change of either
redoes exactly the segments it touches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaledec.archive.catalog import Catalog, read_catalog
from scaledec.archive.listing import Listing, Neighbourhood
from scaledec.archive.stations import Stations
from scaledec.archive.travel_times import OriginArrivals, TravelTimes
from scaledec.config import Config
from scaledec.grid import EventGrid, SpectrogramGrid
from scaledec.location import Location
from scaledec.stages.event_finder import EventFinder
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId

__all__ = ["NO_OTHER_INPUTS", "EventInputs", "OtherInputs"]


@dataclass(frozen=True, slots=True)
class OtherInputs:
    """What one task needs beside its own objects."""

    digest: bytes
    """Of everything here; part of the task's fingerprint. Empty where there is nothing."""
    fields: Mapping[str, Any]
    """Of the task."""


NO_OTHER_INPUTS = OtherInputs(b"", {})


class EventInputs:
    """Gives each task of an event cube its other inputs; asked channel by channel."""

    def __init__(
        self,
        config: Config,
        listing: Listing,
        catalog: Catalog | None,
        start_ns: int,
        unlocated: Sequence[ChannelId] = (),
    ) -> None:
        self.unlocated = tuple(unlocated)
        """Channels that have no window at any origin, as nobody says where they stand."""
        self._listing, self._catalog = listing, catalog
        self._start_ns, self._segment_ns = start_ns, config.spectrogram_grid.segment_ns
        self._by_station = config.windows.mode == "triggered" and config.windows.detector.by == "station"
        windows = config.window_grid
        assert isinstance(windows, EventGrid)
        grid = config.spectrogram_grid
        assert isinstance(grid, SpectrogramGrid)
        finder = EventFinder(config.windows, windows, grid, None)
        rate = grid.sampling_rate_hz
        # A sample more on each side: a pick is moved to the nearest one.
        self._reach_ns = (
            round((finder.earliest - 1) / rate * NANOSECONDS_PER_SECOND),
            round((finder.latest + 1) / rate * NANOSECONDS_PER_SECOND),
        )
        self._station = ""
        self._near: dict[ChannelId, dict[int, Neighbourhood]] = {}
        self._digests: dict[ChannelId, Sequence[bytes]] = {}

    @classmethod
    def of_config(
        cls, config: Config, listing: Listing, stations: Stations | None, start_ns: int
    ) -> EventInputs:
        """With the catalogue read; ``ArchiveError`` if it cannot be, or tells too little."""
        settings = config.windows.catalog
        if config.windows.mode != "catalog" or settings.url is None:
            return cls(config, listing, None, start_ns)
        catalog = read_catalog(Location(settings.url, settings.storage_options), settings.phase)
        if settings.travel_time == "none" or not catalog.origins:
            return cls(config, listing, catalog, start_ns)
        assert stations is not None, "refused by the configuration"
        travel = TravelTimes(settings.travel_time, settings.travel_time_model)
        segment_ns = config.spectrogram_grid.segment_ns
        span_ns = listing.span[0] - segment_ns, listing.span[1] + 2 * segment_ns
        arrivals = OriginArrivals(travel, stations, span_ns)
        arrivals.check(catalog.origins)
        unlocated = [c for c in listing.channels if stations.epoch(c, listing.span[0]) is None]
        return cls(config, listing, catalog.arriving(arrivals), start_ns, unlocated)

    def of(self, channel: ChannelId, time_index: int) -> OtherInputs:
        """The other inputs of one segment; quickest when asked for station by station."""
        if self._catalog is not None:
            return self._picked(channel, time_index)
        return self._detecting(channel, time_index) if self._by_station else NO_OTHER_INPUTS

    def _picked(self, channel: ChannelId, time_index: int) -> OtherInputs:
        assert self._catalog is not None
        begin_ns = self._start_ns + time_index * self._segment_ns
        times_ns = self._catalog.times_ns(channel)
        early, late = begin_ns + self._reach_ns[0], begin_ns + self._reach_ns[1]
        first, stop = np.searchsorted(times_ns, [early, late])
        near = times_ns[first:stop]
        digest = hashlib.blake2b(near.tobytes(), digest_size=8).digest() if len(near) else b""
        return OtherInputs(digest, {"times_ns": tuple(near.tolist())})

    def _detecting(self, channel: ChannelId, time_index: int) -> OtherInputs:
        """The first channel of the station, vertical ones before others, with an object of the segment."""
        self._look_at(channel.station_key)
        for other, near in self._near.items():
            here = near.get(time_index)
            if here is None or not here.own:
                continue
            if other == channel:
                break
            numbers = (*here.before, *here.own, *here.after)
            digests = self._digests[other]
            text = str(other).encode() + b"".join(digests[number] for number in numbers)
            fields = {
                "detect_on": other,
                "detect_objects": tuple(self._listing.object(other, number) for number in numbers),
                "detect_neighbours": (len(here.before), len(here.after)),
            }
            return OtherInputs(hashlib.blake2b(text, digest_size=8).digest(), fields)
        return NO_OTHER_INPUTS

    def _look_at(self, station: str) -> None:
        """Keep what lies near the segments of one station's channels; stations come one after another."""
        if self._station == station:
            return
        self._station = station
        channels = [channel for channel in self._listing.channels if channel.station_key == station]
        channels.sort(key=lambda channel: (not channel.channel.endswith("Z"), channel))
        end_ns = self._listing.span[1]
        n_segments = max(0, -(-(end_ns - self._start_ns) // self._segment_ns))
        self._near = {
            channel: {
                near.time_index: near
                for near in self._listing.neighbourhoods(
                    channel, self._start_ns, self._segment_ns, range(n_segments)
                )
            }
            for channel in channels
        }
        self._digests = {channel: self._listing.digests(channel) for channel in channels}
