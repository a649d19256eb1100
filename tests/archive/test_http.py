"""Archives behind HTTP: folders that a server lists, and FDSN web services."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from scaledec.archive.archive import Archive
from scaledec.archive.segment import read_segment
from scaledec.errors import ArchiveError, UnreadableInputError
from scaledec.location import Location
from scaledec.transport.access import Access
from scaledec.vocabulary import ChannelId, parse_time
from tests.archive.making import CHANNEL, DAY_NS, START_NS, numbers, put_days, record_bytes
from tests.archive.test_centres import fill
from tests.servers import serving

# Of a server of a test that has ended nothing must be used again.
OPTIONS = {"skip_instance_cache": True}
QUICK = Access(attempts=2, timeout_s=5, first_wait_s=0.01)


class Folders(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The URL of a folder as Python's own HTTP server shows it."""
    with serving(functools.partial(Folders, directory=str(tmp_path))) as server:  # type: ignore[arg-type]
        yield server.url


def test_a_tree_that_a_web_server_lists_is_an_archive(web: str, tmp_path: Path) -> None:
    put_days(tmp_path / "sds", range(3))
    archive = Archive(Location(f"{web}/sds", OPTIONS, QUICK), "sds")
    listing = archive.listing()
    assert listing.channels == (CHANNEL,)
    assert (listing.n_objects, listing.n_bytes) == (3, 3 * 512)
    (item, _) = listing.objects_for(CHANNEL, START_NS, START_NS + DAY_NS)
    assert archive.read(item) == record_bytes(START_NS, numbers(10))


def test_the_version_of_a_file_behind_http_changes_with_it(web: str, tmp_path: Path) -> None:
    put_days(tmp_path / "sds", range(1))
    archive = Archive(Location(f"{web}/sds", OPTIONS, QUICK), "sds")
    (item,) = archive.listing().objects_for(CHANNEL, START_NS, START_NS + DAY_NS)
    assert archive.listing().objects_for(CHANNEL, START_NS, START_NS + DAY_NS) == (item,)
    (file,) = (path for path in (tmp_path / "sds").rglob("*") if path.is_file())
    file.write_bytes(file.read_bytes() * 2)
    with pytest.raises(UnreadableInputError, match="has changed since it was listed"):
        archive.read(item)
    (new,) = archive.listing().objects_for(CHANNEL, START_NS, START_NS + DAY_NS)
    assert new.size == 1024


@pytest.mark.parametrize("layout", ["scedc", "ncedc", "geonet"])
def test_keyed_layouts_are_read_from_a_web_server(web: str, tmp_path: Path, layout: str) -> None:
    fill(Location(str(tmp_path / "mirror")), layout)
    archive = Archive(Location(f"{web}/mirror", OPTIONS, QUICK), layout)
    listing = archive.listing(["XX.AAA.*.*"], START_NS, START_NS + 2 * DAY_NS)
    assert (listing.n_objects, listing.n_bytes) == (2, 1024)
    (item, *_) = listing.objects_for(CHANNEL, START_NS, START_NS + DAY_NS)
    assert archive.read(item) == record_bytes(START_NS, numbers(10))


def test_files_of_any_name_are_read_from_a_web_server(web: str, tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "thing.bin").write_bytes(record_bytes(START_NS, numbers(10)))
    listing = Archive(Location(f"{web}/some", OPTIONS, QUICK), "files").listing()
    assert listing.channels == (CHANNEL,)
    assert listing.n_bytes == 512


class Fdsn(BaseHTTPRequestHandler):
    """A small data centre: one channel with two hours on each of two days, and one without data."""

    protocol_version = "HTTP/1.1"
    has_availability = True
    closed = ChannelId.parse("XX.AAA..HHN")

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.server.asked.append((parts.path, query))  # type: ignore[attr-defined]
        answers = {
            "/fdsnws/availability/1/query": self.availability,
            "/fdsnws/station/1/query": self.station,
            "/fdsnws/dataselect/1/query": self.dataselect,
        }
        data = answers[parts.path](query) if parts.path in answers else None
        self.send_response(404 if data is None else 200 if data else 204)
        if data != b"":
            self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write(data or b"")

    def do_HEAD(self) -> None:
        raise AssertionError("services are asked with GET")

    def availability(self, query: dict[str, str]) -> bytes | None:
        if not self.has_availability:
            return None
        if query["cha"] not in ("HH*", "HHZ", "*"):
            return b""
        row = "XX AAA 00 HHZ {0}T01:00:00.000000Z {0}T03:00:00.000000Z"
        rows = [row.format(day) for day in ("2021-03-04", "2021-03-05")]
        return "\n".join(["#Network Station Location Channel Earliest Latest", *rows]).encode()

    def station(self, query: dict[str, str]) -> bytes:
        assert query["level"] == "channel"
        names = "Network | Station | Location | Channel | Latitude | Longitude | Elevation | Depth | Azimuth"
        rest = "Dip | SensorDescription | Scale | ScaleFreq | ScaleUnits | SampleRate | StartTime | EndTime"
        row = "|1|2|3|0|0|-90|sensor|1|1|m/s|1.0|2021-03-04T00:00:00|"
        lines = [f"#{names} | {rest}", f"XX|AAA|00|HHZ{row}2021-03-07T00:00:00", f"XX|AAA||HHN{row}"]
        return "\n".join(lines).encode()

    def dataselect(self, query: dict[str, str]) -> bytes:
        if query["start"] not in ("2021-03-04T00:00:00", "2021-03-05T00:00:00") or query["cha"] != "HHZ":
            return b""
        assert (query["net"], query["sta"], query["loc"]) == ("XX", "AAA", "00")
        return record_bytes(parse_time(query["start"]) + 3600 * 10**9, numbers(7200))


