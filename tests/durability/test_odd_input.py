"""What a user does wrong, or finds wrong: one sentence, the right exit code, nothing lost."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.durability.children import assert_reads_well, differences, entries, finished, run, tree
from tests.durability.conftest import RUN, Begin, Reference, Work, write_config

pytestmark = [pytest.mark.durability]

SOON_S = 25.0
SERIAL = {"engine": "serial"}


def refused(work: Work, *words: str, verb: str = "run") -> str:
    """The one sentence with which a command line is refused, within a short time."""
    ended = run(verb, work.config, *words)
    assert ended.code == 1, ended.told
    assert ended.stdout == "", ended.told
    assert_reads_well(ended.stderr)
    assert ended.seconds < SOON_S, f"{ended.seconds:.0f} s: {ended.told}"
    *progress, sentence = ended.stderr.splitlines()
    assert all(" 0 of " in line for line in progress), ended.told
    assert sentence.startswith("scaledec: "), ended.told
    return sentence


def test_a_misspelt_key_is_answered_with_the_nearest_one(two_days: Path, tmp_path: Path) -> None:
    work = write_config(tmp_path, two_days, cluster={"n_cluster": 3})
    assert "n_clusters" in refused(work)
    assert "segment_s" in refused(write_config(tmp_path, two_days), "--set", "spectrogram.segments=900")
    assert not work.root.exists()


def test_a_configuration_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert str(tmp_path / "none.yaml") in refused(Work(tmp_path / "none.yaml", tmp_path / "root"))


def test_an_archive_that_is_not_there_is_refused(tmp_path: Path) -> None:
    work = write_config(tmp_path, tmp_path / "no-such-archive")
    assert "no-such-archive" in refused(work)


def test_channels_that_the_archive_does_not_hold_are_refused(two_days: Path, tmp_path: Path) -> None:
    work = write_config(tmp_path, two_days)
    assert "XX.*.*.*" in refused(work, "--set", 'archive.channels=["XX.*.*.*"]')


def test_a_wrong_dask_address_is_refused(two_days: Path, tmp_path: Path) -> None:
    work = write_config(tmp_path, two_days)
    sentence = refused(work, "--set", "compute.dask.address=tcp://127.0.0.1:9")
    assert "tcp://127.0.0.1:9" in sentence
    assert "compute.dask.address" in sentence


def test_a_wrong_ray_address_is_refused_before_any_work(two_days: Path, tmp_path: Path) -> None:
    work = write_config(tmp_path, two_days)
    sentence = refused(work, "--set", "compute.ray.address=127.0.0.1:9")
    assert "no Ray head answers at 127.0.0.1:9" in sentence
    assert not (work.root / "cube.zarr").exists()


def test_a_run_name_of_other_settings_is_refused_before_any_work(two_days: Path, tmp_path: Path) -> None:
    work = write_config(tmp_path, two_days, compute=SERIAL)
    assert run("cube", work.config, "--set", "archive.end=2024-03-04T18:30").code == 0
    claimed = run("pretrain", work.config, "--set", "pretrain.windows=40", "--set", "pretrain.epochs=1")
    assert claimed.code == 0, claimed.told
    done = finished(work.root, "cube")
    assert "give this one another name" in refused(work)
    assert finished(work.root, "cube") == done


def test_a_root_that_may_not_be_written_is_refused(two_days: Path, tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file")
    work = write_config(tmp_path, two_days)
    assert str(work.root) in refused(work)


@pytest.mark.ray
def test_a_finished_root_is_left_as_it_is(begin: Begin, reference: Reference) -> None:
    work = begin("end")
    before = tree(work.root)
    began = time.monotonic()
    ended = run("run", work.config)
    assert ended.code == 0, ended.told
    assert time.monotonic() - began < SOON_S
    assert_reads_well(ended.stderr)
    n_cube = len(finished(reference.work.root, "cube"))
    n_labels = len(finished(reference.work.root, f"labels/{RUN}"))
    assert f"{n_cube} done before" in ended.stderr, ended.told
    assert f"{n_labels} done before" in ended.stderr, ended.told
    assert ended.stderr.count("done before") == 5, ended.told
    changed = differences(tree(work.root), before)
    kept = ("_scaledec/records/", "_scaledec/progress/", "_scaledec/lock.guard")
    assert all(name.startswith(kept) for name in changed), changed


def test_an_unreadable_file_is_listed_and_mended_later(two_days: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    shutil.copytree(two_days, archive)
    broken = next(archive.rglob("*GLAC*.064"))
    good = broken.read_bytes()
    broken.write_bytes(b"<html><title>503 Service Unavailable</title></html>\n")
    work = write_config(tmp_path, archive, compute=SERIAL)
    ended = run("run", work.config)
    assert ended.code == 3, ended.told
    assert_reads_well(ended.stderr)
    place = broken.relative_to(archive)
    listed = run("status", work.config, "--failures")
    # Once a file, whatever the number of its segments.
    assert listed.stdout.count(f"{place} (") == 1, listed.told
    failed = {entry["key"] for entry in entries(work.root, "cube") if entry["status"] == "failed"}
    done = finished(work.root, "cube")
    assert len(failed) >= 20
    assert not failed & done.keys()
    which = f"SY.GLAC.00.BHZ/2024-03-04T18:00:00 and {len(failed) - 1} more"
    assert f"could not use {which}: {place} (" in ended.stderr, ended.told
    assert f"{which}\t{place} (" in listed.stdout, listed.told

    broken.write_bytes(good)
    ended = run("run", work.config)
    assert ended.code == 0, ended.told
    again = {key for key, times in finished(work.root, "cube").items() if times > done.get(key, 0)}
    assert failed <= again, ended.told
    assert all(key.startswith("SY.GLAC.") for key in again), again
    labels = finished(work.root, f"labels/{RUN}")
    assert {key for key, times in labels.items() if times > 1} <= {
        key for key in labels if key.startswith("SY.GLAC.")
    }
    other = write_config(tmp_path / "whole", archive, compute=SERIAL)
    assert run("cube", other.config).code == 0
    assert not differences(work.cube, other.cube)
