from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from scaledec.synthetic.families import FAMILIES, FAMILY_NAMES
from scaledec.synthetic.family import Family, Source
from scaledec.synthetic.settings import DAY_NS, DEFAULT_STATIONS, SyntheticSettings

SETTINGS = SyntheticSettings()
DAY = SETTINGS.days[0]
CRATER, GLACIER, TOWN, HILL = DEFAULT_STATIONS


def family(name: str) -> Family:
    return FAMILIES[FAMILY_NAMES.index(name) - 1]


def hours(sources: list[Source]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([(s.origin_ns % DAY_NS) / 3.6e12 for s in sources])


@pytest.mark.parametrize("one", FAMILIES, ids=lambda f: str(f.name))
def test_a_day_of_a_family_is_the_same_whenever_it_is_made(one: Family) -> None:
    first, again = one.sources(SETTINGS, DAY), one.sources(SETTINGS, DAY)
    assert first
    assert first == again
    assert len({s.event for s in first + one.sources(SETTINGS, DAY + 1)}) == len(first) + len(
        one.sources(SETTINGS, DAY + 1)
    )
    for station in DEFAULT_STATIONS:
        a, b = (one.record(SETTINGS, first[0], station, "Z") for _ in range(2))
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            np.testing.assert_array_equal(a.samples, b.samples)
            assert np.isfinite(a.samples).all()
            assert a.onset_s + a.samples.size / SETTINGS.sampling_rate_hz <= one.longest_s


def test_local_magnitudes_follow_gutenberg_richter_with_b_of_one() -> None:
    magnitudes = np.array(
        [s.values["magnitude"] for d in range(120) for s in family("local event").sources(SETTINGS, DAY + d)]
    )
    # Aki's (1965) maximum-likelihood estimate, from well below the largest magnitude.
    above = magnitudes[magnitudes >= 1.0]
    assert 0.9 < np.log10(np.e) / (above.mean() - 1.0) < 1.2


def test_aftershocks_crowd_behind_larger_events() -> None:
    one = family("local event")
    after, before = 0, 0
    for day in range(DAY, DAY + 200):
        sources = one.sources(SETTINGS, day)
        origin_s = np.array([s.origin_ns for s in sources]) / 1e9
        for s in sources:
            if s.values["magnitude"] > 3.6:
                since = origin_s - s.origin_ns / 1e9
                after += int(((since > 0) & (since < 600)).sum())
                before += int(((since < 0) & (since > -600)).sum())
    assert after > 3 * max(before, 1)


def test_s_follows_p_by_the_distance() -> None:
    one = family("local event")
    source = max(one.sources(SETTINGS, DAY), key=lambda s: s.values["magnitude"])
    onsets = []
    for station in DEFAULT_STATIONS:
        arrival = one.record(SETTINGS, source, station, "Z")
        assert arrival is not None
        distance = float(arrival.attributes["distance_km"])
        assert arrival.onset_s == pytest.approx(distance / 5.8)
        onsets.append((distance, arrival.onset_s))
        s_sample = round((distance / 3.35 - distance / 5.8) * 100)
        energy = np.square(arrival.samples)
        assert energy[s_sample : s_sample + 100].mean() > energy[max(0, s_sample - 50) : s_sample].mean()
    assert sorted(onsets) == sorted(onsets, key=lambda pair: pair[1])


def test_icequakes_follow_the_tide_and_stay_near_the_glacier() -> None:
    one = family("icequake")
    sources = [s for d in range(10) for s in one.sources(SETTINGS, DAY + d)]
    phase = 2 * np.pi * np.array([s.origin_ns for s in sources]) / 3.6e12 / 12.42
    assert abs(np.exp(1j * phase).mean()) > 0.5
    assert all(one.record(SETTINGS, s, TOWN, "Z") is None for s in sources[:50])
    near = one.record(SETTINGS, sources[0], GLACIER, "Z")
    assert near is not None
    frequency, power = scipy.signal.welch(near.samples, 100.0, nperseg=near.samples.size)
    inside = (frequency > 5) & (frequency < 30)
    assert power[inside].sum() > 0.9 * power.sum()


def test_tremor_is_harmonic() -> None:
    one = family("tremor")
    source = next(s for s in one.sources(SETTINGS, DAY) if abs(s.values["glide"]) < 0.2)
    arrival = one.record(SETTINGS, source, CRATER, "Z")
    assert arrival is not None
    assert arrival.samples.size >= 2 * 60 * 100
    frequency, power = scipy.signal.welch(arrival.samples[3000:7000], 100.0, nperseg=2000)
    inside = power > 0.05 * power.max()
    peaks = frequency[scipy.signal.find_peaks(np.where(inside, power, 0), distance=20)[0]]
    steps = np.diff(peaks)
    assert len(peaks) >= 4
    assert np.allclose(steps, steps.mean(), atol=0.3)


def test_long_surface_waves_of_a_teleseism_arrive_first() -> None:
    one = family("teleseism")
    source = one.sources(SETTINGS, DAY)[0]
    arrival = one.record(SETTINGS, source, HILL, "Z")
    assert arrival is not None

    def middle_s(low: float, high: float) -> float:
        sos = scipy.signal.butter(4, (low, high), "bandpass", fs=100.0, output="sos")
        energy = np.square(scipy.signal.sosfiltfilt(sos, arrival.samples))
        energy[: energy.size // 2] = 0.0  # body waves come before
        return float((energy * np.arange(energy.size)).sum() / energy.sum() / 100.0)

    assert middle_s(0.04, 0.06) < middle_s(0.12, 0.2)


def test_machines_run_in_working_hours_near_the_town_on_their_lines() -> None:
    one = family("machinery")
    sources = one.sources(SETTINGS, DAY)
    assert ((hours(sources) >= 7) & (hours(sources) < 17)).all()
    assert one.record(SETTINGS, sources[0], CRATER, "Z") is None
    arrival = one.record(SETTINGS, sources[0], TOWN, "Z")
    assert arrival is not None
    frequency, power = scipy.signal.welch(arrival.samples, 100.0, nperseg=4096)
    on_lines = sum(power[(frequency > low) & (frequency < high)].sum() for low, high in arrival.bands_hz)
    assert on_lines > 0.98 * power.sum()


def test_a_glitch_is_heard_at_one_station_and_on_one_component() -> None:
    one = family("glitch")
    settings = SyntheticSettings(components="ZNE")
    for source in one.sources(settings, DAY)[:20]:
        heard = [
            one.record(settings, source, station, component) is not None
            for station in DEFAULT_STATIONS
            for component in "ZNE"
        ]
        assert sum(heard) == 1
