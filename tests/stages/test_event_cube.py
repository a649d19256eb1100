from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import xarray as xr

from scaledec.errors import ConfigError, StoreConflictError, StoreError
from scaledec.ledger.ledger import Ledger
from scaledec.pipeline.cube import plan_of_cube
from scaledec.places import Places
from scaledec.stages.cube import CubeContext, run_task
from scaledec.stages.verify import verify
from scaledec.stages.window_reader import open_windows
from scaledec.store.cubes import open_cube
from scaledec.store.datasets import open_cube as open_dataset
from scaledec.store.event_cube import EventCubeStore
from scaledec.vocabulary import WindowState
from tests.stages.cube_archives import START_NS, make_plan, sds_path
from tests.stages.event_archives import (
    DAY,
    HHN,
    HHZ,
    RATE_HZ,
    build,
    event_config,
    noise_with_bursts,
    write_day,
)
from tests.store.making import files

with warnings.catch_warnings():
    # ObsPy 1.5 lists its plugins in a way that Python 3.11 deprecates, when it is first imported.
    warnings.simplefilter("ignore")
    from obspy.signal import trigger

BURSTS = [(100_000, 5_000.0), (500_000, 8_000.0), (500_200, 6_000.0), (900_000, 3_000.0)]


def onsets(store: EventCubeStore, channel_index: int = 0, time_index: int = 0) -> list[float]:
    """Onsets in samples after the start of the archive."""
    found = store.read_segment(channel_index, time_index).onset_ns
    return [float(onset - START_NS) / 1e9 * RATE_HZ for onset in found]


def test_windows_begin_where_obspy_triggers(tmp_path: Path) -> None:
    samples = noise_with_bursts(DAY, BURSTS)
    write_day(tmp_path, samples)
    store, (result,) = build(event_config(tmp_path))
    demeaned = samples - samples.mean()
    curve = trigger.recursive_sta_lta(demeaned, 10, 400)
    expected = np.array(trigger.trigger_onset(curve, 8, 3))
    assert onsets(store) == expected[:, 0].tolist()
    assert [round(onset, -2) for onset in onsets(store)] == [first for first, _ in BURSTS]
    assert (result.status, result.details["n_events"]) == ("done", 4)
    detection = store.read_detections(0, 0, 4)
    np.testing.assert_allclose(detection[:, 1], (expected[:, 1] - expected[:, 0]) / RATE_HZ)
    largest = [curve[first : last + 1].max() for first, last in expected]
    np.testing.assert_allclose(detection[:, 2], largest, rtol=1e-4)


def test_frames_are_counted_from_the_events_own_first_sample(tmp_path: Path) -> None:
    samples = noise_with_bursts(DAY, BURSTS)
    write_day(tmp_path, samples)
    store, _ = build(event_config(tmp_path, "windows.before_s=1.35"))
    events = store.read_segment(0, 0)
    first = round(onsets(store)[1])
    assert first % 5, "the test wants a window that lies beside the frames of the segment"
    piece = (samples - samples.mean())[first : first + 31 * 5 + 20]
    frequency_hz, _, power = scipy.signal.spectrogram(
        piece, RATE_HZ, window="hann", nperseg=20, noverlap=15, detrend=False
    )
    kept = (frequency_hz >= 1) & (frequency_hz <= 9)
    np.testing.assert_allclose(events.power[1], 10 * np.log10(power[kept].T), atol=0.02)
    assert (events.coverage == 100).all()


def test_a_centred_window_has_the_peak_of_power_in_its_middle(tmp_path: Path) -> None:
    write_day(tmp_path, noise_with_bursts(DAY, BURSTS))
    store, _ = build(event_config(tmp_path, "windows.centre=true"))
    events = store.read_segment(0, 0)
    total = (10 ** (events.power.astype(float) / 10)).sum(axis=2)
    assert total.argmax(axis=1).tolist() == [16] * 4
    detection = store.read_detections(0, 0, 4)
    np.testing.assert_allclose(detection[:, 3], (16 * 5 + 10) / RATE_HZ)
    np.testing.assert_allclose(detection[:, 4], 10 * np.log10(total[:, 16]), atol=0.01)


@pytest.mark.parametrize("centre", ["false", "true"])
def test_an_event_near_midnight_is_found_once_by_the_segment_its_window_begins_in(
    tmp_path: Path, centre: str
) -> None:
    places = [DAY - 4_000, DAY - 100, DAY + 85, DAY + 300]
    samples = noise_with_bursts(2 * DAY, [(place, 6_000.0) for place in places])
    write_day(tmp_path, samples)
    config = event_config(tmp_path, f"windows.centre={centre}", "windows.min_interval_s=0")
    store, results = build(config)
    found = [onsets(store, 0, 0), onsets(store, 0, 1)]
    assert [result.details["n_events"] for result in results] == [len(each) for each in found]
    assert all(0 <= onset < DAY for onset in found[0])
    assert all(DAY <= onset < 2 * DAY for onset in found[1])
    whole = EventCubeStore.open(store.location)
    near = 5 if centre == "false" else 100
    joined = np.array(found[0] + found[1])
    assert len(joined) == 4
    assert (np.abs(joined - places) < near).all()
    assert (whole.read_segment(0, 0).coverage == 100).all(), "the next day's samples were not used"


