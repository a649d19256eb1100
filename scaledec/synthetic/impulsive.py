"""Short signals: local earthquakes, icequakes, glitches of the instrument."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import scipy.signal

from scaledec.synthetic.family import Arrival, Source, day_rng, quarter_hours, random_hours, record_rng
from scaledec.synthetic.settings import Station, SyntheticSettings
from scaledec.synthetic.waveforms import brune_spectrum, coda_envelope, ringing_spike, shaped_bands
from scaledec.vocabulary import NANOSECONDS_PER_SECOND

__all__ = ["Glitches", "Icequakes", "LocalEvents"]

FloatArray = npt.NDArray[np.float64]

_P_KM_S = 5.8
_S_KM_S = 3.35
_CODA_BANDS_HZ = (1.0, 3.0, 8.0, 20.0)


class LocalEvents:
    """Earthquakes within tens of kilometres: P, S and a coda that dies out, fastest at high frequencies.

    Magnitudes follow Gutenberg and Richter with b = 1. A steady background and, after each larger one,
    aftershocks whose rate decays as 1 / (t + c) (Omori), near the mainshock and smaller than it.
    """

    name = "local event"
    longest_s = 200.0

    # Places of two faults: east, north, depth, spread in km.
    _faults = ((14.0, 10.0, 8.0, 2.0), (-16.0, 3.0, 11.0, 3.0))
    _smallest = 1.0
    _largest = 4.2
    _background_per_hour = 5.0
    # Aftershocks of a magnitude-m event: 10**(0.9 (m - 2.6)), within this time.
    _productivity_magnitude = 2.6
    _omori_c_s = 120.0
    _omori_span_s = 4.0 * 3600.0

    def sources(self, settings: SyntheticSettings, day: int) -> list[Source]:
        """Background events of a day and their aftershocks (which may run into the next day)."""
        rng = day_rng(settings, self.name, day)
        found: list[tuple[int, float, int]] = []
        for origin_ns in random_hours(rng, settings, day, self._background_per_hour):
            magnitude, fault = self._magnitude(rng, self._largest), int(rng.integers(len(self._faults)))
            found.append((int(origin_ns), magnitude, fault))
            for delay_s in self._aftershock_delays(rng, magnitude):
                smaller = self._magnitude(rng, magnitude - 0.3)
                found.append((int(origin_ns) + round(delay_s * NANOSECONDS_PER_SECOND), smaller, fault))
        return [self._source(rng, day, number, *event) for number, event in enumerate(sorted(found))]

    def _magnitude(self, rng: np.random.Generator, largest: float) -> float:
        # Inverse of the Gutenberg-Richter distribution, cut at both ends.
        most = 1.0 - 10.0 ** (self._smallest - max(largest, self._smallest + 0.1))
        return self._smallest - math.log10(1.0 - rng.random() * most)

    def _aftershock_delays(self, rng: np.random.Generator, magnitude: float) -> FloatArray:
        count = rng.poisson(10.0 ** (0.9 * (magnitude - self._productivity_magnitude)))
        growth = (self._omori_c_s + self._omori_span_s) / self._omori_c_s
        return np.asarray(self._omori_c_s * (growth ** rng.random(count) - 1.0))

    def _source(
        self, rng: np.random.Generator, day: int, number: int, origin_ns: int, magnitude: float, fault: int
    ) -> Source:
        x, y, depth, spread = self._faults[fault]
        place = np.array([x, y, depth]) + spread * rng.standard_normal(3)
        values = {"magnitude": magnitude, "x_km": place[0], "y_km": place[1], "depth_km": abs(place[2]) + 1.0}
        return Source(f"{self.name} {day}-{number}", origin_ns, values)

    def record(
        self, settings: SyntheticSettings, source: Source, station: Station, component: str
    ) -> Arrival:
        """P and S with coda; amplitude falls with distance, high frequencies fall faster."""
        value, rate = source.values, settings.sampling_rate_hz
        rng = record_rng(settings, source, station, component)
        distance = math.hypot(station.distance_km(value["x_km"], value["y_km"]), value["depth_km"])
        magnitude = value["magnitude"]
        p_s, s_minus_p_s = distance / _P_KM_S, distance / _S_KM_S - distance / _P_KM_S
        amplitude = 5_000.0 * 10.0 ** (0.85 * magnitude) / distance**1.3
        p_gain, s_gain = (0.55, 0.8) if component == "Z" else (0.25, 1.3)
        corner_hz = 9.0 * 10.0 ** (-0.3 * (magnitude - 1.0))

        def envelope(time_s: FloatArray, frequency_hz: float) -> FloatArray:
            quality = 110.0 + 20.0 * magnitude
            p_wave = coda_envelope(time_s, frequency_hz, quality=quality, rise_s=0.06)
            # S is poorer in high frequencies than P on the way, and its coda is the longer one.
            s_share = 1.0 / (1.0 + frequency_hz / 25.0)
            s_wave = coda_envelope(time_s - s_minus_p_s, frequency_hz, quality=quality, rise_s=0.15)
            return np.asarray(amplitude * (p_gain * p_wave + s_gain * s_share * s_wave))

        n_samples = round(min(self.longest_s - p_s, s_minus_p_s + 25.0 * magnitude + 15.0) * rate)
        samples = shaped_bands(
            rng,
            n_samples,
            rate,
            lambda f: brune_spectrum(f, corner_hz, p_s / 250.0),
            envelope,
            _CODA_BANDS_HZ,
        )
        attributes = {"magnitude": magnitude, "distance_km": distance}
        return Arrival(p_s, samples, ((1.5, 20.0),), attributes)


class Icequakes:
    """Bursts from the glacier's cracks: under two seconds, 5 to 30 Hz, most at one phase of the tide."""

    name = "icequake"
    longest_s = 10.0

    _x_km, _y_km, _spread_km = 6.6, 5.6, 0.8
    _creaks_per_hour = 70.0
    # Further bursts of a creak, and the mean time between two of them.
    _more_bursts = 4.0
    _step_s = 3.0
    _tide_h = 12.42
    _reach_km = 9.0

    def sources(self, settings: SyntheticSettings, day: int) -> list[Source]:
        """Bursts of a day, several to a creak of the ice; their rate swings with the semidiurnal tide."""
        rng = day_rng(settings, self.name, day)
        hour = day * 24.0 + quarter_hours()
        # The cube makes high tide a few hours of activity rather than half the day.
        swing = (0.5 + 0.5 * np.cos(2.0 * np.pi * hour / self._tide_h)) ** 3
        creaks = random_hours(rng, settings, day, self._creaks_per_hour * (0.02 + 0.98 * swing))
        moments: list[tuple[int, float, float]] = []
        for creak_ns in creaks:
            x, y = np.array([self._x_km, self._y_km]) + self._spread_km * rng.standard_normal(2)
            steps_s = rng.exponential(self._step_s, size=1 + rng.poisson(self._more_bursts))
            times = creak_ns + (np.cumsum(steps_s) * NANOSECONDS_PER_SECOND).astype(np.int64)
            moments += [(int(t), float(x), float(y)) for t in times]
        return [self._source(rng, day, number, *moment) for number, moment in enumerate(sorted(moments))]

    def _source(
        self, rng: np.random.Generator, day: int, number: int, origin_ns: int, x_km: float, y_km: float
    ) -> Source:
        size = math.exp(rng.exponential(0.35))
        frequency = math.exp(rng.normal(math.log(17.0), 0.12))
        values = {"x_km": x_km, "y_km": y_km, "size": size, "frequency_hz": frequency}
        return Source(f"{self.name} {day}-{number}", origin_ns, values)

    def record(
        self, settings: SyntheticSettings, source: Source, station: Station, component: str
    ) -> Arrival | None:
        """A P onset and the stronger surface wave close behind it; ice swallows it within kilometres."""
        value, rate = source.values, settings.sampling_rate_hz
        distance = max(0.3, station.distance_km(value["x_km"], value["y_km"]))
        if distance > self._reach_km:
            return None
        rng = record_rng(settings, source, station, component)
        p_s, rayleigh_s = distance / 3.6, distance / 1.65
        amplitude = 550.0 * value["size"] / distance * math.exp(-distance / 6.0)
        centre = value["frequency_hz"]

        def envelope(time_s: FloatArray, _frequency_hz: float) -> FloatArray:
            p_wave = np.where(time_s >= 0, np.exp(-np.clip(time_s, 0, None) / 0.15), 0.0)
            since = time_s - (rayleigh_s - p_s)
            surface = np.where(since >= 0, np.exp(-np.clip(since, 0, None) / 0.4), 0.0)
            return np.asarray(amplitude * (0.4 * p_wave + surface))

        samples = shaped_bands(
            rng,
            round((rayleigh_s - p_s + 3.0) * rate),
            rate,
            lambda f: np.exp(-0.5 * (np.log(np.maximum(f, 1e-3) / centre) / 0.32) ** 2),
            envelope,
            (centre,),
        )
        return Arrival(p_s, samples, ((5.0, 30.0),), {"distance_km": distance})


