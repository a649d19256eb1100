"""configs/ross_ice_shelf.yaml against the same steps done with scipy and ObsPy alone, on a real day."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import scipy.signal

from scaledec.archive.archive import open_archive
from scaledec.config import load_config
from scaledec.queries.detections import detections
from scaledec.stages.cube import CubeContext, run_task
from scaledec.stages.cube_plan import plan_cube
from scaledec.stages.cube_settings import make_template
from scaledec.store.cubes import create_or_extend_cube
from scaledec.store.event_cube import EventCubeStore
from scaledec.vocabulary import parse_time

with warnings.catch_warnings():
    # ObsPy 1.5 lists its plugins in a way that Python 3.11 deprecates, when it is first imported.
    warnings.simplefilter("ignore")
    import obspy
    from obspy.signal import trigger

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "ross_ice_shelf.yaml"
START_NS = parse_time("2020-09-22")


def test_the_configuration_has_the_published_shape() -> None:
    config = load_config(CONFIG)
    grid, windows = config.spectrogram_grid, config.window_grid
    assert (windows.length, grid.n_frequencies) == (100, 87)
    assert (config.model.preset, config.model.normalise) == ("jenkins2021", "l2")


def test_windows_of_a_real_day_are_those_of_scipy_and_obspy(real_data: Path, tmp_path: Path) -> None:
    config = load_config(
        CONFIG,
        [
            f"root={tmp_path / 'root'}",
            f"archive.url={real_data / 'sds'}",
            "archive.channels=[CM.BAR2.00.HHZ]",
            "archive.start=2020-09-22",
            "archive.end=2020-09-23",
            "spectrogram.dtype=float32",
        ],
    )
    plan = plan_cube(config, open_archive(config.archive).listing(config.archive.channels), {})
    context = CubeContext.of(config)
    store = create_or_extend_cube(
        context.cube, make_template(config), plan.channels, plan.start_ns, plan.n_segments
    )
    assert isinstance(store, EventCubeStore)
    (task,) = [task for task in plan.tasks if task.start_ns == START_NS]
    result = run_task(task, context)
    assert result.status == "done"
    events = store.read_segment(task.channel_index, task.time_index)
    table = detections(config.root)
    assert len(events) == len(table) > 10

    # Detrended; band-passed 3-20 Hz by scipy's linear-phase kernel, stop bands (80 dB) up to 1.5 Hz and from
    # 25 Hz on, as the documentation of spectrogram.bandpass_hz has it; every second sample: 50 Hz.
    record = obspy.read(real_data / "sds/2020/CM/BAR2/HHZ.D/CM.BAR2.00.HHZ.D.2020.266")
    (trace,) = record.merge().detrend("linear")
    length, beta = scipy.signal.kaiserord(85, 1.5 / 50)
    kernel = scipy.signal.firwin(length | 1, [2.25, 22.5], pass_zero=False, fs=100, window=("kaiser", beta))
    filtered = scipy.signal.oaconvolve(trace.data.astype(np.float64), kernel, mode="same")
    first = round((trace.stats.starttime.ns - START_NS) / 1e7)
    samples = filtered[-first % 2 :: 2] if first % 2 else filtered[::2]
    offset = -(-first // 2)
    curve = trigger.recursive_sta_lta(samples, 25, 1_500)
    on = [int(place) for place, _ in trigger.trigger_onset(curve, 15, 10)]
    kept: list[int] = []
    for place in on:
        if not kept or place >= kept[-1] + 250:
            kept.append(place)
    detected = (table["detected"].to_numpy().astype(np.int64) - START_NS) / 1e9 * 50
    known = np.array(kept) + offset
    nearest = np.abs(detected[:, None] - known).min(axis=1)
    assert (nearest <= 1).mean() > 0.95
    assert (np.abs(known[:, None] - detected).min(axis=1) <= 1).mean() > 0.95

    number = int(np.argmax(table["value"]))
    begin = round((events.onset_ns[number] - START_NS) / 1e9 * 50) - offset
    piece = samples[begin : begin + 99 * 2 + 20]
    frequency_hz, _, power = scipy.signal.spectrogram(
        piece, 50, window=("kaiser", 5.7), nperseg=20, noverlap=18, nfft=256, detrend=False
    )
    band = (frequency_hz >= 3) & (frequency_hz <= 20)
    expected = power[band].T
    found = 10 ** (events.power[number].astype(np.float64) / 10)
    assert found.shape == expected.shape == (100, 87)
    unit = [window / np.linalg.norm(window) for window in (found, expected)]
    np.testing.assert_allclose(unit[0], unit[1], atol=2e-3 * unit[1].max())
    assert int(expected.sum(axis=1).argmax()) == 50
