"""What a cube is made of, apart from its extent: attributes, coordinates, arrays and their shards."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from scaledec.grid import Grid, ImportedGrid, grid_from_json, grid_to_json
from scaledec.location import Location
from scaledec.store.axes import CHANNEL_COORDINATES, ChannelCoordinates, Extent, axis_variables
from scaledec.store.event_variables import event_variables
from scaledec.store.shard import inner_length
from scaledec.store.template import Variable, publish
from scaledec.vocabulary import JsonValue

__all__ = ["REMEDY", "CubeKind", "CubeTemplate", "EventRoom", "publish_cube"]

FORMAT = 1
"""Raised when the layout on disk changes."""

_EVENT_CHUNK_BYTES = 2**18

REMEDY = "one cube holds one kind of spectrogram: choose another root, or the settings it was made with"

_POWER_UNITS: Mapping[str | None, str] = {
    None: "counts2 Hz-1",
    "displacement": "m2 Hz-1",
    "velocity": "m2 s-2 Hz-1",
    "acceleration": "m2 s-4 Hz-1",
}


CubeKind: TypeAlias = Literal["cube", "event cube"]


@dataclass(frozen=True, slots=True)
class EventRoom:
    """What a segment of an event cube has room for."""

    frames: int
    """Frames of one window."""
    max_events: int


@dataclass(frozen=True, slots=True)
class CubeTemplate:
    """The structure of a cube without its extent: what must be equal for new segments to fit in."""

    grid: Grid
    scale: Literal["db", "linear"]
    dtype: Literal["float16", "float32"]
    fingerprint: str
    settings: Mapping[str, JsonValue]
    """The spectrogram section as JSON values: stored, and compared key by key when the cube grows."""
    events: EventRoom | None = None
    """Of a cube of events; ``None``: spectrograms are continuous."""
    event_settings: Mapping[str, JsonValue] | None = None
    """What decides the events, as JSON values."""

    @property
    def kind(self) -> CubeKind:
        """What kind of cube it is."""
        return "cube" if self.events is None else "event cube"

    @property
    def quantity(self) -> str | None:
        """The ground motion that power stands for; ``None`` for what the instrument recorded, in counts."""
        response = self.settings.get("response")
        return str(response["quantity"]) if isinstance(response, Mapping) else None

    @property
    def power_unit(self) -> str:
        """Unit of linear power, as UDUNITS write it."""
        return _POWER_UNITS[self.quantity]

    def attributes(self) -> dict[str, JsonValue]:
        """Root attributes, as JSON text where they nest so that any reader can carry them."""
        settings = {"spectrogram": self.settings}
        attributes: dict[str, JsonValue] = {
            "scaledec_kind": self.kind,
            "scaledec_format": FORMAT,
            "scaledec_fingerprint": self.fingerprint,
            "scaledec_scale": self.scale,
            "scaledec_dtype": self.dtype,
            "scaledec_grid": json.dumps(grid_to_json(self.grid), sort_keys=True),
        }
        if self.events is not None:
            settings["windows"] = self.event_settings or {}
            attributes["scaledec_events"] = json.dumps(
                {"events": dataclasses.asdict(self.events)}, sort_keys=True
            )
        return {**attributes, "scaledec_settings": json.dumps(settings, sort_keys=True)}

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> CubeTemplate:
        """Read back what :meth:`attributes` gave."""
        settings = json.loads(attributes["scaledec_settings"])
        events = attributes.get("scaledec_events")
        return cls(
            grid=grid_from_json(json.loads(attributes["scaledec_grid"])),
            scale=attributes["scaledec_scale"],
            dtype=attributes["scaledec_dtype"],
            fingerprint=attributes["scaledec_fingerprint"],
            settings=settings["spectrogram"],
            events=None if events is None else EventRoom(**json.loads(events)["events"]),
            event_settings=settings.get("windows"),
        )


def publish_cube(
    location: Location,
    template: CubeTemplate,
    extent: Extent,
    known: ChannelCoordinates,
) -> None:
    """Create the cube at a location, or bring it to this extent; what its shards hold stays."""
    events = template.events
    records = "continuous seismic records" if events is None else "events in seismic records"
    attributes: dict[str, JsonValue] = {
        "Conventions": "CF-1.11",
        "title": f"Spectrograms of {records}",
        **template.attributes(),
    }
    axes = axis_variables(extent, template.grid.segment_ns, known)
    if events is None:
        inner = _Inner(("frame",), (template.grid.n_frames,))
        frame_axis = _frame_axis(template.grid.frame_s, "segment")
    else:
        inner = _Inner(("event", "frame"), (events.max_events, events.frames))
        frame_axis = _frame_axis(np.arange(events.frames) * template.grid.hop_s, "event")
    frequency_hz = template.grid.frequency_hz
    variables = [
        frame_axis,
        Variable("frequency", ("frequency",), {"long_name": "frequency", "units": "Hz"}, frequency_hz),
        *_data(template, extent, inner),
        *([] if events is None else event_variables(extent, events.max_events)),
    ]
    publish(location, [*axes, *variables], attributes)


def _power_units(template: CubeTemplate) -> dict[str, JsonValue]:
    if isinstance(template.grid, ImportedGrid):
        units: dict[str, JsonValue] = {"comment": "in the units of the cube it was imported from"}
        return {"units": "dB", **units} if template.scale == "db" else units
    if template.scale == "db":
        return {"units": "dB", "comment": f"10 log10 of the power in {template.power_unit}"}
    return {"units": template.power_unit}


@dataclass(frozen=True, slots=True)
class _Inner:
    """What of a segment lies before the frequencies."""

    dimensions: tuple[str, ...]
    shape: tuple[int, ...]


def _frame_axis(frame_s: npt.NDArray[Any], after: str) -> Variable:
    long_name = f"start of the frame after the {after}'s start"
    return Variable("frame", ("frame",), {"long_name": long_name, "units": "s"}, frame_s)


def _data(template: CubeTemplate, extent: Extent, inner: _Inner) -> list[Variable]:
    frequencies = template.grid.n_frequencies
    axes, outer = ("channel", "time", *inner.dimensions), (len(extent.channels), extent.n_segments)
    row_bytes = math.prod(inner.shape[1:]) * frequencies * np.dtype(template.dtype).itemsize
    # Events are few and a chunk of them is read for one: their chunks are small.
    wanted = {} if template.events is None else {"wanted_bytes": _EVENT_CHUNK_BYTES}
    rows = inner_length(inner.shape[0], row_bytes, **wanted)
    around = " ".join(CHANNEL_COORDINATES)
    of = f"ground {template.quantity}" if template.quantity else "the ground motion record"
    return [
        Variable(
            "power",
            (*axes, "frequency"),
            {
                "long_name": f"power spectral density of {of}",
                **_power_units(template),
                "coordinates": around,
                "ancillary_variables": "coverage",
            },
            shape=(*outer, *inner.shape, frequencies),
            shard=(1, 1, *inner.shape, frequencies),
            chunk=(1, 1, rows, *inner.shape[1:], frequencies),
            dtype=template.dtype,
            fill=np.nan,
        ),
        Variable(
            "coverage",
            axes,
            {
                "long_name": "share of real samples behind the frame",
                "units": "percent",
                "coordinates": around,
            },
            shape=(*outer, *inner.shape),
            shard=(1, 1, *inner.shape),
            chunk=(1, 1, *inner.shape),
            dtype="uint8",
        ),
    ]
