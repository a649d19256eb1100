"""Sections that say how a spectrogram cube made elsewhere is read, and what it must hold."""

from __future__ import annotations

import datetime as dt
import string
from typing import Annotated, Literal, TypeAlias

import numpy as np
from pydantic import Field, field_validator

from scaledec.config.section import Count, NonNegative, Positive, Section
from scaledec.errors import ConfigError

__all__ = ["CubeDims", "ForeignCubeConfig", "FrequencySteps", "ImportedConfig"]

Axis: TypeAlias = Literal["time", "channel", "frequency"]


class CubeDims(Section):
    """Arrays that hold the coordinates of a foreign cube; in a named store, also names of its dimensions."""

    time: str | None = "time"
    """Start of each frame: datetime64, or numbers with CF units; null: see archive.cube.start."""
    channel: str | None = "channel"
    """Name, number or place of each channel; null: none is stored."""
    frequency: str | None = "frequency"
    """Frequencies in Hz, in either direction; null: spectrogram.imported.frequency_hz tells them."""


class ForeignCubeConfig(Section):
    """A Zarr store (format 2 or 3) with spectrograms that another program made."""

    power: str
    """Path of the array below archive.url; an empty text where the store is the array itself."""
    dims: CubeDims = CubeDims()
    """Paths of the coordinates' arrays."""
    order: tuple[Axis, Axis, Axis] | None = None
    """Order of the array's dimensions, e.g. [time, channel, frequency]; null: as the store names them."""
    scale: Literal["db", "linear", "amplitude"] = "db"
    """What is stored: db (10 log10 of power, or any other logarithm: taken as it is), linear (power) or
    amplitude (its square root)."""
    channel_ids: str | None = None
    """Template of NET.STA.LOC.CHA from {index} and {value}, e.g. "DA.RHONE.{index:05d}.HSF" (channels of one
    cable as locations of one station are never divided between training and validation); null: the channel
    coordinate holds such names."""
    start: dt.datetime | None = None
    """Start of the first frame (UTC) where no time coordinate tells it; frames then follow without a gap."""
    time_units: str | None = None
    """CF units of a time coordinate that has none, e.g. "seconds since 2020-07-06T00:00:00"."""
    time_offset_s: float = 0.0
    """From a frame's start to the time that its coordinate names: half a frame where that is its middle."""

    @field_validator("order")
    @classmethod
    def _check_order(cls, order: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if order is not None and len(set(order)) != len(order):
            raise ConfigError(
                f"archive.cube.order is {list(order)}; expected time, channel and frequency, each once"
            )
        return order

    @field_validator("channel_ids")
    @classmethod
    def _check_template(cls, template: str | None) -> str | None:
        if template is None:
            return None
        try:
            fields = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
        except ValueError as error:
            raise ConfigError(f"archive.cube.channel_ids is {template!r}: {error}") from error
        if not fields or fields - {"index", "value"} or template.count(".") < 3:
            raise ConfigError(
                f"archive.cube.channel_ids is {template!r}; expected NET.STA.LOC.CHA with {{index}} or "
                '{value}, e.g. "DA.RHONE.{index:05d}.HSF"'
            )
        return template


class FrequencySteps(Section):
    """Frequencies at equal steps."""

    first: NonNegative
    """Lowest frequency in Hz."""
    step: Positive
    """In Hz."""
    count: Annotated[Count, Field(ge=2)]
    """Number of frequencies."""


class ImportedConfig(Section):
    """Frames and frequencies of the foreign cube: `scaledec plan` prints them, and holds them against it."""

    hop_s: Positive
    """From one frame's start to the next."""
    frequency_hz: FrequencySteps | Annotated[tuple[NonNegative, ...], Field(min_length=2)]
    """{first, step, count} or a list of all frequencies; spectrogram.band_hz selects among them."""

    @field_validator("frequency_hz")
    @classmethod
    def _check_ascending(
        cls, frequencies: FrequencySteps | tuple[float, ...]
    ) -> FrequencySteps | tuple[float, ...]:
        if isinstance(frequencies, tuple) and len(set(frequencies)) != len(frequencies):
            raise ConfigError("spectrogram.imported.frequency_hz names a frequency twice")
        return frequencies

    @property
    def frequencies_hz(self) -> tuple[float, ...]:
        """All frequencies in the order given."""
        given = self.frequency_hz
        if isinstance(given, tuple):
            return given
        return tuple((given.first + given.step * np.arange(given.count)).tolist())
