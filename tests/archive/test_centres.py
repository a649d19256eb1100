"""The layouts of data centres: exact keys, what is listed and what is not, and the index of SCEDC."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from scaledec.archive.archive import Archive, open_archive
from scaledec.archive.segment import read_segment
from scaledec.config import parse_config
from scaledec.errors import ArchiveError, ConfigError
from scaledec.location import Location
from scaledec.vocabulary import ArchiveObject, ChannelId, parse_time
from tests.archive.making import CHANNEL, DAY_NS, START_NS, numbers, record_bytes
from tests.servers import FaultProxy

BARE = ChannelId.parse("XX.BB..BHZ")
OTHER = ChannelId.parse("YY.AAA.10.HHZ")

KEYS = {
    "scedc": {
        CHANNEL: "continuous_waveforms/{y}/{y}_{d}/XXAAA__HHZ00_{y}{d}.ms",
        BARE: "continuous_waveforms/{y}/{y}_{d}/XXBB___BHZ___{y}{d}.ms",
        OTHER: "continuous_waveforms/{y}/{y}_{d}/YYAAA__HHZ10_{y}{d}.ms",
    },
    "ncedc": {
        CHANNEL: "continuous_waveforms/XX/{y}/{y}.{d}/AAA.XX.HHZ.00.D.{y}.{d}",
        BARE: "continuous_waveforms/XX/{y}/{y}.{d}/BB.XX.BHZ..D.{y}.{d}",
        OTHER: "continuous_waveforms/YY/{y}/{y}.{d}/AAA.YY.HHZ.10.D.{y}.{d}",
    },
    "geonet": {
        CHANNEL: "waveforms/miniseed/{y}/{y}.{d}/AAA.XX/{y}.{d}.AAA.00-HHZ.XX.D",
        BARE: "waveforms/miniseed/{y}/{y}.{d}/BB.XX/{y}.{d}.BB.-BHZ.XX.D",
        OTHER: "waveforms/miniseed/{y}/{y}.{d}/AAA.YY/{y}.{d}.AAA.10-HHZ.YY.D",
    },
}
LAYOUTS = sorted(KEYS)


def key_of(layout: str, channel: ChannelId, day: int) -> str:
    """2021-03-04 is day 63 of its year."""
    number = 63 + day
    year, number = (2021, number) if number <= 365 else (2022, number - 365)
    return KEYS[layout][channel].format(y=year, d=f"{number:03d}")


def fill(root: Location, layout: str, days: range = range(4)) -> None:
    for channel in KEYS[layout]:
        for day in days:
            data = record_bytes(START_NS + day * DAY_NS, numbers(10), channel=channel)
            root.child(*key_of(layout, channel, day).split("/")).write_bytes(data)


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    if request.param == "local":
        return Location(str(tmp_path / "bucket"))
    return Location(f"memory://{uuid.uuid4().hex}")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_keys_name_channel_and_day(root: Location, layout: str) -> None:
    fill(root, layout)
    archive = Archive(root, layout)
    listing = archive.listing()
    assert listing.channels == (CHANNEL, BARE, OTHER)
    assert listing.span == (START_NS, START_NS + 4 * DAY_NS)
    assert listing.n_objects == 12
    assert listing.ignored == ()
    for channel in listing.channels:
        (item, _) = listing.objects_for(channel, START_NS, START_NS + DAY_NS)
        assert item.key == key_of(layout, channel, 0)
        assert archive.nominal_span_ns(item) == (START_NS, START_NS + DAY_NS)
        assert archive.read(item) == record_bytes(START_NS, numbers(10), channel=channel)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("bounded", [True, False])
def test_a_listing_is_of_the_channels_and_days_that_are_asked_for(
    root: Location, layout: str, bounded: bool
) -> None:
    fill(root, layout)
    start, end = START_NS + 2 * DAY_NS, START_NS + 3 * DAY_NS
    listing = Archive(root, layout).listing(["XX.*.*.?HZ", "ZZ.*.*.*"], start, end if bounded else None)
    assert listing.channels == (CHANNEL, BARE)
    assert listing.span == (start, end if bounded else end + DAY_NS)
    assert len(listing.objects_for(BARE, start, end)) == 3  # with the days on either side


@pytest.mark.parametrize("layout", LAYOUTS)
def test_days_of_two_years_are_one_archive(root: Location, layout: str) -> None:
    fill(root, layout, range(301, 305))
    start = START_NS + 300 * DAY_NS
    listing = Archive(root, layout).listing(["XX.AAA.00.HHZ"], start, start + 10 * DAY_NS)
    assert listing.span == (parse_time("2021-12-30"), parse_time("2022-01-03"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_marks_of_an_empty_location_are_an_empty_location(layout: str) -> None:
    archive = Archive(Location("anywhere"), layout)
    keys = {
        "scedc": ["continuous_waveforms/2017/2017_005/CICAC__HNZ___2017005.ms"],
        "ncedc": [
            f"continuous_waveforms/NC/2017/2017.005/CAC.NC.HNZ.{mark}.D.2017.005" for mark in ("", "--", "__")
        ],
        "geonet": ["waveforms/miniseed/2017/2017.005/CAC.NZ/2017.005.CAC.---HNZ.NZ.D"],
    }
    for key in keys[layout]:
        name = archive._layout().parse(key)  # type: ignore[attr-defined]
        assert (name.channel.station, name.channel.location, name.channel.channel) == ("CAC", "", "HNZ")
        day = parse_time("2017-01-05")
        assert archive.nominal_span_ns(ArchiveObject(key, 1, "1")) == (day, day + DAY_NS)


def test_a_location_of_scedc_stands_between_channel_and_date() -> None:
    key = "continuous_waveforms/2019/2019_185/CILRL__HNE2C_2019185.ms"
    name = Archive(Location("anywhere"), "scedc")._layout().parse(key)  # type: ignore[attr-defined]
    assert str(name.channel) == "CI.LRL.2C.HNE"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_found_is_told_with_what_is_there(root: Location, layout: str) -> None:
    fill(root, layout)
    archive = Archive(root, layout)
    with pytest.raises(
        ArchiveError, match=r"matches XX\.AAA\.00\.HHN; nearest of 3 channels there: XX\.AAA\.00\.HHZ"
    ):
        archive.listing(["XX.AAA.00.HHN"], START_NS, START_NS + DAY_NS)
    with pytest.raises(ArchiveError, match=r"holds nothing of XX\.AAA\.00\.HHZ from 2015"):
        archive.listing(["XX.AAA.00.HHZ"], parse_time("2015-01-01"), parse_time("2015-02-01"))
    other = root.child("elsewhere")
    other.child("a", "b").write_bytes(b"1")
    with pytest.raises(ArchiveError, match=r"no archive at .*: found .*; expected (cont|wave)"):
        Archive(other, layout).listing(["XX.AAA.00.HHZ"])


def test_odd_keys_are_ignored_and_counted(root: Location) -> None:
    fill(root, "scedc", range(1))
    root.child("continuous_waveforms", "2021", "2021_063", "README").write_bytes(b"?")
    listing = Archive(root, "scedc").listing()
    assert listing.n_objects == 3
    assert len(listing.ignored) == 1


@pytest.fixture
def bucket(s3_options: dict[str, Any]) -> Iterator[tuple[Location, FaultProxy]]:
    """An empty place on a real S3 server, and a proxy that counts what is asked of it."""
    proxy = FaultProxy(s3_options["endpoint_url"], share=0)
    with proxy.running() as url:
        yield Location(f"s3://bucket/{uuid.uuid4().hex}", {**s3_options, "endpoint_url": url}), proxy


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_narrow_question_lists_only_what_can_match(
    bucket: tuple[Location, FaultProxy], layout: str
) -> None:
    root, proxy = bucket
    fill(root, layout, range(30))
    proxy.requests.clear()
    start = START_NS + 10 * DAY_NS
    archive = Archive(root, layout, use_index=False)
    listing = archive.listing(["XX.AAA.00.HHZ"], start, start + 2 * DAY_NS)
    assert listing.n_objects == 2
    listed = [line for line, _ in proxy.requests]
    assert len(listed) == 4  # its days and one on either side, nothing above them
    assert all("AAA" in line and "list-type=2" in line for line in listed)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_wide_question_lists_each_day_once(bucket: tuple[Location, FaultProxy], layout: str) -> None:
    root, proxy = bucket
    fill(root, layout, range(10))
    proxy.requests.clear()
    archive = Archive(root, layout, use_index=False)
    listing = archive.listing(["*.*.*.HHZ"], START_NS, START_NS + 10 * DAY_NS)
    assert listing.n_objects == 20
    networks = 2 if layout == "ncedc" else 1
    assert proxy.count("delimiter=&") == networks * 12  # its days and one on either side


def write_index(root: Location, day: str, names: list[str], rate_hz: float = 100.0) -> None:
    table = pa.table(
        {
            "ms_filename": names,
            "net": [name[:2] for name in names],
            "sta": [name[2:7].rstrip("_") for name in names],
            "seedchan": [name[7:10] for name in names],
            "location": [name[10:12] for name in names],
            "lat": [34.0] * len(names),
            "lon": [-117.0] * len(names),
            "sample_rate": [rate_hz] * len(names),
        }
    )
    file = io.BytesIO()
    parquet.write_table(table, file)
    folder = f"continuous_waveforms/index/parquet/year={day[:4]}/year_doy={day}"
    root.child(*folder.split("/"), f"{day}_waveform_index.parquet").write_bytes(file.getvalue())


def test_days_that_have_an_index_are_not_listed(bucket: tuple[Location, FaultProxy]) -> None:
    root, proxy = bucket
    fill(root, "scedc", range(4))
    names = [key_of("scedc", channel, 1).rpartition("/")[2] for channel in KEYS["scedc"]]
    write_index(root, "2021_064", [*names, "XXNEW__HHZ00_2021064.ms", "strange.txt"])
    proxy.requests.clear()
    archive = Archive(root, "scedc")
    listing = archive.listing(["XX.*.*.HHZ"], START_NS, START_NS + 3 * DAY_NS)
    assert listing.channels == (CHANNEL, ChannelId.parse("XX.NEW.00.HHZ"))
    assert proxy.count("%2F2021_064%2F") == 0
    assert proxy.count("%2F2021_063%2F") == 1
    (_, item, _) = listing.objects_for(CHANNEL, START_NS + DAY_NS, START_NS + 2 * DAY_NS)
    assert item.key == key_of("scedc", CHANNEL, 1)
    assert item.size == pytest.approx(100 * 86_400 * 1.35, rel=0.01)  # an estimate
    assert archive.read(item) == record_bytes(START_NS + DAY_NS, numbers(10))
    plain = Archive(root, "scedc", use_index=False).listing(["XX.*.*.HHZ"], START_NS, START_NS + 3 * DAY_NS)
    assert plain.channels == (CHANNEL,)


def test_files_that_an_index_tells_no_version_of_are_not_taken_for_changed(tmp_path: Path) -> None:
    root = Location(str(tmp_path))
    fill(root, "scedc", range(1))
    write_index(root, "2021_063", [key_of("scedc", CHANNEL, 0).rpartition("/")[2]])
    archive = Archive(root, "scedc")
    (item,) = archive.listing().objects_for(CHANNEL, START_NS, START_NS + DAY_NS)
    read = read_segment(archive, CHANNEL, [item], start_ns=START_NS, end_ns=START_NS + DAY_NS)
    assert (read.objects_used, read.changed) == ((item,), ())


ADVERSARIAL = [
    # Stations of three to five letters, locations that are there, empty and marked, a leap day, lower case,
    # digits where letters are usual, an end of a year.
    ("scedc", "continuous_waveforms/2020/2020_366/CIQ0256HNZ01_2020366.ms", "CI.Q0256.01.HNZ", "2020-12-31"),
    ("scedc", "continuous_waveforms/2017/2017_005/CICAC__HNZ___2017005.ms", "CI.CAC..HNZ", "2017-01-05"),
    ("scedc", "continuous_waveforms/2020/2020_060/ZY2A___hhz2C_2020060.ms", "ZY.2A.2C.hhz", "2020-02-29"),
    ("scedc", "continuous_waveforms/2017/2017_005/CI_____HNZ___2017005.ms", None, ""),
    ("scedc", "continuous_waveforms/2019/2019_366/CICAC__HNZ___2019366.ms", None, ""),
    ("scedc", "continuous_waveforms/2019/2019_000/CICAC__HNZ___2019000.ms", None, ""),
    ("scedc", "continuous_waveforms/2019/2019_005/CICAC_HNZ___2019005.ms", None, ""),
    ("scedc", "continuous_waveforms/2019/2019_005/CICAC__HNZ___2019005.ms.gz", None, ""),
    (
        "ncedc",
        "continuous_waveforms/BK/2020/2020.366/CMB.BK.HHZ.00.D.2020.366",
        "BK.CMB.00.HHZ",
        "2020-12-31",
    ),
    ("ncedc", "continuous_waveforms/NC/2020/2020.060/KCPB.NC.EHZ..D.2020.060", "NC.KCPB..EHZ", "2020-02-29"),
    ("ncedc", "continuous_waveforms/nc/2021/2021.001/q02.nc.ehz.--.D.2021.001", "nc.q02..ehz", "2021-01-01"),
    ("ncedc", "continuous_waveforms/NC/2021/2021.366/KCPB.NC.EHZ..D.2021.366", None, ""),
    ("ncedc", "continuous_waveforms/NC/2021/2021.001/KCPB.NC.EHZ.D.2021.001", None, ""),
    ("ncedc", "continuous_waveforms/NC/2021/2021.001/KCPB.NC.EHZ..R.2021.001", None, ""),
    (
        "geonet",
        "waveforms/miniseed/2020/2020.366/WEL.NZ/2020.366.WEL.10-HHZ.NZ.D",
        "NZ.WEL.10.HHZ",
        "2020-12-31",
    ),
    (
        "geonet",
        "waveforms/miniseed/2020/2020.060/TEPS.NZ/2020.060.TEPS.-BTZ.NZ.D",
        "NZ.TEPS..BTZ",
        "2020-02-29",
    ),
    ("geonet", "waveforms/miniseed/2020/2020.060/TEPS.NZ/2020.060.TEPS.----BTZ.NZ.D", None, ""),
    ("geonet", "waveforms/miniseed/2019/2019.366/WEL.NZ/2019.366.WEL.10-HHZ.NZ.D", None, ""),
    ("earthscope", "miniseed/IU/2020/366/ANMO.IU.2020.366", "IU.ANMO.00.BHZ", "2020-12-31"),
    ("earthscope", "miniseed/IU/2020/366/ANMO.IU.2020.366#12", "IU.ANMO.00.BHZ", "2020-12-31"),
    ("earthscope", "miniseed/7A/2020/060/w01.7A.2020.060", "7A.w01.00.BHZ", "2020-02-29"),
    ("earthscope", "miniseed/IU/2021/366/ANMO.IU.2021.366", None, ""),
    ("earthscope", "miniseed/IU/2020/366/ANMO.IU.2020.366#", None, ""),
    ("earthscope", "miniseed/IU/2020/366/ANMO.IU.2020.366#1a", None, ""),
    ("earthscope", "miniseed/IU/2020/366/ANMO.IU.2020.366.md5", None, ""),
]


@pytest.mark.parametrize(("layout", "key", "channel", "day"), ADVERSARIAL)
def test_odd_keys_say_what_they_say_and_no_more(
    tmp_path: Path, layout: str, key: str, channel: str | None, day: str
) -> None:
    root = Location(str(tmp_path))
    archive = Archive(root, layout)
    span = archive.nominal_span_ns(ArchiveObject(key, 1, "1"))
    root.child(*key.split("/")).write_bytes(
        record_bytes(
            parse_time(day or "2020-01-01"), numbers(10), channel=ChannelId.parse(channel or "XX.AAA.00.HHN")
        )
    )
    if channel is None:
        assert span is None
        with pytest.raises(ArchiveError):
            archive.listing()
        return
    begin = parse_time(day)
    assert span == (begin, begin + DAY_NS)
    listing = archive.listing()
    assert [str(found) for found in listing.channels] == [channel]
    assert [item.key for item in listing.objects_for(listing.channels[0], begin, begin + DAY_NS)] == [key]
    # Also where the days are known, and nothing above the stations is listed.
    narrow = archive.listing([channel], begin, begin + DAY_NS)
    assert narrow.n_objects == 1


def test_an_index_that_cannot_be_read_says_how_to_do_without(tmp_path: Path) -> None:
    root = Location(str(tmp_path))
    fill(root, "scedc", range(1))
    folder = root.child("continuous_waveforms", "index", "parquet", "year=2021", "year_doy=2021_063")
    folder.child("x.parquet").write_bytes(b"no parquet")
    with pytest.raises(ArchiveError, match=r"x\.parquet.*use_index: false"):
        Archive(root, "scedc").listing()


@pytest.mark.parametrize("layout", ["scedc", "ncedc"])
def test_real_trees_of_the_data_centres_are_read(real_data: Path, layout: str) -> None:
    archive = Archive(Location(str(real_data / layout)), layout)
    listing = archive.listing(["*.*.*.LHZ"])
    files = [path for path in (real_data / layout).rglob("*LHZ*") if path.is_file()]
    assert listing.n_objects == len(files)
    day = parse_time("2022-01-02")
    for channel in listing.channels:
        if channel.station == "THIS" and layout == "scedc":
            continue  # its name says location 00, its headers say another
        objects = listing.objects_for(channel, day, day + DAY_NS)
        read = read_segment(archive, channel, objects, start_ns=day, end_ns=day + DAY_NS)
        assert read.segment is not None
        assert read.segment.report.n_real > 3000


def test_a_data_centre_is_read_from_its_own_bucket_if_no_address_is_given() -> None:
    buckets = {
        "scedc": "s3://scedc-pds",
        "ncedc": "s3://ncedc-pds",
        "earthscope": "s3://earthscope-geophysical-data",
        "geonet": "s3://geonet-open-data",
    }
    for layout, url in buckets.items():
        config = parse_config(f"root: r\narchive: {{layout: {layout}, url: null}}")
        assert open_archive(config.archive).location == Location(url, {"anon": True})
    own = parse_config("root: r\narchive: {layout: scedc, url: s3://mirror, storage_options: {key: k}}")
    assert own.archive.storage_options == {"key": "k"}
    with pytest.raises(ConfigError, match=r"archive\.url' is missing"):
        parse_config("root: r\narchive: {layout: sds}")
