"""Arrivals of origins at stations, against ObsPy's TauP and closed forms."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from scaledec.archive.catalog import Catalog, Entry, Hypocentre
from scaledec.archive.stations import Epoch, Stations
from scaledec.archive.travel_times import OriginArrivals, TravelTimeKind, TravelTimes, distance_deg
from scaledec.errors import ArchiveError
from scaledec.vocabulary import ChannelId

with warnings.catch_warnings():
    # ObsPy 1.5 lists its plugins in a way that Python 3.11 deprecates, when it is first imported.
    warnings.simplefilter("ignore")
    from obspy.geodetics import gps2dist_azimuth
    from obspy.taup import TauPyModel

CHANNEL = ChannelId.parse("XX.AAA..HHZ")
ALWAYS = (0, 10**19)


def station(latitude: float, longitude: float, start_ns: int = 0, end_ns: int = 2**62) -> Epoch:
    return Epoch(CHANNEL, start_ns, end_ns, latitude, longitude, 0.0, 0.0, None, None, 100.0)


@pytest.mark.parametrize(
    ("kind", "phases", "model"), [("P", "ttp", "iasp91"), ("S", "tts", "iasp91"), ("P", "ttp", "ak135")]
)
def test_first_arrivals_are_those_of_taup(kind: TravelTimeKind, phases: str, model: str) -> None:
    rng = np.random.default_rng(3)
    taup, ours = TauPyModel(model), TravelTimes(kind, model)
    # At the epicentre, near, at the core's shadow, opposite; at the surface and deep.
    degrees = [
        0.0,
        0.02,
        *rng.uniform(0, 3, 4),
        *rng.uniform(3, 30, 4),
        *rng.uniform(30, 180, 5),
        103.0,
        180.0,
    ]
    for depth_km in (0.0, 8.3, 412.6):
        found = ours.seconds([depth_km] * len(degrees), degrees)
        expected = [taup.get_travel_times(depth_km, place, [phases])[0].time for place in degrees]
        np.testing.assert_allclose(found, expected, atol=0.06)


def test_a_constant_speed_runs_along_the_surface() -> None:
    found = TravelTimes(3.0).seconds([5.0, 600.0], [10.0, 180.0])
    np.testing.assert_allclose(found, [math.radians(10) * 6371 / 3, math.pi * 6371 / 3])


def test_distances_are_those_on_the_ellipsoid() -> None:
    rng = np.random.default_rng(1)
    latitude, longitude = rng.uniform(-89, 89, 60), rng.uniform(-180, 180, 60)
    found = distance_deg(latitude, longitude, 35.5, -117.25)
    expected = [
        gps2dist_azimuth(la, lo, 35.5, -117.25)[0] for la, lo in zip(latitude, longitude, strict=True)
    ]
    np.testing.assert_allclose(np.radians(found) * 6371e3, expected, rtol=4e-3)
    # Near places, where cancellation would show.
    near = distance_deg([35.5, 35.501], [-117.25, -117.25], 35.5, -117.25)
    assert near[0] == 0
    assert near[1] == pytest.approx(0.001, rel=0.01)


def test_an_origin_arrives_where_the_station_stood_at_that_time() -> None:
    origins = [Entry(time * 10**9, hypocentre=Hypocentre(0.0, 0.0, 10.0)) for time in (1_000, 50_000)]
    stations = Stations([station(0, 1, end_ns=20_000 * 10**9), station(0, 5, 20_000 * 10**9)], "XX.xml")
    catalog = Catalog(origins).arriving(OriginArrivals(TravelTimes("P"), stations, ALWAYS))
    taup = TauPyModel("iasp91")
    after_s = catalog.times_ns(CHANNEL) / 1e9 - [1_000, 50_000]
    expected = [taup.get_travel_times(10.0, degrees, ["ttp"])[0].time for degrees in (1, 5)]
    np.testing.assert_allclose(after_s, expected, atol=0.05)
    assert not len(catalog.times_ns(ChannelId.parse("XX.BBB..HHZ")))


def test_origins_that_cannot_arrive_in_the_wanted_time_need_no_coordinates() -> None:
    stations = Stations([station(0, 1)], "XX.xml")
    arrive = OriginArrivals(TravelTimes("S"), stations, (10**15, 2 * 10**15))
    early, late = Entry(10**14), Entry(3 * 10**15)
    arrive.check([early, late])
    assert not len(arrive(CHANNEL, [early, late]))
    with pytest.raises(ArchiveError, match=r"the origin of 1970-01-18.* has no latitude and longitude"):
        arrive.check([Entry(15 * 10**14)])
