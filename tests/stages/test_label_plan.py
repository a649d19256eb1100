from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from scaledec.config import Config
from scaledec.ledger.ledger import Ledger
from scaledec.places import Places
from scaledec.stages.label import Labeller
from scaledec.stages.label_plan import plan_labels
from scaledec.store.cube import CubeStore
from scaledec.store.labels import LabelStore
from tests.stages.small_cubes import (
    channels_of,
    cube_results,
    fill_segment,
    make_cube,
    make_labels,
    plan_for,
    save_model,
    small_config,
)


def label_all(config: Config, cube: CubeStore, checksum: str) -> None:
    labeller = Labeller(make_labels(config, cube))
    ledger = Ledger(Places.at(config.root).label_ledger("run"))
    for task in plan_for(config, cube, checksum).tasks:
        ledger.append([labeller.run(task)])


def test_there_is_one_task_a_shard_that_holds_power(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    cube = make_cube(config, channels_of(2), 5, empty=[(0, 2), (0, 3), (1, 0)])
    plan = plan_for(config, cube, "model")
    places = [(task.channel_index, task.first_time_index, task.stop_time_index) for task in plan.tasks]
    assert places == [(0, 0, 2), (0, 4, 5), (1, 0, 2), (1, 2, 4), (1, 4, 5)]
    assert plan.tasks[0].key == "XX.S00..HHZ/2020-01-01T00:00:00"
    assert plan.n_segments == 7
    assert plan.n_done == 0


def test_what_is_labelled_is_not_labelled_again(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    cube = make_cube(config, channels_of(2), 3)
    checksum = save_model(config)
    label_all(config, cube, checksum)
    plan = plan_for(config, cube, checksum)
    assert plan.tasks == ()
    assert plan.n_done == 4
    assert plan.bytes_to_read == plan.bytes_to_write == 0


def test_a_recomputed_segment_redoes_its_shard_and_the_one_that_reaches_into_it(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    cube = make_cube(config, channels_of(2), 6)
    checksum = save_model(config)
    label_all(config, cube, checksum)
    writable = CubeStore.open(cube.location, "r+")
    fill_segment(writable, 1, 4, gap=slice(0, 9))
    fill_segment(writable, 0, 1, gap=slice(0, 9))
    left = plan_for(config, cube, checksum).tasks
    assert [(task.channel_index, task.first_time_index) for task in left] == [(0, 0), (1, 2), (1, 4)]


def test_windows_that_stay_in_their_segment_do_not_lean_on_the_next(tmp_path: Path) -> None:
    config = small_config(tmp_path, windows={"length_s": 8, "stride_s": 8})
    cube = make_cube(config, channels_of(1), 4)
    checksum = save_model(config)
    label_all(config, cube, checksum)
    fill_segment(CubeStore.open(cube.location, "r+"), 0, 2, gap=slice(0, 9))
    left = plan_for(config, cube, checksum).tasks
    assert [task.first_time_index for task in left] == [2]


def test_new_days_are_labelled_with_what_they_touch_and_nothing_else(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    cube = make_cube(config, channels_of(2), 5)
    checksum = save_model(config)
    label_all(config, cube, checksum)
    cube = make_cube(config, channels_of(3), 6)
    left = plan_for(config, cube, checksum).tasks
    places = [(task.channel_index, task.first_time_index) for task in left]
    assert places == [(0, 4), (1, 4), (2, 0), (2, 2), (2, 4)]


def test_another_model_or_other_windows_redo_everything(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    cube = make_cube(config, channels_of(1), 4)
    checksum = save_model(config)
    label_all(config, cube, checksum)
    assert len(plan_for(config, cube, "another").tasks) == 2
    for change in ({"windows": {"stride_s": 4}}, {"label": {"precision": "bfloat16"}}):
        assert len(plan_for(small_config(tmp_path, **change), cube, checksum).tasks) == 2


def test_a_failed_task_is_tried_again(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    cube = make_cube(config, channels_of(1), 2)
    checksum = save_model(config)
    label_all(config, cube, checksum)
    ledger = Ledger(Places.at(config.root).label_ledger("run"))
    (result,) = ledger.read().values()
    ledger.append([replace(result, status="failed", reason="damaged")])
    assert len(plan_for(config, cube, checksum).tasks) == 1


def test_a_segment_computed_again_with_the_same_outcome_redoes_no_labels(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    cube = make_cube(config, channels_of(1), 4)
    checksum = save_model(config)
    label_all(config, cube, checksum)
    done = Ledger(Places.at(config.root).label_ledger("run")).read()
    again = {key: replace(result, fingerprint="other") for key, result in cube_results(cube).items()}
    plan = plan_labels(config, cube, again, done, model_checksum=checksum)
    assert (plan.tasks, plan.n_done) == ((), 2)


def test_a_shard_that_has_lost_its_power_loses_its_labels(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    cube = make_cube(config, channels_of(1), 4)
    checksum = save_model(config)
    label_all(config, cube, checksum)
    labels = LabelStore.open(Places.at(config.root).labels("run"))
    assert labels.stored_regions(0) == {0, 2}
    writable = CubeStore.open(cube.location, "r+")
    grid = cube.grid
    for time_index in (2, 3):
        nothing = np.full((grid.n_frames, grid.n_frequencies), np.nan)
        writable.write_segment(0, time_index, nothing, np.zeros(grid.n_frames, np.uint8))
    left = plan_for(config, cube, checksum).tasks
    assert [task.first_time_index for task in left] == [0, 2], "the last windows of segment 1 reached into 2"
    label_all(config, cube, checksum)
    assert labels.stored_regions(0) == {0}
    assert plan_for(config, cube, checksum).tasks == ()


def test_a_cube_that_grew_by_empty_segments_redoes_nothing(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    cube = make_cube(config, channels_of(1), 3)
    checksum = save_model(config)
    label_all(config, cube, checksum)
    grown = make_cube(config, channels_of(1), 7, empty=[(0, index) for index in range(3, 7)])
    assert grown.n_segments == 7
    assert plan_for(config, grown, checksum).tasks == ()
