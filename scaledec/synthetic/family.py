"""What a family of planted signals is: when it happens, and what a station records of it.

A family has its own habit in time (``sources``) and its own physics (``record``). Both draw from
generators keyed by seed, family, day and station, so any day of any station can be made alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from scaledec.synthetic.settings import DAY_NS, Station, SyntheticSettings, make_rng

__all__ = [
    "Arrival",
    "Family",
    "Source",
    "day_rng",
    "quarter_hours",
    "random_hours",
    "record_rng",
    "shared_rng",
]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Source:
    """One thing that happens, heard at several stations or at one."""

    event: str
    """Name, unique in the archive."""
    origin_ns: int
    values: Mapping[str, float] = field(default_factory=dict)
    """What the family needs to know of it: magnitude, place, frequencies."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What one channel records of a source, without noise."""

    onset_s: float
    """First sample's time, seconds after the source's origin."""
    samples: FloatArray
    """Counts, shape (n_samples,)."""
    bands_hz: tuple[tuple[float, float], ...]
    """Where its energy lies: the noise in these bands is what it is seen against."""
    attributes: Mapping[str, float | str] = field(default_factory=dict)
    """Numbers for the truth table."""


class Family(Protocol):
    """A family of signals."""

    @property
    def name(self) -> str:
        """Its name in the truth table."""
        ...

    @property
    def longest_s(self) -> float:
        """No record of one source ends later than this after its origin."""
        ...

    def sources(self, settings: SyntheticSettings, day: int) -> list[Source]:
        """Everything of this family that begins on a UTC day (days since 1970)."""
        ...

    def record(
        self, settings: SyntheticSettings, source: Source, station: Station, component: str
    ) -> Arrival | None:
        """What a component of a station records; ``None`` where it cannot be felt."""
        ...


def random_hours(
    rng: np.random.Generator, settings: SyntheticSettings, day: int, per_hour: npt.ArrayLike
) -> npt.NDArray[np.int64]:
    """Instants (ns since 1970) of a Poisson process on one day.

    Parameters
    ----------
    per_hour
        Rate in each of 96 quarters of an hour, or one number for the whole day.
    """
    quarters = np.broadcast_to(np.asarray(per_hour, dtype=np.float64), 96) * (settings.rate / 4.0)
    counts = rng.poisson(quarters)
    quarter = np.repeat(np.arange(96), counts)
    offset_ns = ((quarter + rng.random(quarter.size)) * (DAY_NS / 96)).astype(np.int64)
    return np.sort(day * DAY_NS + offset_ns)


def day_rng(settings: SyntheticSettings, family: str, day: int) -> np.random.Generator:
    """The generator that decides what a family does on a day."""
    return make_rng(settings.seed, "sources", family, day)


def record_rng(
    settings: SyntheticSettings, source: Source, station: Station, component: str
) -> np.random.Generator:
    """The generator of one source's record at one channel."""
    return make_rng(settings.seed, "record", source.event, station.code, component)


def shared_rng(settings: SyntheticSettings, source: Source) -> np.random.Generator:
    """The generator of what all records of one source have in common."""
    return make_rng(settings.seed, "shared", source.event)


def quarter_hours() -> FloatArray:
    """The middle of each quarter of an hour of a day, hours, shape (96,)."""
    return np.asarray((np.arange(96) + 0.5) / 4.0, dtype=np.float64)
