from __future__ import annotations

import os
import pickle
import time
import uuid
from pathlib import Path

import pytest

from scaledec.archive.archive import Archive
from scaledec.archive.folders import Entry, entries
from scaledec.archive.listing import Listing, Span
from scaledec.errors import ArchiveError, UnreadableInputError
from scaledec.location import Location
from scaledec.vocabulary import ArchiveObject, ChannelId, parse_time
from tests.archive.making import CHANNEL, DAY_NS, START_NS, numbers, put_day, put_days, record_bytes, sds_key

HORIZONTAL = ChannelId.parse("XX.AAA.00.HHN")
FAR = ChannelId.parse("YY.BBB..BHZ")


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    """The same archive in a folder and in an object store."""
    if request.param == "local":
        return Location(str(tmp_path / "sds"))
    return Location(f"memory://sds-{uuid.uuid4().hex}")


@pytest.fixture
def archive(root: Location) -> Archive:
    put_days(root, range(4))
    put_days(root, range(2, 4), channel=HORIZONTAL)
    put_days(root, range(400, 402), channel=FAR)
    return Archive(root, "sds")


def test_a_listing_names_channels_and_the_time_they_span(archive: Archive) -> None:
    listing = archive.listing()
    assert listing.channels == (HORIZONTAL, CHANNEL, FAR)
    assert listing.span == (START_NS, START_NS + 402 * DAY_NS)
    assert (listing.n_objects, listing.n_bytes) == (8, 8 * 512)


def test_patterns_and_times_choose_what_is_listed(archive: Archive) -> None:
    listing = archive.listing(["XX.*.*.HHZ", "YY.*"], START_NS + DAY_NS, START_NS + 2 * DAY_NS)
    assert listing.channels == (CHANNEL,)
    assert listing.span == (START_NS + DAY_NS, START_NS + 2 * DAY_NS)
    assert listing.n_objects == 1


def test_an_interval_asks_for_its_own_day_and_the_days_on_either_side(archive: Archive) -> None:
    listing = archive.listing()
    for day, expected in [(0, [0, 1]), (1, [0, 1, 2]), (3, [2, 3]), (4, [3]), (5, []), (-1, [0])]:
        start = START_NS + day * DAY_NS
        found = listing.objects_for(CHANNEL, start, start + DAY_NS)
        assert [item.key for item in found] == [
            sds_key(CHANNEL, START_NS + other * DAY_NS) for other in expected
        ]
    assert listing.objects_for(ChannelId.parse("ZZ.Z..HHZ"), START_NS, START_NS + DAY_NS) == ()


def test_neighbours_outside_the_time_wanted_are_kept_for_the_edges(archive: Archive) -> None:
    listing = archive.listing(["XX.*.*.HHZ"], START_NS + DAY_NS, START_NS + 2 * DAY_NS)
    assert len(listing.objects_for(CHANNEL, START_NS + DAY_NS, START_NS + 2 * DAY_NS)) == 3


def test_objects_are_read_by_the_keys_of_the_listing(archive: Archive) -> None:
    (item, *_) = archive.listing().objects_for(CHANNEL, START_NS, START_NS + DAY_NS)
    assert archive.read(item) == record_bytes(START_NS, numbers(10))
    assert item.size == 512


def test_an_object_that_vanished_is_unreadable_and_named(archive: Archive) -> None:
    gone = ArchiveObject("2021/XX/AAA/HHZ.D/gone", 1, "1")
    with pytest.raises(UnreadableInputError, match=r"HHZ\.D/gone has vanished since it was listed"):
        archive.read(gone)


def test_the_version_of_an_object_changes_with_its_content(root: Location) -> None:
    put_days(root, [0])
    archive = Archive(root, "sds")

    def version() -> str:
        return archive.listing().objects_for(CHANNEL, START_NS, START_NS + DAY_NS)[0].version

    before = version()
    assert version() == before
    time.sleep(0.02)
    put_day(root, START_NS, record_bytes(START_NS, numbers(9)))
    assert version() != before


def test_names_that_are_no_sds_names_are_listed_as_ignored(root: Location) -> None:
    key = put_day(root, START_NS, record_bytes(START_NS, numbers(10)))
    folder = key.rpartition("/")[0]
    for name in ("README.txt", "XX.AAA.00.HHZ.D.2021.999", "XX.AAA.00.HHZ.E.2021.063"):
        root.child(folder, name).write_bytes(b"?")
    listing = Archive(root, "sds").listing()
    assert listing.n_objects == 1
    assert len(listing.ignored) == 3


