from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from scaledec.errors import StoreError, StoreNotFoundError
from scaledec.grid import WindowGrid
from scaledec.places import Places
from scaledec.stages.label import LabelContext, Labeller, label_task
from scaledec.stages.label_region import write_block
from scaledec.store.cube import CubeStore
from scaledec.store.labels import LabelBlock, LabelStore
from scaledec.training.saved_model import SavedModel
from scaledec.vocabulary import LabelTask, WindowState
from tests.stages.small_cubes import (
    channels_of,
    file_bytes,
    fill_segment,
    make_cube,
    make_labels,
    plan_for,
    save_model,
    small_config,
)

N_WINDOWS = 75


@pytest.fixture
def small(tmp_path: Path) -> tuple[CubeStore, LabelContext, tuple[LabelTask, ...]]:
    """Two channels, three segments (the last shard holds one), a gap in one of them, one segment empty."""
    config = small_config(tmp_path)
    cube = make_cube(config, channels_of(2), 3, empty=[(1, 1)])
    fill_segment(CubeStore.open(cube.location, "r+"), 0, 1, gap=slice(200, 230))
    checksum = save_model(config)
    context = make_labels(config, cube)
    return cube, context, plan_for(config, cube, checksum).tasks


def expected_by_single_windows(cube: CubeStore, context: LabelContext, task: LabelTask) -> LabelBlock:
    """The plain way: one window at a time, each read by itself."""
    model = SavedModel.load(context.model)
    grid = context.windows
    assert isinstance(grid, WindowGrid)
    shape = task.stop_time_index - task.first_time_index, grid.n_windows
    label = np.full(shape, -1, np.int16)
    confidence, distance, outlier = np.full((3, *shape), np.nan, np.float32)
    state = np.zeros(shape, np.uint8)
    embedding = np.full((*shape, 3), np.nan, np.float32)
    for row, time_index in enumerate(range(task.first_time_index, task.stop_time_index)):
        for window in range(grid.n_windows):
            first = window * grid.stride
            power, coverage = cube.read_frames(
                task.channel_index, time_index, first=first, stop=first + grid.length
            )
            if coverage.mean() / 100 < grid.min_coverage or not np.isfinite(power).all():
                state[row, window] = WindowState.LOW_COVERAGE if coverage.any() else WindowState.NO_DATA
                continue
            state[row, window] = WindowState.LABELLED
            z = model.embed(power[None])
            found = model.assign(z)
            label[row, window] = found.label[0]
            confidence[row, window], distance[row, window] = found.confidence[0], found.distance[0]
            outlier[row, window] = found.outlier[0]
            embedding[row, window] = z[0]
    place = task.channel_index, task.first_time_index
    return LabelBlock(*place, label, confidence, distance, outlier, state, embedding)


