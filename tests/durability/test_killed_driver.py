"""kill -9 of the coordinator: its workers go with it, and the same command goes on from what was done."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaledec.training.checkpoint import STATE_FILE
from tests.durability.children import (
    AGENTS_LEAVE_S,
    differences,
    done_again,
    entries,
    epochs,
    finished,
    run,
    started,
)
from tests.durability.conftest import RUN, Begin, Reference, write_config

pytestmark = [pytest.mark.durability, pytest.mark.ray]

LABELS = f"labels/{RUN}"


def test_the_cube_goes_on_where_its_driver_was_killed(
    two_days: Path, reference: Reference, tmp_path: Path
) -> None:
    work = write_config(tmp_path, two_days)
    with started("cube", work.config) as child:
        child.wait_until(lambda: len(entries(work.root, "cube")) >= 60, "60 segments")
        child.kill()
        child.wait()
        assert not child.orphans(), child.told
    before = finished(work.root, "cube")
    n_tasks = len(finished(reference.work.root, "cube"))
    assert 60 <= len(before) < n_tasks, "the kill came too late to show anything"

    ended = run("cube", work.config)
    assert ended.code == 0, ended.told
    assert f"{len(before)} done before" in ended.stderr, ended.told
    assert len(finished(work.root, "cube")) == n_tasks
    assert not done_again(work.root, "cube")
    assert not differences(work.cube, reference.work.cube), ended.told


def test_pretraining_goes_on_from_its_checkpoint_when_its_driver_was_killed(
    begin: Begin, reference: Reference
) -> None:
    work = begin("pretrain")
    shelf = work.root / "runs" / RUN / "checkpoints" / "pretrain"

    def checkpointed() -> bool:
        # The metrics of a checkpoint are written just before it.
        return bool(list(shelf.glob(f"checkpoint_*/{STATE_FILE}"))) and bool(epochs(work.root, RUN))

    with started("run", work.config) as child:
        child.wait_until(checkpointed, "a checkpoint")
        kept = epochs(work.root, RUN)
        child.kill()
        child.wait()
        assert not child.orphans(), child.told
    assert len(kept) < len(epochs(reference.work.root, RUN)), "the kill came too late to show anything"

    ended = run("run", work.config)
    assert ended.code == 0, ended.told
    # Seconds of an epoch are never the same twice: these epochs were not trained again.
    assert epochs(work.root, RUN)[: len(kept)] == kept, ended.told
    assert not done_again(work.root, "cube")
    assert not differences(work.model, reference.work.model), ended.told
    assert not differences(work.labels, reference.work.labels), ended.told


def test_labelling_goes_on_where_its_driver_was_killed(begin: Begin, reference: Reference) -> None:
    work = begin("label")
    with started("run", work.config) as child:
        child.wait_until(lambda: len(entries(work.root, LABELS)) >= 5, "5 label shards")
        child.kill()
        child.wait()
        assert not child.orphans(), child.told
    before = finished(work.root, LABELS)
    n_tasks = len(finished(reference.work.root, LABELS))
    assert 5 <= len(before) < n_tasks, "the kill came too late to show anything"

    ended = run("run", work.config)
    assert ended.code == 0, ended.told
    assert f"{len(before)} done before" in ended.stderr, ended.told
    assert len(finished(work.root, LABELS)) == n_tasks
    assert not done_again(work.root, LABELS)
    assert not differences(work.model, reference.work.model), ended.told
    assert not differences(work.labels, reference.work.labels), ended.told


@pytest.mark.heavy
def test_a_killed_driver_leaves_nothing_for_good(begin: Begin) -> None:
    work = begin("label")
    with started("label", work.config) as child:
        child.wait_until(lambda: len(entries(work.root, LABELS)) >= 5, "5 label shards")
        child.kill()
        child.wait()
        assert not child.anything_left(AGENTS_LEAVE_S), child.told