def test_detections_within_the_interval_are_one_event(tmp_path: Path) -> None:
    places = [50_000, 50_070, 50_140, 50_210]
    write_day(tmp_path, noise_with_bursts(DAY, [(place, 9_000.0) for place in places]))
    settings = ["windows.detector={sta_s: 0.3, lta_s: 20, on: 4, off: 3.5}", "windows.max_events=400"]
    every, _ = build(event_config(tmp_path, *settings, "windows.min_interval_s=0"))
    few, _ = build(event_config(tmp_path / "few", *settings, f"archive.url={tmp_path / 'sds'}"))
    kept: list[float] = []
    for onset in onsets(every):
        if not kept or onset - kept[-1] >= 5 * RATE_HZ:
            kept.append(onset)
    assert len(kept) < len(onsets(every))
    assert onsets(few) == kept


def test_of_more_events_than_there_is_room_for_the_strongest_are_kept(tmp_path: Path) -> None:
    sizes = [2_000.0, 9_000.0, 3_000.0, 7_000.0, 1_500.0]
    places = [200_000 + 100_000 * index for index in range(5)]
    write_day(tmp_path, noise_with_bursts(DAY, list(zip(places, sizes, strict=True))))
    store, (result,) = build(event_config(tmp_path, "windows.max_events=2"))
    assert [round(onset, -2) for onset in onsets(store)] == [300_000, 500_000]
    assert (result.details["n_events"], result.details["n_dropped"]) == (2, 3)
    assert store.read_detections(0, 0, 2)[:, 5].tolist() == [3.0, 3.0]


def test_a_gap_is_no_event_and_hides_none_but_those_right_after_it(tmp_path: Path) -> None:
    samples = noise_with_bursts(DAY, [(300_000, 6_000.0), (410_000, 6_000.0), (400_100, 6_000.0)]) + 20_000
    write_day(tmp_path, samples[:350_000])
    later = START_NS + round(400_000 / RATE_HZ * 1e9)
    from tests.stages.cube_archives import write_sds

    write_sds(tmp_path / "sds", samples[400_000:], start_ns=later, rate_hz=RATE_HZ, channel=HHZ)
    store, (result,) = build(event_config(tmp_path))
    assert result.details["n_gaps"] == 1
    assert [round(onset, -2) for onset in onsets(store)] == [300_000, 410_000]


def test_all_channels_of_a_station_get_windows_where_its_vertical_one_detects(tmp_path: Path) -> None:
    write_day(tmp_path, noise_with_bursts(DAY, BURSTS))
    other = noise_with_bursts(DAY, [(100_010, 9_000.0), (700_000, 9_000.0)], seed=1)
    write_day(tmp_path, other, HHN)
    store, results = build(event_config(tmp_path))
    assert store.channels == (HHN, HHZ)
    assert onsets(store, 0) == onsets(store, 1)
    assert results[0].details["detected_on"] == str(HHZ)
    assert (store.read_segment(0, 0).power != store.read_segment(1, 0).power).any()
    alone, _ = build(
        event_config(tmp_path / "alone", f"archive.url={tmp_path / 'sds'}", "windows.detector.by=channel")
    )
    assert [round(onset, -2) for onset in onsets(alone, 0)] == [100_000, 700_000]
    assert onsets(alone, 1) == onsets(store, 1)


def test_where_the_vertical_channel_has_no_file_the_next_one_detects(tmp_path: Path) -> None:
    write_day(tmp_path, noise_with_bursts(DAY, BURSTS))
    write_day(tmp_path, noise_with_bursts(DAY, BURSTS), HHN)
    write_day(tmp_path, noise_with_bursts(DAY, [(700_000, 9_000.0)], seed=1), HHN, day=1)
    store, _ = build(event_config(tmp_path))
    assert [round(onset - DAY, -2) for onset in onsets(store, 0, 1)] == [700_000]


def test_any_order_and_any_repetition_gives_the_same_bytes(tmp_path: Path) -> None:
    for day in range(2):
        write_day(tmp_path, noise_with_bursts(DAY, BURSTS, seed=day), day=day)
        write_day(tmp_path, noise_with_bursts(DAY, BURSTS[:2], seed=9 + day), HHN, day=day)
    config = event_config(tmp_path)
    store, results = build(config)
    before = files(store.location.path)
    context = CubeContext.of(config)
    again = [run_task(task, context) for task in reversed(list(make_plan(config).tasks))]
    assert files(store.location.path) == before
    assert [r.details["checksum"] for r in reversed(again)] == [r.details["checksum"] for r in results]


def test_a_day_without_events_is_done_and_stores_nothing(tmp_path: Path) -> None:
    write_day(tmp_path, noise_with_bursts(DAY, []))
    store, (result,) = build(event_config(tmp_path))
    assert (result.status, result.details["n_events"]) == ("done", 0)
    assert store.checksum(0, 0) == result.details["checksum"]
    assert not [name for name in files(store.location.path) if "/c/0/0" in name and "onset" in name]
    assert store.stored_segments(0) == set()


