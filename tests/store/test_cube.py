"""The cube: what is written comes back, from every kind of place, and the same bytes every time."""

from __future__ import annotations

import pickle
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from scaledec.errors import StoreConflictError, StoreError, StoreNotFoundError
from scaledec.location import Location
from scaledec.store import template as template_module
from scaledec.store.cube import CubeStore, segment_checksum
from scaledec.store.open import open_store, put_object
from tests.store.making import GRID, HHN, HHZ, LHZ, START_NS, cube_template, files, full, make_cube, power

N = GRID.n_frames


def crc32c(data: bytes) -> int:
    """CRC-32C bit by bit (RFC 3720, appendix B.4: reflected polynomial 0x82f63b78)."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def test_a_segment_comes_back_as_it_was_written(place: Location) -> None:
    cube = make_cube(place)
    checksum = cube.write_segment(1, 2, power(0), full())
    found, coverage = CubeStore.open(place).read_frames(1, 2)
    np.testing.assert_array_equal(found, power(0))
    np.testing.assert_array_equal(coverage, full())
    assert cube.checksum(1, 2) == checksum
    assert np.isnan(cube.read_frames(0, 0)[0]).all()
    assert not cube.read_frames(0, 0)[1].any()


def test_the_checksum_is_crc32c_of_power_and_coverage() -> None:
    p, c = power(3)[:50], full()[:50]
    assert segment_checksum(p, c) == crc32c(p.tobytes() + c.tobytes())


def test_frames_beyond_a_segment_come_from_the_next_one(place: Location) -> None:
    cube = make_cube(place)
    for index in (0, 1):
        cube.write_segment(0, index, power(index), full())
    found, coverage = cube.read_frames(0, 0, first=N - 4, stop=N + 6)
    np.testing.assert_array_equal(found, np.concatenate([power(0)[-4:], power(1)[:6]]))
    assert coverage.tolist() == [100] * 10
    np.testing.assert_array_equal(cube.read_frames(0, 0, first=N + 1, stop=N + 3)[0], power(1)[1:3])


def test_frames_beyond_the_end_of_the_cube_are_nan_without_coverage(tmp_path: Path) -> None:
    cube = make_cube(Location(str(tmp_path / "cube.zarr")))
    cube.write_segment(0, 2, power(0), full())
    found, coverage = cube.read_frames(0, 2, first=N - 2, stop=N + 3)
    np.testing.assert_array_equal(found[:2], power(0)[-2:])
    assert np.isnan(found[2:]).all()
    assert found.dtype == np.float16
    assert coverage.tolist() == [100, 100, 0, 0, 0]


def test_writing_again_gives_the_same_files_from_any_thread(tmp_path: Path) -> None:
    cube = make_cube(Location(str(tmp_path / "cube.zarr")))
    cube.write_segment(0, 0, power(0), full())
    first = files(tmp_path / "cube.zarr")

    def write() -> None:
        cube.write_segment(0, 0, power(0), full())

    for _ in range(3):
        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert files(tmp_path / "cube.zarr") == first


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_bytes_of_a_shard_are_those_that_zarr_writes(tmp_path: Path, dtype: Any) -> None:
    day = GRID.from_lengths(sampling_rate_hz=100, segment_s=21600, window_s=2.56, overlap=0.5)
    cube = make_cube(Location(str(tmp_path / "cube.zarr")), grid=day, dtype=dtype)
    values = power(0, day, dtype)
    values[: day.n_frames // 2] = np.nan  # some inner chunks are not stored
    cube.write_segment(0, 0, values, full(day))
    array: Any = zarr.open_group(str(tmp_path / "cube.zarr"), mode="r+")["power"]
    assert array.shards[2] // array.chunks[2] > 2
    array[0, 1] = values
    stored = files(tmp_path / "cube.zarr" / "power" / "c" / "0")
    assert stored["0/0/0"] == stored["1/0/0"]
    np.testing.assert_array_equal(array[0, 0], values)


def test_a_segment_without_samples_is_not_stored_and_replaces_an_older_one(place: Location) -> None:
    cube = make_cube(place)
    cube.write_segment(0, 1, power(0), full())
    assert cube.stored_segments(0) == {1}
    empty = np.full((N, GRID.n_frequencies), np.nan, np.float16)
    checksum = cube.write_segment(0, 1, empty, np.zeros(N, np.uint8))
    assert np.isnan(cube.read_frames(0, 1)[0]).all()
    assert cube.stored_segments(0) == set()
    assert cube.checksum(0, 1) == checksum
    if place.is_local:
        assert not (place.path / "power/c/0/1/0/0").exists()


def test_another_nan_than_the_fill_value_comes_back_bit_for_bit(tmp_path: Path) -> None:
    cube = make_cube(Location(str(tmp_path / "cube.zarr")))
    odd = np.full((N, GRID.n_frequencies), 0xFE01, np.uint16).view(np.float16)
    checksum = cube.write_segment(0, 0, odd, np.zeros(N, np.uint8))
    assert cube.checksum(0, 0) == checksum


def test_a_cube_grows_by_channels_and_segments_and_keeps_what_it_holds(place: Location) -> None:
    cube = make_cube(place, n_channels=1, n_segments=2)
    checksum = cube.write_segment(0, 1, power(0), full())
    hour = GRID.segment_ns
    grown = CubeStore.create_or_extend(place, cube_template(), [LHZ, HHZ], START_NS + hour, 4)
    assert grown.channels == (HHZ, LHZ)
    assert (grown.start_ns, grown.n_segments) == (START_NS, 5)
    assert grown.segment_start_ns(4) == START_NS + 4 * hour
    assert grown.checksum(0, 1) == checksum
    grown.write_segment(1, 4, power(1), full())
    smaller = CubeStore.create_or_extend(place, cube_template(), [LHZ], START_NS, 1)
    assert (smaller.channels, smaller.n_segments) == ((HHZ, LHZ), 5)
    np.testing.assert_array_equal(smaller.read_frames(1, 4)[0], power(1))


def test_coordinates_of_channels_survive_growth(place: Location) -> None:
    cube = make_cube(place, n_channels=1)
    cube.set_channel_coordinates({"latitude": {HHZ: 5.25}, "sampling_rate_hz": {HHZ: 100.0, LHZ: 1.0}})
    grown = CubeStore.create_or_extend(place, cube_template(), [HHZ, HHN], START_NS, 3)
    known = grown.channel_coordinates()
    assert known["latitude"][HHZ] == 5.25
    assert known["sampling_rate_hz"][HHZ] == 100.0
    assert np.isnan(known["latitude"][HHN])
    assert np.isnan(known["elevation_m"][HHZ])


def test_coordinates_longer_than_a_chunk_grow(tmp_path: Path) -> None:
    location = Location(str(tmp_path / "cube.zarr"))
    make_cube(location, n_segments=4095)
    grown = CubeStore.create_or_extend(location, cube_template(), [HHZ], START_NS, 9000)
    group: Any = zarr.open_group(str(location.path), mode="r")
    np.testing.assert_array_equal(group["time"][:], START_NS + np.arange(9000) * GRID.segment_ns)
    assert grown.n_segments == 9000


def test_a_cube_of_other_settings_is_refused_with_both_values(tmp_path: Path) -> None:
    location = Location(str(tmp_path / "cube.zarr"))
    make_cube(location)
    with pytest.raises(
        StoreConflictError, match=r"spectrogram\.overlap: 0\.5 there, 0\.75 wanted.*another root"
    ):
        make_cube(location, settings={"window_s": 2.4, "overlap": 0.75, "taper": "hann"}, fingerprint="other")
    with pytest.raises(StoreConflictError, match="fingerprint"):
        make_cube(location, fingerprint="algorithm 2")
    with pytest.raises(StoreConflictError, match="dtype: 'float16' there, 'float32' wanted"):
        make_cube(location, dtype="float32")


def test_an_earlier_start_is_refused(tmp_path: Path) -> None:
    location = Location(str(tmp_path / "cube.zarr"))
    make_cube(location)
    with pytest.raises(
        StoreConflictError, match="2020-01-01T00:00:00; a start of 2019-12-31T23:00:00 lies before"
    ):
        CubeStore.create_or_extend(location, cube_template(), [HHZ], START_NS - GRID.segment_ns, 1)
    with pytest.raises(StoreConflictError, match="no whole number of segments"):
        CubeStore.create_or_extend(location, cube_template(), [HHZ], START_NS + 1, 1)


def test_a_growth_killed_at_any_step_leaves_the_old_cube_and_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = Location(str(tmp_path / "cube.zarr"))
    original = tmp_path / "original"
    checksum = make_cube(location, n_channels=1, n_segments=2).write_segment(0, 1, power(0), full())
    shutil.copytree(location.path, original)
    CubeStore.create_or_extend(location, cube_template(), [HHZ, LHZ], START_NS, 5)
    wanted = files(location.path)
    put = put_object
    for step in range(40):
        shutil.rmtree(location.path)
        shutil.copytree(original, location.path)
        calls = iter(range(100))

        def dying_put(*arguments: Any, step: int = step, calls: Any = calls) -> None:
            if next(calls) == step:
                raise KeyboardInterrupt
            put(*arguments)

        monkeypatch.setattr(template_module, "put_object", dying_put)
        try:
            CubeStore.create_or_extend(location, cube_template(), [HHZ, LHZ], START_NS, 5)
        except KeyboardInterrupt:
            monkeypatch.setattr(template_module, "put_object", put)
        else:
            break
        half = CubeStore.open(location)
        assert (half.channels, half.n_segments, half.checksum(0, 1)) == ((HHZ,), 2, checksum)
        with xr.open_zarr(open_store(location, read_only=True), chunks=None) as dataset:
            assert dataset.sizes["time"] == 2
        CubeStore.create_or_extend(location, cube_template(), [HHZ, LHZ], START_NS, 5)
        assert files(location.path) == wanted
    else:
        pytest.fail("publishing takes more steps than were tried")
    assert step > 10


def test_a_creation_that_was_killed_leaves_no_cube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    location = Location(str(tmp_path / "cube.zarr"))
    put = put_object
    keys: list[str] = []

    def dying_put(store: Any, key: str, parts: Any) -> None:
        keys.append(key)
        if key == "zarr.json":
            raise KeyboardInterrupt
        put(store, key, parts)

    monkeypatch.setattr(template_module, "put_object", dying_put)
    with pytest.raises(KeyboardInterrupt):
        make_cube(location)
    assert keys[-1] == "zarr.json"
    with pytest.raises(StoreNotFoundError):
        CubeStore.open(location)


def test_a_damaged_shard_is_named_and_can_be_written_again(tmp_path: Path) -> None:
    cube = make_cube(Location(str(tmp_path / "cube.zarr")))
    checksum = cube.write_segment(0, 1, power(0), full())
    shard = tmp_path / "cube.zarr/power/c/0/1/0/0"
    whole = shard.read_bytes()
    for damaged in (whole[:-10], whole[: len(whole) // 2], b"", whole[:-1] + b"?"):
        shard.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"2020-01-01T01:00:00 of CM\.BAR2\.00\.HHZ .*damaged"):
            cube.read_frames(0, 1)
        cube.write_segment(0, 1, power(0), full())
        assert cube.checksum(0, 1) == checksum


def test_a_cube_may_be_sent_to_another_process(place: Location) -> None:
    cube = make_cube(place)
    copy = pickle.loads(pickle.dumps(cube))  # noqa: S301 - made in this line
    copy.write_segment(0, 0, power(0), full())
    np.testing.assert_array_equal(cube.read_frames(0, 0)[0], power(0))


def test_a_cube_opened_for_reading_is_not_written(tmp_path: Path) -> None:
    location = Location(str(tmp_path / "cube.zarr"))
    make_cube(location)
    with pytest.raises(StoreError, match="opened for reading"):
        CubeStore.open(location).write_segment(0, 0, power(0), full())


def test_what_is_no_cube_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="no Zarr store"):
        CubeStore.open(Location(str(tmp_path / "nothing")))
    zarr.create_group(str(tmp_path / "other"))
    with pytest.raises(StoreError, match="no scaledec cube"):
        CubeStore.open(Location(str(tmp_path / "other")))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "zarr.json").write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        CubeStore.open(Location(str(tmp_path / "broken")))
