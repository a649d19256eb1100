from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.signal

import scaledec.queries.distribution as distribution
from scaledec.cli.main import main
from scaledec.config import Config
from scaledec.errors import ConfigError
from scaledec.ledger.ledger import Ledger
from scaledec.numerics.spectra import linear_power, peak_frequency, rms_amplitude
from scaledec.places import Places
from scaledec.queries.distribution import QUARTILES, ValueCounts
from scaledec.queries.episodes import episodes
from scaledec.queries.statistics import class_statistics
from scaledec.store.labels import LabelBlock, LabelStore
from scaledec.vocabulary import TaskResult, WindowState
from tests.query.conftest import Asked
from tests.stages.small_cubes import (
    channels_of,
    expected_power,
    make_cube,
    make_labels,
    save_model,
    small_config,
)

THREE = ("q25", "median", "q75")


def test_amplitude_and_peak_frequency_are_those_of_the_samples_behind_a_spectrogram() -> None:
    rng = np.random.default_rng(0)
    time = np.arange(6000) / 100
    traces = [
        30 * np.sin(2 * np.pi * 12.5 * time),
        4 * np.sin(2 * np.pi * 3.125 * time) + 1000,  # an offset is no motion
        rng.normal(scale=7, size=time.size),
    ]
    frequency, _, power = scipy.signal.spectrogram(
        np.array(traces), 100, "hann", 256, 192, detrend=False, scaling="density"
    )
    windows = power.transpose(0, 2, 1)
    amplitude = rms_amplitude(windows, frequency)
    assert amplitude[0] == pytest.approx(30 / np.sqrt(2), rel=1e-3)
    assert amplitude[2] == pytest.approx(7, rel=0.03)
    np.testing.assert_array_equal(peak_frequency(windows, frequency)[:1], 12.5)
    band = frequency > 1  # what an offset leaks to lies below
    assert rms_amplitude(windows[:, :, band], frequency[band])[1] == pytest.approx(4 / np.sqrt(2), rel=1e-3)
    decibels = 10 * np.log10(windows[2:])
    np.testing.assert_allclose(rms_amplitude(linear_power(decibels, "db"), frequency), amplitude[2:])
    assert linear_power(windows, "linear") is windows
    planes = np.stack([windows, windows], axis=1)
    np.testing.assert_allclose(rms_amplitude(planes, frequency), amplitude * np.sqrt(2))
    np.testing.assert_array_equal(peak_frequency(planes, frequency), peak_frequency(windows, frequency))


@pytest.mark.parametrize("n", [1, 2, 3, 10, 1001])
def test_quartiles_of_counted_values_are_those_of_numpy(n: int) -> None:
    values = np.random.default_rng(n).integers(0, 20, n) / 7
    counts = ValueCounts()
    for part in np.array_split(values, 3):
        counts.add(part)
    np.testing.assert_allclose(counts.quartiles(), np.quantile(values, QUARTILES))
    assert len(counts) == n


def test_many_different_values_are_rounded_to_four_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, "_MOST_WAITING", 500)
    monkeypatch.setattr(distribution, "_MOST_VALUES", 300)
    values = np.random.default_rng(0).lognormal(3, 4, 5000)
    counts = ValueCounts()
    for part in np.array_split(values, 20):
        counts.add(part)
    np.testing.assert_allclose(counts.quartiles(), np.quantile(values, QUARTILES), rtol=1e-3)
    assert len(counts) == 5000
    assert np.isnan(ValueCounts().quartiles()).all()


def test_statistics_of_labels_are_those_of_the_whole_table(asked: Asked) -> None:
    found = class_statistics(asked.root, max_gap_s=300, min_windows=2, min_confidence=0.3).set_index("label")
    windows = asked.windows.query("confidence >= 0.3")
    runs = episodes(asked.root, max_gap_s=300, min_windows=2, min_confidence=0.3)
    for label, own in windows.groupby("label"):
        row = found.loc[label]
        assert row["windows"] == len(own)
        assert row["share"] == pytest.approx(len(own) / len(windows))
        assert row["stations"] == own["station"].nunique()
        np.testing.assert_allclose(
            [row[f"confidence_{q}"] for q in THREE], np.quantile(own["confidence"], QUARTILES), atol=1e-4
        )
        mine = runs[runs["label"] == label]
        waits = [group["start"].diff().dropna() for _, group in mine.groupby("channel", observed=True)]
        seconds = pd.concat(waits).dt.total_seconds()
        assert row["episodes"] == len(mine)
        np.testing.assert_allclose(
            [row[f"interval_s_{q}"] for q in THREE], np.quantile(seconds, QUARTILES), rtol=1e-9
        )
    # Without a cube nothing is known of power.
    assert (found["sampled"] == 0).all()
    assert found["amplitude_median"].isna().all()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, LabelStore]:
    """A cube of three channels and two segments with a label for most windows."""
    config = small_config(tmp_path_factory.mktemp("cube"))
    cube = make_cube(config, channels_of(3), 2)
    save_model(config)
    store = LabelStore.open(make_labels(config, cube).labels, "r+")
    rng = np.random.default_rng(0)
    for channel in range(3):
        label = rng.integers(-1, 3, (2, store.windows.n_windows)).astype(np.int16)
        label[1, -1] = -1  # reaches beyond the end of the cube
        there = label >= 0
        values = np.where(there, rng.random(label.shape), np.nan).astype(np.float32)
        state = np.where(there, WindowState.LABELLED, WindowState.NO_DATA).astype(np.uint8)
        block = LabelBlock(channel, 0, label, values, values, values, state)
        if store.has("embedding"):
            latent = np.zeros((*label.shape, store.centroid.shape[1]), np.float32)
            block = LabelBlock(channel, 0, label, values, values, values, state, latent)
        store.write_region(block)
    Ledger(Places.at(config.root).label_ledger("run")).append([TaskResult("k", "f", "done")])
    return config, store


