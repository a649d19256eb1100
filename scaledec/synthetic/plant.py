"""One channel's day of a synthetic archive: its noise, what is planted in it, and the truth about both."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from scaledec.synthetic.families import FAMILIES
from scaledec.synthetic.family import Arrival, Family, Source
from scaledec.synthetic.noise import noise_rms, noise_samples
from scaledec.synthetic.settings import Station, SyntheticSettings
from scaledec.synthetic.truth import TruthRow
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId

__all__ = ["channel_day", "visible_runs"]

FloatArray = npt.NDArray[np.float64]

# A signal is measured in pieces of this length against the noise of its bands.
_PIECE_S = 0.5
# Dark stretches up to this length do not break a signal in two.
_BRIDGE_S = 15.0
# A signal is seen where its power is this many times the noise's in its bands (3 dB), and a stretch of it
# is worth the name only if it somewhere stands well out of the noise (10 dB).
_VISIBLE = 2.0
_OUTSTANDING = 10.0


def channel_day(
    settings: SyntheticSettings, station: Station, component: str, day: int
) -> tuple[npt.NDArray[np.int32], list[TruthRow]]:
    """Samples of one channel on one UTC day, and what is planted in it.

    Parameters
    ----------
    day
        Days since 1970-01-01; the part of it that ``settings`` cover is made.

    Returns
    -------
    samples
        Counts, shape (n_samples,).
    truth
        One row for each visible stretch of signal that starts on this day.
    """
    start_ns, end_ns = settings.span_of_day(day)
    rate = settings.sampling_rate_hz
    first, stop = _sample_at(start_ns, rate), _sample_at(end_ns, rate)
    channel = settings.channel(station, component)
    samples = noise_samples(station.noise, settings, str(channel), first, stop - first)
    truth: list[TruthRow] = []
    for family, source in _sources_near(settings, day, start_ns, end_ns):
        arrival = family.record(settings, source, station, component)
        if arrival is None:
            continue
        onset = _sample_at(source.origin_ns + round(arrival.onset_s * NANOSECONDS_PER_SECOND), rate)
        rows = _truth_rows(settings, station, channel, family, source, arrival, onset)
        if not rows:
            continue  # too weak to be seen here: what is not in the truth is not in the samples either
        _add(samples, arrival.samples, onset - first)
        truth += [row for row in rows if start_ns <= row.start_ns < end_ns]
    return np.rint(samples).astype(np.int32), truth


def visible_runs(samples: FloatArray, rate_hz: float, noise: float) -> list[tuple[int, int, float]]:
    """Stretches in which a clean signal has at least twice the power of the noise of its bands.

    Parameters
    ----------
    samples
        The signal alone, shape (n_samples,).
    noise
        Root mean square of the noise, same unit.

    Returns
    -------
    ``(first sample, end sample, mean excess in dB)`` of each stretch, where the excess is
    10 log10(1 + signal power / noise power); a stretch that nowhere exceeds the noise by 10 dB is left out.
    """
    piece = max(1, round(_PIECE_S * rate_hz))
    n_pieces = -(-samples.size // piece)
    padded = np.zeros(n_pieces * piece)
    padded[: samples.size] = samples
    ratio = np.square(padded).reshape(n_pieces, piece).mean(axis=1) / noise**2
    if ratio.max(initial=0.0) < _OUTSTANDING:
        return []
    bright = np.flatnonzero(ratio >= _VISIBLE)
    excess_db = 10.0 * np.log10(1.0 + ratio)
    breaks = np.flatnonzero(np.diff(bright) > _BRIDGE_S / _PIECE_S) + 1
    return [
        (int(run[0]) * piece, min((int(run[-1]) + 1) * piece, samples.size), float(excess_db[run].mean()))
        for run in np.split(bright, breaks)
        if ratio[run].max() >= _OUTSTANDING
    ]


def _sample_at(time_ns: int, rate_hz: float) -> int:
    # In integers: nanoseconds since 1970 times a rate do not fit a double.
    return -(-time_ns * round(rate_hz * 1000) // (1000 * NANOSECONDS_PER_SECOND))


def _time_of(sample: int, rate_hz: float) -> int:
    return sample * 1000 * NANOSECONDS_PER_SECOND // round(rate_hz * 1000)


def _sources_near(
    settings: SyntheticSettings, day: int, start_ns: int, end_ns: int
) -> Iterator[tuple[Family, Source]]:
    for family in FAMILIES:
        reach_ns = round(family.longest_s * NANOSECONDS_PER_SECOND)
        for source in family.sources(settings, day - 1) + family.sources(settings, day):
            if start_ns - reach_ns < source.origin_ns < end_ns:
                yield family, source


def _truth_rows(
    settings: SyntheticSettings,
    station: Station,
    channel: ChannelId,
    family: Family,
    source: Source,
    arrival: Arrival,
    onset: int,
) -> list[TruthRow]:
    rate = settings.sampling_rate_hz
    noise = noise_rms(station.noise, settings, arrival.bands_hz, source.origin_ns)
    bandwidth_hz = sum(high - low for low, high in arrival.bands_hz)
    return [
        TruthRow(
            family=family.name,
            channel=str(channel),
            start_ns=_time_of(onset + first, rate),
            end_ns=_time_of(onset + stop, rate),
            event=source.event,
            excess_db=round(excess_db, 1),
            bandwidth_hz=round(bandwidth_hz, 2),
            magnitude=_rounded(arrival.attributes.get("magnitude")),
            distance_km=_rounded(arrival.attributes.get("distance_km")),
            kind=str(arrival.attributes.get("kind", "")),
        )
        for first, stop, excess_db in visible_runs(arrival.samples, rate, noise)
    ]


def _rounded(value: float | str | None) -> float | None:
    return None if value is None else round(float(value), 2)


def _add(samples: FloatArray, signal: FloatArray, at: int) -> None:
    """Add a signal that starts ``at`` a sample of the day, as far as it lies inside."""
    first, stop = max(at, 0), min(at + signal.size, samples.size)
    if first < stop:
        samples[first:stop] += signal[first - at : stop - at]
