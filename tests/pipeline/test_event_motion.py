"""Ground motion and three components at events, from miniSEED to labels, against ObsPy and SciPy."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import obspy
import pytest
import scipy.signal

import scaledec as sd
from scaledec.config import Config
from scaledec.pipeline.cube import plan_of_cube
from scaledec.places import Places
from scaledec.stages.sensors import Components
from scaledec.stages.window_reader import open_windows
from scaledec.store.cubes import open_cube
from scaledec.store.event_cube import EventCubeStore
from scaledec.vocabulary import ChannelId, format_time
from tests.archive.station_making import Epoch, geophone, sensitivity_alone, station_xml
from tests.stages.cube_archives import START_NS, write_sds
from tests.stages.event_archives import HHZ, RATE_HZ, event_config, noise_with_bursts, write_day

Samples = npt.NDArray[Any]

SENSOR = {code: ChannelId("XX", "AAA", "", f"HH{code}") for code in "ZNE"}
GAIN = {"Z": 4e8, "N": 1e9, "E": 2.5e7}
HOUR = round(3600 * RATE_HZ)
BURSTS = [(12_000 + 9_000 * number, 60_000.0) for number in range(28)]
STRONG = [number for number in range(28) if number % 2]
"""Events whose horizontal components are strong."""


def motion_of(code: str) -> Samples:
    """Four hours of ground velocity in m/s; on N and E every other event is weak."""
    bursts = [
        (first, size if code == "Z" or n in STRONG else size / 50) for n, (first, size) in enumerate(BURSTS)
    ]
    counts = noise_with_bursts(4 * HOUR, bursts, seed="ZNE".index(code))
    # Without periods longer than a frame, which the instrument does not record as it records the band, and
    # without the last half octave, where deconvolving by ObsPy differs from the motion that was there.
    band = scipy.signal.butter(6, [1.5, 7], "bandpass", fs=RATE_HZ, output="sos")
    return np.asarray(scipy.signal.sosfilt(band, counts * 1e-9))


def document() -> bytes:
    return station_xml([Epoch(SENSOR[code], response=geophone(GAIN[code], corner_hz=0.02)) for code in "ZNE"])


def response_of(code: str) -> Any:
    inventory = obspy.read_inventory(io.BytesIO(document()))
    return inventory.select(channel=f"HH{code}")[0][0][0].response


def recorded(motion: Samples, code: str) -> Samples:
    """The motion as the component's instrument records it, in counts."""
    frequency = np.fft.rfftfreq(2 * len(motion), 1 / RATE_HZ)
    gain = response_of(code).get_evalresp_response_for_frequencies(frequency, output="VEL")
    return np.asarray(np.fft.irfft(np.fft.rfft(motion, 2 * len(motion)) * gain)[: len(motion)])


def deconvolved(counts: Samples, code: str) -> Samples:
    """The motion by ObsPy, of the counts."""
    trace = obspy.Trace(counts - counts.mean())
    trace.stats.sampling_rate = RATE_HZ
    trace.stats.starttime = obspy.UTCDateTime(START_NS / 1e9)
    trace.stats.response = response_of(code)
    trace.remove_response(output="VEL", water_level=60, zero_mean=False, taper=False)
    return np.asarray(trace.data, dtype=np.float64)


def window_db(samples: Samples, first: int) -> Samples:
    """Power (frame, frequency) of the window that begins at a sample, by SciPy in float64."""
    piece = samples[first : first + 31 * 5 + 20]
    frequency_hz, _, power = scipy.signal.spectrogram(
        piece, RATE_HZ, window="hann", nperseg=20, noverlap=15, detrend=False
    )
    return np.asarray(10 * np.log10(power[(frequency_hz >= 1) & (frequency_hz <= 9)].T))


def worst_db(power: Samples, expected: Samples) -> float:
    """Largest difference in the pass band among cells within 10 dB of the largest."""
    strong = expected > expected.max() - 10
    return float(np.abs(power - expected)[strong].max())


def samples_after_start(times_ns: npt.NDArray[np.int64]) -> list[int]:
    return [round(after_ns / 1e9 * RATE_HZ) for after_ns in (times_ns - START_NS).tolist()]


