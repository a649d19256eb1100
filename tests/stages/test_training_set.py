from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from scaledec.config import Config
from scaledec.errors import TrainingError
from scaledec.grid import SpectrogramGrid, WindowGrid
from scaledec.location import Location
from scaledec.stages.continuous_windows import ContinuousWindows
from scaledec.stages.training_set import build_training_set, draw_windows
from scaledec.stages.window_reader import open_windows
from scaledec.store.cube import CubeStore
from scaledec.store.training import VALIDATION, TrainingStore
from tests.stages.small_cubes import channels_of, fill_segment, make_cube, small_config

N_WINDOWS = 75  # 600 frames at a stride of 8


@pytest.fixture(scope="module")
def cube_and_config(tmp_path_factory: pytest.TempPathFactory) -> tuple[CubeStore, Config]:
    """Two channels at each of three stations, six segments; S02 has no data in the first four."""
    config = small_config(tmp_path_factory.mktemp("training"))
    empty = [(channel, time) for channel in (4, 5) for time in range(4)]
    return make_cube(config, channels_of(6), 6, empty=empty), config


def build(config: Config, cube: CubeStore, path: Path) -> TrainingStore:
    return build_training_set(config, cube, Location(str(path)))


def digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return found.hexdigest()


def with_pretrain(config: Config, **values: object) -> Config:
    return config.model_copy(update={"pretrain": config.pretrain.model_copy(update=values)})


def test_each_sample_holds_the_frames_of_the_place_it_is_recorded_at(
    cube_and_config: tuple[CubeStore, Config], tmp_path: Path
) -> None:
    cube, config = cube_and_config
    training = build(config, cube, tmp_path / "training.zarr")
    assert training.n == 400
    grid = config.window_grid
    assert isinstance(grid, WindowGrid)
    for sample, window in enumerate(training.read()):
        channel = cube.channel_index(training.channels[sample])
        time_index = (int(training.segment_start_ns[sample]) - cube.start_ns) // cube.segment_ns
        first = int(training.window_index[sample]) * grid.stride
        power, _ = cube.read_frames(channel, time_index, first=first, stop=first + grid.length)
        np.testing.assert_array_equal(window, power)


def test_samples_are_distinct_and_lie_in_the_order_of_channel_and_time(
    cube_and_config: tuple[CubeStore, Config], tmp_path: Path
) -> None:
    cube, config = cube_and_config
    training = build(config, cube, tmp_path / "training.zarr")
    places = list(
        zip(
            map(cube.channel_index, training.channels),
            training.segment_start_ns.tolist(),
            training.window_index.tolist(),
            strict=True,
        )
    )
    assert len(set(places)) == training.n
    assert places == sorted(places)


def test_channels_give_equal_shares_and_what_a_poor_one_lacks_the_others_give(
    cube_and_config: tuple[CubeStore, Config], tmp_path: Path
) -> None:
    cube, config = cube_and_config
    equal = Counter(build(config, cube, tmp_path / "equal.zarr").channels)
    assert set(equal.values()) == {66, 67}
    more = Counter(build(with_pretrain(config, windows=1_200), cube, tmp_path / "more.zarr").channels)
    poor = [more[channel] for channel in cube.channels[4:]]
    # Two segments each; the last window of the last one would reach beyond the cube.
    assert all(2 * N_WINDOWS - 4 <= count < 2 * N_WINDOWS for count in poor)
    assert sum(more.values()) == 1_200
    rich = [more[channel] for channel in cube.channels[:4]]
    assert max(rich) - min(rich) <= 1


def test_no_group_and_no_sample_of_the_record_is_in_both_splits(
    cube_and_config: tuple[CubeStore, Config], tmp_path: Path
) -> None:
    cube, config = cube_and_config
    config = with_pretrain(config, windows=100_000)
    training = build(config, cube, tmp_path / "training.zarr")
    grid, windows = cube.grid, config.window_grid
    assert isinstance(grid, SpectrogramGrid)
    assert isinstance(windows, WindowGrid)
    used = {0: np.zeros((3, 7 * grid.samples_per_segment), bool)}
    used[1] = np.zeros_like(used[0])
    for sample, channel in enumerate(training.channels):
        station = int(channel.station[1:])
        segment = (int(training.segment_start_ns[sample]) - cube.start_ns) // cube.segment_ns
        first = (
            segment * grid.samples_per_segment
            + int(training.window_index[sample]) * windows.stride * grid.hop
        )
        stop = first + (windows.length - 1) * grid.hop + grid.nperseg
        used[int(training.split[sample])][station, first:stop] = True
    assert used[0].any()
    assert used[1].any()
    assert not (used[0] & used[1]).any()


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_the_validation_share_is_met_to_within_a_group(
    cube_and_config: tuple[CubeStore, Config], tmp_path: Path, share: float
) -> None:
    cube, config = cube_and_config
    training = build(with_pretrain(config, validation=share), cube, tmp_path / "training.zarr")
    assert float(np.mean(training.split == VALIDATION)) == pytest.approx(share, abs=1 / 10)


