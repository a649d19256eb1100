"""When what an origin sends out arrives at a station: by TauP, or at a constant speed along the surface."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from scaledec.archive.catalog import Entry, Hypocentre
from scaledec.archive.stations import Stations
from scaledec.errors import ArchiveError
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId, format_time

__all__ = ["DEFAULT_DEPTH_KM", "OriginArrivals", "TravelTimeKind", "TravelTimes", "distance_deg"]

TravelTimeKind: TypeAlias = Literal["P", "S"]

DEFAULT_DEPTH_KM = 10.0
"""Of origins whose depth is not told."""

_EARTH_RADIUS_KM = 6371.0
_FLATTENING = 1 / 298.257223563  # WGS84
# Sources this close in depth share a curve: it moves an arrival by a hundredth of a second at most.
_DEPTH_STEP_KM = 0.1
_CURVES_KEPT = 4096

_Curve: TypeAlias = "tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]"
"""Ends of rays that follow one another: distances in degrees and times in seconds, each shape (piece, 2)."""


def distance_deg(
    latitude: npt.ArrayLike, longitude: npt.ArrayLike, other_latitude: float, other_longitude: float
) -> npt.NDArray[np.float64]:
    """Angles at the centre of the Earth between places and another one, in degrees, shape (place,).

    Geographic latitudes are taken to geocentric ones first, as travel time models are spheres.
    """
    squeeze = (1 - _FLATTENING) ** 2
    lat_1, lat_2 = (
        np.arctan(squeeze * np.tan(np.radians(np.asarray(value, np.float64))))
        for value in (latitude, other_latitude)
    )
    d_lon = np.radians(np.asarray(longitude, np.float64) - other_longitude)
    # Vincenty's form on a sphere is exact for near and for opposite places alike.
    across = np.hypot(
        np.cos(lat_2) * np.sin(d_lon),
        np.cos(lat_1) * np.sin(lat_2) - np.sin(lat_1) * np.cos(lat_2) * np.cos(d_lon),
    )
    along = np.sin(lat_1) * np.sin(lat_2) + np.cos(lat_1) * np.cos(lat_2) * np.cos(d_lon)
    return np.asarray(np.degrees(np.arctan2(across, along)))


class TravelTimes:
    """Seconds from an origin to the first arrival of a kind.

    Parameters
    ----------
    kind
        ``P`` or ``S``: the first of what TauP calls ``ttp`` and ``tts`` (diffracted phases and those through
        the core included). A number: a wave that runs along the surface at so many km/s.
    model
        Of the Earth, one that ObsPy brings: ``iasp91``, ``ak135``, ``prem``.

    Notes
    -----
    For each depth the rays that TauP shoots are computed once; an arrival is interpolated between
    neighbouring rays, which is within 0.05 s of what ``TauPyModel.get_travel_times`` finds by shooting more.
    """

    def __init__(self, kind: TravelTimeKind | float, model: str = "iasp91") -> None:
        self._kind = kind
        self._model = model
        self._curve = functools.lru_cache(_CURVES_KEPT)(self._rays)

    @property
    def longest_s(self) -> float:
        """No arrival is later."""
        if isinstance(self._kind, str):
            return 3600.0
        return np.pi * _EARTH_RADIUS_KM / self._kind

    def seconds(self, depth_km: npt.ArrayLike, distance: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Of origins at depths and distances in degrees, shape (origin,); NaN where nothing arrives."""
        degrees = np.atleast_1d(np.asarray(distance, np.float64))
        if not isinstance(self._kind, str):
            return np.asarray(np.radians(degrees) * _EARTH_RADIUS_KM / self._kind)
        steps = np.rint(np.maximum(np.asarray(depth_km, np.float64), 0.0) / _DEPTH_STEP_KM).astype(np.int64)
        found = np.empty_like(degrees)
        for step in np.unique(steps).tolist():
            here = steps == step
            found[here] = _first_arrival(self._curve(step), degrees[here])
        return found

    def _rays(self, step: int) -> _Curve:
        """All rays of the kind from one depth."""
        parse_phase_list, seismic_phase = _taup()
        earth = _load_model(self._model).depth_correct(step * _DEPTH_STEP_KM)
        pieces: list[npt.NDArray[np.float64]] = []
        for name in parse_phase_list(["ttp" if self._kind == "P" else "tts"]):
            phase = seismic_phase(name, earth)
            rays = np.stack([np.degrees(phase.dist), phase.time], axis=-1)
            pieces += [np.stack([rays[:-1], rays[1:]], axis=1)] if len(rays) > 1 else []
        joined = np.concatenate(pieces)  # (piece, end, distance and time)
        return joined[..., 0], joined[..., 1]


