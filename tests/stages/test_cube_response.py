"""Ground motion in the cube: the same as deconvolving the trace, by the epoch that holds at each frame."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import obspy
import pytest
import scipy.signal

from scaledec.archive.stations import Stations
from scaledec.config import Config, parse_config
from scaledec.errors import ConfigError
from scaledec.pipeline.check import verify
from scaledec.pipeline.cube import build_cube, plan_of_cube
from scaledec.pipeline.outcome import Outcome
from scaledec.pipeline.plan import plan
from scaledec.pipeline.resources import Resources
from scaledec.pipeline.status import status
from scaledec.places import Places
from scaledec.store.cube import CubeStore
from scaledec.store.datasets import open_cube
from scaledec.vocabulary import ChannelId
from tests.archive.station_making import Epoch, geophone, sensitivity_alone, station_xml
from tests.stages.cube_archives import CHANNEL, START_NS, configure, red_noise, sds_path, write_sds

RATE_HZ = 10.0
SEGMENT = 72_000  # samples of two hours
HOUR_NS = 3600 * 10**9
OTHER = ChannelId("XX", "BBB", "00", "BHZ")


def configure_motion(folder: Path, *overrides: str, quantity: str = "velocity") -> Config:
    response = f"spectrogram.response={{quantity: {quantity}, water_level_db: 60}}"
    return configure(folder, response, *with_stations(folder, *overrides))


def with_stations(folder: Path, *overrides: str) -> tuple[str, ...]:
    return f"archive.stationxml={folder / 'stations.xml'}", "compute.engine=serial", *overrides


def put_stations(folder: Path, *epochs: Epoch) -> bytes:
    document = station_xml(epochs)
    (folder / "stations.xml").write_bytes(document)
    return document


def build(config: Config) -> Outcome:
    with Resources(config.compute) as resources:
        return build_cube(config, resources)


def cube_of(config: Config) -> CubeStore:
    return CubeStore.open(Places.at(config.root).cube)


def power_db(samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Power (frame, frequency) of a record in dB by scipy in float64, as ``configure`` sets it."""
    _, _, power = scipy.signal.spectrogram(
        samples.astype(np.float64), RATE_HZ, window="hann", nperseg=64, noverlap=32, detrend=False
    )
    return np.asarray(10 * np.log10(np.asarray(power).T))


FREQUENCY_HZ = np.arange(33) * RATE_HZ / 64


def recorded(motion: npt.NDArray[Any], document: bytes, output: str) -> npt.NDArray[np.float32]:
    """Ground motion as the instrument of a document records it, in counts."""
    response = obspy.read_inventory(io.BytesIO(document))[0][0][0].response
    frequency = np.fft.rfftfreq(2 * len(motion), 1 / RATE_HZ)
    gain = response.get_evalresp_response_for_frequencies(frequency, output=output)
    counts = np.fft.irfft(np.fft.rfft(motion, 2 * len(motion)) * gain)[: len(motion)]
    return np.asarray(counts, dtype=np.float32)


def deconvolved(counts: npt.NDArray[np.float32], document: bytes, output: str) -> npt.NDArray[np.float64]:
    """Ground motion by ObsPy, from the record and the document."""
    trace = obspy.Trace(counts.astype(np.float64))
    trace.stats.sampling_rate = RATE_HZ
    trace.stats.starttime = obspy.UTCDateTime(START_NS / 1e9)
    trace.id = str(CHANNEL)
    inventory = obspy.read_inventory(io.BytesIO(document))
    trace.remove_response(inventory, output=output, water_level=60, zero_mean=False, taper=False)
    return np.asarray(trace.data, dtype=np.float64)


