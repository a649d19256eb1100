"""Long signals: volcanic tremor, distant earthquakes, machinery."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from scaledec.synthetic.family import (
    Arrival,
    Source,
    day_rng,
    quarter_hours,
    random_hours,
    record_rng,
    shared_rng,
)
from scaledec.synthetic.settings import Station, SyntheticSettings
from scaledec.synthetic.waveforms import (
    coda_envelope,
    dispersed_wave,
    harmonics,
    shaped_bands,
    slow_wander,
)

__all__ = ["Machinery", "Teleseisms", "Tremor"]

FloatArray = npt.NDArray[np.float64]


class Tremor:
    """Harmonic tremor from the crater: minutes long, a gliding fundamental and its overtones.

    Episodes come in phases of unrest of some hours.
    """

    name = "tremor"
    longest_s = 1500.0

    _per_hour_in_unrest = 5.0
    _overtones = 8

    def sources(self, settings: SyntheticSettings, day: int) -> list[Source]:
        """Episodes of a day; most fall in two phases of unrest."""
        rng = day_rng(settings, self.name, day)
        hour = quarter_hours()
        unrest = np.zeros(96)
        for middle in rng.uniform(0.0, 24.0, size=2):
            apart = np.abs((hour - middle + 12.0) % 24.0 - 12.0)
            unrest += np.exp(-0.5 * (apart / 2.2) ** 2)
        moments = random_hours(rng, settings, day, self._per_hour_in_unrest * np.clip(unrest + 0.03, 0, 1))
        return [self._source(rng, day, n, int(t)) for n, t in enumerate(moments)]

    def _source(self, rng: np.random.Generator, day: int, number: int, origin_ns: int) -> Source:
        values = {
            "minutes": float(np.clip(math.exp(rng.normal(math.log(6.0), 0.5)), 2.0, 20.0)),
            "fundamental_hz": float(rng.uniform(1.6, 2.6)),
            "glide": float(rng.uniform(-0.35, 0.35)),
            "size": math.exp(0.35 * rng.standard_normal()),
        }
        return Source(f"{self.name} {day}-{number}", origin_ns, values)

    def record(
        self, settings: SyntheticSettings, source: Source, station: Station, component: str
    ) -> Arrival:
        """The same gliding frequency at every station; overtones fade with distance."""
        value, rate = source.values, settings.sampling_rate_hz
        n_samples = round(value["minutes"] * 60.0 * rate)
        distance = max(1.0, station.distance_km(0.0, 0.0))
        # Pitch belongs to the source, so it is drawn alike for every channel.
        shared = shared_rng(settings, source)
        progress = np.linspace(0.0, 1.0, n_samples)
        pitch = 1.0 + value["glide"] * progress + 0.04 * slow_wander(shared, n_samples, rate, 25.0)
        loudness = np.exp(0.25 * slow_wander(shared, n_samples, rate, 20.0)) * np.sin(np.pi * progress) ** 0.5
        fundamental = value["fundamental_hz"] * pitch
        rng = record_rng(settings, source, station, component)
        orders = np.arange(1, self._overtones + 1)
        strength = (
            orders**-0.5 * np.exp(-0.012 * distance * orders) * np.exp(0.2 * rng.standard_normal(orders.size))
        )
        samples = harmonics(
            fundamental, rate, strength.tolist(), rng.uniform(0, 2 * np.pi, orders.size).tolist()
        )
        samples *= 450.0 * value["size"] / distance**2 * loudness
        middle = float(np.median(fundamental))
        bands = tuple((n * middle - 0.4, n * middle + 0.4) for n in (1, 2, 3, 4))
        return Arrival(distance / 1.8, samples, bands, {"distance_km": distance})


class Teleseisms:
    """Distant earthquakes: a low-pitched P, a lower S, and surface waves that arrive long waves first."""

    name = "teleseism"
    longest_s = 3600.0

    _per_day = 9.0

    def sources(self, settings: SyntheticSettings, day: int) -> list[Source]:
        """Distant events of a day, at any hour."""
        rng = day_rng(settings, self.name, day)
        return [
            Source(f"{self.name} {day}-{n}", int(t), self._values(rng))
            for n, t in enumerate(random_hours(rng, settings, day, self._per_day / 24.0))
        ]

    def _values(self, rng: np.random.Generator) -> dict[str, float]:
        return {
            "distance_km": float(rng.uniform(2500.0, 7000.0)),
            "azimuth": float(rng.uniform(0.0, 2.0 * np.pi)),
            "size": math.exp(0.4 * rng.standard_normal()),
        }

    def record(
        self, settings: SyntheticSettings, source: Source, station: Station, component: str
    ) -> Arrival:
        """P, S and a dispersed Rayleigh wave; neighbouring stations see it alike, a moment apart."""
        value, rate = source.values, settings.sampling_rate_hz
        along = station.x_km * math.sin(value["azimuth"]) + station.y_km * math.cos(value["azimuth"])
        distance = value["distance_km"] + along
        # Means of the usual travel-time tables between 20 and 65 degrees.
        p_s, s_s = 60.0 + distance / 13.5, 105.0 + distance / 7.4
        first_wave_s, last_wave_s = distance / 4.0, distance / 3.0
        n_samples = round((last_wave_s - p_s + 240.0) * rate)
        shared = shared_rng(settings, source)
        body = value["size"] * (4000.0 / distance)
        p_wave = self._body(shared, n_samples, rate, 1.0, 0.45, 0.0)
        s_wave = self._body(shared, n_samples, rate, 0.35, 0.5, s_s - p_s)
        gains = {"Z": (1.0, 0.5, 1.0)}.get(component, (0.35, 1.0, 0.8))
        samples = body * (12_000.0 * gains[0] * p_wave + 16_000.0 * gains[1] * s_wave)
        samples += (
            body
            * 7_000.0
            * gains[2]
            * dispersed_wave(
                shared,
                n_samples,
                rate,
                lambda f: np.interp(f, (0.03, 0.35), (first_wave_s - p_s, last_wave_s - p_s)),
                lambda f: np.exp(-0.5 * (np.log(np.maximum(f, 1e-4) / 0.11) / 0.6) ** 2),
            )
        )
        return Arrival(p_s, samples, ((0.05, 2.0),), {"distance_km": distance})

    def _body(
        self,
        rng: np.random.Generator,
        n_samples: int,
        rate: float,
        centre_hz: float,
        width: float,
        onset_s: float,
    ) -> FloatArray:
        return shaped_bands(
            rng,
            n_samples,
            rate,
            lambda f: np.exp(-0.5 * (np.log(np.maximum(f, 1e-3) / centre_hz) / width) ** 2),
            lambda t, f: coda_envelope(t - onset_s, f, quality=260.0, rise_s=1.5),
            (centre_hz,),
        )


class Machinery:
    """Machines of the town: narrow, steady lines in working hours, on and off at will."""

    name = "machinery"
    longest_s = 3000.0

    _runs_per_hour = 1.1
    _lines_hz = ((6.1, 1.0), (12.2, 0.7), (18.3, 0.45), (8.75, 0.8), (17.5, 0.5))
    """Two machines with their overtones: frequency and relative strength."""

    def sources(self, settings: SyntheticSettings, day: int) -> list[Source]:
        """Runs of a day, between the start and the end of work."""
        rng = day_rng(settings, self.name, day)
        busy = [settings.work_share(hour) for hour in quarter_hours()]
        return [
            Source(
                f"{self.name} {day}-{n}",
                int(t),
                {"minutes": float(rng.uniform(12.0, 45.0)), "pace": 1.0 + 0.012 * rng.standard_normal()},
            )
            for n, t in enumerate(random_hours(rng, settings, day, self._runs_per_hour * np.asarray(busy)))
        ]

    def record(
        self, settings: SyntheticSettings, source: Source, station: Station, component: str
    ) -> Arrival | None:
        """Lines that hardly waver, at stations near the town."""
        if station.machinery <= 0:
            return None
        value, rate = source.values, settings.sampling_rate_hz
        n_samples = round(value["minutes"] * 60.0 * rate)
        shared = shared_rng(settings, source)
        rng = record_rng(settings, source, station, component)
        pace = value["pace"] * (1.0 + 0.002 * slow_wander(shared, n_samples, rate, 40.0))
        samples = np.zeros(n_samples)
        for line_hz, strength in self._lines_hz:
            samples += harmonics(line_hz * pace, rate, (strength,), (rng.uniform(0, 2 * np.pi),))
        seconds = np.arange(n_samples) / rate
        running = np.minimum(1.0, np.minimum(seconds, seconds[::-1]) / 4.0)
        samples *= 90.0 * station.machinery * running
        bands = tuple((line_hz - 0.4, line_hz + 0.4) for line_hz, _ in self._lines_hz)
        return Arrival(0.0, samples, bands)