def test_only_folders_that_can_match_are_looked_into(
    archive: Archive, root: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def watched(location: Location) -> list[Entry]:
        looked.append(location.url.removeprefix(root.url))
        return entries(location)

    monkeypatch.setattr("scaledec.archive.layouts.sds.entries", watched)
    archive.listing(["XX.AAA.*.HHZ"], START_NS, START_NS + DAY_NS)
    assert looked == ["", "/2021", "/2021/XX", "/2021/XX/AAA", "/2021/XX/AAA/HHZ.D"]


def test_a_pattern_without_four_parts_still_matches_whole_ids(archive: Archive) -> None:
    assert archive.listing(["*HHZ"]).channels == (CHANNEL,)
    assert archive.listing(["YY*"]).channels == (FAR,)
    assert archive.listing(["XX.AAA.00.HH[NZ]"]).channels == (HORIZONTAL, CHANNEL)


def test_a_day_of_a_leap_year_is_the_day_it_says() -> None:
    archive = Archive(Location("anywhere"), "sds")
    span = archive.nominal_span_ns(ArchiveObject("2020/XX/A/HHZ.D/XX.A..HHZ.D.2020.366", 1, "1"))
    assert span == (parse_time("2020-12-31"), parse_time("2021-01-01"))
    assert archive.nominal_span_ns(ArchiveObject("somewhere/else", 1, "1")) is None


def test_a_place_that_does_not_exist_is_an_error_with_the_path_and_what_was_expected(tmp_path: Path) -> None:
    for place in (Location(str(tmp_path / "nowhere")), Location("memory://nowhere-at-all")):
        with pytest.raises(ArchiveError, match=r"nowhere.*expected YEAR/NET/STA/CHA\.D/NET") as refused:
            Archive(place, "sds").listing()
        assert place.url in str(refused.value)


def test_a_folder_of_another_kind_is_an_error_that_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "CM").mkdir()
    with pytest.raises(ArchiveError, match=r"no archive of layout sds.*found CM; expected YEAR/NET"):
        Archive(Location(str(tmp_path)), "sds").listing()


def test_a_pattern_that_matches_nothing_is_told_the_nearest_channels(archive: Archive) -> None:
    with pytest.raises(
        ArchiveError, match=r"matches XX\.AAA\.00\.BHZ; nearest of 3 channels there: XX\.AAA\.00\.HHZ"
    ):
        archive.listing(["XX.AAA.00.BHZ"])


def test_a_time_without_data_is_told_the_time_that_has(archive: Archive) -> None:
    with pytest.raises(
        ArchiveError, match=r"holds nothing of XX\.\*.*it holds 2021-03-04T00:00:00 to 2021-03-08T00:00:00"
    ):
        archive.listing(["XX.*"], parse_time("2015-01-01"), parse_time("2015-02-01"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_must_not_be_read_is_an_error(tmp_path: Path) -> None:
    put_days(tmp_path, [0])
    (tmp_path / "2021").chmod(0)
    try:
        with pytest.raises(ArchiveError, match=r"cannot list .*2021: PermissionError"):
            Archive(Location(str(tmp_path)), "sds").listing()
    finally:
        (tmp_path / "2021").chmod(0o755)


def test_a_link_to_nowhere_is_listed_and_found_missing_only_when_read(tmp_path: Path) -> None:
    put_days(tmp_path, [0])
    key = sds_key(CHANNEL, START_NS + DAY_NS)
    (tmp_path / key).symlink_to(tmp_path / "nowhere")
    archive = Archive(Location(str(tmp_path)), "sds")
    (_, link) = archive.listing().objects_for(CHANNEL, START_NS, START_NS + DAY_NS)
    with pytest.raises(UnreadableInputError, match="has vanished"):
        archive.read(link)


def test_a_scheme_without_its_package_is_an_error_that_says_what_to_install() -> None:
    with pytest.raises(ArchiveError, match="cannot list nonsense://bucket"):
        Archive(Location("nonsense://bucket/sds"), "sds").listing()


def test_an_unknown_layout_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ArchiveError, match="'tapes' is unknown; expected one of sds, files, scedc"):
        Archive(Location("anywhere"), "tapes").listing()


def test_an_archive_travels_to_workers_as_a_few_hundred_bytes(archive: Archive) -> None:
    packed = pickle.dumps(archive)
    assert len(packed) < 500
    assert pickle.loads(packed) == archive  # noqa: S301  (made one line above)


def test_a_listing_of_a_hundred_thousand_objects_answers_at_once() -> None:
    channels = [ChannelId("XX", f"S{number:03d}", "00", "HHZ") for number in range(100)]
    spans = [
        (channel, Span(day * DAY_NS, (day + 1) * DAY_NS, ArchiveObject(f"{channel}.{day}", 1, "1")))
        for channel in channels
        for day in range(1000)
    ]
    began = time.perf_counter()
    listing = Listing(spans, slack_ns=DAY_NS)
    for channel in channels:
        for day in range(0, 1000, 10):
            assert len(listing.objects_for(channel, day * DAY_NS, (day + 1) * DAY_NS)) >= 2
    assert time.perf_counter() - began < 5  # measured 0.3 s; without an index it takes minutes