# --- the same numbers as a deconvolved trace ------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantity", "output"), [("displacement", "DISP"), ("velocity", "VEL"), ("acceleration", "ACC")]
)
def test_power_is_that_of_the_trace_from_which_obspy_removed_the_response(
    tmp_path: Path, quantity: str, output: str
) -> None:
    document = put_stations(tmp_path, Epoch(response=geophone(4e8, corner_hz=0.02)))
    motion = 1e-7 * np.random.default_rng(4).standard_normal(SEGMENT)
    counts = recorded(motion, document, output)
    write_sds(tmp_path / "sds", counts, encoding="float32")
    config = configure_motion(tmp_path, quantity=quantity)
    assert build(config).failures == ()
    ours = cube_of(config).read_frames(0, 0)[0][:-1]
    expected = power_db(deconvolved(counts, document, output))
    # A taper's width from where the response bends. Cell by cell the two agree where it is flat; an
    # integrated response falls everywhere, and the mean over the frames agrees.
    band = (FREQUENCY_HZ > 1) & (FREQUENCY_HZ < 4.5)
    mean = [10 * np.log10((10 ** (power / 10)).mean(axis=0)) for power in (ours, expected)]
    assert np.abs(mean[0] - mean[1])[band].max() < 0.1
    if quantity == "velocity":
        strong = expected > expected.max(axis=1, keepdims=True) - 10
        assert np.abs(ours - expected)[strong & band].max() < 0.1
        # And both are the motion that was there.
        true_db = 10 * np.log10((10 ** (power_db(motion) / 10)).mean(axis=0))
        assert np.abs(mean[0] - true_db)[band].max() < 0.01


def test_float16_keeps_motion_within_a_tenth_of_a_decibel(tmp_path: Path) -> None:
    put_stations(tmp_path, Epoch(response=geophone(1e9, corner_hz=0.02)))
    write_sds(tmp_path / "sds", red_noise(SEGMENT))
    exact = configure_motion(tmp_path, quantity="displacement")
    short = configure_motion(
        tmp_path, "spectrogram.dtype=float16", f"root={tmp_path / 'short'}", quantity="displacement"
    )
    powers = []
    for config in (exact, short):
        build(config)
        powers.append(cube_of(config).read_frames(0, 0)[0].astype(np.float64))
    assert powers[0].min() < -160
    assert np.abs(powers[0] - powers[1]).max() < 0.1


def test_linear_power_is_ground_motion_too(tmp_path: Path) -> None:
    put_stations(tmp_path, Epoch(response=sensitivity_alone(1e9)))
    samples = red_noise(SEGMENT)
    write_sds(tmp_path / "sds", samples)
    config = configure_motion(tmp_path, "spectrogram.scale=linear")
    build(config)
    power = cube_of(config).read_frames(0, 0)[0][:-1]
    np.testing.assert_allclose(10 * np.log10(power), power_db(samples) - 180, atol=1e-2)


