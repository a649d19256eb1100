from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from scaledec.archive.archive import Archive
from scaledec.archive.miniseed import HeaderSpan, scan_headers
from scaledec.archive.objects import read_object
from scaledec.archive.segment import read_segment
from scaledec.errors import ArchiveError, UnreadableInputError
from scaledec.location import Location
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ArchiveObject, ChannelId
from tests.archive.making import CHANNEL, DAY_NS, START_NS, numbers, record_bytes

HOUR_NS = 3600 * NANOSECONDS_PER_SECOND
OTHER = ChannelId.parse("XX.AAA.00.HHN")


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    if request.param == "local":
        return Location(str(tmp_path))
    return Location(f"memory://files-{uuid.uuid4().hex}")


@pytest.fixture
def archive(root: Location) -> Archive:
    """Three hourly files in any naming, one of them with two channels, and one that is no miniSEED."""
    data = root.child("data")
    for hour, name in enumerate(["first.bin", "below/second", "below/further/third.mseed"]):
        content = record_bytes(START_NS + hour * HOUR_NS, numbers(3600, 3600 * hour))
        if hour == 1:
            content += record_bytes(START_NS + hour * HOUR_NS, numbers(3600), channel=OTHER)
        data.child(name).write_bytes(content)
    data.child("notes.txt").write_bytes(b"changed the battery")
    return Archive(data, "files", root.child("index"))


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys in the order their headers are read."""
    keys: list[str] = []

    def watched(data: bytes, name: str) -> list[HeaderSpan]:
        keys.append(name)
        return scan_headers(data, name)

    monkeypatch.setattr("scaledec.archive.files.scan_headers", watched)
    return keys


def test_headers_say_what_files_hold_whatever_their_names(archive: Archive) -> None:
    listing = archive.listing()
    assert listing.channels == (OTHER, CHANNEL)
    assert listing.span == (START_NS, START_NS + 3 * HOUR_NS)
    found = listing.objects_for(CHANNEL, START_NS, START_NS + HOUR_NS // 2)
    assert [item.key for item in found] == ["first.bin", "below/second"]


def test_an_unreadable_file_is_listed_with_its_reason_and_stops_nothing(archive: Archive) -> None:
    ((item, reason),) = archive.listing().unreadable
    assert item.key == "notes.txt"
    assert "text that begins 'changed the battery'" in reason


def test_segments_are_read_from_any_number_of_files(archive: Archive) -> None:
    listing = archive.listing()
    objects = listing.objects_for(CHANNEL, START_NS, START_NS + DAY_NS)
    read = read_segment(archive, CHANNEL, objects, start_ns=START_NS, end_ns=START_NS + DAY_NS)
    assert read.segment is not None
    assert read.segment.runs == ((0, 3 * 3600),)
    assert read.segment.samples[:10800].tolist() == list(range(10800))
    assert read.foreign == (str(OTHER),)


def test_headers_are_read_once_and_again_only_for_what_changed(archive: Archive, scanned: list[str]) -> None:
    before = archive.listing()
    assert len(scanned) == 4
    scanned.clear()
    again = archive.listing()
    assert scanned == []
    assert again.channels == before.channels
    assert again.unreadable == before.unreadable
    archive.location.child("first.bin").write_bytes(record_bytes(START_NS, numbers(1800)))
    archive.location.child("new.ms").write_bytes(record_bytes(START_NS + 5 * HOUR_NS, numbers(60)))
    changed = archive.listing()
    assert sorted(scanned) == ["first.bin", "new.ms"]
    assert changed.span == (START_NS, START_NS + 5 * HOUR_NS + 60 * NANOSECONDS_PER_SECOND)


def test_a_file_that_is_gone_leaves_the_index(archive: Archive, root: Location) -> None:
    archive.listing()
    filesystem, path = archive.location.child("first.bin").filesystem()
    filesystem.rm(path)
    assert archive.listing().span[0] == START_NS + HOUR_NS
    assert "first.bin" not in saved_index(root)


def test_a_file_that_could_not_be_fetched_is_tried_again_next_time(
    archive: Archive, scanned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(base: Location, item: ArchiveObject) -> bytes:
        if item.key == "first.bin":
            raise UnreadableInputError("connection lost")
        return read_object(base, item)

    monkeypatch.setattr("scaledec.archive.files.read_object", failing)
    assert "connection lost" in [reason for _, reason in archive.listing().unreadable]
    monkeypatch.setattr("scaledec.archive.files.read_object", read_object)
    scanned.clear()
    assert len(archive.listing().unreadable) == 1
    assert scanned == ["first.bin"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 0, "objects": {}}', b'{"format": 1}'])
def test_an_index_that_cannot_be_used_is_made_anew(archive: Archive, root: Location, content: bytes) -> None:
    expected = archive.listing().channels
    (name,) = root.child("index").list_names()
    root.child("index", name).write_bytes(content)
    assert archive.listing().channels == expected
    assert len(saved_index(root)) == 4


def saved_index(root: Location) -> dict[str, object]:
    (name,) = root.child("index").list_names()
    found: dict[str, object] = json.loads(root.child("index", name).read_bytes())["objects"]
    return found


def test_a_glob_chooses_files_and_keys_count_from_the_folder_before_it(
    archive: Archive, root: Location
) -> None:
    only = Archive(root.child("data", "**", "*.mseed"), "files")
    listing = only.listing()
    assert listing.span == (START_NS + 2 * HOUR_NS, START_NS + 3 * HOUR_NS)
    (item,) = listing.objects_for(CHANNEL, *listing.span)
    assert item.key == "below/further/third.mseed"
    assert only.read(item) == archive.location.child("below/further/third.mseed").read_bytes()


def test_a_single_star_stays_within_its_folder(archive: Archive, root: Location) -> None:
    listing = Archive(root.child("data", "*"), "files").listing()
    assert (listing.n_objects, listing.span) == (1, (START_NS, START_NS + HOUR_NS))


def test_no_file_at_all_is_an_error_with_the_place_and_what_was_expected(root: Location) -> None:
    with pytest.raises(ArchiveError, match=r"no file at .*nothing/\*\.ms; expected a folder or a glob"):
        Archive(root.child("nothing", "*.ms"), "files").listing()


def test_a_pattern_that_matches_nothing_is_told_the_nearest_channels(archive: Archive) -> None:
    with pytest.raises(ArchiveError, match=r"nearest of 2 channels there: XX\.AAA\.00\.HHZ"):
        archive.listing(["XX.AAA.00.BHZ"])
