"""Small StationXML documents, written by ObsPy."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from obspy import UTCDateTime
from obspy.core.inventory import Channel, Inventory, Network, Response, Station
from obspy.core.inventory.response import InstrumentSensitivity

from scaledec.vocabulary import ChannelId

CHANNEL = ChannelId("XX", "AAA", "00", "BHZ")


@dataclass(frozen=True)
class Epoch:
    """What a test says of an epoch."""

    channel: ChannelId = CHANNEL
    start: str = "2000-01-01"
    end: str | None = None
    latitude: float = 35.5
    response: Response | None = None


def geophone(counts: float = 4e8, corner_hz: float = 1.0) -> Response:
    """A velocity sensor with a corner, 0.707 critical damping, and a digitiser without filters."""
    corner = 2 * np.pi * corner_hz
    poles = [corner * (-0.7071 + 0.7071j), corner * (-0.7071 - 0.7071j)]
    # The frequency at which the gain is told lies in the flat part.
    return Response.from_paz(
        [0j, 0j],
        poles,
        stage_gain=counts,
        stage_gain_frequency=20 * corner_hz,
        input_units="M/S",
        output_units="COUNTS",
        normalization_frequency=20 * corner_hz,
    )


def sensitivity_alone(counts: float = 1e6, units: str = "M/S") -> Response:
    """A response without stages."""
    return Response(instrument_sensitivity=InstrumentSensitivity(counts, 1.0, units, "COUNTS"))


def station_xml(epochs: Sequence[Epoch]) -> bytes:
    """The StationXML document of some epochs."""
    networks: dict[str, dict[str, list[Channel]]] = {}
    for epoch in epochs:
        station = networks.setdefault(epoch.channel.network, {}).setdefault(epoch.channel.station, [])
        station.append(_channel(epoch))
    inventory = Inventory(
        source="tests",
        networks=[
            Network(
                network,
                stations=[
                    Station(name, own[0].latitude, -117.25, 892.0, channels=own)
                    for name, own in stations.items()
                ],
            )
            for network, stations in networks.items()
        ],
    )
    document = io.BytesIO()
    inventory.write(document, format="STATIONXML")
    return document.getvalue()


def _channel(epoch: Epoch) -> Any:
    return Channel(
        epoch.channel.channel,
        epoch.channel.location,
        latitude=epoch.latitude,
        longitude=-117.25,
        elevation=892.0,
        depth=1.1,
        azimuth=0.0,
        dip=-90.0,
        sample_rate=10.0,
        start_date=UTCDateTime(epoch.start),
        end_date=None if epoch.end is None else UTCDateTime(epoch.end),
        response=epoch.response,
    )
