from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scaledec.errors import ConfigError
from scaledec.queries.episodes import episodes
from scaledec.synthetic.labels import SimulatedLabels, write_simulated_labels
from tests.query.conftest import Asked


def one_by_one(windows: pd.DataFrame, length_s: float, step_s: float, min_windows: int) -> pd.DataFrame:
    """The plain way: go through the windows of each channel and label in a loop."""
    rows: list[dict[str, Any]] = []
    for (channel, label), own in windows.groupby(["channel", "label"]):
        begun: list[Any] = []
        for window in [*own.itertuples(), None]:
            late = window is None or (
                bool(begun) and window.start - begun[-1].start > pd.Timedelta(seconds=step_s)
            )
            if late and len(begun) >= max(1, min_windows):
                rows.append(
                    {
                        "channel": channel,
                        "start": begun[0].start,
                        "end": begun[-1].start + pd.Timedelta(seconds=length_s),
                        "label": label,
                        "windows": len(begun),
                        "confidence": np.mean([w.confidence for w in begun]),
                    }
                )
            begun = [window] if late else [*begun, window]
    return pd.DataFrame(rows).sort_values(["channel", "start", "label"], ignore_index=True)


@pytest.mark.parametrize("min_windows", [1, 3])
@pytest.mark.parametrize("max_gap_s", [None, 0, 300, 4000])
def test_episodes_are_those_of_a_loop_over_all_windows(
    asked: Asked, max_gap_s: float | None, min_windows: int
) -> None:
    found = episodes(asked.root, max_gap_s=max_gap_s, min_windows=min_windows)
    step_s = asked.length_s + (max_gap_s or 0)
    expected = one_by_one(asked.windows, asked.length_s, step_s, min_windows)
    pd.testing.assert_frame_equal(found.astype({"channel": str}), expected, check_dtype=False, rtol=1e-6)
    assert len(found) > 10 or min_windows > 1


def test_only_windows_that_fit_belong_to_an_episode(asked: Asked) -> None:
    filters: dict[str, Any] = {"label": 2, "min_confidence": 0.7, "channel": "ZS.S000..HH*", "hours": "20-6"}
    found = episodes(asked.root, max_gap_s=600, **filters)
    fits = "label == 2 and confidence >= 0.7 and station == 'ZS.S000'"
    night = "start.dt.hour >= 20 or start.dt.hour < 6"
    left = asked.windows.query(f"{fits} and ({night})", engine="python")
    expected = one_by_one(left, asked.length_s, asked.length_s + 600, 1)
    pd.testing.assert_frame_equal(found.astype({"channel": str}), expected, check_dtype=False, rtol=1e-6)


def test_an_episode_over_the_whole_archive_is_one_whatever_the_shards(tmp_path: Path) -> None:
    settings = SimulatedLabels(
        stations=1, channels_per_station=2, segments=7, classes=1, unlabelled=0, segments_per_shard=2
    )
    write_simulated_labels(str(tmp_path), settings)
    found = episodes(str(tmp_path))
    assert list(found["windows"]) == [7 * 3375] * 2
    assert list(found["start"]) == [pd.Timestamp("2021-01-01")] * 2
    assert list(found["end"]) == [pd.Timestamp("2021-01-08")] * 2


def test_no_episode_is_a_table_of_the_same_columns(continuous: Asked) -> None:
    none = episodes(continuous.root, min_windows=100_000)
    some = episodes(continuous.root)
    assert len(none) == 0
    assert list(none.columns) == ["channel", "start", "end", "label", "windows", "confidence"]
    assert none.drop(columns="channel").dtypes.equals(some.drop(columns="channel").dtypes)


def test_what_makes_no_episode_is_said(continuous: Asked) -> None:
    with pytest.raises(ConfigError, match="max_gap_s is -1"):
        episodes(continuous.root, max_gap_s=-1)
    with pytest.raises(ConfigError, match="min_windows is 0"):
        episodes(continuous.root, min_windows=0)
