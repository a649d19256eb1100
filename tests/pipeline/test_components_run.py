"""The whole run on sensors of three components: what one component cannot tell apart, three can."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from scaledec.config import Config
from scaledec.ledger.ledger import Ledger
from scaledec.pipeline.check import verify
from scaledec.pipeline.run import cluster, label, pretrain
from scaledec.places import Places
from scaledec.queries.accessor import open_labels
from scaledec.queries.rows import query
from scaledec.queries.statistics import class_statistics
from scaledec.report.canvas import save_figure
from scaledec.report.gather.view import RunView
from scaledec.report.sections.clusters import gallery_section
from scaledec.store.cube import CubeStore
from scaledec.vocabulary import ChannelId
from tests.stages.small_cubes import cube_results, make_cube, small_config

CHANNELS = [ChannelId("XX", station, "", f"HH{code}") for station in "AB" for code in "ZNE"]
# A sensor whose east component was never there.
CHANNELS += [ChannelId("XX", "C", "", "HHZ"), ChannelId("XX", "C", "", "HHN")]
N_SEGMENTS = 8


def write_two_kinds(cube: CubeStore) -> None:
    """Noise; every other 16 s the horizontal components change places in strength, and Z never changes."""
    rng = np.random.default_rng(0)
    writable = CubeStore.open(cube.location, "r+")
    north_is_loud = np.arange(cube.grid.n_frames) // 16 % 2 == 0
    for index, channel in enumerate(cube.channels):
        for segment in range(cube.n_segments):
            power = rng.normal(0, 2, (cube.grid.n_frames, cube.grid.n_frequencies))
            if channel.channel != "HHZ":
                power[north_is_loud == (channel.channel == "HHN")] += 20
            coverage = np.full(cube.grid.n_frames, 100, np.uint8)
            writable.write_segment(index, segment, power.astype(np.float16), coverage)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = small_config(
        tmp_path_factory.mktemp("components"),
        windows={"components": "ZNE", "stride_s": 16},
        model={"normalise": "l2"},
        pretrain={"epochs": 8, "learning_rate": 3e-3},
        cluster={"n_clusters": 2, "restarts": 4, "epochs": 2, "batch": 64},
        compute={"engine": "serial"},
    )
    cube = make_cube(config, CHANNELS, N_SEGMENTS)
    write_two_kinds(cube)
    Ledger(Places.at(config.root).ledger("cube")).append(cube_results(cube).values())
    pretrain(config)
    cluster(config)
    return config


def test_sensors_are_labelled_by_the_ratio_of_their_components(config: Config, tmp_path: Path) -> None:
    outcome = label(config)
    assert "1 sensors lack a component of ZNE and have no label" in outcome.message
    assert "XX.C..HH?" in outcome.message
    table = query(config.root)
    assert sorted(set(table["channel"])) == ["XX.A..HH?", "XX.B..HH?"]
    second = table["start"].to_numpy().astype("datetime64[s]").astype(np.int64) % 600
    label_of = table["label"].to_numpy()
    # The last window of a segment holds the end of one stretch and the beginning of another.
    found = [label_of[(second // 16 % 2 == kind) & (second < 592)] for kind in (0, 1)]
    kinds = [np.bincount(labels, minlength=2) for labels in found]
    assert {int(counts.argmax()) for counts in kinds} == {0, 1}
    assert all(counts.max() == counts.sum() for counts in kinds)
    assert verify(config).sound
    assert "0 shards labelled" in label(config).message
    labels = open_labels(config.root)
    assert labels["prototype"].dims == ("cluster", "plane", "frame", "frequency")
    assert list(labels["plane"].values) == ["Z", "N", "E"]
    assert (labels["label"].sel(channel="XX.C..HH?") == -1).all()


def test_a_gallery_shows_each_component(config: Config, tmp_path: Path) -> None:
    label(config)
    places = Places.at(config.root)
    (run,) = places.runs.list_names()
    section = gallery_section(RunView(config, run), waveforms=False)
    assert section.missing == "The archive gave no waveforms of these windows."
    picture = save_figure(section.pictures[0].draw(), tmp_path / "gallery.png")
    assert picture.stat().st_size > 20_000


def test_a_new_component_redoes_the_labels_of_its_sensor_alone(config: Config) -> None:
    label(config)
    cube = CubeStore.open(Places.at(config.root).cube)
    east = dataclasses.replace(CHANNELS[-1], channel="HHE")
    grown = CubeStore.create_or_extend(
        cube.location, cube.template, [*cube.channels, east], cube.start_ns, cube.n_segments
    )
    for segment in range(N_SEGMENTS):
        power, coverage = cube.read_frames(0, segment)
        grown.write_segment(grown.channel_index(east), segment, power, coverage)
    results = cube_results(grown)
    ledger = Ledger(Places.at(config.root).ledger("cube"))
    ledger.append(result for key, result in results.items() if key.startswith(str(east)))
    assert f"{N_SEGMENTS // 2} shards labelled" in label(config).message
    assert "XX.C..HH?" in set(query(config.root)["channel"])


def test_sensors_are_asked_as_channels_are(config: Config) -> None:
    label(config)
    found = class_statistics(config.root, sample=40)
    assert list(found["sampled"]) == [40, 40]
    assert (found["stations"] >= 2).all()
    # Two loud components of every three, 20 dB above the third: 9 frequencies of 0.5 Hz above 0 Hz but one.
    np.testing.assert_allclose(found["amplitude_median"], np.sqrt(102 * 1.11 * 4), rtol=0.1)
    labels = open_labels(config.root)
    window = labels.scaledec.spectrogram("XX.B..HH?", "2020-01-01T00:10:20")
    assert window.dims == ("plane", "frame", "frequency")
    loudness = window.mean(["frame", "frequency"]).sel(plane=["N", "E"])
    assert abs(loudness.diff("plane").item()) > 15
    counts = labels.sel(channel="XX.A..HH?").scaledec.counts("10min")
    np.testing.assert_array_equal(counts.sum("cluster"), [38] * 7 + [37])
