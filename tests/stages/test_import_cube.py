"""Spectrograms of another program become segments of ours: values, places, gaps, faults, resumption."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
import zarr

from scaledec.archive.foreign import ForeignCube
from scaledec.config import Config, parse_config
from scaledec.engines.serial import SerialEngine
from scaledec.errors import ArchiveError, ConfigError
from scaledec.ledger.ledger import Ledger
from scaledec.location import Location
from scaledec.pipeline.check import verify
from scaledec.pipeline.cube import plan_of_cube
from scaledec.pipeline.imports import import_tasks
from scaledec.pipeline.run import build_cube
from scaledec.places import Places
from scaledec.store.cube import CubeStore
from scaledec.vocabulary import parse_time, task_key
from tests.archive.foreign_cubes import decibels, times, write_foreign
from tests.durability.children import differences, tree

START = "2020-07-06T00:29:50.2"
FREQUENCIES = np.arange(1, 13) * 2.5
SEGMENT_FRAMES = 1200
HOP_NS = 500_000_000
AWKWARD = {"time": 700, "channel": 3, "frequency": 5}


def config_of(folder: Path, **changes: Any) -> Config:
    cube = {"power": "power", "channel_ids": '"DA.CABLE.{index:03d}.HSF"'} | changes.pop("cube", {})
    spectrogram = {
        "segment_s": 600,
        "imported": "{hop_s: 0.5, frequency_hz: {first: 2.5, step: 2.5, count: 12}}",
        "dtype": "float32",
    } | changes.pop("spectrogram", {})
    archive = {"layout": "cube", "url": str(folder / "foreign.zarr"), "cube": _flow(cube)}
    archive |= changes.pop("archive", {})
    return parse_config(
        f"root: {folder / 'root'}\narchive: {_flow(archive)}\nspectrogram: {_flow(spectrogram)}\n"
        "windows: {length_s: 10}\ncompute: {engine: serial}\n"
    )


def _flow(values: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in values.items() if value is not None) + "}"


def imported(config: Config) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8], CubeStore]:
    """Power (channel, frame, frequency) and coverage of the whole cube on one axis of frames."""
    store = CubeStore.open(Places.at(config.root).cube)
    read = [
        store.read_frames(channel, 0, stop=store.n_segments * store.grid.n_frames)
        for channel in range(len(store.channels))
    ]
    return np.stack([power for power, _ in read]), np.stack([coverage for _, coverage in read]), store


def frame_numbers(store: CubeStore, at: npt.NDArray[np.datetime64]) -> npt.NDArray[np.int64]:
    """The frame that is nearest to each time."""
    after = at.astype("datetime64[ns]").astype(np.int64) - store.start_ns
    return np.asarray((after + HOP_NS // 2) // HOP_NS)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    "order",
    [("time", "channel", "frequency"), ("frequency", "channel", "time"), ("channel", "time", "frequency")],
)
def test_every_value_lies_at_its_channel_time_and_frequency(
    tmp_path: Path, zarr_format: Literal[2, 3], order: tuple[str, ...]
) -> None:
    values, at = decibels(3000, 7, 12), times(3000, START)
    write_foreign(
        tmp_path / "foreign.zarr",
        values,
        at,
        FREQUENCIES,
        zarr_format=zarr_format,
        order=order,
        chunks=AWKWARD,
    )
    config = config_of(tmp_path)
    outcome = build_cube(config)
    power, coverage, store = imported(config)
    frames = frame_numbers(store, at)
    np.testing.assert_array_equal(power[:, frames], values.transpose(1, 0, 2))
    assert (coverage[:, frames] == 100).all()
    rest = np.setdiff1d(np.arange(power.shape[1]), frames)
    assert not coverage[:, rest].any()
    assert np.isnan(power[:, rest]).all()
    np.testing.assert_array_equal(store.grid.frequency_hz, FREQUENCIES)
    assert [str(channel) for channel in store.channels][:2] == ["DA.CABLE.000.HSF", "DA.CABLE.001.HSF"]
    assert store.start_ns == parse_time("2020-07-06T00:20:00")
    assert not outcome.failures
    assert verify(config).sound


def test_frequencies_that_descend_are_turned_and_a_band_selects(tmp_path: Path) -> None:
    values = decibels(1500, 2, 12)
    write_foreign(
        tmp_path / "foreign.zarr",
        values[:, :, ::-1],
        times(1500, START),
        FREQUENCIES[::-1].astype(np.float32),
        chunks=AWKWARD,
    )
    config = config_of(tmp_path, spectrogram={"band_hz": "[5, 20]"})
    build_cube(config)
    power, _, store = imported(config)
    np.testing.assert_array_equal(store.grid.frequency_hz, np.arange(5, 20.1, 2.5))
    frames = frame_numbers(store, times(1500, START))
    np.testing.assert_array_equal(power[:, frames], values.transpose(1, 0, 2)[:, :, 1:8])


def test_uneven_frequencies_are_told_one_by_one(tmp_path: Path) -> None:
    octaves = 0.5 * 2.0 ** np.arange(6)
    values = decibels(1500, 2, 6)
    write_foreign(tmp_path / "foreign.zarr", values, times(1500, START), octaves)
    config = config_of(
        tmp_path, spectrogram={"imported": "{hop_s: 0.5, frequency_hz: [0.5, 1, 2, 4, 8, 16]}"}
    )
    build_cube(config)
    power, _, store = imported(config)
    np.testing.assert_array_equal(store.grid.frequency_hz, octaves)
    np.testing.assert_array_equal(
        power[:, frame_numbers(store, times(1500, START))], values.transpose(1, 0, 2)
    )


def test_a_jump_in_time_leaves_a_gap_and_its_frames_are_put_to_the_nearest(tmp_path: Path) -> None:
    at = np.concatenate([times(1000, START), times(800, "2020-07-06T00:52:00.71")])
    values = decibels(1800, 4, 12)
    write_foreign(tmp_path / "foreign.zarr", values, at, FREQUENCIES, chunks=AWKWARD)
    config = config_of(tmp_path)
    build_cube(config)
    power, coverage, store = imported(config)
    frames = frame_numbers(store, at)
    assert len(np.unique(frames)) == 1800
    np.testing.assert_array_equal(power[:, frames], values.transpose(1, 0, 2))
    assert int((coverage > 0).sum()) == 4 * 1800


def test_missing_values_and_chunks_that_are_not_stored_are_gaps(tmp_path: Path) -> None:
    values = decibels(2800, 3, 12)
    values[100:200, 1] = np.nan
    values[300, 2, :3] = np.nan
    at = times(2800, START)
    write_foreign(tmp_path / "foreign.zarr", values, at, FREQUENCIES, zarr_format=2, chunks=AWKWARD, fill=0.0)
    for number in range(3):  # frames 700 to 1400 of all channels and frequencies
        (tmp_path / "foreign.zarr" / "power" / f"1.0.{number}").unlink()
    config = config_of(tmp_path)
    build_cube(config)
    power, coverage, store = imported(config)
    frames = frame_numbers(store, at)
    expected = values.transpose(1, 0, 2).copy()
    expected[:, 700:1400] = np.nan
    np.testing.assert_array_equal(power[:, frames], expected)
    assert not coverage[1, frames[100:200]].any()
    assert not coverage[:, frames[700:1400]].any()
    assert coverage[2, frames[300]] == 75


@pytest.mark.parametrize(
    ("scale", "given"), [("linear", lambda db: 10 ** (db / 10)), ("amplitude", lambda db: 10 ** (db / 20))]
)
def test_power_and_amplitude_become_decibels(tmp_path: Path, scale: str, given: Any) -> None:
    values = decibels(1300, 2, 12).astype(np.float64)
    stored = given(values)
    stored[5, 0] = 0.0  # no power at all is no gap
    write_foreign(tmp_path / "foreign.zarr", stored, times(1300, START), FREQUENCIES)
    config = config_of(tmp_path, cube={"scale": scale})
    build_cube(config)
    power, coverage, store = imported(config)
    frames = frame_numbers(store, times(1300, START))
    expected = values.transpose(1, 0, 2).copy()
    expected[0, 5] = -300
    np.testing.assert_allclose(power[:, frames], expected, atol=1e-4)
    assert (coverage[:, frames] == 100).all()


def test_packed_integers_with_cf_attributes_are_unpacked(tmp_path: Path) -> None:
    db = decibels(1300, 2, 12).round(1)
    packed = np.rint((db + 20) / 0.1).astype(np.int16)
    packed[7, 1] = -32768
    write_foreign(
        tmp_path / "foreign.zarr",
        packed,
        times(1300, START),
        FREQUENCIES,
        fill=0,
        attributes={"scale_factor": 0.1, "add_offset": -20.0, "_FillValue": -32768},
    )
    config = config_of(tmp_path)
    build_cube(config)
    power, coverage, store = imported(config)
    frames = frame_numbers(store, times(1300, START))
    expected = db.transpose(1, 0, 2).copy()
    expected[1, 7] = np.nan
    np.testing.assert_allclose(power[:, frames], expected, atol=2e-5)
    assert coverage[1, frames[7]] == 0


@pytest.mark.parametrize(
    ("units", "given"),
    [
        (
            "seconds since 2020-07-06T00:00:00",
            lambda at: (at - np.datetime64("2020-07-06")) / np.timedelta64(1, "s"),
        ),
        ("days since 2020-01-01", lambda at: (at - np.datetime64("2020-01-01")) / np.timedelta64(1, "D")),
        ("milliseconds since 1970-01-01", lambda at: at.astype("datetime64[ms]").astype(np.int64)),
    ],
)
@pytest.mark.parametrize("in_store", [True, False])
def test_times_as_numbers_are_read_by_their_units(
    tmp_path: Path, units: str, given: Any, in_store: bool
) -> None:
    values, at = decibels(1500, 2, 12), times(1500, START)
    write_foreign(
        tmp_path / "foreign.zarr",
        values,
        given(at),
        FREQUENCIES,
        time_attributes={"units": units, "calendar": "standard"} if in_store else None,
    )
    config = config_of(tmp_path, cube={} if in_store else {"time_units": f'"{units}"'})
    build_cube(config)
    power, _, store = imported(config)
    np.testing.assert_array_equal(power[:, frame_numbers(store, at)], values.transpose(1, 0, 2))


def test_a_bare_array_without_names_or_coordinates_is_read_by_what_the_configuration_tells(
    tmp_path: Path,
) -> None:
    values = decibels(1500, 2, 12)
    write_foreign(tmp_path / "foreign.zarr", values, None, None, zarr_format=2, named=False)
    config = config_of(
        tmp_path,
        archive={"url": str(tmp_path / "foreign.zarr" / "power")},
        cube={
            "power": '""',
            "order": "[time, channel, frequency]",
            "dims": "{time: null, channel: null, frequency: null}",
            "start": START,
        },
    )
    build_cube(config)
    power, _, store = imported(config)
    np.testing.assert_array_equal(
        power[:, frame_numbers(store, times(1500, START))], values.transpose(1, 0, 2)
    )


def test_channels_named_in_the_store_keep_their_names_and_globs_select(tmp_path: Path) -> None:
    names = np.array(["XX.A..HHZ", "XX.B..HHZ", "XX.C..HHN"], dtype=np.dtypes.StringDType())
    values = decibels(1300, 3, 12)
    write_foreign(tmp_path / "foreign.zarr", values, times(1300, START), FREQUENCIES, channel=names)
    config = config_of(tmp_path, cube={"channel_ids": "null"}, archive={"channels": '["*.*.*.HHZ"]'})
    build_cube(config)
    power, _, store = imported(config)
    assert [str(channel) for channel in store.channels] == ["XX.A..HHZ", "XX.B..HHZ"]
    np.testing.assert_array_equal(
        power[:, frame_numbers(store, times(1300, START))], values.transpose(1, 0, 2)[:2]
    )


def test_times_of_frame_middles_are_moved_to_their_starts(tmp_path: Path) -> None:
    values, at = decibels(1300, 1, 12), times(1300, "2020-07-06T00:30:00.5")
    write_foreign(tmp_path / "foreign.zarr", values, at, FREQUENCIES)
    config = config_of(tmp_path, cube={"time_offset_s": 0.5})
    build_cube(config)
    power, _, store = imported(config)
    np.testing.assert_array_equal(power[0, :1300], values[:, 0])
    assert store.start_ns == parse_time("2020-07-06T00:30:00")


@pytest.mark.parametrize("kind", ["memory", "s3"])
def test_a_foreign_cube_on_an_object_store_gives_the_same(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    values = decibels(3000, 5, 12)
    write_foreign(
        tmp_path / "foreign.zarr", values, times(3000, START), FREQUENCIES, zarr_format=2, chunks=AWKWARD
    )
    options = request.getfixturevalue("s3_options") if kind == "s3" else {}
    url = f"{'s3://bucket' if kind == 's3' else 'memory://'}/{tmp_path.name}/foreign.zarr"
    there, path = Location(url, options).filesystem()
    there.put(str(tmp_path / "foreign.zarr"), path, recursive=True)
    config = config_of(tmp_path)
    archive = config.archive.model_copy(update={"url": url, "storage_options": options})
    config = config.model_copy(update={"archive": archive})
    assert build_cube(config).done == 5 * 4
    power, _, store = imported(config)
    np.testing.assert_array_equal(
        power[:, frame_numbers(store, times(3000, START))], values.transpose(1, 0, 2)
    )
    there.pipe_file(f"{path}/power/1.0.0", b"")
    outcome = build_cube(config)
    assert outcome.done == 6
    assert "cannot read frames 700 to" in outcome.failures[0].reason


def test_each_foreign_chunk_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = decibels(3600, 8, 12)
    chunks = {"time": 1200, "channel": 8, "frequency": 12}
    write_foreign(tmp_path / "foreign.zarr", values, times(3600, "2020-07-06"), FREQUENCIES, chunks=chunks)
    reads: list[tuple[slice, slice]] = []
    plain = ForeignCube.read

    def counted(self: ForeignCube, frames: slice, channels: slice, frequencies: Any) -> npt.NDArray[Any]:
        reads.append((frames, channels))
        return plain(self, frames, channels, frequencies)

    monkeypatch.setattr(ForeignCube, "read", counted)
    build_cube(config_of(tmp_path))
    assert reads == [(slice(first, first + 1200), slice(0, 8)) for first in (0, 1200, 2400)]


def test_a_second_run_does_nothing_and_new_days_or_changed_chunks_are_done_alone(tmp_path: Path) -> None:
    chunks = {"time": 1200, "channel": 2, "frequency": 12}
    values = decibels(3600, 4, 12)

    def write(n: int) -> None:
        write_foreign(
            tmp_path / "foreign.zarr", values[:n], times(n, "2020-07-06"), FREQUENCIES, chunks=chunks
        )

    write(2400)
    config = config_of(tmp_path)
    assert build_cube(config).done == 8
    assert build_cube(config).done == 0
    import zarr

    group = zarr.open_group(tmp_path / "foreign.zarr", mode="r+")
    for name, new in [("power", values), ("time", times(3600, "2020-07-06"))]:
        array = group[name]
        assert isinstance(array, zarr.Array)
        array.resize((3600, *array.shape[1:]))
        array[2400:] = new[2400:]
    assert build_cube(config).done == 4
    power = group["power"]
    assert isinstance(power, zarr.Array)
    power[10, 3] = 99.0
    plan = plan_of_cube(config).plan
    assert sorted(task.key for task in plan.tasks) == [
        f"DA.CABLE.{index:03d}.HSF/2020-07-06T00:00:00" for index in (2, 3)
    ]
    build_cube(config)
    values[10, 3] = 99.0
    got, _, _ = imported(config)
    np.testing.assert_array_equal(got, values.transpose(1, 0, 2))


def test_a_damaged_chunk_fails_its_segments_alone_and_heals_when_it_is_mended(tmp_path: Path) -> None:
    chunks = {"time": 1200, "channel": 2, "frequency": 12}
    values = decibels(2400, 4, 12)
    write_foreign(tmp_path / "foreign.zarr", values, times(2400, "2020-07-06"), FREQUENCIES, chunks=chunks)
    chunk = tmp_path / "foreign.zarr" / "power" / "c" / "1" / "0" / "0"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[: len(whole) // 2])
    config = config_of(tmp_path)
    outcome = build_cube(config)
    assert sorted(failure.key for failure in outcome.failures) == [
        f"DA.CABLE.{index:03d}.HSF/2020-07-06T00:10:00" for index in (0, 1)
    ]
    assert "cannot read frames 1200 to 2400" in outcome.failures[0].reason
    _, coverage, _ = imported(config)
    assert coverage[:2, 1200:].max() == 0
    assert coverage[2:].min() == 100
    chunk.write_bytes(whole)
    assert build_cube(config).done == 2
    power, _, _ = imported(config)
    np.testing.assert_array_equal(power, values.transpose(1, 0, 2))


def test_frames_between_that_are_not_where_their_ends_promise_fail_their_segment(tmp_path: Path) -> None:
    at = times(2400, "2020-07-06")
    at[1500:1600] += np.timedelta64(200, "ms")
    write_foreign(tmp_path / "foreign.zarr", decibels(2400, 1, 12), at, FREQUENCIES)
    outcome = build_cube(config_of(tmp_path))
    assert [failure.key for failure in outcome.failures] == ["DA.CABLE.000.HSF/2020-07-06T00:10:00"]
    assert "is not regular there" in outcome.failures[0].reason


def test_what_does_not_fit_is_told_with_the_section_to_write(tmp_path: Path) -> None:
    write_foreign(tmp_path / "foreign.zarr", decibels(100, 2, 12), times(100, START), FREQUENCIES)
    right = r"imported: \{hop_s: 0.5, frequency_hz: \{first: 2.5, step: 2.5, count: 12\}\}"
    for wrong in (
        "null",
        "{hop_s: 0.25, frequency_hz: {first: 2.5, step: 2.5, count: 12}}",
        "{hop_s: 0.5, frequency_hz: {first: 2, step: 2.5, count: 12}}",
    ):
        with pytest.raises(ConfigError, match=right):
            plan_of_cube(config_of(tmp_path, spectrogram={"imported": wrong}))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cube": {"power": "pover"}}, "it holds channel, frequency, power, time"),
        ({"cube": {"dims": "{time: t}"}}, "has the dimensions time, channel, frequency"),
        ({"cube": {"channel_ids": "null"}}, "NET.STA.LOC.CHA"),
        ({"cube": {"channel_ids": '"DA.CABLE.{value:%Y}.HSF"'}}, "cannot be filled"),
        ({"archive": {"channels": '["XX.*.*.*"]'}}, "holds no channel that matches"),
        ({"archive": {"start": "2021-01-01"}}, "holds no chunk"),
        ({"archive": {"url": "nowhere.zarr"}}, "no Zarr store at nowhere.zarr"),
    ],
)
def test_names_that_are_not_there_are_told_with_what_is(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    write_foreign(
        tmp_path / "foreign.zarr",
        decibels(100, 2, 12),
        times(100, START),
        FREQUENCIES,
        channel=np.array([10.0, 14.0]),
    )
    with pytest.raises(ArchiveError, match=expected):
        plan_of_cube(config_of(tmp_path, **changes))


def test_a_time_coordinate_that_stands_still_is_told_with_what_to_set(tmp_path: Path) -> None:
    at = times(100, START).astype("datetime64[D]")
    write_foreign(tmp_path / "foreign.zarr", decibels(100, 2, 12), at, FREQUENCIES)
    with pytest.raises(ArchiveError, match=r"set archive\.cube\.dims\.time: null and archive\.cube\.start"):
        plan_of_cube(config_of(tmp_path))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"spectrogram": {"overlap": 0.9}}, "spectrogram.overlap cannot be chosen"),
        ({"spectrogram": {"segment_s": 601, "imported": "{hop_s: 0.7, frequency_hz: [1, 2]}"}}, "use 602"),
        ({"spectrogram": {"band_hz": "[3, 4]"}}, "holds 0 of the cube's 12 frequencies"),
        ({"archive": {"layout": "sds"}}, "archive.layout is sds and archive.cube is set"),
        ({"archive": {"cube": None}}, "archive.layout is cube and archive.cube is missing"),
        ({"cube": {"channel_ids": '"{nr}.A.B.C"'}}, "with {index} or {value}"),
        ({"cube": {"order": "[time, time, channel]"}}, "each once"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_at_once(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        config_of(tmp_path, **changes)


# --- checked again, and lost ----------------------------------------------------------------------------


def test_imported_segments_are_computed_again_and_compared(tmp_path: Path) -> None:
    values, at = decibels(3000, 7, 12), times(3000, START)
    write_foreign(tmp_path / "foreign.zarr", values, at, FREQUENCIES, chunks=AWKWARD)
    config = config_of(tmp_path)
    build_cube(config)
    report = verify(config, recompute=100)
    assert report.sound
    assert report.recomputed == report.checked["cube"] == 28


def test_a_ledger_that_tells_of_other_power_is_found_out_and_the_segment_imported_again(
    tmp_path: Path,
) -> None:
    values, at = decibels(3000, 4, 12), times(3000, START)
    write_foreign(tmp_path / "foreign.zarr", values, at, FREQUENCIES, chunks=AWKWARD)
    config = config_of(tmp_path)
    build_cube(config)
    good = tree(tmp_path / "root/cube.zarr")
    # Power and ledger agree with each other, and not with what was imported.
    store = CubeStore.open(Places.at(config.root).cube, "r+")
    power, coverage = store.read_frames(1, 1)
    checksum = store.write_segment(1, 1, power + 1, coverage)
    ledger = Ledger(Places.at(config.root).ledger("cube"))
    key = task_key(store.channels[1], store.segment_start_ns(1))
    result = ledger.read()[key]
    ledger.append([dataclasses.replace(result, details={**result.details, "checksum": checksum})])
    assert verify(config).sound
    (finding,) = verify(config, recompute=100).findings
    assert (finding.key, finding.kind) == (key, "differing")
    assert build_cube(config).done == 1
    assert not differences(tree(tmp_path / "root/cube.zarr"), good)
    assert verify(config, recompute=100).sound


def test_a_foreign_cube_that_never_answers_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, at = decibels(3000, 4, 12), times(3000, START)
    write_foreign(tmp_path / "foreign.zarr", values, at, FREQUENCIES, chunks=AWKWARD)
    config = config_of(tmp_path)
    good = zarr.Array.__getitem__
    ended = threading.Event()

    def hangs(self: zarr.Array[Any], selection: Any) -> Any:
        if "foreign" in str(self.store) and len(self.shape) == 3:
            ended.wait(60)
        return good(self, selection)

    monkeypatch.setattr(zarr.Array, "__getitem__", hangs)
    quick = config.model_copy(update={"compute": config.compute.model_copy(update={"task_limit_s": 0.3})})
    outcome = build_cube(quick)
    assert {failure.key.partition("/")[0] for failure in outcome.failures} == {
        f"DA.CABLE.{number:03d}.HSF" for number in range(4)
    }
    assert all("made no progress for" in failure.reason for failure in outcome.failures)
    ended.set()
    assert build_cube(config).exit_code == 0
    assert verify(config, recompute=100).sound


class _LosesBlocks(SerialEngine):
    """An engine whose workers die at blocks and tasks with a channel."""

    def __init__(self, channel: str) -> None:
        self._channel = channel

    def run(
        self,
        function: Callable[[Any], Any],
        tasks: Iterable[Any],
        *,
        lost: Callable[[Any, str], Any] | None = None,
    ) -> Iterator[Any]:
        assert lost is not None
        for block in tasks:
            dies = any(str(task.channel) == self._channel for task in block)
            yield lost(block, "ended its worker process 3 times") if dies else function(block)


def test_what_ends_its_workers_is_listed_alone_and_loses_its_power(tmp_path: Path) -> None:
    values, at = decibels(3000, 4, 12), times(3000, START)
    path = tmp_path / "foreign.zarr"
    write_foreign(path, values, at, FREQUENCIES, chunks=AWKWARD)
    config = config_of(tmp_path)
    build_cube(config)
    write_foreign(path, values + 1, at, FREQUENCIES, chunks=AWKWARD)
    plan = plan_of_cube(config).plan
    with _LosesBlocks("DA.CABLE.001.HSF") as engine:
        results = list(import_tasks(config, plan, Places.at(config.root).cube, engine))
    assert len(results) == len(plan.tasks)
    failed = [result for result in results if result.status == "failed"]
    assert {result.key.split("/")[0] for result in failed} == {"DA.CABLE.001.HSF"}
    assert all("ended its worker process 3 times" in str(result.reason) for result in failed)
    power, coverage, store = imported(config)
    frames = frame_numbers(store, at)
    assert not coverage[1].any()
    assert np.isnan(power[1]).all()
    np.testing.assert_array_equal(power[0][frames], values[:, 0] + 1)
