"""What windows are cut from: single channels, or sensors whose components are stacked as planes.

A sensor is all channels that share network, station, location, band and instrument: its id has ``?`` for
the component, ``CI.WBM..HH?``. It stands where a channel would: in the training set, on the channel axis of
labels, in queries and in the split into training and validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scaledec.config import WindowsConfig
from scaledec.vocabulary import ChannelId, JsonValue

__all__ = ["Components", "Sensor", "sensors_of"]


@dataclass(frozen=True, slots=True)
class Components:
    """Which components are stacked, and what is done where one is missing."""

    alternatives: tuple[str, ...]
    """Codes of the planes in order, e.g. ``ZNE``; the next one serves where it gives more."""
    fill: bool = False
    """Whether a missing component becomes a plane of zeros; otherwise the window is left out."""

    @classmethod
    def of(cls, windows: WindowsConfig) -> Components | None:
        """What a configuration asks for; ``None``: channels are taken one by one."""
        if windows.components is None:
            return None
        return cls(tuple(windows.components.split(",")), fill=windows.missing_components == "zero")

    def to_json(self) -> dict[str, JsonValue]:
        """As JSON values."""
        return {"alternatives": list(self.alternatives), "fill": self.fill}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Components:
        """Back from :meth:`to_json`."""
        return cls(tuple(values["alternatives"]), fill=values["fill"])

    @property
    def planes(self) -> tuple[str, ...]:
        """Names of the planes: the codes that may lie in each, ``("Z", "N/1", "E/2")``."""
        together = zip(*self.alternatives, strict=True)
        return tuple("/".join(dict.fromkeys(codes)) for codes in together)


@dataclass(frozen=True, slots=True)
class Sensor:
    """A channel, or the channels of one sensor, by their indices in the cube."""

    id: ChannelId
    stacks: tuple[tuple[int | None, ...], ...]
    """For each alternative the channel of each plane; ``None`` where the cube has none."""

    @property
    def sources(self) -> tuple[int, ...]:
        """Every channel that its windows may be read from, ascending."""
        return tuple(sorted({index for stack in self.stacks for index in stack if index is not None}))

    @property
    def is_complete(self) -> bool:
        """Whether some alternative has all its channels."""
        return any(None not in stack for stack in self.stacks)


def sensors_of(channels: Sequence[ChannelId], components: Components | None) -> tuple[Sensor, ...]:
    """The sensors of a cube's channels, in the order in which their first channels come.

    Channels are only ever added at the end of a cube, so sensors are too. Channels of no wanted component
    belong to none.

    Examples
    --------
    >>> channels = [ChannelId.parse(f"CI.WBM..HH{code}") for code in "ENZ"]
    >>> [(str(sensor.id), sensor.stacks) for sensor in sensors_of(channels, Components(("ZNE",)))]
    [('CI.WBM..HH?', ((2, 1, 0),))]
    """
    if components is None:
        return tuple(Sensor(channel, ((index,),)) for index, channel in enumerate(channels))
    place = {channel: index for index, channel in enumerate(channels)}
    wanted = set("".join(components.alternatives))
    bases = dict.fromkeys(
        replace(channel, channel=f"{channel.channel[:-1]}?")
        for channel in channels
        if channel.channel[-1:] in wanted
    )
    return tuple(
        Sensor(
            base,
            tuple(
                tuple(place.get(replace(base, channel=base.channel[:-1] + code)) for code in codes)
                for codes in components.alternatives
            ),
        )
        for base in bases
    )
