"""The arrays an event cube has beside power and coverage: when its events are, how they were found."""

from __future__ import annotations

import numpy as np

from scaledec.store.axes import CHANNEL_COORDINATES, Extent
from scaledec.store.template import Variable, fixed_strings, time_attributes

__all__ = ["NOT_A_TIME", "PROPERTIES", "event_variables"]

NOT_A_TIME = int(np.iinfo(np.int64).min)
"""What stands for no event; NumPy, pandas and xarray read it as NaT."""

PROPERTIES = {
    "detected": "first sample at or above the detector's upper threshold, or the pick: seconds after onset",
    "duration": "seconds from there to where the detector's value fell below the lower threshold",
    "value": "largest value of the detector's characteristic function in between",
    "peak": "centre of the frame with the most power inside the band, seconds after onset",
    "peak_power": "that power, 10 log10 of counts2",
    "dropped": "weaker events of the segment for which there was no room",
}
"""What is known of each event, in the order stored, NaN where it is not; and what it means."""


def event_variables(extent: Extent, max_events: int) -> list[Variable]:
    """Coordinates along event and property, onsets and properties."""
    outer = len(extent.channels), extent.n_segments
    around = " ".join(CHANNEL_COORDINATES)
    return [
        Variable(
            "event", ("event",), {"long_name": "number of the event in its segment"}, np.arange(max_events)
        ),
        Variable(
            "property",
            ("property",),
            {
                "long_name": "what is known of an event",
                "comment": "; ".join(f"{name}: {meaning}" for name, meaning in PROPERTIES.items()),
            },
            fixed_strings(list(PROPERTIES)),
        ),
        Variable(
            "onset",
            ("channel", "time", "event"),
            {**time_attributes("first sample of the event's window (UTC)"), "coordinates": around},
            shape=(*outer, max_events),
            shard=(1, 1, max_events),
            chunk=(1, 1, max_events),
            dtype="int64",
            fill=NOT_A_TIME,
        ),
        Variable(
            "detection",
            ("channel", "time", "event", "property"),
            {"long_name": "how the event was found; see property", "coordinates": around},
            shape=(*outer, max_events, len(PROPERTIES)),
            shard=(1, 1, max_events, len(PROPERTIES)),
            chunk=(1, 1, max_events, len(PROPERTIES)),
            dtype="float32",
            fill=np.nan,
        ),
    ]
