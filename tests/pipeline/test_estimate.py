"""What a plan promises before anything runs: time, money, memory; and what memory a worker really takes."""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from scaledec.config import Config
from scaledec.engines.memory import machine_memory
from scaledec.engines.serial import SerialEngine
from scaledec.errors import ConfigError
from scaledec.pipeline.estimate import check_memory, estimate, seconds_text
from scaledec.pipeline.journal import Account
from scaledec.pipeline.plan import plan
from scaledec.pipeline.run import build_cube
from scaledec.stages.cube_plan import FILTER_LIBRARIES_BYTES
from tests.pipeline.peaks import peak_of_task
from tests.stages.cube_archives import START_NS, configure, make_ready, red_noise, write_sds


def test_the_time_comes_from_this_root_where_it_has_worked_already(tmp_path: Path) -> None:
    config = configure(tmp_path, "compute.engine=serial", "compute.price_per_core_hour=0.04")
    account = Account(0.0, 0.0, seconds={"read": 30.0, "write": 60.0}, timed=45)
    found = estimate(180_000, config.spectrogram_grid, config.compute, account)
    assert (found.core_s, found.wall_s, found.workers) == (360_000, 360_000, 1)
    assert found.price == pytest.approx(4.0)
    assert str(found) == (
        "100 core-hours, 4.17 days with 1 worker (2 s a segment, measured on 45 of this root); cost 4.00"
    )


def test_without_any_the_stated_rate_is_scaled_by_samples_and_power(tmp_path: Path) -> None:
    day = configure(tmp_path, "spectrogram={}", "windows={}", "compute.dask.workers=4")
    found = estimate(1000, day.spectrogram_grid, day.compute, None)
    assert found.core_s == pytest.approx(100, rel=0.01)
    assert (found.wall_s, found.price) == (found.core_s / 4, None)
    assert "scaled from 0.1 s measured for a 100 Hz day" in str(found)
    finer = configure(tmp_path, "spectrogram={overlap: 0.9375}", "windows={}")
    assert estimate(1000, finer.spectrogram_grid, finer.compute, None).core_s > 5 * found.core_s


@pytest.mark.parametrize(
    ("seconds", "text"), [(40, "40 s"), (720, "12 min"), (12_240, "3.4 h"), (1_036_800, "12 days")]
)
def test_times_are_told_in_the_unit_that_suits_them(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_a_plan_tells_objects_bytes_time_and_cost_and_writes_nothing(tmp_path: Path) -> None:
    write_sds(tmp_path / "sds", red_noise(432_000))
    config = configure(tmp_path, "compute.engine=serial", "compute.price_per_core_hour=1")
    told = str(plan(config))
    assert re.search(r"to read +[\d.]+ \w+ of miniSEED in 1 objects", told)
    assert re.search(r"to write +up to [\d.]+ MB uncompressed, \d+ objects", told)
    assert re.search(r"time +[\d.e-]+ core-hours.*; cost 0\.00", told)
    assert not Path(config.root).exists()
    build_cube(config)
    assert "measured on" in str(plan(config))


def test_a_plan_of_files_with_station_metadata_writes_nothing_and_uses_what_a_run_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Imported here: workers whose memory is measured below import this module.
    from tests.archive.station_making import Epoch
    from tests.stages.test_cube_response import put_stations, with_stations

    write_sds(tmp_path / "sds", red_noise(432_000))
    put_stations(tmp_path, Epoch())
    settings = [*with_stations(tmp_path), "archive.layout=files", "compute.engine=serial"]
    config = configure(tmp_path, *settings)
    assert "1 of 1 channels have coordinates" in str(plan(config))
    assert not Path(config.root).exists()
    build_cube(config)
    before = {path: path.stat().st_mtime_ns for path in Path(config.root).rglob("*")}
    monkeypatch.setattr("scaledec.archive.files.scan_headers", None)  # no header is read again
    assert "0 to do, 6 done" in str(plan(config))
    assert {path: path.stat().st_mtime_ns for path in Path(config.root).rglob("*")} == before


def test_what_does_not_fit_is_refused_with_both_numbers_and_a_remedy(tmp_path: Path) -> None:
    auto = configure(tmp_path, "compute.dask.workers=8")
    check_memory(10**9, 10**9, auto)
    check_memory(10**9, None, auto)
    with pytest.raises(
        ConfigError, match=r"about 1,000 MB .* 7200 s at 10 Hz, and may hold 300 MB: .*to at most 2 or"
    ):
        check_memory(10**9, 3 * 10**8, auto)
    limited = configure(tmp_path, "compute.dask.memory_limit=1GB")
    with pytest.raises(ConfigError, match=r"raise compute\.dask\.memory_limit or shorten"):
        check_memory(2 * 10**9, 10**9, limited)
    serial = configure(tmp_path, "compute.engine=serial")
    with pytest.raises(ConfigError, match=r"may hold 1,000 MB: shorten spectrogram\.segment_s$"):
        check_memory(2 * 10**9, 10**9, serial)


def test_a_serial_engine_may_use_the_machine() -> None:
    memory = machine_memory()
    assert memory is not None
    assert memory > 2**28
    assert SerialEngine().memory_per_worker() == memory


@pytest.mark.heavy
def test_workers_that_are_too_small_are_refused_before_the_first_task(tmp_path: Path) -> None:
    write_sds(tmp_path / "sds", red_noise(432_000))
    config = configure(tmp_path, "compute.dask.workers=1", "compute.dask.memory_limit=400MB")
    with pytest.raises(ConfigError, match=r"may hold 320 MB: raise compute\.dask\.memory_limit"):
        build_cube(config)


def check_peak(config: Config, *, filtered: bool = False) -> float:
    from scaledec.engines.dask_local import DaskEngine

    plan, context, _ = make_ready(config)
    with DaskEngine(workers=1) as engine:
        found = list(engine.run(partial(peak_of_task, context=context), plan.tasks))
    assert {status for status, _ in found} <= {"done", "empty"}
    peak = max(peak for _, peak in found)
    expected = plan.memory_per_task - (0 if filtered else FILTER_LIBRARIES_BYTES)
    assert 0.7 * expected < peak < expected
    return peak


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
def test_a_dask_worker_stays_under_the_projection_and_500_mb_on_a_real_100_hz_day(
    real_data: Path, tmp_path: Path
) -> None:
    archive = f"archive={{url: {real_data / 'sds'}, channels: [CM.BAR2.*.HHZ]}}"
    assert check_peak(configure(tmp_path, "spectrogram={}", "windows={}", archive)) < 500e6


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
def test_a_dask_worker_stays_under_the_projection_and_500_mb_over_synthetic_100_hz_days(
    tmp_path: Path,
) -> None:
    days = np.tile(red_noise(8_640_000), 3)[50:]
    write_sds(tmp_path / "sds", days, rate_hz=100.0, start_ns=START_NS + 50 * 10**7)
    assert check_peak(configure(tmp_path, "spectrogram={}", "windows={}")) < 500e6


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
def test_a_dask_worker_that_filters_stays_under_the_projection(tmp_path: Path) -> None:
    days = np.tile(red_noise(8_640_000), 3)[50:]
    write_sds(tmp_path / "sds", days, rate_hz=100.0, start_ns=START_NS + 50 * 10**7)
    check_peak(configure(tmp_path, "spectrogram={bandpass_hz: [1, 20]}", "windows={}"), filtered=True)
