"""A disk that fills up in the middle of a stage: one sentence, and the command goes on when there is room."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.durability.children import (
    assert_reads_well,
    differences,
    done_again,
    entries,
    epochs,
    run,
    started,
)
from tests.durability.conftest import RUN, Begin, Reference, Work, write_config

pytestmark = [pytest.mark.durability, pytest.mark.ray]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for a whole run; skips where this user may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a full disk is made with `mount -t tmpfs`, which needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that is left on a file system."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    assert os.statvfs(folder).f_bavail == 0
    return filler


def stopped_by_full_disk(work: Work, verb: str, middle: Callable[[], object]) -> None:
    """Run a stage, fill the disk in the middle of it, and see what is told; then make room again."""
    with started(verb, work.config) as child:
        child.wait_until(middle, f"the middle of {verb}")
        filler = fill(work.root.parent)
        code = child.wait(120)
        told, stderr = child.told, child.stderr
        assert not child.orphans(), told
    filler.unlink()
    assert code == 1, told
    assert_reads_well(stderr)
    last = stderr.splitlines()[-1]
    assert last.startswith("scaledec: cannot write "), told
    assert "No space left on device" in last, told


def on_disk(work: Work, disk: Path) -> Work:
    """The same work with its root on another disk."""
    root = disk / "root"
    if work.root.exists():
        shutil.copytree(work.root, root)
    settings = yaml.safe_load(work.config.read_text())
    work.config.write_text(yaml.safe_dump({**settings, "root": str(root)}))
    return Work(work.config, root)


def test_the_cube_goes_on_when_there_is_room_again(
    two_days: Path, reference: Reference, small_disk: Path, tmp_path: Path
) -> None:
    work = on_disk(write_config(tmp_path, two_days), small_disk)
    stopped_by_full_disk(work, "cube", lambda: len(entries(work.root, "cube")) >= 60)
    ended = run("cube", work.config)
    assert ended.code == 0, ended.told
    assert not done_again(work.root, "cube")
    assert not differences(work.cube, reference.work.cube), ended.told


@pytest.mark.heavy
def test_pretraining_goes_on_when_there_is_room_again(
    begin: Begin, reference: Reference, small_disk: Path
) -> None:
    work = on_disk(begin("pretrain"), small_disk)
    stopped_by_full_disk(work, "pretrain", lambda: epochs(work.root, RUN))
    ended = run("pretrain", work.config)
    assert ended.code == 0, ended.told
    name = "pretrained/model.safetensors"
    assert work.model[name] == reference.work.model[name], ended.told


@pytest.mark.heavy
def test_labelling_goes_on_when_there_is_room_again(
    begin: Begin, reference: Reference, small_disk: Path
) -> None:
    work = on_disk(begin("label"), small_disk)
    stopped_by_full_disk(work, "label", lambda: len(entries(work.root, f"labels/{RUN}")) >= 5)
    ended = run("label", work.config)
    assert ended.code == 0, ended.told
    assert not differences(work.labels, reference.work.labels), ended.told
