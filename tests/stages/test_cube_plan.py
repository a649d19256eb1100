"""The plan of the cube: what is left, what it costs, and what makes a segment be computed again."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest

from scaledec.archive.listing import Listing, Span
from scaledec.config import Config
from scaledec.errors import ConfigError
from scaledec.stages.cube_plan import CubePlan, plan_cube
from scaledec.vocabulary import ArchiveObject, ChannelId, Status, TaskResult
from tests.stages.cube_archives import CHANNEL, DAY_NS, START_NS, configure, make_ready, red_noise, write_sds

OTHER = ChannelId("XX", "AAA", "00", "BHE")  # sorts before CHANNEL


def daily(folder: Path, *overrides: str) -> Config:
    return configure(folder, "spectrogram.segment_s=86400", *overrides)


def listing_of(*days: int, channel: ChannelId = CHANNEL, version: str = "1", size: int = 1000) -> Listing:
    """Day files of one channel, counted from START_NS; a neighbour within a day counts."""
    return Listing([(channel, span(day, channel, version, size)) for day in days], slack_ns=DAY_NS)


def span(day: int, channel: ChannelId = CHANNEL, version: str = "1", size: int = 1000) -> Span:
    start = START_NS + day * DAY_NS
    return Span(start, start + DAY_NS, ArchiveObject(f"{channel}.{day}", size, version))


def as_results(
    plan: CubePlan, status: Status = "done", *, open_edges: str | None = None
) -> dict[str, TaskResult]:
    details = {"open_edges": open_edges} if open_edges else {}
    return {task.key: TaskResult(task.key, task.fingerprint, status, details=details) for task in plan.tasks}


def test_every_listed_day_has_a_task_with_its_place_and_its_neighbours_files(tmp_path: Path) -> None:
    plan = plan_cube(daily(tmp_path), listing_of(0, 1, 2), {})
    assert plan.channels == (CHANNEL,)
    assert (plan.start_ns, plan.n_segments) == (START_NS, 3)
    assert [task.key for task in plan.tasks] == [f"{CHANNEL}/2021-03-0{day}T00:00:00" for day in (1, 2, 3)]
    assert [task.time_index for task in plan.tasks] == [0, 1, 2]
    assert [len(task.objects) for task in plan.tasks] == [2, 3, 2]
    assert (plan.n_done, plan.bytes_to_read) == (0, 3000)


def test_a_segment_without_any_object_near_has_no_task(tmp_path: Path) -> None:
    plan = plan_cube(daily(tmp_path), listing_of(0, 6), {})
    assert plan.objects_to_read == 2
    # Days 1 and 5 have a neighbour whose file may run over; days 2 to 4 have nothing.
    assert [task.time_index for task in plan.tasks] == [0, 1, 5, 6]


@pytest.mark.parametrize(("status", "left"), [("done", 0), ("empty", 0), ("failed", 3)])
def test_done_and_empty_are_not_done_again_and_failed_is(tmp_path: Path, status: Status, left: int) -> None:
    config = daily(tmp_path)
    results = as_results(plan_cube(config, listing_of(0, 1, 2), {}), status)
    plan = plan_cube(config, listing_of(0, 1, 2), results)
    assert (len(plan.tasks), plan.n_done) == (left, 3 - left)
    assert (plan.bytes_to_read == 0) == (left == 0)


@pytest.mark.parametrize("change", [{"version": "2"}, {"size": 1001}])
@pytest.mark.parametrize(
    ("open_edges", "redone"), [("", [2]), ("before", [2, 3]), ("after", [1, 2]), ("both", [1, 2, 3])]
)
def test_a_changed_file_redoes_its_own_day_and_the_neighbours_that_lacked_samples_at_its_side(
    tmp_path: Path, change: dict[str, object], open_edges: str, redone: list[int]
) -> None:
    config = daily(tmp_path)
    days = [span(day) for day in range(5)]
    done = as_results(plan_cube(config, listing_of(*range(5)), {}), open_edges=open_edges)
    days[2] = days[2]._replace(object=dataclasses.replace(days[2].object, **change))  # type: ignore[arg-type]
    changed = Listing([(CHANNEL, day) for day in days], slack_ns=DAY_NS)
    assert [task.time_index for task in plan_cube(config, changed, done).tasks] == redone


def test_segments_whose_files_have_gone_stay_as_they_are(tmp_path: Path) -> None:
    config = daily(tmp_path)
    done = as_results(plan_cube(config, listing_of(*range(5)), {}))
    plan = plan_cube(config, listing_of(0, 1, 3, 4), done)
    assert (list(plan.tasks), plan.n_done, plan.n_kept) == ([], 5, 1)
    # Those beside it that needed its samples are computed again without them.
    done = {key: dataclasses.replace(result, details={"open_edges": "after"}) for key, result in done.items()}
    plan = plan_cube(config, listing_of(0, 1, 3, 4), done)
    assert ([task.time_index for task in plan.tasks], plan.n_kept) == ([1], 1)
    failed = {key: dataclasses.replace(result, status="failed") for key, result in done.items()}
    tasks = plan_cube(config, listing_of(0, 1, 3, 4), failed).tasks
    assert [task.time_index for task in tasks] == [0, 1, 3, 4], "there is nothing to try again with"


def test_a_segment_that_lives_from_a_neighbours_file_alone_is_done_again_when_that_changes(
    tmp_path: Path,
) -> None:
    config = daily(tmp_path)
    done = as_results(plan_cube(config, listing_of(0), {}), open_edges="both")
    assert plan_cube(config, listing_of(0), done).n_done == 1
    late = Listing([(CHANNEL, span(0)), (CHANNEL, span(1, version="2"))], slack_ns=DAY_NS)
    assert [task.time_index for task in plan_cube(config, late, done).tasks] == [0, 1]


def test_changed_settings_redo_everything_and_other_sections_nothing(tmp_path: Path) -> None:
    done = as_results(plan_cube(daily(tmp_path), listing_of(0, 1), {}))
    other = daily(tmp_path, "spectrogram.detrend=linear")
    assert len(plan_cube(other, listing_of(0, 1), done).tasks) == 2
    same = daily(tmp_path, "cluster.n_clusters=3", "compute.dask.workers=7", "windows.length_s=128")
    assert plan_cube(same, listing_of(0, 1), done).n_done == 2


def test_a_new_day_is_the_only_thing_left_beside_the_day_that_waited_for_its_first_samples(
    tmp_path: Path,
) -> None:
    config = daily(tmp_path)
    plan = plan_cube(config, listing_of(0, 1, 2), {})
    later = listing_of(0, 1, 2, 3)
    assert [task.time_index for task in plan_cube(config, later, as_results(plan)).tasks] == [3]
    waiting = as_results(plan, open_edges="after")
    assert [task.time_index for task in plan_cube(config, later, waiting).tasks] == [2, 3]


def test_tasks_can_be_taken_singly_from_the_end_and_in_slices(tmp_path: Path) -> None:
    tasks = plan_cube(daily(tmp_path), listing_of(*range(5)), {}).tasks
    every = list(tasks)
    assert [tasks[0], tasks[-1]] == [every[0], every[-1]]
    assert list(tasks[1:3]) == every[1:3]
    assert list(tasks[::-1]) == every[::-1]
    with pytest.raises(IndexError):
        tasks[5]
    assert [task.neighbours for task in every] == [(0, 1), (1, 1), (1, 1), (1, 1), (1, 0)]


def test_new_channels_go_behind_those_that_the_cube_has(tmp_path: Path) -> None:
    write_sds(tmp_path / "sds", red_noise(864_000))
    config = daily(tmp_path)
    make_ready(config)
    both = Listing([(CHANNEL, span(0)), (OTHER, span(0, OTHER))], slack_ns=DAY_NS)
    plan = plan_cube(config, both, {})
    assert plan.channels == (CHANNEL, OTHER)
    assert {task.channel: task.channel_index for task in plan.tasks} == {CHANNEL: 0, OTHER: 1}


def test_time_is_counted_from_the_start_of_the_cube_that_is_there(tmp_path: Path) -> None:
    write_sds(tmp_path / "sds", red_noise(864_000))
    config = daily(tmp_path)
    make_ready(config)
    plan = plan_cube(config, listing_of(4), {})
    assert (plan.start_ns, plan.n_segments) == (START_NS, 5)
    assert [task.time_index for task in plan.tasks] == [4]


def test_a_listing_that_begins_inside_a_segment_begins_with_that_segment(tmp_path: Path) -> None:
    listing = Listing(
        [(CHANNEL, span(0)), (CHANNEL, span(1))], start_ns=START_NS + DAY_NS // 2, slack_ns=DAY_NS
    )
    plan = plan_cube(daily(tmp_path), listing, {})
    assert (plan.start_ns, plan.n_segments) == (START_NS, 2)


def test_bytes_to_write_and_memory_grow_with_what_a_segment_holds(tmp_path: Path) -> None:
    plan = plan_cube(daily(tmp_path), listing_of(0, 1), {})
    grid = daily(tmp_path).spectrogram_grid
    assert plan.bytes_to_write == 2 * grid.n_frames * (grid.n_frequencies * 4 + 1)
    larger_files = plan_cube(daily(tmp_path), listing_of(0, 1, size=50_000_000), {})
    finer = plan_cube(daily(tmp_path, "spectrogram.overlap=0.9375"), listing_of(0, 1), {})
    assert larger_files.memory_per_task > plan.memory_per_task + 2 * 50_000_000
    assert finer.memory_per_task - plan.memory_per_task >= (finer.bytes_to_write - plan.bytes_to_write) // 2


@pytest.mark.parametrize(
    ("band", "message"),
    [
        ("[2, 1]", "expected low < high <= 5 Hz"),
        ("[1, 8]", "expected low < high <= 5 Hz"),
        ("[0.00001, 1]", "expected at most 3600 s"),
    ],
)
def test_a_band_pass_that_cannot_work_is_refused_before_any_task(
    tmp_path: Path, band: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_cube(daily(tmp_path, f"spectrogram.bandpass_hz={band}"), listing_of(0), {})


def test_a_hundred_thousand_files_are_planned_in_seconds(tmp_path: Path) -> None:
    import time

    channels = [ChannelId("XX", f"S{index:02d}", "", "HHZ") for index in range(30)]
    listing = Listing(((c, span(day, c)) for c in channels for day in range(1000)), slack_ns=DAY_NS)
    began = time.perf_counter()
    plan = plan_cube(daily(tmp_path), listing, {})
    assert len(plan.tasks) == 30_000
    assert time.perf_counter() - began < 6


def test_weeks_in_decades_are_planned_as_quickly_as_weeks(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    days = 60 * 365
    spans = [
        (channel, span(day, channel))
        for channel in (ChannelId("XX", f"S{number:03d}", "", "HHZ") for number in range(400))
        for day in rng.choice(days, 5, replace=False).tolist()
    ]
    listing = Listing(spans, slack_ns=DAY_NS)
    began = time.process_time()
    plan = plan_cube(daily(tmp_path), listing, {})
    # 8.7 million segments, in which 2,000 files lie: looked at one by one they take 10 s.
    assert time.process_time() - began < 4
    touched = {(channel, item.start_ns + by * DAY_NS) for channel, item in spans for by in (-1, 0, 1)}
    first, last = plan.start_ns, plan.start_ns + (plan.n_segments - 1) * DAY_NS
    assert {(task.channel, task.start_ns) for task in plan.tasks} == {
        (channel, start_ns) for channel, start_ns in touched if first <= start_ns <= last
    }
