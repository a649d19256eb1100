"""One object a station and day: which channels it is listed for, and that the newest version counts."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scaledec.archive.archive import Archive
from scaledec.errors import ArchiveError
from scaledec.location import Location
from scaledec.vocabulary import ChannelId
from tests.archive.making import DAY_NS, START_NS, numbers, record_bytes
from tests.servers import FaultProxy

CODES = ["00.BHZ", "00.HHZ", "10.HHN"]


def station_day(station: str, day: int, codes: list[str] = CODES, count: int = 10) -> bytes:
    start = START_NS + day * DAY_NS
    channels = [ChannelId.parse(f"{station}.{code}") for code in codes]
    return b"".join(record_bytes(start, numbers(count), channel=channel) for channel in channels)


def put(root: Location, station: str, day: int, data: bytes, ending: str = "") -> str:
    network, name = station.split(".")
    key = f"miniseed/{network}/2021/{63 + day:03d}/{name}.{network}.2021.{63 + day:03d}{ending}"
    root.child(*key.split("/")).write_bytes(data)
    return key


@pytest.fixture
def bucket(s3_options: dict[str, Any]) -> Iterator[tuple[Location, FaultProxy]]:
    """Two stations and four days on a real S3 server, and a proxy that counts requests."""
    proxy = FaultProxy(s3_options["endpoint_url"], share=0)
    with proxy.running() as url:
        root = Location(f"s3://bucket/{uuid.uuid4().hex}", {**s3_options, "endpoint_url": url})
        for station in ("IU.ANMO", "IU.COLA"):
            for day in range(4):
                put(root, station, day, station_day(station, day))
        proxy.requests.clear()
        yield root, proxy


def test_patterns_without_wildcards_name_channels_and_nothing_is_read(
    bucket: tuple[Location, FaultProxy],
) -> None:
    root, proxy = bucket
    wanted = ["IU.ANMO.00.BHZ", "IU.ANMO.00.HHZ"]
    listing = Archive(root, "earthscope").listing(wanted, START_NS + DAY_NS, START_NS + 2 * DAY_NS)
    assert [str(channel) for channel in listing.channels] == wanted
    assert listing.n_objects == 1
    assert len(proxy.requests) == 3
    assert proxy.count("%2Fminiseed%2FIU%2F2021%2F064%2FANMO.IU.") == 1


def test_wildcards_are_answered_by_the_headers_of_two_objects_a_station_once(
    bucket: tuple[Location, FaultProxy], tmp_path: Path
) -> None:
    root, proxy = bucket
    archive = Archive(root, "earthscope", Location(str(tmp_path / "index")))
    listing = archive.listing(["IU.*.*.HH?", "IU.COLA.00.LHZ"])
    assert [str(channel) for channel in listing.channels] == [
        "IU.ANMO.00.HHZ",
        "IU.ANMO.10.HHN",
        "IU.COLA.00.HHZ",
        "IU.COLA.00.LHZ",
        "IU.COLA.10.HHN",
    ]
    assert sum(line.startswith("GET") and "list-type" not in line for line, _ in proxy.requests) == 4
    proxy.requests.clear()
    assert archive.listing(["IU.*.*.HH?", "IU.COLA.00.LHZ"]).channels == listing.channels
    assert all("list-type" in line for line, _ in proxy.requests)


def test_the_highest_version_of_a_station_day_counts(tmp_path: Path) -> None:
    root = Location(str(tmp_path))
    put(root, "XX.AAA", 0, b"old")
    put(root, "XX.AAA", 0, b"older", "#2")
    key = put(root, "XX.AAA", 0, station_day("XX.AAA", 0), "#10")
    listing = Archive(root, "earthscope").listing(["XX.AAA.*.*"])
    (item,) = listing.objects_for(ChannelId.parse("XX.AAA.00.HHZ"), START_NS, START_NS + DAY_NS)
    assert item.key == key
    assert listing.n_objects == 1


def test_an_unreadable_object_does_not_hide_a_station(tmp_path: Path) -> None:
    root = Location(str(tmp_path))
    put(root, "XX.AAA", 0, b"an error page")
    put(root, "XX.AAA", 1, station_day("XX.AAA", 1))
    assert len(Archive(root, "earthscope").listing(["XX.*.*.*"]).channels) == 3
    put(root, "XX.AAA", 1, b"another")
    with pytest.raises(ArchiveError, match=r"AAA\.XX\.2021"):
        Archive(root, "earthscope").listing(["XX.*.*.*"])