class OriginArrivals:
    """When origins arrive at channels, by where their stations stood then: what a catalogue asks for.

    Parameters
    ----------
    travel
        From an origin's place to a station's.
    stations
        Coordinates of channels.
    span_ns
        The time that is wanted: origins that cannot arrive in it are left out.
    """

    def __init__(self, travel: TravelTimes, stations: Stations, span_ns: tuple[int, int]) -> None:
        self._travel, self._stations = travel, stations
        self._first_ns = span_ns[0] - round(travel.longest_s * NANOSECONDS_PER_SECOND)
        self._end_ns = span_ns[1]

    def check(self, origins: Iterable[Entry]) -> None:
        """Raise ``ArchiveError`` if one that may arrive in the wanted time has no coordinates."""
        for origin in origins:
            if self._may_arrive(origin) and origin.hypocentre is None:
                raise ArchiveError(
                    f"the origin of {format_time(origin.time_ns)} has no latitude and longitude: "
                    "windows.catalog.travel_time needs them; add them to the catalogue, or set it to none"
                )

    def __call__(self, channel: ChannelId, origins: Sequence[Entry]) -> npt.NDArray[np.int64]:
        """Arrivals at a channel; none where its coordinates, or those of the origin, are not known."""
        by_place: dict[tuple[float, float], list[tuple[int, Hypocentre]]] = {}
        for origin in origins:
            if not self._may_arrive(origin) or origin.hypocentre is None:
                continue
            epoch = self._stations.epoch(channel, origin.time_ns)
            if epoch is not None:
                place = epoch.latitude, epoch.longitude
                by_place.setdefault(place, []).append((origin.time_ns, origin.hypocentre))
        arrivals = [self._at(place, found) for place, found in by_place.items()]
        return np.concatenate([np.empty(0, np.int64), *arrivals])

    def _may_arrive(self, origin: Entry) -> bool:
        return self._first_ns <= origin.time_ns < self._end_ns

    def _at(
        self, place: tuple[float, float], found: Sequence[tuple[int, Hypocentre]]
    ) -> npt.NDArray[np.int64]:
        times_ns = np.array([time_ns for time_ns, _ in found], np.int64)
        hypocentres = [hypocentre for _, hypocentre in found]
        degrees = distance_deg(
            [hypocentre.latitude for hypocentre in hypocentres],
            [hypocentre.longitude for hypocentre in hypocentres],
            *place,
        )
        depths = [DEFAULT_DEPTH_KM if h.depth_km is None else h.depth_km for h in hypocentres]
        seconds = self._travel.seconds(depths, degrees)
        arrives = np.isfinite(seconds)
        return times_ns[arrives] + np.rint(seconds[arrives] * NANOSECONDS_PER_SECOND).astype(np.int64)


def _first_arrival(curve: _Curve, degrees: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The earliest time among the rays that come up at each distance, the short way or the long way round."""
    ends, times = curve
    low, high = ends.min(axis=1), ends.max(axis=1)
    width = np.where(high > low, ends[:, 1] - ends[:, 0], 1.0)
    slope = np.where(high > low, (times[:, 1] - times[:, 0]) / width, 0.0)
    found = np.full(len(degrees), np.inf)
    for index, place in enumerate(degrees.tolist()):
        for way in (place, 360.0 - place):
            here = (low <= way) & (way <= high)
            if here.any():
                arrivals = times[here, 0] + slope[here] * (way - ends[here, 0])
                found[index] = min(found[index], float(arrivals.min()))
    found[np.isinf(found)] = np.nan
    return found


@functools.lru_cache(maxsize=4)
def _load_model(name: str) -> Any:
    with warnings.catch_warnings():
        # It lists its plugins in a way that newer Python versions deprecate, when it is first imported.
        warnings.simplefilter("ignore")
        from obspy.taup import TauPyModel
    return TauPyModel(name).model


@functools.lru_cache(maxsize=1)
def _taup() -> tuple[Callable[[Sequence[str]], Iterator[str]], Callable[[str, Any], Any]]:
    from obspy.taup.seismic_phase import SeismicPhase
    from obspy.taup.utils import parse_phase_list

    return parse_phase_list, SeismicPhase
