"""Channels and instants."""

from __future__ import annotations

import datetime as dt
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaledec.vocabulary import ArchiveObject, ChannelId, CubeTask, format_time, parse_time


@pytest.mark.parametrize("text", ["CI.WBM..LHZ", "CM.BAR2.00.HHZ"])
def test_a_channel_id_reads_back_as_written(text: str) -> None:
    assert str(ChannelId.parse(text)) == text


@pytest.mark.parametrize("text", ["CI.WBM.LHZ", "", "a.b.c.d.e"])
def test_a_channel_id_with_the_wrong_number_of_parts_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected four, NET\.STA\.LOC\.CHA"):
        ChannelId.parse(text)


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [("CM.*.*.HHZ", True), ("*", True), ("CM.CHI.00.HH?", True), ("cm.*.*.*", False), ("CM.CHI", False)],
)
def test_a_glob_is_matched_against_the_whole_id(pattern: str, fits: bool) -> None:
    assert ChannelId("CM", "CHI", "00", "HHZ").matches(pattern) is fits


@given(st.datetimes(min_value=dt.datetime(1901, 1, 1), max_value=dt.datetime(2199, 1, 1)))
def test_an_instant_reads_back_as_written(moment: dt.datetime) -> None:
    assert parse_time(format_time(parse_time(moment))) == parse_time(moment)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2019-12-24T18:59:59.998", "2019-12-24T18:59:59.998"),
        ("2019-12-24", "2019-12-24T00:00:00"),
        ("2019-12-24T20:00:00+01:00", "2019-12-24T19:00:00"),
        ("1969-12-31T23:59:59.5", "1969-12-31T23:59:59.5"),
    ],
)
def test_times_are_utc_and_printed_as_short_as_exact(text: str, expected: str) -> None:
    assert format_time(parse_time(text)) == expected


def test_a_task_travels_to_another_process() -> None:
    channel = ChannelId("CM", "CHI", "00", "HHZ")
    task = CubeTask("k", "f", channel, 0, 0, 0, (ArchiveObject("a/b", 12, "v"),))
    assert pickle.loads(pickle.dumps(task)) == task  # noqa: S301
