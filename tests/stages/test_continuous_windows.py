from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scaledec.grid import WindowGrid
from scaledec.stages.continuous_windows import ContinuousWindows
from scaledec.stages.window_reader import open_windows
from tests.stages.small_cubes import channels_of, expected_power, make_cube, small_config


@pytest.mark.parametrize("stride_s", [5, 7, 16, 23, 31])
def test_any_stride_gives_every_window_that_starts_in_a_segment_across_midnight_too(
    tmp_path: Path, stride_s: int
) -> None:
    """Frames of 1 s, windows of 16: strides under, equal to and over that, dividing 600 or not."""
    config = small_config(tmp_path, windows={"stride_s": stride_s})
    cube = make_cube(config, channels_of(1), 2)
    windows = config.window_grid
    assert isinstance(windows, WindowGrid)
    reader = open_windows(cube, windows)
    assert isinstance(reader, ContinuousWindows)
    joined = np.concatenate([expected_power(cube, 0, time) for time in range(2)])
    starts = np.arange(0, 600, stride_s)
    assert reader.n_windows == len(starts)
    segment = reader.read_segment(0, 0)
    np.testing.assert_array_equal(segment.usable, np.arange(len(starts)))
    np.testing.assert_array_equal(reader.covered(0, 0), segment.usable)
    expected = np.stack([joined[start : start + 16] for start in starts])
    np.testing.assert_array_equal(segment.gather(segment.usable), expected)
    np.testing.assert_array_equal(reader.read(0, 0, segment.usable, len(starts))[1], expected)
    assert (reader.start_ns(0, 0) - cube.segment_start_ns(0)).tolist() == [int(s) * 10**9 for s in starts]
    shared = reader.read_segment(0, 0, reader.read_segment(0, 1))
    np.testing.assert_array_equal(shared.state, segment.state)
    np.testing.assert_array_equal(shared.gather(shared.usable), expected)
