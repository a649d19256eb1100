from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaledec.archive.archive import Archive
from scaledec.archive.miniseed import ReadOutcome, read_pieces
from scaledec.archive.segment import SegmentRead, read_segment
from scaledec.errors import UnreadableInputError
from scaledec.location import Location
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ArchiveObject, ChannelId
from tests.archive.making import CHANNEL, DAY_NS, START_NS, numbers, put_day, record_bytes, sds_key

S = NANOSECONDS_PER_SECOND
DAY = 86_400
ERROR_PAGE = b"Error 404: No data selected\n\nMore Details:\n"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(Location(str(tmp_path)), "sds")


def put(archive: Archive, day: int, first: int, count: int) -> None:
    """A day file at 1 Hz: samples ``first`` to ``first + count`` since ``START_NS``, each its own number."""
    content = record_bytes(START_NS + first * S, numbers(count, first))
    put_day(archive.location, START_NS + day * DAY_NS, content)


def read(archive: Archive, day: int = 0, *, before: int = 0, after: int = 0) -> SegmentRead:
    start = START_NS + day * DAY_NS
    objects = archive.listing().objects_for(CHANNEL, start, start + DAY_NS)
    return read_segment(
        archive,
        CHANNEL,
        objects,
        start_ns=start,
        end_ns=start + DAY_NS,
        margin_samples=lambda _: (before, after),
    )


def used_days(found: SegmentRead) -> list[str]:
    return [item.key[-3:] for item in found.objects_used]


def values(found: SegmentRead) -> np.ndarray:
    assert found.segment is not None
    return found.segment.samples


def test_a_segment_and_its_margins_come_from_three_day_files(archive: Archive) -> None:
    for day in (-1, 0, 1):
        put(archive, day, day * DAY, DAY)
    found = read(archive, before=40, after=500)
    assert found.margin == (40, 500)
    assert found.native_rate_hz == 1.0
    assert found.segment is not None
    assert found.segment.runs == ((0, DAY + 540),)
    np.testing.assert_array_equal(values(found), np.arange(-40, DAY + 500))
    assert used_days(found) == ["063", "062", "064"]
    assert not found.notes
    assert not found.unreadable


def test_neighbours_are_not_opened_where_nothing_is_missing(archive: Archive) -> None:
    for day in (-1, 0, 1):
        put(archive, day, day * DAY, DAY)
    found = read(archive)
    assert used_days(found) == ["063"]
    size = archive.listing().objects_for(CHANNEL, START_NS, START_NS + DAY_NS)[1].size
    assert found.bytes_read == size


def test_a_day_that_begins_late_is_completed_by_the_file_of_the_day_before(archive: Archive) -> None:
    put(archive, -1, -DAY, DAY + 3)
    put(archive, 0, 3, DAY - 3)
    found = read(archive)
    assert found.segment is not None
    assert found.segment.runs == ((0, DAY),)
    assert used_days(found) == ["063", "062"]


def test_where_a_neighbour_disagrees_the_day_s_own_file_stays(archive: Archive) -> None:
    put(archive, 0, 10, DAY - 10)
    content = record_bytes(START_NS - 100 * S, 7_000_000 + numbers(200))
    put_day(archive.location, START_NS - DAY_NS, content)
    found = read(archive)
    assert found.segment is not None
    assert values(found)[10] == 10
    assert values(found)[9] == 7_000_109
    assert found.segment.report.n_conflicting == 90


def test_a_segment_shorter_than_a_day_is_cut_from_the_day_file_with_its_margins(archive: Archive) -> None:
    put(archive, 0, 0, DAY)
    start = START_NS + 7200 * S
    objects = archive.listing().objects_for(CHANNEL, start, start + 3600 * S)
    found = read_segment(
        archive, CHANNEL, objects, start_ns=start, end_ns=start + 3600 * S, margin_samples=lambda _: (100, 50)
    )
    np.testing.assert_array_equal(values(found), np.arange(7100, 10_850))


def test_a_sample_just_before_midnight_that_rounds_to_midnight_is_taken_from_yesterday_s_file(
    archive: Archive,
) -> None:
    put_day(archive.location, START_NS - DAY_NS, record_bytes(START_NS - 300_000_000, numbers(1, 5)))
    put_day(archive.location, START_NS, record_bytes(START_NS + 700_000_000, numbers(100, 6)))
    found = read(archive)
    np.testing.assert_array_equal(values(found)[:101], np.arange(5, 106))
    assert found.segment is not None
    assert found.segment.report.offset_s == -0.3