@pytest.fixture
def service() -> Iterator[Any]:
    with serving(Fdsn) as server:
        server.asked = []  # type: ignore[attr-defined]
        yield server


def test_an_availability_service_tells_which_days_are_asked_for(service: Any) -> None:
    archive = Archive(Location(service.url, OPTIONS, QUICK), "fdsn")
    listing = archive.listing(["XX.*.*.HH*"], parse_time("2021-03-01"), parse_time("2021-04-01"))
    assert listing.channels == (CHANNEL,)
    assert listing.span == (START_NS, START_NS + 2 * DAY_NS)
    assert listing.n_objects == 2
    assert [path for path, _ in service.asked] == ["/fdsnws/availability/1/query"]
    (item, _) = listing.objects_for(CHANNEL, START_NS, START_NS + DAY_NS)
    assert archive.nominal_span_ns(item) == (START_NS, START_NS + DAY_NS)
    read = read_segment(archive, CHANNEL, [item], start_ns=START_NS, end_ns=START_NS + DAY_NS)
    assert read.segment is not None
    assert read.segment.report.n_real == 7200


def test_without_it_the_station_service_does_and_days_without_data_are_empty(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fdsn, "has_availability", False)
    archive = Archive(Location(service.url, OPTIONS, QUICK), "fdsn")
    listing = archive.listing(["XX.AAA.*.*"], START_NS, START_NS + 5 * DAY_NS)
    assert listing.channels == (Fdsn.closed, CHANNEL)
    assert len(listing.objects_for(CHANNEL, START_NS, START_NS + 3 * DAY_NS)) == 3  # its epoch has three days
    third = START_NS + 2 * DAY_NS
    objects = listing.objects_for(CHANNEL, third, third + DAY_NS)
    read = read_segment(archive, CHANNEL, objects, start_ns=third, end_ns=third + DAY_NS)
    assert read.segment is None
    assert read.unreadable == ()


def test_a_pattern_that_no_service_knows_is_told(service: Any) -> None:
    archive = Archive(Location(service.url, OPTIONS, QUICK), "fdsn")
    with pytest.raises(ArchiveError, match=r"no channel of http.* matches XX\.AAA\.00\.BHZ"):
        archive.listing(["XX.AAA.00.BHZ"], START_NS, START_NS + DAY_NS)


def test_a_server_without_services_is_told(web: str) -> None:
    with pytest.raises(ArchiveError, match=r"127\.0\.0\.1.*no FDSN"):
        Archive(Location(web, OPTIONS, QUICK), "fdsn").listing(["XX.AAA.00.BHZ"])


def test_names_that_mean_something_in_a_url_lead_to_their_own_files(web: str, tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    names = ["a", "a#2", "a b", "a+b", "a%20b", "a?b", "\u00e4", "a&b;c"]
    for number, name in enumerate(names):
        (tmp_path / "some" / name).write_bytes(record_bytes(START_NS, numbers(10, number)))
    archive = Archive(Location(f"{web}/some", OPTIONS, QUICK), "files")
    listing = archive.listing()
    assert listing.unreadable == ()
    items = listing.objects_for(CHANNEL, START_NS, START_NS + DAY_NS)
    # Keys are as the server writes them: names in a URL.
    found = {unquote(item.key): archive.read(item) for item in items}
    assert found == {name: (tmp_path / "some" / name).read_bytes() for name in names}


def test_a_newer_version_of_a_station_day_is_taken_behind_http_too(web: str, tmp_path: Path) -> None:
    folder = tmp_path / "miniseed" / "XX" / "2021" / "063"
    folder.mkdir(parents=True)
    for ending, count in (("", 10), ("#2", 20), ("#10", 30)):
        (folder / f"AAA.XX.2021.063{ending}").write_bytes(record_bytes(START_NS, numbers(count)))
    archive = Archive(Location(web, OPTIONS, QUICK), "earthscope")
    (item,) = archive.listing([str(CHANNEL)]).objects_for(CHANNEL, START_NS, START_NS + DAY_NS)
    assert archive.read(item) == record_bytes(START_NS, numbers(30))
