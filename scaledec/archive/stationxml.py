"""StationXML to epochs, read through ObsPy."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from scaledec.archive.responses import ResponseRequest, is_gain_only
from scaledec.archive.stations import OPEN_END_NS, Epoch
from scaledec.errors import UnreadableInputError
from scaledec.vocabulary import ChannelId

__all__ = ["KeepGain", "Wanted", "read_stationxml"]

KeepGain: TypeAlias = Callable[[npt.NDArray[np.float64]], str]
"""Stores a gain (frequency,) and returns its name."""
Wanted: TypeAlias = Callable[[Epoch], bool]
"""Whether the response of an epoch is wanted."""

_MOST_TEXT = 200


def read_stationxml(
    data: bytes, name: str, request: ResponseRequest | None, wanted: Wanted, keep: KeepGain
) -> tuple[Epoch, ...]:
    """Epochs of every channel in a StationXML document, in its order.

    Parameters
    ----------
    data
        The document; no bytes stand for no stations (an FDSN service's answer to that).
    name
        Of the document, for messages.
    request
        The gains asked for; ``None``: none.
    wanted, keep
        Which epochs' responses to evaluate, and what to do with the gains.

    Raises
    ------
    UnreadableInputError
        If it is no StationXML.
    """
    if not data:
        return ()
    inventory = _parse(data, name, "channel" if request is None else "response")
    return tuple(
        _with_response(epoch, channel.response, request, keep)
        if request is not None and wanted(epoch)
        else epoch
        for epoch, channel in _epochs(inventory)
    )


def _parse(data: bytes, name: str, level: str) -> Any:
    with warnings.catch_warnings():
        # ObsPy warns about its own plugins, and about odd values of documents that it reads all the same.
        warnings.simplefilter("ignore")
        from obspy import read_inventory

        try:
            return read_inventory(io.BytesIO(data), format="STATIONXML", level=level)
        except Exception as error:  # lxml and ObsPy raise whatever a damaged document makes them
            reason = str(error)[:_MOST_TEXT]
            raise UnreadableInputError(
                f"{name} is no StationXML that ObsPy can read: {type(error).__name__}: {reason}"
            ) from error


def _epochs(inventory: Any) -> Iterator[tuple[Epoch, Any]]:
    for network in inventory:
        for station in network:
            for channel in station:
                ends = (channel.end_date, station.end_date, network.end_date)
                epoch = Epoch(
                    channel=ChannelId(network.code, station.code, channel.location_code, channel.code),
                    start_ns=_nanoseconds(channel.start_date or station.start_date, 0),
                    end_ns=min(_nanoseconds(end, OPEN_END_NS) for end in ends),
                    latitude=float(channel.latitude),
                    longitude=float(channel.longitude),
                    elevation_m=float(channel.elevation),
                    depth_m=float(channel.depth),
                    azimuth_deg=_number(channel.azimuth),
                    dip_deg=_number(channel.dip),
                    sampling_rate_hz=float(channel.sample_rate or 0.0),
                )
                if epoch.start_ns < epoch.end_ns:
                    yield epoch, channel


def _with_response(epoch: Epoch, response: Any, request: ResponseRequest, keep: KeepGain) -> Epoch:
    if response is None:
        return replace(epoch, reason="its epoch in the StationXML has no response")
    try:
        gain = request.gain_db(response)
    except ValueError as error:
        return replace(epoch, reason=f"its response cannot be used: {error}")
    return replace(epoch, response=keep(gain), gain_only=is_gain_only(response))


def _nanoseconds(time: Any, otherwise: int) -> int:
    # Ends such as 2599-12-31 mean "goes on": they lie beyond what int64 nanoseconds can hold.
    return otherwise if time is None else max(-OPEN_END_NS, min(int(time.ns), OPEN_END_NS))


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
