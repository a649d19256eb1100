"""When what an event sends out is at a station: the interval of time that belongs to it there."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from scaledec.archive.event_list import SeismicEvent
from scaledec.archive.travel_times import DEFAULT_DEPTH_KM, TravelTimes, distance_deg
from scaledec.errors import ConfigError
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId

__all__ = ["Arrivals", "Bound", "Intervals"]

Times: TypeAlias = npt.NDArray[np.int64]
Intervals: TypeAlias = tuple[Times, Times, Times]
"""Numbers of events, and begins and ends in nanoseconds of UTC."""
Phase: TypeAlias = Literal["origin", "P", "S"]

_BOUND = re.compile(r"^\s*(origin|P|S)?\s*([+-]?\s*\d+(?:\.\d+)?)?\s*$")
_KM_PER_DEGREE = 111.195  # of a sphere of 6371 km


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of the interval: so many seconds after the origin or an arrival.

    Examples
    --------
    >>> Bound.parse("P-2")
    Bound(phase='P', seconds=-2.0)
    """

    phase: Phase
    seconds: float

    @classmethod
    def parse(cls, text: str) -> Bound:
        """Read ``P-2``, ``S+30``, ``origin+60``, ``P`` or ``60``; ``ConfigError`` for anything else."""
        found = _BOUND.match(text)
        if found is None or not text.strip():
            raise ConfigError(
                f"{text!r} is no end of an interval; expected seconds after the origin or an arrival: "
                "60, origin+60, P-2, S+30"
            )
        phase, seconds = found.groups()
        return cls(cast("Phase", phase or "origin"), float((seconds or "0").replace(" ", "")))


class Arrivals:
    """The interval of each event at a channel, from one :class:`Bound` to another.

    Parameters
    ----------
    events
        The events.
    bounds
        Begin and end of the interval.
    places
        Latitude and longitude of channels; NaN where they are not known.
    velocities_km_s
        Of straight rays, by phase; the others are TauP's.
    model
        Earth model of TauP.
    max_distance_km
        Of the station from the epicentre.
    """

    def __init__(
        self,
        events: Sequence[SeismicEvent],
        bounds: tuple[Bound, Bound],
        places: Mapping[ChannelId, Sequence[float]],
        *,
        velocities_km_s: Mapping[str, float],
        model: str,
        max_distance_km: float | None,
    ) -> None:
        self._time_ns = np.array([event.time_ns for event in events], np.int64)
        self._latitude = np.array([event.latitude for event in events])
        self._longitude = np.array([event.longitude for event in events])
        self._depth_km = np.array([event.depth_km for event in events])
        self._bounds, self._places = bounds, places
        self._velocities, self._model, self._max_km = velocities_km_s, model, max_distance_km
        self._needs_places = max_distance_km is not None or any(b.phase != "origin" for b in bounds)
        self._travel: dict[str, TravelTimes] = {}
        self._at: dict[tuple[float, ...], Intervals] = {}
        unknown = int(np.count_nonzero(np.isnan(self._latitude)))
        if self._needs_places and unknown:
            raise ConfigError(
                f"{unknown} events have no latitude and longitude, which arrivals and distances need: count "
                "seconds from the origin (since: 0, until: 60), without a distance"
            )

    def at(self, channel: ChannelId) -> Intervals:
        """Numbers of the events that have an interval there, and its begins and ends in nanoseconds."""
        place = tuple(self._places[channel]) if self._needs_places else ()
        if any(map(math.isnan, place)):
            raise ConfigError(
                f"{channel} has no coordinates, which arrivals and distances need: set archive.stationxml "
                "and run cube and label again, or count seconds from the origin, without a distance"
            )
        if place not in self._at:
            self._at[place] = self._intervals(place)
        return self._at[place]

    def _intervals(self, place: tuple[float, ...]) -> Intervals:
        degrees = np.zeros(len(self._time_ns))
        if place:
            degrees = distance_deg(self._latitude, self._longitude, *place)
        begin_s, end_s = (bound.seconds + self._seconds(bound.phase, degrees) for bound in self._bounds)
        # NaN where nothing arrives; an S that comes before P + 30 s leaves no interval.
        meets = end_s > begin_s
        if self._max_km is not None:
            meets &= degrees * _KM_PER_DEGREE <= self._max_km
        number = np.flatnonzero(meets)
        return number, self._instants(number, begin_s), self._instants(number, end_s)

    def _instants(self, number: Times, seconds: npt.NDArray[np.float64]) -> Times:
        after = np.rint(seconds[number] * NANOSECONDS_PER_SECOND).astype(np.int64)
        return np.asarray(self._time_ns[number] + after)

    def _seconds(self, phase: Phase, degrees: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """From origin to arrival."""
        if phase == "origin":
            return np.zeros(len(degrees))
        depth_km = np.where(np.isnan(self._depth_km), DEFAULT_DEPTH_KM, self._depth_km)
        if phase in self._velocities:
            return np.asarray(np.hypot(degrees * _KM_PER_DEGREE, depth_km) / self._velocities[phase])
        if phase not in self._travel:
            self._travel[phase] = TravelTimes(phase, self._model)
        return self._travel[phase].seconds(depth_km, degrees)
