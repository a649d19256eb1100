from __future__ import annotations

import numpy as np
import scipy.signal

from scaledec.synthetic.noise import noise_power, noise_rms, noise_samples
from scaledec.synthetic.settings import DAY_NS, DEFAULT_STATIONS, SyntheticSettings

SETTINGS = SyntheticSettings(sampling_rate_hz=20.0)
FIRST = SETTINGS.start_ns // 50_000_000
HOUR = 72_000


def test_any_stretch_of_noise_is_the_same_made_alone() -> None:
    model = DEFAULT_STATIONS[0].noise
    whole = noise_samples(model, SETTINGS, "A", FIRST, 3 * HOUR)
    part = noise_samples(model, SETTINGS, "A", FIRST + 12_345, HOUR)
    np.testing.assert_array_equal(part, whole[12_345 : 12_345 + HOUR])


def test_channels_and_seeds_have_noise_of_their_own() -> None:
    model = DEFAULT_STATIONS[0].noise
    one = noise_samples(model, SETTINGS, "A", FIRST, HOUR)
    for other in (
        noise_samples(model, SETTINGS, "B", FIRST, HOUR),
        noise_samples(model, SyntheticSettings(sampling_rate_hz=20.0, seed=1), "A", FIRST, HOUR),
        noise_samples(model, SETTINGS, "A", FIRST + 24 * HOUR, HOUR),
    ):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.1


def test_the_spectrum_of_the_noise_is_the_one_it_promises() -> None:
    model = DEFAULT_STATIONS[1].noise
    samples = noise_samples(model, SETTINGS, "A", FIRST, 6 * HOUR)
    frequency, power = scipy.signal.welch(samples, 20.0, nperseg=4096)
    wanted = noise_power(model, SETTINGS, frequency, SETTINGS.start_ns + 3 * DAY_NS // 24)
    inside = (frequency > 0.05) & (frequency < 9.5)
    apart_db = 10 * np.log10(power[inside] / wanted[inside])
    assert abs(apart_db.mean()) < 0.5
    assert np.abs(scipy.signal.medfilt(apart_db, 21)).max() < 2.0
    assert np.isclose(
        samples.std(), noise_rms(model, SETTINGS, ((0.01, 10.0),), SETTINGS.start_ns), rtol=0.15
    )


def test_nothing_happens_to_the_noise_at_midnight() -> None:
    samples = noise_samples(DEFAULT_STATIONS[0].noise, SETTINGS, "A", FIRST + 23 * HOUR, 2 * HOUR)
    steps = np.abs(np.diff(samples))
    assert steps[HOUR - 3 : HOUR + 3].max() < steps.max()


def test_working_hours_raise_the_high_frequencies_only() -> None:
    model = DEFAULT_STATIONS[2].noise
    frequency = np.array([0.2, 9.0])
    night = noise_power(model, SETTINGS, frequency, SETTINGS.start_ns)
    noon = noise_power(model, SETTINGS, frequency, SETTINGS.start_ns + DAY_NS // 2)
    assert noon[1] > 1.2 * night[1]
    assert 0.5 < noon[0] / night[0] < 2.0