def powers(config: Config, store: LabelStore) -> pd.DataFrame:
    """Amplitude and peak frequency of every labelled window, from the power the cube was made of."""
    cube = make_cube(config, channels_of(3), 2)
    rows = []
    for channel in range(3):
        label = store.read_region(channel, 0, 2).label
        power = np.concatenate([expected_power(cube, channel, segment) for segment in (0, 1)])
        for segment, window in np.argwhere(label >= 0):
            first = segment * 600 + window * 8
            linear = 10.0 ** (power[first : first + 16, 1:].astype(float) / 10)  # without 0 Hz
            amplitude = np.sqrt(linear.mean(axis=0).sum() * 0.5)
            peak = 0.5 * (1 + linear.mean(axis=0).argmax())
            rows.append((label[segment, window], amplitude, peak))
    return pd.DataFrame(rows, columns=["label", "amplitude", "peak_frequency_hz"])


def test_power_of_all_windows_is_that_of_the_cube(small: tuple[Config, LabelStore]) -> None:
    config, store = small
    found = class_statistics(config.root, sample=10_000).set_index("label")
    for label, own in powers(config, store).groupby("label"):
        row = found.loc[label]
        assert row["sampled"] == row["windows"] == len(own)
        for name in ("amplitude", "peak_frequency_hz"):
            quartiles = [row[f"{name}_{q}"] for q in THREE]
            np.testing.assert_allclose(quartiles, np.quantile(own[name], QUARTILES), rtol=1e-6)
    assert set(found["amplitude_units"]) == {"counts"}


def test_a_sample_is_that_of_its_seed(small: tuple[Config, LabelStore]) -> None:
    config, store = small
    first, again, other = (class_statistics(config.root, sample=20, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert list(first["sampled"]) == [20, 20, 20]
    assert (first["amplitude_median"] != other["amplitude_median"]).all()
    whole = powers(config, store).groupby("label")["amplitude"]
    for table in (first, other):
        median = table["amplitude_median"].to_numpy()
        assert (whole.quantile(0.1).to_numpy() < median).all()
        assert (median < whole.quantile(0.9).to_numpy()).all()
    none = class_statistics(config.root, sample=0, label=[2, 0])
    assert list(none["label"]) == [0, 2]
    assert list(none["sampled"]) == [0, 0]
    with pytest.raises(ConfigError, match="sample is -1"):
        class_statistics(config.root, sample=-1)


def test_the_command_line_shows_a_column_a_class(
    small: tuple[Config, LabelStore], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, _ = small
    path = tmp_path / "my.yaml"
    path.write_text(f"root: {config.root}\narchive: {{url: memory://none}}\nrun: run\n")

    def run(*options: str) -> Any:
        with pytest.raises(SystemExit) as exit_:
            main(["stats", str(path), *options])
        assert not exit_.value.code
        return capsys.readouterr()

    shown = run("--sample", "5")
    assert "power of 15 windows, at most 5 a class, seed 0" in shown.err
    rows = {line.split()[0]: line.split()[1:] for line in shown.out.splitlines()}
    assert rows["label"] == ["0", "1", "2"]
    expected = class_statistics(config.root, sample=5)
    assert rows["windows"] == [str(n) for n in expected["windows"]]
    assert rows["amplitude_median"] == [f"{value:.4g}" for value in expected["amplitude_median"]]
    run("--sample", "5", "-o", str(tmp_path / "classes.csv"))
    written = pd.read_csv(tmp_path / "classes.csv")
    pd.testing.assert_frame_equal(written, expected, check_dtype=False)