def test_the_same_seed_gives_the_same_bytes_and_another_one_other_windows(
    cube_and_config: tuple[CubeStore, Config], tmp_path: Path
) -> None:
    cube, config = cube_and_config
    build(config, cube, tmp_path / "a" / "training.zarr")
    build(config, cube, tmp_path / "b" / "training.zarr")
    build(with_pretrain(config, seed=4), cube, tmp_path / "c" / "training.zarr")
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")


def test_only_as_many_segments_are_drawn_from_as_the_sample_needs(tmp_path: Path) -> None:
    config = small_config(tmp_path, pretrain={"windows": 64})
    cube = make_cube(config, channels_of(1), 40)
    draws = draw_windows(config, cube)
    assert len(draws) == 2
    assert [draw.wanted for draw in draws] == [32, 32]


def test_windows_with_gaps_are_never_sampled(tmp_path: Path) -> None:
    config = small_config(tmp_path, pretrain={"windows": 10_000}, windows={"min_coverage": 0.5})
    cube = make_cube(config, channels_of(1), 3)
    writable = CubeStore.open(cube.location, "r+")
    fill_segment(writable, 0, 1, gap=slice(100, 500))
    training = build(config, cube, tmp_path / "training.zarr")
    assert np.isfinite(training.read()).all()
    in_second = training.window_index[training.segment_start_ns == cube.segment_start_ns(1)]
    starts = set((in_second * 8).tolist())
    assert starts.isdisjoint(range(100 - 15, 500))
    assert {0, 504}.issubset(starts)


def test_a_window_that_is_not_finite_in_spite_of_its_coverage_is_replaced(tmp_path: Path) -> None:
    config = small_config(tmp_path, pretrain={"windows": 60})
    cube = make_cube(config, channels_of(1), 2)
    writable = CubeStore.open(cube.location, "r+")
    for time_index in range(2):
        power, coverage = cube.read_frames(0, time_index)
        power[:300, 4] = np.inf
        writable.write_segment(0, time_index, power, coverage)
    training = build(config, cube, tmp_path / "training.zarr")
    assert training.n == 60
    assert np.isfinite(training.read()).all()


def test_few_windows_are_read_one_by_one_with_the_same_result(tmp_path: Path) -> None:
    config = small_config(tmp_path, pretrain={"windows": 16})
    cube = make_cube(config, channels_of(2), 4)
    reader = open_windows(cube, config.window_grid)
    assert isinstance(reader, ContinuousWindows)
    draws = draw_windows(config, cube)
    assert all(draw.wanted <= 8 for draw in draws)
    for draw in draws:
        asked = draw.channel_index, draw.time_index, draw.candidates, draw.wanted
        singly, whole = reader.read_singly(*asked), reader.read_whole(*asked)
        for a, b in zip(singly, whole, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_cube_of_one_segment_is_refused_with_what_to_change(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    cube = make_cube(config, channels_of(2), 1)
    with pytest.raises(TrainingError, match=r"widen archive\.start"):
        draw_windows(config, cube)


def test_an_empty_cube_is_refused(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    cube = make_cube(config, channels_of(1), 2, empty=[(0, 0), (0, 1)])
    with pytest.raises(TrainingError, match="0 segment"):
        draw_windows(config, cube)


def test_segments_that_are_not_named_are_not_looked_at(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    cube = make_cube(config, channels_of(2), 4)
    draws = draw_windows(config, cube, segments=[(0, 0), (0, 2), (1, 3)])
    assert {(draw.channel_index, draw.time_index) for draw in draws} == {(0, 0), (0, 2), (1, 3)}
    assert all(dataclasses.is_dataclass(draw) for draw in draws)