class Glitches:
    """Faults of the instrument: steps that decay as the sensor recovers, and the crackle of a bad
    contact, a spike or two a second.

    They come with changes of temperature, so mostly in the morning and the evening, each at one station
    and on one component alone.
    """

    name = "glitch"
    longest_s = 60.0

    _per_hour = 3.0

    def sources(self, settings: SyntheticSettings, day: int) -> list[Source]:
        """Glitches of a day at every station; each belongs to one."""
        found = []
        hour = quarter_hours()
        swing = sum(np.exp(-0.5 * ((hour - peak) / 1.5) ** 2) for peak in (7.0, 18.0))
        for number, station in enumerate(settings.stations):
            rng = day_rng(settings, f"{self.name} {station.code}", day)
            moments = random_hours(
                rng, settings, day, self._per_hour * station.glitches * (0.35 + 1.6 * swing)
            )
            found += [
                Source(f"{self.name} {day}-{station.code}-{n}", int(t), {"station": float(number)})
                for n, t in enumerate(moments)
            ]
        return found

    def record(
        self, settings: SyntheticSettings, source: Source, station: Station, component: str
    ) -> Arrival | None:
        """A step or a crackle, at its own station and one component only."""
        if settings.stations[int(source.values["station"])].code != station.code:
            return None
        own = record_rng(settings, source, station, "component")
        if component != settings.components[int(own.integers(len(settings.components)))]:
            return None
        rng = record_rng(settings, source, station, component)
        step = rng.random() < 0.3
        amplitude = float(rng.choice((-1.0, 1.0))) * 30_000.0 * math.exp(0.4 * rng.standard_normal())
        make = self._step if step else self._crackle
        samples = amplitude * make(rng, settings.sampling_rate_hz)
        return Arrival(0.0, samples, ((0.5, 20.0),), {"kind": "step" if step else "crackle"})

    def _step(self, rng: np.random.Generator, rate: float) -> FloatArray:
        # A step in mass position, seen through the sensor's high-pass: a jump and a damped return.
        corner_s = rng.uniform(5.0, 10.0)
        step = np.ones(round(45.0 * rate))
        step[: round(0.05 * rate)] = 0.0
        returned = scipy.signal.sosfilt(
            scipy.signal.butter(2, 1.0 / corner_s, "highpass", fs=rate, output="sos"), step
        )
        return np.asarray(returned, dtype=np.float64)

    def _crackle(self, rng: np.random.Generator, rate: float) -> FloatArray:
        train = np.zeros(round(rng.uniform(15.0, 30.0) * rate))
        ring = ringing_spike(rate)
        for at in rng.integers(
            0, train.size - ring.size, size=int(rng.uniform(1.0, 2.0) * train.size / rate)
        ):
            train[at : at + ring.size] += rng.uniform(0.3, 1.0) * ring
        return train
