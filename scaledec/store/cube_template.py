"""What a cube is made of, apart from its extent: attributes, coordinates, arrays and their shards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from scaledec.grid import Grid, ImportedGrid, grid_from_json, grid_to_json
from scaledec.location import Location
from scaledec.store.axes import CHANNEL_COORDINATES, ChannelCoordinates, Extent, axis_variables
from scaledec.store.shard import inner_length
from scaledec.store.template import Variable, publish
from scaledec.vocabulary import JsonValue

__all__ = ["REMEDY", "CubeTemplate", "publish_cube"]

FORMAT = 1
"""Raised when the layout on disk changes."""

REMEDY = "one cube holds one kind of spectrogram: choose another root, or the settings it was made with"

_POWER_UNITS: Mapping[str | None, str] = {
    None: "counts2 Hz-1",
    "displacement": "m2 Hz-1",
    "velocity": "m2 s-2 Hz-1",
    "acceleration": "m2 s-4 Hz-1",
}


@dataclass(frozen=True, slots=True)
class CubeTemplate:
    """The structure of a cube without its extent: what must be equal for new segments to fit in."""

    grid: Grid
    scale: Literal["db", "linear"]
    dtype: Literal["float16", "float32"]
    fingerprint: str
    settings: Mapping[str, JsonValue]
    """The spectrogram section as JSON values: stored, and compared key by key when the cube grows."""

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
        return {
            "scaledec_kind": "cube",
            "scaledec_format": FORMAT,
            "scaledec_fingerprint": self.fingerprint,
            "scaledec_scale": self.scale,
            "scaledec_dtype": self.dtype,
            "scaledec_grid": json.dumps(grid_to_json(self.grid), sort_keys=True),
            "scaledec_settings": json.dumps({"spectrogram": self.settings}, sort_keys=True),
        }

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> CubeTemplate:
        """Read back what :meth:`attributes` gave."""
        return cls(
            grid=grid_from_json(json.loads(attributes["scaledec_grid"])),
            scale=attributes["scaledec_scale"],
            dtype=attributes["scaledec_dtype"],
            fingerprint=attributes["scaledec_fingerprint"],
            settings=json.loads(attributes["scaledec_settings"])["spectrogram"],
        )


def publish_cube(
    location: Location,
    template: CubeTemplate,
    extent: Extent,
    known: ChannelCoordinates,
) -> None:
    """Create the cube at a location, or bring it to this extent; what its shards hold stays."""
    attributes: dict[str, JsonValue] = {
        "Conventions": "CF-1.11",
        "title": "Spectrograms of continuous seismic records",
        **template.attributes(),
    }
    axes = axis_variables(extent, template.grid.segment_ns, known)
    publish(location, [*axes, *_grid_variables(template.grid), *_data(template, extent)], attributes)


def _grid_variables(grid: Grid) -> list[Variable]:
    return [
        Variable(
            "frame",
            ("frame",),
            {"long_name": "start of the frame after the segment's start", "units": "s"},
            grid.frame_s,
        ),
        Variable("frequency", ("frequency",), {"long_name": "frequency", "units": "Hz"}, grid.frequency_hz),
    ]


def _power_units(template: CubeTemplate) -> dict[str, JsonValue]:
    if isinstance(template.grid, ImportedGrid):
        units: dict[str, JsonValue] = {"comment": "in the units of the cube it was imported from"}
        return {"units": "dB", **units} if template.scale == "db" else units
    if template.scale == "db":
        return {"units": "dB", "comment": f"10 log10 of the power in {template.power_unit}"}
    return {"units": template.power_unit}


def _data(template: CubeTemplate, extent: Extent) -> list[Variable]:
    grid = template.grid
    frames, frequencies = grid.n_frames, grid.n_frequencies
    size = np.dtype(template.dtype).itemsize
    around = " ".join(CHANNEL_COORDINATES)
    of = f"ground {template.quantity}" if template.quantity else "the ground motion record"
    return [
        Variable(
            "power",
            ("channel", "time", "frame", "frequency"),
            {
                "long_name": f"power spectral density of {of}",
                **_power_units(template),
                "coordinates": around,
                "ancillary_variables": "coverage",
            },
            shape=(len(extent.channels), extent.n_segments, frames, frequencies),
            shard=(1, 1, frames, frequencies),
            chunk=(1, 1, inner_length(frames, frequencies * size), frequencies),
            dtype=template.dtype,
            fill=np.nan,
        ),
        Variable(
            "coverage",
            ("channel", "time", "frame"),
            {
                "long_name": "share of real samples behind the frame",
                "units": "percent",
                "coordinates": around,
            },
            shape=(len(extent.channels), extent.n_segments, frames),
            shard=(1, 1, frames),
            chunk=(1, 1, frames),
            dtype="uint8",
        ),
    ]