def test_a_day_without_a_sample_is_empty_not_zero(archive: Archive) -> None:
    put(archive, 1, DAY + 1000, 10)
    found = read(archive)
    assert found.segment is None
    assert (found.native_rate_hz, found.objects_used, found.notes) == (0.0, (), ())


def test_no_objects_give_an_empty_segment(archive: Archive) -> None:
    found = read_segment(archive, CHANNEL, (), start_ns=START_NS, end_ns=START_NS + DAY_NS)
    assert found.segment is None


def test_an_unreadable_day_file_fails_the_segment_even_if_a_neighbour_reaches_into_it(
    archive: Archive,
) -> None:
    put(archive, -1, -DAY, DAY + 3)
    put_day(archive.location, START_NS, ERROR_PAGE)
    with pytest.raises(UnreadableInputError, match="begins 'Error 404: No data selected"):
        read(archive)


def test_an_unreadable_neighbour_costs_the_margin_and_is_reported(archive: Archive) -> None:
    put(archive, 0, 0, DAY)
    key = put_day(archive.location, START_NS + DAY_NS, ERROR_PAGE)
    found = read(archive, after=100)
    assert found.segment is not None
    assert found.segment.runs == ((0, DAY),)
    ((item, reason),) = found.unreadable
    assert item.key == key
    assert "Error 404" in reason
    assert found.notes == (f"left out: {reason}",)


def test_an_unreadable_neighbour_that_is_not_needed_is_not_even_opened(archive: Archive) -> None:
    put(archive, 0, 0, DAY)
    put_day(archive.location, START_NS + DAY_NS, ERROR_PAGE)
    assert read(archive).unreadable == ()


def test_one_bad_file_of_several_for_a_day_leaves_the_others(archive: Archive) -> None:
    put(archive, 0, 0, 1000)
    bad = ArchiveObject("2021/XX/AAA/HHZ.D/gone", 1, "1")
    objects = (*archive.listing().objects_for(CHANNEL, START_NS, START_NS + DAY_NS), bad)
    found = read_segment(archive, CHANNEL, objects, start_ns=START_NS, end_ns=START_NS + DAY_NS)
    assert found.segment is not None
    assert found.segment.report.n_real == 1000
    assert [item for item, _ in found.unreadable] == [bad]


def test_the_rate_of_most_samples_is_native_and_the_others_are_left_out_and_reported(
    archive: Archive,
) -> None:
    content = record_bytes(START_NS, numbers(1000)) + record_bytes(
        START_NS + 2000 * S, numbers(300, 2000), rate_hz=2.0
    )
    put_day(archive.location, START_NS, content)
    found = read(archive)
    assert found.native_rate_hz == 1.0
    assert found.segment is not None
    assert found.segment.runs == ((0, 1000),)
    assert found.notes == ("300 samples at 2 Hz left out beside 1 Hz",)


def test_a_rate_written_down_inexactly_is_the_whole_number_it_means(archive: Archive) -> None:
    put_day(archive.location, START_NS, record_bytes(START_NS, numbers(5000), rate_hz=99.9999))
    found = read(archive)
    assert found.native_rate_hz == 100.0
    assert len(values(found)) == DAY * 100


def test_periods_longer_than_a_second_are_rates_too(archive: Archive) -> None:
    put_day(archive.location, START_NS, record_bytes(START_NS, numbers(100), rate_hz=0.1))
    found = read(archive, before=3)
    assert found.native_rate_hz == pytest.approx(0.1)
    assert len(values(found)) == DAY // 10 + 3
    np.testing.assert_array_equal(values(found)[3:103], np.arange(100))


def test_a_rate_that_a_day_cannot_hold_is_refused(archive: Archive) -> None:
    put_day(archive.location, START_NS, record_bytes(START_NS, numbers(100), rate_hz=500_000.0))
    with pytest.raises(UnreadableInputError, match="claims 500000 samples per second"):
        read(archive)


def test_a_file_of_another_channel_under_this_name_is_refused_saying_what_it_holds(archive: Archive) -> None:
    other = ChannelId.parse("XX.AAA..HHZ")
    put_day(archive.location, START_NS, record_bytes(START_NS, numbers(10), channel=other))
    with pytest.raises(UnreadableInputError, match=r"holds XX\.AAA\.\.HHZ, not XX\.AAA\.00\.HHZ"):
        read(archive)


