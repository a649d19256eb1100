"""What a synthetic archive is made of: stations, their noise, the time covered, the seed."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field

import numpy as np

from scaledec.errors import ConfigError
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId, parse_time

__all__ = ["DAY_NS", "DEFAULT_STATIONS", "NoiseModel", "Station", "SyntheticSettings", "make_rng"]

DAY_NS = 86_400 * NANOSECONDS_PER_SECOND


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """Spectrum of a station's background; decibels are relative to 1 count^2/Hz."""

    floor_db: float = 10.0
    """Flat part: instrument and site."""
    microseism_db: float = 46.0
    """Peak of the secondary microseism near 0.2 Hz."""
    slope: float = 1.5
    """Exponent of the rise towards low frequencies, 1 / f**slope below 0.1 Hz."""
    cultural_db: float = 12.0
    """High-frequency part (above about 4 Hz) at its daily maximum."""
    diurnal_db: float = 4.0
    """How far the high-frequency part falls at night."""


@dataclass(frozen=True, slots=True)
class Station:
    """A site: its code, where it stands (km east and north of the crater), and what it hears."""

    code: str
    x_km: float
    y_km: float
    noise: NoiseModel = field(default_factory=NoiseModel)
    machinery: float = 0.0
    """How strongly machines of the town are felt: 0 not at all, 1 next door."""
    glitches: float = 1.0
    """Glitches relative to a healthy instrument."""

    def distance_km(self, x_km: float, y_km: float) -> float:
        """Horizontal distance to a point."""
        return math.hypot(self.x_km - x_km, self.y_km - y_km)


DEFAULT_STATIONS = (
    Station("CRAT", 1.2, 0.4, NoiseModel(floor_db=10.0, cultural_db=8.0, diurnal_db=1.0)),
    Station("GLAC", 6.0, 5.0, NoiseModel(floor_db=9.8, cultural_db=8.0, diurnal_db=1.0, microseism_db=46.5)),
    Station("TOWN", 9.0, -8.0, NoiseModel(floor_db=10.3, cultural_db=9.5, diurnal_db=4.0), machinery=1.0),
    Station(
        "HILL",
        -7.0,
        -4.0,
        NoiseModel(floor_db=9.8, cultural_db=8.5, diurnal_db=3.0, microseism_db=45.5),
        machinery=0.5,
        glitches=2.0,
    ),
)
"""Around a volcano: at its crater, on its glacier, in the town below, and on a hill with a bad sensor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticSettings:
    """Everything that decides an archive's samples; equal settings give equal bytes.

    Raises
    ------
    ConfigError
        If the time covered is empty or does not start on a sample, or a component is unknown.
    """

    seed: int = 0
    start: str = "2024-03-04"
    """First instant, ISO 8601, UTC."""
    hours: float = 72.0
    """Time covered, from ``start``; it may begin and end inside a day."""
    sampling_rate_hz: float = 100.0
    stations: tuple[Station, ...] = DEFAULT_STATIONS
    components: str = "Z"
    """Any of Z, N, E; each is a channel of its own."""
    rate: float = 1.0
    """Multiplies how often everything happens; short archives want more than 1."""
    work_hours: tuple[float, float] = (7.0, 17.0)
    """When the town works, hours UTC; the end may lie past midnight (20, 30)."""
    faults: bool = True
    """Plant a gap, an overlap, a missing day and an unreadable file, as far as there are station-days."""

    def __post_init__(self) -> None:
        if self.end_ns <= self.start_ns:
            raise ConfigError(f"synthetic archive of {self.hours:g} hours; expected more than none")
        if (self.start_ns * round(self.sampling_rate_hz * 1000)) % (1000 * NANOSECONDS_PER_SECOND):
            raise ConfigError(
                f"synthetic archive starts at {self.start}, between two samples at "
                f"{self.sampling_rate_hz:g} Hz; start on a whole second"
            )
        if not self.components or set(self.components) - set("ZNE"):
            raise ConfigError(f"components are {self.components!r}; expected letters of ZNE, e.g. Z or ZNE")

    @property
    def start_ns(self) -> int:
        """First instant, nanoseconds since 1970."""
        return parse_time(self.start)

    @property
    def end_ns(self) -> int:
        """End of the time covered, exclusive."""
        return self.start_ns + round(self.hours * 3600) * NANOSECONDS_PER_SECOND

    @property
    def days(self) -> tuple[int, ...]:
        """UTC days touched, counted from 1970-01-01."""
        return tuple(range(self.start_ns // DAY_NS, (self.end_ns - 1) // DAY_NS + 1))

    def span_of_day(self, day: int) -> tuple[int, int]:
        """The part of a UTC day that is covered, ``(start_ns, end_ns)``."""
        return max(self.start_ns, day * DAY_NS), min(self.end_ns, (day + 1) * DAY_NS)

    def channel(self, station: Station, component: str) -> ChannelId:
        """Id of a channel; SY is the FDSN's code for synthetic data, the band letter follows the rate."""
        band = "H" if self.sampling_rate_hz >= 80 else "B"
        return ChannelId("SY", station.code, "00", f"{band}H{component}")

    def work_share(self, hour: float) -> float:
        """How much the town is at work at an hour of the day: 0 at night to 1 at noon, smooth."""
        start, end = self.work_hours
        from_start = (hour - start) % 24.0
        length = end - start
        if from_start >= length:
            return 0.0
        return float(np.clip(min(from_start, length - from_start) / 1.5, 0.0, 1.0))


def make_rng(seed: int, *words: str | int) -> np.random.Generator:
    """A generator that depends on the seed and on what it is for, and on nothing else.

    Words are hashed by CRC-32, which is the same on every machine and in every process (``hash`` is not).
    """
    entropy = [seed, *(zlib.crc32(w.encode()) if isinstance(w, str) else w for w in words)]
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence([e & 0xFFFFFFFFFFFFFFFF for e in entropy]))
    )
