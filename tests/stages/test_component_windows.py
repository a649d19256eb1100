"""Windows of three components: whose channels they are, what is stacked, what a missing one does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from scaledec.config import Config, parse_config
from scaledec.errors import ConfigError
from scaledec.location import Location
from scaledec.stages.component_windows import ComponentWindows
from scaledec.stages.sensors import Components, Sensor, sensors_of
from scaledec.stages.training_set import build_training_set
from scaledec.stages.window_reader import WindowReader, open_windows
from scaledec.store.cube import CubeStore
from scaledec.vocabulary import ChannelId, WindowState
from tests.stages.small_cubes import expected_power, fill_segment, make_cube, small_config

GAP = slice(100, 140)
LENGTH, STRIDE = 16, 8


def channels(*names: str) -> list[ChannelId]:
    return [ChannelId.parse(name) for name in names]


THREE = channels("XX.A..HHE", "XX.A..HHN", "XX.A..HHZ", "XX.B..HHZ", "XX.B..HHN", "XX.B..HHE")


def config_of(root: Path, **windows: object) -> Config:
    return small_config(root, windows={"components": "ZNE", **windows})


def reader_of(config: Config, cube: CubeStore) -> WindowReader:
    return open_windows(cube, config.window_grid, Components.of(config.windows))


def stack(
    cube: CubeStore, rows: tuple[int, int, int], time_index: int, window: int
) -> npt.NDArray[np.float16]:
    first = window * STRIDE
    parts = [cube.read_frames(row, time_index, first=first, stop=first + LENGTH)[0] for row in rows]
    return np.stack(parts)


def test_channels_of_one_band_and_instrument_are_one_sensor() -> None:
    found = sensors_of(
        channels("XX.A..HHZ", "XX.A..HNZ", "XX.A.10.HHZ", "XX.A..HHN", "XX.A..HDF", "XX.B..HHE"),
        Components(("ZNE",)),
    )
    assert [(str(sensor.id), sensor.stacks[0]) for sensor in found] == [
        ("XX.A..HH?", (0, 3, None)),
        ("XX.A..HN?", (1, None, None)),
        ("XX.A.10.HH?", (2, None, None)),
        ("XX.B..HH?", (None, None, 5)),
    ]
    assert not found[0].is_complete


def test_new_channels_leave_known_sensors_where_they_are() -> None:
    names = channels("XX.B..HHZ", "XX.A..HHN", "XX.A..HHZ", "XX.C..HHE", "XX.B..HHE", "XX.D..HH1")
    before = [sensor.id for sensor in sensors_of(names[:3], Components(("ZNE", "Z12")))]
    assert [sensor.id for sensor in sensors_of(names, Components(("ZNE", "Z12")))][: len(before)] == before


def test_without_components_every_channel_stands_for_itself() -> None:
    assert sensors_of(THREE[:1], None) == (Sensor(THREE[0], ((0,),)),)


def test_planes_are_named_by_what_may_lie_in_them() -> None:
    assert Components(("ZNE", "Z12")).planes == ("Z", "N/1", "E/2")


def test_a_window_holds_the_components_in_the_order_asked_for(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    cube = make_cube(config, THREE, 2)
    reader = reader_of(config, cube)
    segment = reader.read_segment(0, 0)
    chosen = segment.usable[::7]
    for window, power in zip(chosen, segment.gather(chosen), strict=True):
        np.testing.assert_array_equal(power, stack(cube, (2, 1, 0), 0, int(window)))
    candidates = np.array([30, 4, 17, 60])
    numbers, read = reader.read(1, 0, candidates, 3)
    np.testing.assert_array_equal(numbers, candidates[:3])
    for window, power in zip(numbers, read, strict=True):
        np.testing.assert_array_equal(power, stack(cube, (3, 4, 5), 0, int(window)))


def test_a_gap_in_one_component_leaves_the_window_out_where_missing_ones_are_skipped(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    cube = make_cube(config, THREE, 1)
    fill_segment(CubeStore.open(cube.location, "r+"), 1, 0, gap=GAP)
    cube = CubeStore.open(cube.location)
    reader = reader_of(config, cube)
    starts = {window: window * STRIDE for window in range(reader.n_windows)}
    touched = {w for w, first in starts.items() if first < GAP.stop and first + LENGTH > GAP.start}
    usable = set(reader.read_segment(0, 0).usable.tolist())
    # The last window reaches beyond the cube.
    assert usable == set(range(reader.n_windows - 1)) - touched
    assert set(reader.covered(0, 0).tolist()) == usable


def test_a_value_that_is_not_finite_in_one_component_is_never_taken(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    cube = make_cube(config, THREE, 1)
    power = expected_power(cube, 0, 0)
    power[40, 3] = np.inf
    writable = CubeStore.open(cube.location, "r+")
    writable.write_segment(0, 0, power, np.full(len(power), 100, np.uint8))
    reader = reader_of(config, CubeStore.open(cube.location))
    numbers, read = reader.read(0, 0, np.array([4, 9, 20, 30]), 3)
    assert numbers.tolist() == [9, 20, 30]
    assert np.isfinite(read).all()


def test_a_missing_component_becomes_a_plane_of_nothing_where_it_is_filled(tmp_path: Path) -> None:
    config = config_of(tmp_path, missing_components="zero")
    cube = make_cube(config, THREE[:2], 1)
    fill_segment(CubeStore.open(cube.location, "r+"), 1, 0, gap=GAP)
    cube = CubeStore.open(cube.location)
    reader = reader_of(config, cube)
    segment = reader.read_segment(0, 0)
    inside = GAP.start // STRIDE + 1
    z_plane, north, east = segment.gather(np.array([inside]))[0]
    assert np.isnan(z_plane).all()
    assert np.isnan(north).all()
    np.testing.assert_array_equal(east, stack(cube, (0, 0, 0), 0, inside)[0])
    assert len(segment.usable) == reader.n_windows - 1
    numbers, power = reader.read(0, 0, np.array([50, inside, 2]), 2)
    np.testing.assert_array_equal(numbers, [50, inside])
    np.testing.assert_array_equal(power[1], segment.gather(np.array([inside]))[0])
    np.testing.assert_array_equal(power[0], segment.gather(np.array([50]))[0])


def test_a_sensor_without_a_component_has_no_windows_where_missing_ones_are_skipped(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    cube = make_cube(config, THREE[:2], 1)
    fill_segment(CubeStore.open(cube.location, "r+"), 0, 0, gap=GAP)
    reader = reader_of(config, CubeStore.open(cube.location))
    assert not len(reader.covered(0, 0))
    segment = reader.read_segment(0, 0)
    assert not len(segment.usable)
    # The other component has what this one lacks in the gap: what is missing everywhere is the third.
    assert set(segment.state[:74]) == {WindowState.COMPONENT_MISSING}
    assert segment.state[74] == WindowState.LOW_COVERAGE


def test_the_alternative_that_holds_a_segment_is_taken_for_it(tmp_path: Path) -> None:
    config = config_of(tmp_path, components="ZNE,Z12")
    names = channels("XX.A..HHZ", "XX.A..HHN", "XX.A..HHE", "XX.A..HH1", "XX.A..HH2")
    cube = make_cube(config, names, 2, empty=[(1, 1), (2, 1), (3, 0), (4, 0)])
    reader = reader_of(config, cube)
    for time_index, rows in ((0, (0, 1, 2)), (1, (0, 3, 4))):
        power = reader.read_segment(0, time_index).gather(np.array([5]))[0]
        np.testing.assert_array_equal(power, stack(cube, rows, time_index, 5))


def test_the_training_set_holds_stacks_of_sensors_and_excludes_what_is_named(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    config = config.model_copy(
        update={"pretrain": config.pretrain.model_copy(update={"exclude": ("XX.B.*.*",)})}
    )
    cube = make_cube(config, THREE, 6)
    store = build_training_set(config, cube, Location(str(tmp_path / "training.zarr")))
    assert {str(channel) for channel in store.channels} == {"XX.A..HH?"}
    assert store.template.planes == ("Z", "N", "E")
    windows = store.read()
    assert windows.shape[1:] == (3, LENGTH, cube.grid.n_frequencies)
    for sample in range(0, store.n, 29):
        time_index = (store.segment_start_ns[sample] - cube.start_ns) // cube.segment_ns
        expected = stack(cube, (2, 1, 0), int(time_index), int(store.window_index[sample]))
        np.testing.assert_array_equal(windows[sample], expected)


@pytest.mark.parametrize("components", ["Z", "ZZN", "ZNE,Z1", "zne", "ZNE;Z12"])
def test_components_that_cannot_be_are_refused(tmp_path: Path, components: str) -> None:
    with pytest.raises((ConfigError, ValueError), match="components"):
        config_of(tmp_path, components=components)


def test_a_published_network_is_refused_at_once() -> None:
    sections = "windows: {components: ZNE}\nmodel: {preset: jenkins2021, normalise: l2}"
    with pytest.raises(ConfigError, match="leave one of them out"):
        parse_config(f"root: out\narchive: {{url: none}}\n{sections}")


class AtEvents:
    """Channels whose windows lie at events: window 1 of channel 1 is another event than the others'."""

    n_windows = 3
    starts = np.array([[10, 20, 30], [10, 25, 30], [10, 20, 30]])

    def covered(self, channel_index: int, time_index: int) -> npt.NDArray[np.int64]:
        return np.arange(3)

    def start_ns(self, channel_index: int, time_index: int) -> npt.NDArray[np.int64]:
        return np.asarray(self.starts[channel_index])


@pytest.mark.parametrize(("fill", "expected"), [(False, [0, 2]), (True, [0, 1, 2])])
def test_windows_that_start_at_other_times_are_not_stacked(fill: bool, expected: list[int]) -> None:
    sensor = Sensor(THREE[0], ((0, 1, 2),))
    reader = ComponentWindows(AtEvents(), (sensor,), Components(("ZNE",), fill=fill))  # type: ignore[arg-type]
    assert reader.covered(0, 0).tolist() == expected
    assert reader.start_ns(0, 0).tolist() == [10, 20, 30]