def assert_same_block(found: LabelBlock, expected: LabelBlock) -> None:
    for name in ("label", "confidence", "distance", "outlier", "state", "embedding"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def test_labels_are_those_of_each_window_read_and_embedded_alone(
    small: tuple[CubeStore, LabelContext, tuple[LabelTask, ...]],
) -> None:
    cube, context, tasks = small
    labeller = Labeller(context)
    assert len(tasks) == 4
    for task in tasks:
        assert_same_block(labeller.label(task), expected_by_single_windows(cube, context, task))


def test_the_last_windows_of_a_segment_use_the_next_ones_frames(
    small: tuple[CubeStore, LabelContext, tuple[LabelTask, ...]],
) -> None:
    _, context, tasks = small
    first, last = (Labeller(context).label(task) for task in tasks[:2])
    assert context.windows.head_frames == 8
    # Window 74 covers frames 592 to 608: there is a next segment behind the first two, none behind the third.
    assert (first.label[:, 74] >= 0).all()
    assert last.label[0, 74] == -1
    assert (last.label[0, :74] >= 0).all()


def test_a_gap_takes_exactly_the_windows_that_touch_it(
    small: tuple[CubeStore, LabelContext, tuple[LabelTask, ...]],
) -> None:
    _, context, tasks = small
    label = Labeller(context).label(tasks[0]).label[1]
    start = np.arange(N_WINDOWS) * 8
    touches = (start < 230) & (start + 16 > 200)
    np.testing.assert_array_equal(label == -1, touches)


def test_what_has_no_label_says_why(
    small: tuple[CubeStore, LabelContext, tuple[LabelTask, ...]],
) -> None:
    cube, context, tasks = small
    damaged = CubeStore.open(cube.location, "r+")
    power, coverage = damaged.read_frames(0, 2)
    power[400, 3] = np.nan
    damaged.write_segment(0, 2, power, coverage)
    state = Labeller(context).label(tasks[0]).state[1]
    start = np.arange(N_WINDOWS) * 8
    # Frames 200 to 229 are the gap: a window of 16 frames may lie in it, or touch it.
    assert set(state[(start >= 200) & (start + 16 <= 230)]) == {WindowState.NO_DATA}
    assert set(state[(start == 192) | (start == 216)]) == {WindowState.LOW_COVERAGE}
    last = Labeller(context).label(tasks[1]).state[0]
    np.testing.assert_array_equal(np.flatnonzero(last == WindowState.NOT_FINITE), [49, 50])
    assert last[74] == WindowState.LOW_COVERAGE
    empty = Labeller(context).label(tasks[2]).state[1]
    assert set(empty[:74]) == {WindowState.NO_DATA}
    assert empty[74] == WindowState.LOW_COVERAGE  # half of it lies in the next segment, which has data
    store = LabelStore.open(context.labels)
    assert (store.read_region(0, 0, 2).state == WindowState.NOT_LABELLED).all()


def test_a_result_tells_what_was_labelled(
    small: tuple[CubeStore, LabelContext, tuple[LabelTask, ...]],
) -> None:
    _, context, tasks = small
    result = label_task(tasks[0], context)
    store = LabelStore.open(context.labels)
    found = store.read_region(0, 0, 2)
    assert result.status == "done"
    assert (result.key, result.fingerprint) == (tasks[0].key, tasks[0].fingerprint)
    assert result.details["checksum"] == found.checksum
    labelled = int((found.label >= 0).sum())
    assert result.details["labelled"] == labelled == 145
    assert result.details["unlabelled"] == 5
    counts = {str(k): int((found.label == k).sum()) for k in np.unique(found.label) if k >= 0}
    assert result.details["labels"] == counts


@pytest.mark.parametrize("batch", [1, 7, 1_000])
def test_the_batch_changes_no_bit(
    small: tuple[CubeStore, LabelContext, tuple[LabelTask, ...]], batch: int
) -> None:
    _, context, tasks = small
    expected = Labeller(context).label(tasks[0])
    assert_same_block(Labeller(dataclasses.replace(context, batch=batch)).label(tasks[0]), expected)


def test_lower_precision_changes_embeddings_a_little_and_hardly_a_label(
    small: tuple[CubeStore, LabelContext, tuple[LabelTask, ...]],
) -> None:
    _, context, tasks = small
    whole = Labeller(context).label(tasks[0])
    lower = Labeller(dataclasses.replace(context, precision="bfloat16")).label(tasks[0])
    assert whole.embedding is not None
    assert lower.embedding is not None
    assert (lower.embedding != whole.embedding)[whole.label >= 0].any()
    there = whole.label >= 0
    np.testing.assert_array_equal(lower.state, whole.state)
    assert (lower.label == whole.label)[there].mean() > 0.98


def test_labelling_again_writes_the_same_bytes(
    small: tuple[CubeStore, LabelContext, tuple[LabelTask, ...]],
) -> None:
    _, context, tasks = small
    labeller = Labeller(context)
    for task in tasks:
        labeller.run(task)
    before = file_bytes(context.labels.path)
    for task in reversed(tasks):
        labeller.run(task)
    assert file_bytes(context.labels.path) == before


def test_without_embeddings_none_are_stored(tmp_path: Path) -> None:
    config = small_config(tmp_path, label={"embedding": False})
    cube = make_cube(config, channels_of(1), 2)
    checksum = save_model(config)
    context = make_labels(config, cube)
    for task in plan_for(config, cube, checksum).tasks:
        assert label_task(task, context).status == "done"
    assert LabelStore.open(context.labels).read_region(0, 0, 2).embedding is None


def test_a_damaged_segment_fails_its_task_alone(
    small: tuple[CubeStore, LabelContext, tuple[LabelTask, ...]],
) -> None:
    cube, context, tasks = small
    shard = next(
        p for p in (cube.location.path / "power").rglob("*") if p.is_file() and p.parts[-4:-2] == ("1", "0")
    )
    shard.write_bytes(shard.read_bytes()[:-40])
    labeller = Labeller(context)
    results = {task.key: labeller.run(task) for task in tasks}
    statuses = [results[task.key].status for task in tasks]
    assert statuses == ["done", "done", "failed", "done"]
    assert "XX.S00..HHN" in (results[tasks[2].key].reason or "")


def test_labels_that_cannot_be_written_stop_the_run(
    small: tuple[CubeStore, LabelContext, tuple[LabelTask, ...]],
) -> None:
    _, context, tasks = small
    block = Labeller(context).label(tasks[0])
    with pytest.raises(StoreError):
        write_block(LabelStore.open(context.labels), tasks[0], block)


def test_a_missing_model_is_named(small: tuple[CubeStore, LabelContext, tuple[LabelTask, ...]]) -> None:
    _, context, _ = small
    elsewhere = dataclasses.replace(context, model=Places.at(str(context.cube)).run("other"))
    with pytest.raises(StoreNotFoundError, match="other"):
        Labeller(elsewhere)
