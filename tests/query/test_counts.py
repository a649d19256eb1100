from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import scaledec.queries.counts as module
from scaledec.errors import ConfigError
from scaledec.places import Places
from scaledec.queries.counts import BY, count_by, counts_in_time
from scaledec.store.names import ClusterName, write_names
from scaledec.synthetic.labels import SimulatedLabels, write_simulated_labels
from tests.query.conftest import Asked


def grouped(windows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """The plain way: a column for everything, then pandas."""
    start = windows["start"].dt
    season = {12: "DJF", 1: "DJF", 2: "DJF", 3: "MAM", 4: "MAM", 5: "MAM"}
    full = windows.assign(
        hour=start.floor("h"),
        hour_of_day=start.hour,
        day=start.floor("D"),
        weekday=pd.Categorical(start.day_name(), module.WEEKDAYS, ordered=True),
        month=start.to_period("M").dt.start_time,
        season=pd.Categorical(start.month.map(season), module.SEASONS, ordered=True),
    )
    counts = full.groupby(by, observed=True).size().rename("windows")
    return counts.reset_index()


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    as_text = {name: str for name in ("channel", "station", "weekday", "season") if name in expected}
    pd.testing.assert_frame_equal(found.astype(as_text), expected.astype(as_text), check_dtype=False)


COMBINATIONS = [
    *([name] for name in BY),
    ["label", "station"],
    ["label", "station", "hour"],
    ["channel", "day"],
    ["season", "label"],
    ["weekday", "hour_of_day", "label"],
    ["month", "channel", "season", "label"],
    list(BY),
]


@pytest.mark.parametrize("by", COMBINATIONS, ids=["+".join(by) for by in COMBINATIONS])
def test_counts_by_any_combination_are_those_of_pandas_on_the_whole_table(
    asked: Asked, by: list[str]
) -> None:
    assert_same(count_by(asked.root, by), grouped(asked.windows, by))


FILTERS: list[tuple[dict[str, Any], str]] = [
    ({"label": [0, 2], "min_confidence": 0.8}, "label in [0, 2] and confidence >= 0.8"),
    ({"hours": "22-4"}, "start.dt.hour >= 22 or start.dt.hour < 4"),
    (
        {"start": "2020-02-28T03:00", "end": "2020-03-01T22:10"},
        "'2020-02-28T03:00' <= start < '2020-03-01T22:10'",
    ),
    ({"channel": "ZS.S001.*"}, "station == 'ZS.S001'"),
    ({"min_confidence": 1.0, "end": "2020-02-27T01:00"}, "label < 0"),
]


@pytest.mark.parametrize(("filters", "expression"), FILTERS, ids=[str(f) for f, _ in FILTERS])
def test_counts_hold_only_what_a_filter_leaves(
    asked: Asked, filters: dict[str, Any], expression: str
) -> None:
    left = asked.windows.query(expression, engine="python")
    assert_same(count_by(asked.root, ["label", "hour"], **filters), grouped(left, ["label", "hour"]))


@pytest.mark.parametrize("freq", ["1h", "h", "10min", "7D", "2h", "MS", "W"])
def test_counts_in_time_are_those_of_a_resampled_table(asked: Asked, freq: str) -> None:
    found = counts_in_time(asked.root, freq)
    plain = pd.get_dummies(asked.windows.set_index("start")["label"]).sort_index().astype(int)
    origin: Any = {} if freq in ("MS", "W") else {"origin": "epoch"}
    expected = plain.resample(freq, **origin).sum().reindex(found.index, fill_value=0)
    assert found.to_numpy().sum() == len(asked.windows)
    np.testing.assert_array_equal(found.to_numpy(), expected.to_numpy())
    np.testing.assert_array_equal(found.columns, [0, 1, 2, 3])
    if freq not in ("7D", "MS", "W"):
        assert found.index[0] == pd.Timestamp("2020-02-27")
        assert found.index[-1] == pd.Timestamp("2020-03-03") - pd.Timedelta("1h" if freq == "h" else freq)


def test_counts_in_time_reach_over_the_time_asked_for_with_zeros(asked: Asked) -> None:
    found = counts_in_time(
        asked.root, "1h", label=[3, 1], start="2020-02-28T06:30", end="2020-03-10", min_confidence=0.5
    )
    np.testing.assert_array_equal(found.columns, [1, 3])
    assert found.index[0] == pd.Timestamp("2020-02-28T06:00")
    assert found.index[-1] == pd.Timestamp("2020-03-09T23:00")
    assert found.loc["2020-03-04":].to_numpy().sum() == 0
    left = asked.windows.query("label in [1, 3] and start >= '2020-02-28T06:30' and confidence >= 0.5")
    assert found.to_numpy().sum() == len(left) > 0


def test_stretches_shorter_than_windows_are_counted_too(at_events: Asked) -> None:
    found = counts_in_time(at_events.root, "1s", end="2020-02-27T06:00")
    assert len(found) == 6 * 3600
    first = at_events.windows.query("start < '2020-02-27T06:00'")
    seconds = first["start"].dt.floor("s")
    np.testing.assert_array_equal(found.sum(axis=1).loc[seconds.unique()], seconds.value_counts(sort=False))


def test_a_long_answer_is_added_up_on_the_way(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_ROWS", 50)
    assert_same(count_by(asked.root, ["hour", "label"]), grouped(asked.windows, ["hour", "label"]))


def test_names_that_people_gave_stand_beside_the_labels(tmp_path: Any) -> None:
    few = SimulatedLabels(stations=1, segments=1, classes=3)
    write_simulated_labels(str(tmp_path), few)
    write_names(Places.at(str(tmp_path)).run("simulated"), {1: ClusterName("ice quake")})
    found = count_by(str(tmp_path), ["label"])
    assert list(found.columns) == ["label", "name", "windows"]
    assert list(found["name"]) == ["cluster_0", "ice quake", "cluster_2"]
    assert len(count_by(str(tmp_path), ["station"], label="ice quake")) == 1


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda root: count_by(root, ["label", "minute"]), "cannot count by minute: expected some of label"),
        (lambda root: count_by(root, []), "by nothing or twice"),
        (lambda root: count_by(root, ["day", "day"]), "by nothing or twice"),
        (lambda root: counts_in_time(root, "often"), "freq is 'often'"),
        (lambda root: counts_in_time(root, "-1h"), "freq is '-1h'"),
        (lambda root: counts_in_time(root, "1us"), "ask for longer"),
    ],
)
def test_what_cannot_be_counted_is_said(continuous: Asked, call: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        call(continuous.root)