def test_reading_again_gives_the_same_and_leaves_the_first_result_alone(archive: Archive) -> None:
    put(archive, 0, 0, DAY)
    put(archive, 1, DAY, DAY)
    first = read(archive)
    kept = values(first).copy()
    second = read(archive, 1)
    again = read(archive)
    np.testing.assert_array_equal(values(first), kept)
    np.testing.assert_array_equal(values(again), kept)
    np.testing.assert_array_equal(values(second), np.arange(DAY, 2 * DAY))


def test_damage_is_reported_with_the_name_of_the_object(archive: Archive) -> None:
    put_day(archive.location, START_NS, record_bytes(START_NS, numbers(100)) + b"half a record")
    found = read(archive)
    key = sds_key(CHANNEL, START_NS)
    assert found.notes == (f"{key}: 13 bytes belong to no readable record: 512 to 525",)


def test_a_margin_that_lies_in_a_file_of_its_own_far_from_the_segment_is_read(tmp_path: Path) -> None:
    """Beyond the first half minute that is decoded before the rate, and with it the margin, is known."""
    objects = []
    for name, first, count in (("a", 0, 600), ("b", 640, 20)):
        data = record_bytes(START_NS + first * S, numbers(count, first))
        (tmp_path / name).write_bytes(data)
        objects.append(ArchiveObject(name, len(data), "1"))
    found = read_segment(
        Archive(Location(str(tmp_path)), "files"),
        CHANNEL,
        objects,
        start_ns=START_NS,
        end_ns=START_NS + 600 * S,
        margin_samples=lambda _: (0, 100),
    )
    assert found.segment is not None
    assert found.segment.runs == ((0, 600), (640, 660))


HOUR = 3600


@pytest.mark.parametrize(
    "pieces",
    [
        # (first second, seconds, rate): whole; at another rate until five minutes or ten seconds before; only
        # before, only after, and far from the segment.
        [(0, 3 * HOUR, 1.0)],
        [(0, HOUR - 300, 2.0), (HOUR, 2 * HOUR, 1.0)],
        [(0, HOUR - 10, 2.0), (HOUR, 2 * HOUR, 1.0)],
        [(HOUR - 400, 100, 1.0)],
        [(HOUR - 400, 390, 1.0)],
        [(2 * HOUR + 200, 100, 1.0), (HOUR - 500, 20, 2.0)],
        [(0, 60, 1.0), (HOUR + 900, 300, 1.0), (2 * HOUR + 500, 300, 2.0)],
    ],
)
def test_a_long_margin_that_is_expected_is_decoded_once_and_gives_the_same(
    archive: Archive, pieces: list[tuple[int, int, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"".join(
        record_bytes(START_NS + first * S, numbers(round(seconds * rate), first), rate_hz=rate)
        for first, seconds, rate in pieces
    )
    put_day(archive.location, START_NS, content)
    decoded: list[str] = []

    def watched(data: bytes, **how: Any) -> ReadOutcome:
        decoded.append(how["name"])
        return read_pieces(data, **how)

    monkeypatch.setattr("scaledec.archive.segment.read_pieces", watched)
    begin = START_NS + HOUR * S
    objects = archive.listing().objects_for(CHANNEL, START_NS, START_NS + DAY_NS)

    def read_hour(expected_s: float) -> SegmentRead:
        return read_segment(
            archive,
            CHANNEL,
            objects,
            start_ns=begin,
            end_ns=begin + HOUR * S,
            margin_samples=lambda rate: (round(600 * rate), round(400 * rate)),
            expected_s=expected_s,
        )

    twice = read_hour(0.0)
    assert len(decoded) in (1, 2), "a segment without samples near it has no margin"
    decoded.clear()
    once = read_hour(660.0)
    assert len(decoded) == 1
    for name in ("native_rate_hz", "margin", "objects_used", "open_edges", "notes", "foreign"):
        assert getattr(once, name) == getattr(twice, name), name
    assert (once.segment is None) == (twice.segment is None)
    if once.segment is not None and twice.segment is not None:
        assert once.segment.runs == twice.segment.runs
        np.testing.assert_array_equal(once.segment.samples, twice.segment.samples)
