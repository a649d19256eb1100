"""The cube stage with archive and products on a real S3 server, and through a connection full of faults."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from typing import Any

import pytest

from scaledec.archive.folders import walk_files
from scaledec.archive.write import write_miniseed
from scaledec.config import Config, parse_config
from scaledec.ledger.ledger import Ledger
from scaledec.location import Location
from scaledec.pipeline.run import build_cube
from scaledec.places import Places
from scaledec.vocabulary import ChannelId, parse_time
from tests.servers import FaultProxy
from tests.stages.cube_archives import red_noise

DAY_NS = 86_400 * 10**9
START_NS = parse_time("2021-03-04")
DAYS = 4
CODES = ("00.BHE", "00.BHN", "00.BHZ")
STATIONS = ("XX.AAA", "XX.BB")
N_OBJECTS = DAYS * len(STATIONS)
N_TASKS = N_OBJECTS * len(CODES)
RATE_HZ = 1.0


def put_archive(root: Location) -> None:
    """Station-day objects of three channels, at one sample a second."""
    for station in STATIONS:
        network, name = station.split(".")
        for day in range(DAYS):
            start = START_NS + day * DAY_NS
            data = b"".join(
                write_miniseed(
                    ChannelId.parse(f"{station}.{code}"), start, RATE_HZ, red_noise(86_400, seed=day + number)
                )
                for number, code in enumerate(CODES)
            )
            key = f"miniseed/{network}/2021/{63 + day:03d}/{name}.{network}.2021.{63 + day:03d}"
            root.child(*key.split("/")).write_bytes(data)


def configure(place: Location, *overrides: str, engine: str = "serial") -> Config:
    text = f"""
        root: {place.child("root").url}
        storage_options: {dict(place.storage_options)!r}
        archive:
          layout: earthscope
          url: {place.child("archive").url}
          storage_options: {dict(place.storage_options)!r}
          channels: ["XX.*.00.BH?"]
        spectrogram: {{sampling_rate_hz: 1, window_s: 64, dtype: float32}}
        windows: {{length_s: 640}}
        compute: {{engine: {engine}, dask: {{workers: 2}}}}
        """
    return parse_config(text, overrides)


def cube_bytes(config: Config) -> dict[str, bytes]:
    """Every object of the cube."""
    cube = Places.at(config.root, config.storage_options).cube
    return {entry.name: cube.child(entry.name).read_bytes() for entry in walk_files(cube)}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The cube that a run on this machine's disk makes."""
    place = Location(str(tmp_path_factory.mktemp("local")))
    put_archive(place.child("archive"))
    outcome = build_cube(configure(place))
    assert outcome.done == N_TASKS
    found = cube_bytes(configure(place))
    assert sum(name.startswith("power/c/") for name in found) == N_TASKS
    return found


@pytest.fixture
def direct(s3_options: dict[str, Any]) -> Location:
    """A place on the server with the archive in it."""
    place = Location(f"s3://bucket/{uuid.uuid4().hex}", s3_options)
    put_archive(place.child("archive"))
    return place


def through(place: Location, url: str) -> Location:
    return Location(place.url, {**place.storage_options, "endpoint_url": url})


def fetches(proxy: FaultProxy) -> Counter[str]:
    """How often each object of the archive was fetched."""
    lines = (line for line, _ in proxy.requests)
    return Counter(match[1] for line in lines if (match := re.match(r"GET .*(/miniseed/[^?]+)", line)))


def test_archive_and_products_in_a_bucket_give_the_bytes_of_a_local_run(
    direct: Location, expected: dict[str, bytes]
) -> None:
    config = configure(direct)
    outcome = build_cube(config)
    assert (outcome.done, outcome.failures) == (N_TASKS, ())
    assert cube_bytes(config) == expected
    assert build_cube(config).done == 0


def test_an_object_of_many_channels_is_fetched_once(direct: Location, expected: dict[str, bytes]) -> None:
    channels = [f"{station}.{code}" for station in STATIONS for code in CODES]
    proxy = FaultProxy(direct.storage_options["endpoint_url"], share=0)
    with proxy.running() as url:
        config = configure(through(direct, url), f"archive.channels={channels}")
        build_cube(config)
    assert set(fetches(proxy).values()) == {1}
    assert len(fetches(proxy)) == N_OBJECTS
    assert cube_bytes(configure(direct)) == expected


def test_on_workers_an_object_of_many_channels_is_fetched_once_a_batch(
    direct: Location, expected: dict[str, bytes]
) -> None:
    channels = [f"{station}.{code}" for station in STATIONS for code in CODES]
    proxy = FaultProxy(direct.storage_options["endpoint_url"], share=0)
    with proxy.running() as url:
        config = configure(through(direct, url), f"archive.channels={channels}", engine="distributed")
        build_cube(config)
    # Its own batch, and that of the day before for the frames that reach over midnight; not once a channel.
    assert max(fetches(proxy).values()) <= 2
    assert cube_bytes(configure(direct)) == expected


@pytest.mark.parametrize("seed", [1, 2])
def test_through_faults_a_run_gives_the_same_bytes(
    direct: Location, expected: dict[str, bytes], seed: int
) -> None:
    proxy = FaultProxy(direct.storage_options["endpoint_url"], share=0.1, seed=seed, slow_s=0.1)
    with proxy.running() as url:
        config = configure(through(direct, url), engine="distributed" if seed == 1 else "serial")
        outcome = build_cube(config)
    assert set(proxy.faults) == set(proxy.kinds)
    assert proxy.faults.total() > 10
    assert (outcome.done, outcome.failures) == (N_TASKS, ())
    assert cube_bytes(configure(direct)) == expected
    ledger = Ledger(Places.at(config.root, direct.storage_options).ledger("cube")).read()
    assert {result.status for result in ledger.values()} == {"done"}
    assert len(ledger) == N_TASKS


def test_what_is_given_up_is_listed_and_done_by_the_next_run(
    direct: Location, expected: dict[str, bytes]
) -> None:
    proxy = FaultProxy(
        direct.storage_options["endpoint_url"],
        share=0.4,
        seed=4,
        kinds=("503", "reset", "cut", "lost"),
        only="/miniseed/",
    )
    channels = [f"{station}.{code}" for station in STATIONS for code in CODES]
    with proxy.running() as url:
        place = through(direct, url)
        impatient = configure(place, "archive.access.attempts=1", f"archive.channels={channels}")
        first = build_cube(impatient)
        assert 0 < len(first.failures) < N_TASKS
        for failure in first.failures:
            assert re.search(r"miniseed/XX/2021/\d{3}/\w+\.XX\.2021.*after 1 attempts", failure.reason)
        proxy.share = 0
        second = build_cube(impatient)
        assert second.failures == ()
        assert second.done >= len(first.failures)
    assert cube_bytes(configure(direct)) == expected