@pytest.fixture(scope="module")
def motion() -> dict[str, Samples]:
    """What ObsPy makes of the counts of each component."""
    return {code: deconvolved(recorded(motion_of(code), code), code) for code in "ZNE"}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A whole run on windows of three components of ground velocity; E lacks a minute around event 9."""
    folder = tmp_path_factory.mktemp("motion")
    for code in "ZNE":
        counts = recorded(motion_of(code), code)
        pieces = (
            [(0, BURSTS[9][0] - 600), (BURSTS[9][0] + 600, len(counts))]
            if code == "E"
            else [(0, len(counts))]
        )
        for first, stop in pieces:
            start_ns = START_NS + round(first / RATE_HZ * 1e9)
            # Unrounded: what rounding adds below the corner is blown up, and leaks into the band.
            write_sds(
                folder / "sds",
                counts[first:stop].astype(np.float32),
                start_ns=start_ns,
                rate_hz=RATE_HZ,
                channel=SENSOR[code],
                encoding="float32",
            )
    (folder / "stations.xml").write_bytes(document())
    config = event_config(
        folder,
        f"archive.stationxml={folder / 'stations.xml'}",
        "spectrogram.response={quantity: velocity}",
        "spectrogram.segment_s=7200",
        "windows.components=ZNE",
        "compute.engine=serial",
        "model={widths: [4, 8], latent: 3}",
        "pretrain={windows: 50, epochs: 5, validation: 0.5, learning_rate: 3e-3}",
        "cluster={method: kmeans, n_clusters: 2, restarts: 3}",
    )
    sd.run(config)
    return config


def cube_of(config: Config) -> EventCubeStore:
    cube = open_cube(Places.at(config.root).cube)
    assert isinstance(cube, EventCubeStore)
    return cube


def test_windows_of_a_sensor_hold_its_three_components_of_ground_motion(
    config: Config, motion: dict[str, Samples]
) -> None:
    reader = open_windows(cube_of(config), config.window_grid, Components.of(config.windows))
    found: list[int] = []
    for time_index in range(2):
        windows = reader.covered(0, time_index)
        chosen, power = reader.read(0, time_index, windows, len(windows))
        assert chosen.tolist() == windows.tolist()
        firsts = samples_after_start(reader.start_ns(0, time_index)[chosen])
        found += firsts
        for first, planes in zip(firsts, power, strict=True):
            for code, plane in zip("ZNE", planes, strict=True):
                expected = window_db(motion[code], first)
                strong = expected > expected.max() - 10
                assert np.abs(plane - expected)[strong].max() < 0.1
    assert len(found) == 27, "event 9 lacks a component"
    places = [first for number, (first, _) in enumerate(BURSTS) if number != 9]
    assert np.abs(np.array(found) - places).max() < 20


def test_every_event_with_all_components_has_one_label_of_its_sensor(config: Config) -> None:
    table = sd.query(config.root)
    assert set(table["channel"]) == {"XX.AAA..HH?"}
    assert len(table) == 27
    starts = samples_after_start(table["start"].to_numpy().astype(np.int64))
    events = [int(np.abs(np.array([place for place, _ in BURSTS]) - start).argmin()) for start in starts]
    assert sorted(events) == [number for number in range(28) if number != 9]
    assert set(table["label"]) <= {0, 1}


def test_a_single_channel_at_events_of_a_catalogue_is_ground_motion_too(
    config: Config, motion: dict[str, Samples], tmp_path: Path
) -> None:
    picks = [BURSTS[3][0] + 7, 2 * HOUR - 60]
    rows = [format_time(START_NS + round(pick / RATE_HZ * 1e9)) for pick in picks]
    (tmp_path / "origins.csv").write_text("\n".join(["time", *rows]))
    alone = event_config(
        tmp_path,
        f"archive.url={config.archive.url}",
        "archive.channels=[XX.*.*.HHN]",
        f"archive.stationxml={config.archive.stationxml}",
        "spectrogram.response={quantity: velocity}",
        "spectrogram.segment_s=7200",
        f"windows={{mode: catalog, length_s: 8, catalog: {{url: {tmp_path / 'origins.csv'}}}}}",
        "compute.engine=serial",
    )
    assert sd.build_cube(alone).exit_code == 0
    events = cube_of(alone).read_segment(0, 0)
    assert samples_after_start(events.onset_ns) == picks
    for first, power in zip(picks, events.power, strict=True):
        expected = window_db(motion["N"], first)
        assert worst_db(power, expected) < 0.1


# --- an epoch that begins within a window's reach of the segment's end ----------------------------------


def test_a_window_that_runs_into_the_next_epoch_has_each_frame_under_its_own(tmp_path: Path) -> None:
    change = 2 * HOUR + 60  # three seconds into the next segment
    pick = 2 * HOUR - 20

    def put(second: float) -> None:
        change_at = format_time(START_NS + round(change / RATE_HZ * 1e9))
        epochs = [
            Epoch(HHZ, end=change_at, response=sensitivity_alone(1e6)),
            Epoch(HHZ, start=change_at, response=sensitivity_alone(second)),
        ]
        (tmp_path / "stations.xml").write_bytes(station_xml(epochs))

    samples = noise_with_bursts(3 * HOUR, [])
    write_day(tmp_path, samples)
    (tmp_path / "origins.csv").write_text(f"time\n{format_time(START_NS + round(pick / RATE_HZ * 1e9))}")
    put(1e9)
    config = event_config(
        tmp_path,
        f"archive.stationxml={tmp_path / 'stations.xml'}",
        "spectrogram.response={quantity: velocity}",
        "spectrogram.segment_s=7200",
        "spectrogram.detrend=none",
        f"windows={{mode: catalog, length_s: 8, catalog: {{url: {tmp_path / 'origins.csv'}}}}}",
        "compute.engine=serial",
    )
    assert sd.build_cube(config).exit_code == 0
    events = cube_of(config).read_segment(0, 0)
    first_sample = pick + 5 * np.arange(32)
    shared = (first_sample + 19 >= change) & (first_sample < change)
    expected = window_db(samples, pick) - np.where(first_sample < change, 120, 180)[:, np.newaxis]
    assert events.coverage[0].tolist() == np.where(shared, 0, 100).tolist()
    np.testing.assert_allclose(events.power[0][~shared], expected[~shared], atol=0.02)
    assert len(plan_of_cube(config).plan.tasks) == 0
    put(2e9)
    assert 0 in [task.time_index for task in plan_of_cube(config).plan.tasks]