def test_a_finished_cube_is_left_alone_until_its_detecting_channel_changes(tmp_path: Path) -> None:
    for channel, seed in ((HHZ, 0), (HHN, 1)):
        write_day(tmp_path, noise_with_bursts(DAY, BURSTS, seed=seed), channel)
    config = event_config(tmp_path)
    _, results = build(config)
    Ledger(Places.at(config.root).ledger("cube")).append(results)
    assert len(plan_of_cube(config)[0].tasks) == 0
    assert verify(Places.at(config.root)).sound
    path = sds_path(tmp_path / "sds", START_NS, HHZ)
    path.write_bytes(path.read_bytes()[:-512])
    assert [task.channel for task in plan_of_cube(config)[0].tasks] == [HHN, HHZ]
    path = sds_path(tmp_path / "sds", START_NS, HHN)
    Ledger(Places.at(config.root).ledger("cube")).append(
        [run_task(task, CubeContext.of(config)) for task in make_plan(config).tasks]
    )
    path.write_bytes(path.read_bytes()[:-512])
    assert [task.channel for task in plan_of_cube(config)[0].tasks] == [HHN]


def test_a_broken_detecting_channel_fails_those_that_need_it(tmp_path: Path) -> None:
    write_day(tmp_path, noise_with_bursts(DAY, BURSTS))
    write_day(tmp_path, noise_with_bursts(DAY, BURSTS), HHN)
    sds_path(tmp_path / "sds", START_NS, HHZ).write_bytes(b"<html>not found</html>" * 100)
    _, results = build(event_config(tmp_path))
    assert [result.status for result in results] == ["failed", "failed"]
    assert all("HHZ" in (result.reason or "") for result in results)


def test_the_cube_opens_in_xarray_with_times_and_what_is_unused_is_not_stored(tmp_path: Path) -> None:
    write_day(tmp_path, noise_with_bursts(DAY, BURSTS))
    config = event_config(tmp_path)
    store, _ = build(config)
    dataset = open_dataset(config.root)
    assert dataset.power.dims == ("channel", "time", "event", "frame", "frequency")
    onset = dataset.onset.isel(channel=0, time=0).to_numpy()
    assert onset.dtype == "datetime64[ns]"
    assert np.isnat(onset).sum() == 36
    np.testing.assert_array_equal(onset[:4].astype(np.int64), store.read_segment(0, 0).onset_ns)
    assert dataset.coverage.isel(channel=0, time=0, event=slice(4, None)).max() == 0
    names = [str(name) for name in dataset.property.to_numpy()]
    assert names == ["detected", "duration", "value", "peak", "peak_power", "dropped"]
    shard = store.location.path / "power/c/0/0/0/0/0"
    # Four of forty windows of 32 x 9 float32: what is unused takes no room.
    assert shard.stat().st_size < 6 * 32 * 9 * 4
    assert isinstance(dataset, xr.Dataset)


def test_states_tell_events_that_cannot_be_used_from_room_that_is_not(tmp_path: Path) -> None:
    write_day(tmp_path, noise_with_bursts(DAY, BURSTS))
    config = event_config(tmp_path)
    build(config)
    cube = EventCubeStore.open(Places.at(config.root).cube)
    state = open_windows(cube, config.window_grid).read_segment(0, 0).state
    np.testing.assert_array_equal(state, [WindowState.LABELLED] * 4 + [WindowState.NO_EVENT] * 36)


def test_a_lost_power_shard_is_told_as_damage(tmp_path: Path) -> None:
    write_day(tmp_path, noise_with_bursts(DAY, BURSTS))
    store, _ = build(event_config(tmp_path))
    (store.location.path / "power/c/0/0/0/0/0").unlink()
    with pytest.raises(StoreError, match="its power is not stored"):
        store.read_segment(0, 0)


def test_other_detector_settings_are_refused_with_both_values(tmp_path: Path) -> None:
    write_day(tmp_path, noise_with_bursts(DAY, BURSTS))
    build(event_config(tmp_path))
    with pytest.raises(StoreConflictError, match=r"windows\.detector\.on: 8\.0 there, 9\.0 wanted"):
        build(event_config(tmp_path, "windows.detector.on=9"))
    with pytest.raises(StoreError, match=r"event cube"):
        build(event_config(tmp_path, "windows={length_s: 8}"))
    assert isinstance(open_cube(Places.at(str(tmp_path / "root")).cube), EventCubeStore)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("windows.detector.off=9", r"detector\.off is 9"),
        ("windows.detector.sta_s=20", "less than lta_s"),
        ("windows.stride_s=4", "leave it out"),
        ("windows.mode=catalog", r"windows\.catalog\.url"),
        ("windows.detector={on: high}", r"windows\.detector\.on is 'high'"),
    ],
)
def test_settings_of_events_that_cannot_be_are_refused(tmp_path: Path, override: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        event_config(tmp_path, override)
