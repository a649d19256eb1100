"""One task of the cube: right numbers, honest coverage, and a sentence for everything that goes wrong."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.signal

from scaledec.errors import StoreConflictError, StoreError
from scaledec.stages import cube_workspace
from scaledec.stages.cube import CubeContext, run_task
from scaledec.stages.segment_inputs import standing
from scaledec.store.cube import CubeStore
from scaledec.vocabulary import TaskResult
from tests.stages.cube_archives import (
    START_NS,
    configure,
    make_ready,
    red_noise,
    write_sds,
)

RATE_HZ = 10.0
SEGMENT = 72_000  # samples of two hours


def spectrogram_db(
    samples: npt.NDArray[Any], rate_hz: float = RATE_HZ, nperseg: int = 64
) -> npt.NDArray[Any]:
    """Power (frame, frequency) in dB by scipy in float64, half-overlapping Hann frames."""
    _, _, power = scipy.signal.spectrogram(
        samples.astype(np.float64),
        rate_hz,
        window="hann",
        nperseg=nperseg,
        noverlap=nperseg // 2,
        detrend=False,
        scaling="density",
    )
    return 10 * np.log10(np.maximum(np.asarray(power).T, 1e-30))


def run_first(n: int, folder: Path, *overrides: str) -> tuple[list[TaskResult], CubeStore]:
    """Run the tasks of the first ``n`` segments of the only channel."""
    plan, context, store = make_ready(configure(folder, *overrides))
    return [run_task(task, context) for task in plan.tasks[:n]], store


def power_of(store: CubeStore, n: int) -> npt.NDArray[Any]:
    """Power of the first ``n`` segments of the only channel as one array."""
    return np.concatenate([store.read_frames(0, index)[0] for index in range(n)])


def chunk_files(folder: Path) -> dict[str, bytes]:
    root = folder / "root" / "cube.zarr"
    shards = [path for name in ("power", "coverage") for path in (root / name / "c").rglob("*")]
    return {str(path.relative_to(root)): path.read_bytes() for path in shards if path.is_file()}


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_segments_joined_are_the_spectrogram_of_the_whole_record(tmp_path: Path, dtype: str) -> None:
    samples = red_noise(30 * 36_000)  # 30 hours: two files, a midnight inside
    write_sds(tmp_path / "sds", samples)
    results, store = run_first(15, tmp_path, f"spectrogram.dtype={dtype}")
    assert {result.status for result in results} == {"done"}
    assert [result.details["n_samples"] for result in results] == [SEGMENT] * 15
    expected = spectrogram_db(samples)
    power = power_of(store, 15)[: len(expected)]
    relevant = expected >= expected.max(axis=1, keepdims=True) - 100
    assert np.abs(power - expected)[relevant].max() < (0.1 if dtype == "float16" else 2e-4)


def test_only_the_last_frames_of_a_record_lack_coverage(tmp_path: Path) -> None:
    write_sds(tmp_path / "sds", red_noise(2 * SEGMENT))
    _, store = run_first(2, tmp_path)
    coverage = np.concatenate([store.read_frames(0, index)[1] for index in range(2)])
    assert (coverage[:-1] == 100).all()
    assert coverage[-1] == 50


@pytest.mark.parametrize(
    ("rate_hz", "settings"),
    [
        (10.0, ["spectrogram.bandpass_hz=[0.5, 3]"]),
        (20.0, []),
        (25.0, ["spectrogram.bandpass_hz=[0.5, 3]"]),
    ],
)
def test_filtering_and_decimation_leave_no_seam_between_segments(
    tmp_path: Path, rate_hz: float, settings: list[str]
) -> None:
    samples = red_noise(int(6 * 3600 * rate_hz))
    write_sds(tmp_path / "sds", samples, rate_hz=rate_hz)
    _, store = run_first(3, tmp_path, *settings)
    # The same record as a cube of one segment: no border inside.
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "sds").symlink_to(tmp_path / "sds")
    _, whole = run_first(1, tmp_path / "whole", "spectrogram.segment_s=21600", *settings)
    power, expected = power_of(store, 3), power_of(whole, 1)
    coverage = np.concatenate([store.read_frames(0, index)[1] for index in range(3)])
    np.testing.assert_array_equal(coverage, whole.read_frames(0, 0)[1])
    inside = coverage == 100
    assert inside.mean() > 0.99
    power, expected = power[inside], expected[inside]
    relevant = expected >= expected.max(axis=1, keepdims=True) - 50
    assert np.abs(power - expected)[relevant].max() < 0.1


def test_a_gap_is_counted_and_never_filled(tmp_path: Path) -> None:
    samples = red_noise(SEGMENT)
    gap = (20_000, 40_007)
    write_sds(tmp_path / "sds", samples[: gap[0]])
    write_sds(tmp_path / "sds", samples[gap[1] :], start_ns=START_NS + gap[1] * 10**8)
    [result], store = run_first(1, tmp_path)
    power, coverage = store.read_frames(0, 0)
    assert result.details["n_gaps"] == 1
    assert result.details["n_samples"] == SEGMENT - (gap[1] - gap[0])
    start = np.arange(len(coverage)) * 32
    missing = np.clip(np.minimum(start + 64, gap[1]) - np.maximum(start, gap[0]), 0, 64)
    missing[-1] += 32  # the record ends with the segment
    assert coverage.tolist() == ((64 - missing) * 100 // 64).tolist()
    np.testing.assert_array_equal(np.isnan(power).all(axis=1), coverage == 0)
    zeros = samples.astype(np.float64)
    zeros[gap[0] : gap[1]] = 0
    expected = spectrogram_db(np.append(zeros, np.zeros(32)))
    covered = coverage > 0
    np.testing.assert_allclose(power[covered], expected[covered], atol=0.01)


def test_detrending_takes_each_unbroken_piece_by_itself(tmp_path: Path) -> None:
    half = SEGMENT // 2
    flat = np.concatenate((np.full(half - 500, 70_000), np.full(half - 500, -3000))).astype(np.int32)
    write_sds(tmp_path / "sds", flat[: half - 500])
    write_sds(tmp_path / "sds", flat[half - 500 :], start_ns=START_NS + (half + 500) * 10**8)
    _, store = run_first(1, tmp_path, "spectrogram.detrend=constant")
    power, coverage = store.read_frames(0, 0)
    np.testing.assert_allclose(power[coverage > 0], -300.0)


@pytest.mark.parametrize("taper", ["{kaiser: 5.7}", "{tukey: 0.2}", "hamming"])
def test_every_taper_of_the_configuration_is_the_one_scipy_knows(tmp_path: Path, taper: str) -> None:
    samples = red_noise(SEGMENT)
    write_sds(tmp_path / "sds", samples)
    _, store = run_first(
        1, tmp_path, f"spectrogram.taper={taper}", "spectrogram.nfft=100", "spectrogram.band_hz=[1, 4]"
    )
    window: Any = {"{kaiser: 5.7}": ("kaiser", 5.7), "{tukey: 0.2}": ("tukey", 0.2)}.get(taper, taper)
    frequency, _, power = scipy.signal.spectrogram(
        samples.astype(float), RATE_HZ, window=window, nperseg=64, noverlap=32, nfft=100, detrend=False
    )
    kept = (frequency >= 1) & (frequency <= 4)
    expected = 10 * np.log10(np.asarray(power)[kept].T)
    np.testing.assert_allclose(power_of(store, 1)[: len(expected)], expected, atol=2e-3)


def test_the_same_task_gives_the_same_bytes_whatever_ran_before_it(tmp_path: Path) -> None:
    samples = red_noise(6 * SEGMENT)
    write_sds(tmp_path / "sds", samples[: 2 * SEGMENT])
    write_sds(tmp_path / "sds", samples[3 * SEGMENT + 777 :], start_ns=START_NS + (3 * SEGMENT + 777) * 10**8)
    plan, context, _ = make_ready(configure(tmp_path, "spectrogram.detrend=linear"))
    forwards = [run_task(task, context) for task in plan.tasks]
    files = chunk_files(tmp_path)
    backwards = [
        run_task(task, CubeContext.of(configure(tmp_path, "spectrogram.detrend=linear")))
        for task in plan.tasks[::-1]
    ]
    assert chunk_files(tmp_path) == files
    assert [r.details.get("checksum") for r in forwards] == [
        r.details.get("checksum") for r in backwards[::-1]
    ]


def test_the_checksum_is_that_of_what_the_store_gives_back(tmp_path: Path) -> None:
    write_sds(tmp_path / "sds", red_noise(SEGMENT))
    [result], store = run_first(1, tmp_path)
    assert result.details["checksum"] == store.checksum(0, 0)


def test_a_segment_between_two_pieces_is_empty_and_nothing_is_stored_for_it(tmp_path: Path) -> None:
    samples = red_noise(3 * SEGMENT)
    write_sds(tmp_path / "sds", samples[:SEGMENT])
    write_sds(tmp_path / "sds", samples[2 * SEGMENT :], start_ns=START_NS + 2 * SEGMENT * 10**8)
    results, store = run_first(3, tmp_path)
    assert [result.status for result in results] == ["done", "empty", "done"]
    assert "checksum" not in results[1].details
    power, coverage = store.read_frames(0, 1)
    assert np.isnan(power).all()
    assert not coverage.any()
    assert len(chunk_files(tmp_path)) == 4


def test_a_single_sample_is_too_little_for_any_frame(tmp_path: Path) -> None:
    write_sds(tmp_path / "sds", red_noise(SEGMENT + 1))
    results, _ = run_first(2, tmp_path, "spectrogram.window_s=12.8")
    assert [result.status for result in results] == ["done", "empty"]
    assert results[1].reason == "1 samples fill less than one per cent of any frame"


def test_a_segment_that_has_become_empty_loses_what_was_stored(tmp_path: Path) -> None:
    samples = red_noise(2 * SEGMENT)
    [path] = write_sds(tmp_path / "sds", samples)
    run_first(2, tmp_path)
    assert len(chunk_files(tmp_path)) == 4
    path.unlink()
    write_sds(tmp_path / "sds", samples[:SEGMENT])
    plan, context, store = make_ready(configure(tmp_path))
    assert [run_task(task, context).status for task in plan.tasks[:2]] == ["done", "empty"]
    assert np.isnan(store.read_frames(0, 1)[0]).all()


def test_an_unreadable_file_fails_its_segments_with_its_name_and_takes_its_old_power_away(
    tmp_path: Path,
) -> None:
    [path] = write_sds(tmp_path / "sds", red_noise(SEGMENT))
    _, store = run_first(1, tmp_path)
    assert store.stored_segments(0) == {0}
    path.write_bytes(b"<html><body>404 Not Found</body></html>")
    plan, context, _ = make_ready(configure(tmp_path))
    result = run_task(plan.tasks[0], context)
    assert result.status == "failed"
    assert result.reason is not None
    assert path.name in result.reason
    assert "text" in result.reason
    assert store.stored_segments(0) == set()
    assert not store.read_coverage(0, 0).any()


def test_where_one_of_two_files_is_unreadable_the_other_is_written_and_the_task_is_listed(
    tmp_path: Path,
) -> None:
    samples = red_noise(SEGMENT)
    half = SEGMENT // 2
    [first] = write_sds(tmp_path / "sds", samples[:half])
    first = first.rename(tmp_path / "sds" / "morning.mseed")
    [second] = write_sds(tmp_path / "sds", samples[half:], start_ns=START_NS + half * 10**8)
    config = configure(tmp_path, "archive.layout=files")
    plan, context, store = make_ready(config)
    second.write_bytes(bytes(4096))
    [result] = [run_task(task, context) for task in plan.tasks]
    assert result.status == "failed"
    assert result.reason is not None
    assert second.name in result.reason
    assert "the samples of other objects are written" in result.reason
    assert result.details["n_samples"] == half
    assert result.details["checksum"] == store.checksum(0, 0)
    assert store.read_frames(0, 0)[1].mean() == pytest.approx(50, abs=0.1)


def test_an_unreadable_file_beside_one_of_another_time_takes_its_old_power_away(tmp_path: Path) -> None:
    samples = red_noise(SEGMENT + 20_000)
    [first] = write_sds(tmp_path / "sds", samples[:SEGMENT])
    first = first.rename(tmp_path / "sds" / "first.mseed")
    write_sds(tmp_path / "sds", samples[SEGMENT + 100 :], start_ns=START_NS + (SEGMENT + 100) * 10**8)
    _, store = run_first(1, tmp_path, "archive.layout=files")
    plan, context, _ = make_ready(configure(tmp_path, "archive.layout=files"))
    first.write_bytes(bytes(4096))
    result = run_task(plan.tasks[0], context)
    assert (result.status, result.details.get("checksum")) == ("failed", None)
    assert store.stored_segments(0) == set()


def test_an_unreadable_neighbour_costs_the_last_frame_alone(tmp_path: Path) -> None:
    _, tomorrow = write_sds(tmp_path / "sds", red_noise(864_000 + SEGMENT))
    tomorrow.write_bytes(b"<html>")
    plan, context, store = make_ready(configure(tmp_path))
    result = run_task(plan.tasks[11], context)
    assert result.status == "done"
    assert result.reason is not None
    assert tomorrow.name in result.reason
    coverage = store.read_frames(0, 11)[1]
    assert (coverage[:-1] == 100).all()
    assert coverage[-1] == 50
    assert run_task(plan.tasks[10], context).reason is None, "further away it is not even opened"
    assert standing(result.fingerprint, result) == "left", "it may be readable the next time"


def test_a_result_tells_at_which_edges_its_own_file_left_samples_missing(tmp_path: Path) -> None:
    # The last frame of each segment reaches into the next one; a filter reaches to both sides.
    write_sds(tmp_path / "sds", red_noise(864_000))
    for options, first in (
        ("spectrogram.bandpass_hz=null", None),
        ("spectrogram.bandpass_hz=[1, 4]", "before"),
    ):
        results, _ = run_first(12, tmp_path, options, f"root={tmp_path / str(first)}")
        edges = [result.details.get("open_edges") for result in results]
        assert edges == [first] + [None] * 10 + ["after"]


def test_a_channel_that_is_too_slow_fails_and_names_both_rates(tmp_path: Path) -> None:
    write_sds(tmp_path / "sds", red_noise(7200), rate_hz=1.0)
    [result], _ = run_first(1, tmp_path)
    assert result.status == "failed"
    assert result.reason is not None
    assert "XX.AAA.00.BHZ" in result.reason
    assert "1 Hz, slower than the 10 Hz of the cube" in result.reason


def test_samples_that_are_not_finite_are_missing_and_spread_nowhere(tmp_path: Path) -> None:
    samples = red_noise(SEGMENT).astype(np.float32)
    samples[30_000] = np.nan
    write_sds(tmp_path / "sds", samples, encoding="float32")
    [result], store = run_first(1, tmp_path, "spectrogram.detrend=linear", "spectrogram.bandpass_hz=[1, 3]")
    assert result.status == "done"
    assert result.details["n_not_finite"] == 1
    power, coverage = store.read_frames(0, 0)
    assert np.isfinite(power[coverage > 0]).all()
    assert (coverage[-100:-10] == 100).all()


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    return fail


def test_an_error_nobody_thought_of_fails_one_task_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sds(tmp_path / "sds", red_noise(SEGMENT))
    plan, context, _ = make_ready(configure(tmp_path))
    monkeypatch.setattr(cube_workspace, "frame_coverage", raising(ZeroDivisionError("by chance")))
    result = run_task(plan.tasks[0], context)
    assert (result.status, result.reason) == ("failed", "ZeroDivisionError: by chance")


@pytest.mark.parametrize(
    "error", [StoreError("disk full"), MemoryError(), ImportError("torch"), KeyboardInterrupt()]
)
def test_what_would_hit_every_task_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    write_sds(tmp_path / "sds", red_noise(SEGMENT))
    plan, context, _ = make_ready(configure(tmp_path))
    monkeypatch.setattr(cube_workspace, "frame_coverage", raising(error))
    with pytest.raises(type(error)):
        run_task(plan.tasks[0], context)


def test_a_cube_that_was_replaced_since_the_plan_is_refused(tmp_path: Path) -> None:
    write_sds(tmp_path / "sds", red_noise(SEGMENT))
    plan, _, _ = make_ready(configure(tmp_path))
    other = CubeContext.of(configure(tmp_path, "spectrogram.detrend=linear"))
    with pytest.raises(StoreConflictError, match="plan again"):
        run_task(plan.tasks[0], other)


def test_a_cube_that_grows_is_seen_by_the_same_process(tmp_path: Path) -> None:
    samples = red_noise(2 * SEGMENT)
    [path] = write_sds(tmp_path / "sds", samples[:SEGMENT])
    run_first(1, tmp_path)
    path.unlink()
    write_sds(tmp_path / "sds", samples)
    results, store = run_first(2, tmp_path)
    assert [result.status for result in results] == ["done", "done"]
    expected = spectrogram_db(samples)
    np.testing.assert_allclose(power_of(store, 2)[: len(expected)], expected, atol=0.01)


def test_the_context_travels_to_other_processes(tmp_path: Path) -> None:
    write_sds(tmp_path / "sds", red_noise(SEGMENT))
    plan, context, _ = make_ready(configure(tmp_path))
    task, context = pickle.loads(pickle.dumps((plan.tasks[0], context)))  # noqa: S301
    assert len(pickle.dumps(context)) < 5000
    assert run_task(task, context).status == "done"


def test_a_result_is_a_few_hundred_bytes_and_tells_where_time_went(tmp_path: Path) -> None:
    write_sds(tmp_path / "sds", red_noise(SEGMENT))
    [result], _ = run_first(1, tmp_path)
    assert isinstance(result.details["seconds"], dict)
    assert list(result.details["seconds"]) == ["read", "decode", "preprocess", "transform", "write"]
    assert len(str(result)) < 700


@pytest.mark.filterwarnings(
    "ignore:SelectableGroups:DeprecationWarning"
)  # ObsPy asks importlib in the old way
def test_a_real_day_is_its_scipy_spectrogram(real_data: Path, tmp_path: Path) -> None:
    """TA.C26K, 40 Hz, on the second: the one sample of the next day's file belongs to the last frame."""
    (tmp_path / "sds").symlink_to(real_data / "sds")
    config = configure(
        tmp_path,
        "archive.channels=[TA.C26K..BHZ]",
        "spectrogram={sampling_rate_hz: 40, window_s: 6.4, detrend: constant}",
        "windows={length_s: 64}",
    )
    plan, context, store = make_ready(config)
    result = run_task(plan.tasks[0], context)
    assert (result.status, result.details["n_samples"]) == ("done", 3_456_000)
    import obspy

    folder = real_data / "sds/2018/TA/C26K/BHZ.D"
    parts = [obspy.read(folder / f"TA.C26K..BHZ.D.2018.{day}")[0].data for day in (224, 225)]
    samples = np.concatenate(parts).astype(np.float64)
    samples -= samples.mean()
    expected = spectrogram_db(np.append(samples, np.zeros(127)), 40.0, 256)
    power, coverage = store.read_frames(0, 0)
    assert (coverage[:-1] == 100).all()
    assert coverage[-1] == 129 * 100 // 256
    relevant = expected >= expected.max(axis=1, keepdims=True) - 100
    assert np.abs(power - expected)[relevant].max() < 0.1


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
def test_a_process_stays_below_the_memory_that_the_plan_projects(tmp_path: Path) -> None:
    """One 100 Hz day at the default settings, in a fresh process."""
    write_sds(tmp_path / "sds", red_noise(8_640_000), rate_hz=100.0)
    config = configure(tmp_path, "spectrogram={}", "windows={}")
    plan, context, _ = make_ready(config)
    (tmp_path / "task").write_bytes(pickle.dumps((plan.tasks[0], context)))
    program = (
        "import pickle, pathlib, re, sys\n"
        "from scaledec.stages.cube import run_task\n"
        "task, context = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "assert [run_task(task, context).status for _ in range(3)] == ['done'] * 3\n"
        "print(re.search(r'VmHWM:\\s*(\\d+) kB', pathlib.Path('/proc/self/status').read_text())[1])\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "task")], capture_output=True, text=True, check=True
    )
    assert 0.6 * plan.memory_per_task < int(found.stdout) * 1024 < plan.memory_per_task
