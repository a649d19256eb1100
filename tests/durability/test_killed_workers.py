"""kill -9 of a worker: the run goes on by itself, and what it makes is the same to the byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.durability.children import (
    Child,
    assert_reads_well,
    differences,
    done_again,
    entries,
    epochs,
    finished,
    started,
)
from tests.durability.conftest import RUN, Begin, Reference, write_config

pytestmark = [pytest.mark.durability, pytest.mark.ray]

LABELS = f"labels/{RUN}"
IN_FLIGHT = 3 * 2
"""Tasks that two Dask workers hold at most."""


def kill_one(child: Child, *words: str) -> None:
    """Kill the first descendant whose command line holds the words."""
    found = child.wait_until(lambda: child.named(*words), f"a process named {' '.join(words)}")
    found[0].kill()


def test_the_cube_is_finished_without_a_killed_dask_worker(
    two_days: Path, reference: Reference, tmp_path: Path
) -> None:
    work = write_config(tmp_path, two_days)
    with started("cube", work.config) as child:
        child.wait_until(lambda: len(entries(work.root, "cube")) >= 60, "60 segments")
        kill_one(child, "multiprocessing.spawn")
        left = len(finished(reference.work.root, "cube")) - len(entries(work.root, "cube"))
        code = child.wait()
        assert not child.orphans(), child.told
    assert left > 0, "the kill came too late to show anything"
    assert code == 0, child.told
    assert len(done_again(work.root, "cube")) <= IN_FLIGHT
    assert not differences(work.cube, reference.work.cube)


def test_pretraining_survives_a_killed_ray_train_worker(begin: Begin, reference: Reference) -> None:
    work = begin("pretrain")
    with started("run", work.config) as child:
        kept = child.wait_until(lambda: epochs(work.root, RUN), "the first metrics")
        kill_one(child, "ray::", "TrainWorker")
        assert len(kept) < len(epochs(reference.work.root, RUN)), "the kill came too late to show anything"
        code = child.wait()
        told = child.told
        stderr = child.stderr
        assert not child.orphans(), told
    assert code == 0, told
    assert_reads_well(stderr)
    assert len(epochs(work.root, RUN)) == len(epochs(reference.work.root, RUN)), told
    assert not differences(work.model, reference.work.model), told
    assert not differences(work.labels, reference.work.labels), told


def test_labelling_survives_a_killed_ray_data_actor(begin: Begin, reference: Reference) -> None:
    work = begin("label")
    with started("run", work.config) as child:
        child.wait_until(lambda: len(entries(work.root, LABELS)) >= 5, "5 label shards")
        kill_one(child, "ray::", "_LabelActor")
        left = len(finished(reference.work.root, LABELS)) - len(entries(work.root, LABELS))
        code = child.wait()
        told = child.told
        stderr = child.stderr
        assert not child.orphans(), told
    assert left > 0, "the kill came too late to show anything"
    assert code == 0, told
    assert_reads_well(stderr)
    assert not done_again(work.root, LABELS)
    assert not differences(work.labels, reference.work.labels), told
