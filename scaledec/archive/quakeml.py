"""Events with picks as QuakeML 1.2, written one after another: memory holds one event.

ObsPy and every other reader of the basic event description read the file; nothing is located, so an event
has picks and no origin.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

from scaledec.vocabulary import ChannelId, format_time

__all__ = ["PickedEvent", "write_quakeml"]

_HEAD = """<?xml version="1.0" encoding="utf-8"?>
<q:quakeml xmlns="http://quakeml.org/xmlns/bed/1.2" xmlns:q="http://quakeml.org/xmlns/quakeml/1.2">
<eventParameters publicID="{parameters}">
"""
_TAIL = "</eventParameters>\n</q:quakeml>\n"


@dataclass(frozen=True, slots=True)
class PickedEvent:
    """Something that began at stations at known times."""

    description: str
    """What it is called."""
    comment: str
    picks: Sequence[tuple[ChannelId, int]]
    """Channel and nanoseconds of UTC, at least one."""


def write_quakeml(path: Path, events: Iterable[PickedEvent], *, catalog: str) -> int:
    """Write events to a file; return how many.

    Parameters
    ----------
    path
        Written over if it is there.
    events
        In the order wanted.
    catalog
        Of letters, digits, ``-`` and ``_``: part of every public id, ``smi:local/scaledec/CATALOG/...``. An
        event's id is that of its first pick, so the same event keeps it.
    """
    base = f"smi:local/scaledec/{catalog}"
    n_events = 0
    with path.open("w", encoding="utf-8") as file:
        file.write(_HEAD.format(parameters=f"{base}/catalog"))
        for event in events:
            n_events += 1
            channel, time_ns = event.picks[0]
            element = _event(event, f"{base}/event/{channel}/{time_ns}")
            file.write(tostring(element, encoding="unicode") + "\n")
        file.write(_TAIL)
    return n_events


def _event(event: PickedEvent, identity: str) -> Element:
    element = Element("event", publicID=identity)
    SubElement(SubElement(element, "description"), "text").text = event.description
    SubElement(SubElement(element, "comment"), "text").text = event.comment
    for number, (channel, time_ns) in enumerate(event.picks, 1):
        pick = SubElement(element, "pick", publicID=f"{identity}/pick/{number}")
        SubElement(SubElement(pick, "time"), "value").text = f"{format_time(time_ns // 1000 * 1000)}Z"
        SubElement(
            pick,
            "waveformID",
            networkCode=channel.network,
            stationCode=channel.station,
            locationCode=channel.location,
            channelCode=channel.channel,
        )
        SubElement(pick, "evaluationMode").text = "automatic"
    return element
