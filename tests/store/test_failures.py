"""When writing fails: one sentence with the place, the bytes and what to do; nothing half-written is seen."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scaledec.errors import StoreError
from scaledec.location import Location
from scaledec.store.cube import CubeStore
from scaledec.store.open import clean_partial_files, put_object
from scaledec.store.open import open_store as open_zarr_store
from tests.store.making import GRID, full, make_cube, power


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 256 KiB; skips where this user may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a full disk is made with `mount -t tmpfs`, which needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_with_place_bytes_and_cure(small_disk: Path) -> None:
    location = Location(str(small_disk / "cube.zarr"))
    cube = make_cube(location, n_segments=20)
    kept = cube.write_segment(0, 0, power(0), full())

    def fill() -> None:
        for index in range(1, 20):
            cube.write_segment(0, index, power(index), full())

    sentence = r"cannot write .*power/c/\d/\d+/0/0 \([\d,]+ bytes\): No space left.*free some"
    with pytest.raises(StoreError, match=sentence):
        fill()
    assert CubeStore.open(location).checksum(0, 0) == kept
    assert not list(small_disk.rglob("*.partial/*"))


def test_a_limit_on_file_sizes_is_told_as_one(tmp_path: Path) -> None:
    cube = make_cube(Location(str(tmp_path / "cube.zarr")))
    script = textwrap.dedent(
        """
        import resource, signal, sys
        import numpy as np
        from scaledec.location import Location
        from scaledec.store.cube import CubeStore
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        cube = CubeStore.open(Location(sys.argv[1]), "r+")
        noise = np.random.default_rng(0).normal(size=(3000, 13)).astype("f2")
        try:
            cube.write_segment(0, 0, noise, np.full(3000, 100, np.uint8))
        except OSError as error:
            print(type(error).__name__, error)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(cube.location)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("StoreError cannot write")
    assert "ulimit -f" in done.stdout
    assert np.isnan(cube.read_frames(0, 0)[0]).all()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EIO])
def test_what_the_system_refuses_names_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    cube = make_cube(Location(str(tmp_path / "cube.zarr")))

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StoreError, match=os.strerror(code)):
        cube.write_segment(0, 0, power(0), full())
    assert not list(tmp_path.rglob("*.partial/*"))


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot"):
        make_cube(Location(str(tmp_path / "file" / "cube.zarr")))


def test_partial_files_of_dead_processes_go_and_those_at_work_stay(tmp_path: Path) -> None:
    location = Location(str(tmp_path / "cube.zarr"))
    make_cube(location)
    folder = tmp_path / ".cube.zarr.partial"
    old, new = folder / "a.partial", folder / "b.partial"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 3600,) * 2)
    make_cube(location)
    assert not old.exists()
    assert new.exists()
    assert clean_partial_files(location, older_than_s=0) == 1


def test_a_writer_that_is_killed_leaves_the_old_shard(tmp_path: Path) -> None:
    location = Location(str(tmp_path / "cube.zarr"))
    store = open_zarr_store(location, read_only=False)
    put_object(store, "a/b", [b"old"])
    script = (
        "import os, sys, scaledec.store.open as o; from scaledec.location import Location;"
        "store = o.open_store(Location(sys.argv[1]), read_only=False);"
        "o.os.replace = lambda *a: os.kill(os.getpid(), 9); o.put_object(store, 'a/b', [b'n', b'ew'])"
    )
    done = subprocess.run([sys.executable, "-c", script, str(location)], check=False)
    assert done.returncode == -9
    assert (tmp_path / "cube.zarr/a/b").read_bytes() == b"old"
    assert sorted(p.name for p in (tmp_path / "cube.zarr/a").iterdir()) == ["b"]
    put_object(store, "a/b", [b"n", b"ew"])
    assert (tmp_path / "cube.zarr/a/b").read_bytes() == b"new"


def test_an_empty_or_absent_shard_is_not_taken_for_silence(tmp_path: Path) -> None:
    cube = make_cube(Location(str(tmp_path / "cube.zarr")))
    cube.write_segment(0, 0, power(0), full())
    (tmp_path / "cube.zarr/power/c/0/0/0/0").unlink()
    with pytest.raises(StoreError, match="its power is not stored"):
        cube.read_frames(0, 0, stop=GRID.n_frames + 4)
    cube.write_segment(0, 0, power(0), full())
    (tmp_path / "cube.zarr/coverage/c/0/0/0").unlink()
    with pytest.raises(StoreError, match="its coverage is not stored"):
        cube.read_frames(0, 0)