def test_a_real_record_agrees_with_obspy_in_the_pass_band(real_data: Path, tmp_path: Path) -> None:
    config = parse_config(
        f"""
        root: {tmp_path / "root"}
        archive: {{url: {real_data / "sds"}, channels: [CI.WBM..LHZ], start: 2022-01-02, end: 2022-01-03,
                   stationxml: {real_data / "scedc" / "FDSNstationXML"}}}
        spectrogram: {{sampling_rate_hz: 1, window_s: 256, dtype: float32, response: {{}}}}
        windows: {{length_s: 4096}}
        compute: {{engine: serial}}
        """
    )
    build(config)
    power, coverage = cube_of(config).read_frames(0, 0)
    stream = obspy.read(str(real_data / "sds/2022/CI/WBM/LHZ.D/CI.WBM..LHZ.D.2022.002"))
    [trace] = stream
    trace.data = trace.data.astype(np.float64)
    trace.remove_response(
        obspy.read_inventory(str(real_data / "scedc/FDSNstationXML/CI/CI_WBM.xml")),
        output="VEL",
        water_level=60,
        # Without it, drifts of minutes that the deconvolution blows up leak into the band.
        pre_filt=(0.005, 0.01, 0.45, 0.5),
    )
    frequency, _, expected = scipy.signal.spectrogram(
        trace.data, 1.0, window="hann", nperseg=256, noverlap=128, detrend=False
    )
    n_frames = expected.shape[1]
    assert (coverage[:n_frames] == 100).all()
    band = (frequency > 0.02) & (frequency < 0.35)
    # Half the frames, those without the trace's ends, where the deconvolution wraps around.
    inside = slice(n_frames // 4, -n_frames // 4)
    ours = 10 * np.log10((10 ** (power[:n_frames][inside].astype(float) / 10)).mean(axis=0))
    theirs = 10 * np.log10(np.asarray(expected)[:, inside].mean(axis=1))
    assert np.abs(ours - theirs)[band].max() < 0.1


# --- the epoch that holds -------------------------------------------------------------------------------


def test_each_frame_is_corrected_by_the_epoch_that_holds_it(tmp_path: Path) -> None:
    change_s = 3600.0  # on the start of a frame: 3600 s are 1125 hops of 3.2 s
    put_stations(
        tmp_path,
        Epoch(end="2021-03-01T01:00:00", response=sensitivity_alone(1e6)),
        Epoch(start="2021-03-01T01:00:00", response=sensitivity_alone(1e9)),
    )
    samples = red_noise(SEGMENT + 32)
    write_sds(tmp_path / "sds", samples)
    config = configure_motion(tmp_path)
    build(config)
    power, coverage = cube_of(config).read_frames(0, 0)
    border = round(change_s / 3.2)
    expected = power_db(samples)
    expected[:border] -= 120
    expected[border:] -= 180
    shared = np.arange(len(coverage)) == border - 1
    assert np.isnan(power[shared]).all(), "the frame with samples of both stands for neither"
    assert (coverage == np.where(shared, 0, 100)).all()
    np.testing.assert_allclose(power[~shared], expected[~shared], atol=1e-2)


def test_frames_outside_every_epoch_have_no_coverage_and_are_counted(tmp_path: Path) -> None:
    put_stations(tmp_path, Epoch(start="2021-03-01T01:00:00", response=sensitivity_alone(1e6)))
    write_sds(tmp_path / "sds", red_noise(SEGMENT + 32))
    config = configure_motion(tmp_path)
    build(config)
    coverage = cube_of(config).read_frames(0, 0)[1]
    assert (coverage == np.where(np.arange(2250) < 1125, 0, 100)).all()
    from scaledec.ledger.ledger import Ledger

    [result] = [
        result
        for key, result in Ledger(Places.at(config.root).ledger("cube")).read().items()
        if key.endswith("T00:00:00")
    ]
    assert result.details["n_frames_without_response"] == 1125


def test_a_new_epoch_with_the_same_response_changes_nothing(tmp_path: Path) -> None:
    write_sds(tmp_path / "sds", red_noise(SEGMENT))
    put_stations(tmp_path, Epoch(response=sensitivity_alone(1e6)))
    config = configure_motion(tmp_path)
    build(config)
    before = cube_of(config).checksum(0, 0)
    put_stations(
        tmp_path,
        Epoch(end="2021-03-01T00:33:00", response=sensitivity_alone(1e6)),
        Epoch(start="2021-03-01T00:33:00", response=sensitivity_alone(1e6)),
    )
    outcome = build(config)
    assert (outcome.done, outcome.skipped) == (0, 12)
    assert cube_of(config).checksum(0, 0) == before


def test_a_corrected_response_redoes_the_segments_of_its_epoch_alone(tmp_path: Path) -> None:
    write_sds(tmp_path / "sds", red_noise(6 * SEGMENT))
    write_sds(tmp_path / "sds", red_noise(2 * SEGMENT), channel=OTHER)

    def put(second: float, latitude: float, end: str | None = None) -> None:
        put_stations(
            tmp_path,
            Epoch(end="2021-03-01T07:00:00", latitude=latitude, response=sensitivity_alone(1e6)),
            Epoch(start="2021-03-01T07:00:00", end=end, response=sensitivity_alone(second)),
            Epoch(OTHER, response=sensitivity_alone(1e6)),
        )

    def left() -> list[int]:
        work = plan_of_cube(config).plan
        return [task.time_index for task in work.tasks if task.channel == CHANNEL]

    put(1e7, 35.5)
    config = configure_motion(tmp_path)
    build(config)
    assert left() == []
    put(1e7, 36.0)
    assert left() == [], "a corrected place changes no number"
    put(1e7, 35.5, end="2030-01-01")
    assert left() == [], "an end far away changes no number here"
    put(2e7, 35.5)
    # 07:00 lies in the segment from 06:00; the day's file may hold samples of all that follow.
    assert left() == list(range(3, 12))
    assert {task.channel for task in plan_of_cube(config).plan.tasks} == {CHANNEL}


@pytest.mark.parametrize(
    ("epochs", "reason"),
    [
        ([Epoch(OTHER, response=sensitivity_alone())], "the channel is not in"),
        ([Epoch()], "its epoch in the StationXML has no response"),
        ([Epoch(response=sensitivity_alone(units="PA"))], "which is no ground motion"),
    ],
)
def test_a_channel_without_a_response_fails_with_the_reason_and_others_go_on(
    tmp_path: Path, epochs: list[Epoch], reason: str
) -> None:
    write_sds(tmp_path / "sds", red_noise(SEGMENT))
    third = ChannelId("XX", "CCC", "00", "BHZ")
    write_sds(tmp_path / "sds", red_noise(SEGMENT), channel=third)
    put_stations(tmp_path, *epochs, Epoch(third, response=sensitivity_alone()))
    outcome = build(configure_motion(tmp_path))
    failures = [failure for failure in outcome.failures if failure.key.endswith("T00:00:00")]
    [failure] = failures
    assert failure.key == f"{CHANNEL}/2021-03-01T00:00:00"
    assert "XX.AAA.00.BHZ has no response at 2021-03-01T00:00:00" in failure.reason
    assert reason in failure.reason
    assert "1 segments written" in outcome.message


def test_a_day_without_samples_needs_no_response(tmp_path: Path) -> None:
    write_sds(tmp_path / "sds", red_noise(12 * SEGMENT))
    write_sds(tmp_path / "sds", red_noise(36 * SEGMENT), channel=OTHER)
    put_stations(tmp_path, Epoch(OTHER, response=sensitivity_alone()))
    outcome = build(configure_motion(tmp_path, "spectrogram.segment_s=86400"))
    # The day after the record could hold samples of its file; it holds none.
    assert [failure.key for failure in outcome.failures] == [f"{CHANNEL}/2021-03-01T00:00:00"]
    assert "3 segments written, 1 without samples, 1 failed" in outcome.message


def test_samples_that_lie_outside_the_epochs_alone_fail_their_segment(tmp_path: Path) -> None:
    write_sds(tmp_path / "sds", red_noise(SEGMENT // 4))
    put_stations(tmp_path, Epoch(start="2021-03-01T01:00:00", response=sensitivity_alone()))
    outcome = build(configure_motion(tmp_path))
    assert [failure.key for failure in outcome.failures] == [f"{CHANNEL}/2021-03-01T00:00:00"]
    assert "no epoch with a response holds over its samples" in outcome.failures[0].reason


def test_verify_computes_ground_motion_again(tmp_path: Path) -> None:
    write_sds(tmp_path / "sds", red_noise(SEGMENT))
    put_stations(tmp_path, Epoch(response=geophone()))
    config = configure_motion(tmp_path)
    build(config)
    report = verify(config, recompute=3)
    assert report.sound
    assert report.recomputed == 3


# --- operating epochs and coordinates -------------------------------------------------------------------


def test_a_segment_outside_every_epoch_is_not_planned_and_is_reported(tmp_path: Path) -> None:
    write_sds(tmp_path / "sds", red_noise(6 * SEGMENT))
    put_stations(tmp_path, Epoch(end="2021-03-01T03:00:00"), Epoch(start="2021-03-01T08:00:00"))
    config = configure(tmp_path, *with_stations(tmp_path))
    work = plan_of_cube(config)
    # 02:00 to 04:00 is partly inside: it is planned whole.
    assert [task.time_index for task in work.plan.tasks][:3] == [0, 1, 4]
    assert work.plan.n_outside == 2
    outcome = build(config)
    assert "2 segments outside operating epochs left out" in outcome.message
    [failure] = outcome.failures
    assert failure.key == str(CHANNEL)
    assert "2 segments from 2021-03-01T04:00:00 to 2021-03-01T08:00:00 lie outside" in failure.reason
    assert (cube_of(config).read_frames(0, 1)[1][:-1] == 100).all(), "a partial day keeps its samples"
    found = status(config)
    assert "2 segments outside operating epochs left out" in found.table()
    assert found.n_failures == 1


def test_a_day_that_a_neighbour_might_have_run_into_is_left_out_in_silence(tmp_path: Path) -> None:
    write_sds(tmp_path / "sds", red_noise(12 * SEGMENT))
    put_stations(tmp_path, Epoch(end="2021-03-02"))
    config = configure(tmp_path, *with_stations(tmp_path, "spectrogram.segment_s=86400"))
    without = configure(tmp_path, "spectrogram.segment_s=86400")
    assert sds_path(tmp_path / "sds", START_NS).exists()
    assert len(plan_of_cube(without).plan.tasks) == 1
    assert len(plan_of_cube(config).plan.tasks) == 1
    assert plan_of_cube(config).plan.outside == ()


def test_without_stationxml_nothing_changes(tmp_path: Path) -> None:
    write_sds(tmp_path / "sds", red_noise(3 * SEGMENT))
    put_stations(tmp_path, Epoch(response=geophone()))
    bare = configure(tmp_path)
    known = configure(tmp_path, *with_stations(tmp_path))
    assert list(plan_of_cube(bare).plan.tasks) == list(plan_of_cube(known).plan.tasks)
    assert plan_of_cube(bare).stations is None
    assert isinstance(plan_of_cube(known).stations, Stations)


def test_coordinates_are_in_the_cube_and_in_what_xarray_shows(tmp_path: Path) -> None:
    for channel in (CHANNEL, OTHER):
        write_sds(tmp_path / "sds", red_noise(SEGMENT), channel=channel)
    put_stations(tmp_path, Epoch(end="2021-01-01", latitude=1.0), Epoch(start="2021-01-01", latitude=35.5))
    config = configure(tmp_path, *with_stations(tmp_path))
    build(config)
    cube = open_cube(config.root)
    assert cube.latitude.values.tolist() == pytest.approx([35.5, np.nan], nan_ok=True)
    assert cube.longitude.values.tolist() == pytest.approx([-117.25, np.nan], nan_ok=True)
    assert cube.elevation_m.values.tolist() == pytest.approx([892.0, np.nan], nan_ok=True)
    assert cube.sampling_rate_hz.values.tolist() == [10.0, 10.0]
    assert cube.latitude.attrs["units"] == "degrees_north"


@pytest.mark.parametrize(
    ("quantity", "scale", "unit"),
    [
        ("displacement", "db", "m2 Hz-1"),
        ("velocity", "db", "m2 s-2 Hz-1"),
        ("acceleration", "linear", "m2 s-4 Hz-1"),
    ],
)
def test_the_unit_of_power_is_that_of_the_ground_motion(
    tmp_path: Path, quantity: str, scale: str, unit: str
) -> None:
    write_sds(tmp_path / "sds", red_noise(SEGMENT))
    put_stations(tmp_path, Epoch(response=geophone()))
    config = configure_motion(tmp_path, f"spectrogram.scale={scale}", quantity=quantity)
    build(config)
    attributes = open_cube(config.root).power.attrs
    assert attributes["long_name"] == f"power spectral density of ground {quantity}"
    if scale == "db":
        assert (attributes["units"], attributes["comment"]) == ("dB", f"10 log10 of the power in {unit}")
    else:
        assert attributes["units"] == unit


def test_plan_and_status_say_what_is_known_of_the_channels(tmp_path: Path) -> None:
    third = ChannelId("XX", "CCC", "00", "BHZ")
    for channel in (CHANNEL, OTHER, third):
        write_sds(tmp_path / "sds", red_noise(SEGMENT), channel=channel)
    put_stations(tmp_path, Epoch(response=geophone()), Epoch(OTHER, response=sensitivity_alone()))
    sentence = "2 of 3 channels have coordinates, 2 a response (1 of them a sensitivity alone, taken as flat)"
    config = configure_motion(tmp_path)
    assert sentence in str(plan(config))
    build(config)
    assert sentence in status(config).table()
    counts = configure(tmp_path, *with_stations(tmp_path))
    assert "2 of 3 channels have coordinates\n" in str(plan(counts))
    assert "coordinates" not in str(plan(configure(tmp_path)))


def test_a_response_without_stationxml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"spectrogram.response is set and archive.stationxml is not"):
        configure(tmp_path, "spectrogram.response={}")
