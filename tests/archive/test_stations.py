"""Station metadata: found where it lies, read once, and the right epoch for every instant."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from obspy import read_inventory

from scaledec.archive import station_sources
from scaledec.archive.responses import ResponseRequest, load_gain_db
from scaledec.archive.station_index import read_stations
from scaledec.archive.stations import OPEN_END_NS, Stations
from scaledec.archive.stations import Epoch as KnownEpoch
from scaledec.errors import ArchiveError, UnreadableInputError
from scaledec.location import Location
from scaledec.transport.access import Access
from scaledec.vocabulary import ArchiveObject, ChannelId, ResponseSpan, parse_time
from tests.archive.station_making import CHANNEL, Epoch, geophone, sensitivity_alone, station_xml

OTHER = ChannelId("XX", "BBB", "", "HHZ")
REQUEST = ResponseRequest("velocity", 60.0, 10.0, 64, 0, 33)
START_NS, END_NS = parse_time("2021-01-01"), parse_time("2022-01-01")


def read(
    where: Path | str,
    kept: Path,
    channels: Sequence[ChannelId] = (CHANNEL,),
    request: ResponseRequest | None = None,
    **time: int,
) -> Stations:
    return read_stations(
        Location(str(where), access=Access(attempts=4, first_wait_s=0.01)),
        channels,
        index=Location(str(kept / "stations")),
        responses=Location(str(kept / "responses")),
        request=request,
        start_ns=time.get("start_ns", START_NS),
        end_ns=time.get("end_ns", END_NS),
    )


def write(path: Path, *epochs: Epoch) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(station_xml(epochs))
    return path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the files that are read, in order."""
    keys: list[str] = []
    real = station_sources.StationFiles.read

    def noted(self: station_sources.StationFiles, item: ArchiveObject) -> bytes:
        keys.append(item.key)
        return real(self, item)

    monkeypatch.setattr(station_sources.StationFiles, "read", noted)
    return keys


# --- what a document says -------------------------------------------------------------------------------


def test_an_epoch_has_its_place_its_time_and_its_orientation(tmp_path: Path) -> None:
    file = write(tmp_path / "a.xml", Epoch(start="2019-05-01T12:30:00", end="2020-01-01"))
    epoch = read(file, tmp_path).epoch(CHANNEL, parse_time("2019-06-01"))
    assert epoch == KnownEpoch(
        CHANNEL,
        parse_time("2019-05-01T12:30:00"),
        parse_time("2020-01-01"),
        35.5,
        -117.25,
        892.0,
        1.1,
        0.0,
        -90.0,
        10.0,
    )


@pytest.mark.parametrize("end", [None, "2599-12-31T23:59:59"])
def test_an_epoch_without_an_end_goes_on(tmp_path: Path, end: str | None) -> None:
    file = write(tmp_path / "a.xml", Epoch(end=end))
    epoch = read(file, tmp_path).epoch(CHANNEL, 0)
    assert epoch is not None
    assert epoch.end_ns == OPEN_END_NS


@pytest.mark.parametrize("quantity", ["displacement", "velocity", "acceleration"])
def test_gains_are_those_that_obspy_evaluates(tmp_path: Path, quantity: str) -> None:
    file = write(tmp_path / "a.xml", Epoch(response=geophone()))
    request = ResponseRequest(quantity, 60.0, 10.0, 64, 0, 33)
    [span] = read(file, tmp_path, request=request).responses(CHANNEL, START_NS, END_NS)
    assert span.response is not None
    gain_db = load_gain_db(Location(str(tmp_path / "responses")), span.response)
    output = {"displacement": "DISP", "velocity": "VEL", "acceleration": "ACC"}[quantity]
    expected = read_inventory(str(file))[0][0][0].response.get_evalresp_response_for_frequencies(
        request.frequency_hz[1:], output=output
    )
    expected_db = 20 * np.log10(np.abs(expected))
    np.testing.assert_allclose(gain_db[1:], np.maximum(expected_db, expected_db.max() - 60), atol=1e-4)
    # At 0 Hz the sensor records nothing (or 0 / 0): the water level stands there.
    assert gain_db[0] == pytest.approx(gain_db[1:].max() - 60, abs=2e-4)


def test_only_the_bins_of_the_cube_are_stored_but_the_level_is_that_of_all(tmp_path: Path) -> None:
    file = write(tmp_path / "a.xml", Epoch(response=geophone(corner_hz=0.2)))
    whole, band = (ResponseRequest("displacement", 20.0, 10.0, 64, *bins) for bins in [(0, 33), (2, 9)])
    gains = []
    for request in (whole, band):
        [span] = read(file, tmp_path, request=request).responses(CHANNEL, START_NS, END_NS)
        gains.append(load_gain_db(Location(str(tmp_path / "responses")), str(span.response)))
    np.testing.assert_array_equal(gains[1], gains[0][2:9])


@pytest.mark.parametrize(
    ("units", "quantity", "order", "size"),
    [
        ("M/S", "velocity", 0, 1.0),
        ("m/s", "displacement", 1, 1.0),
        ("M/S**2", "velocity", 1, 1.0),
        ("NM/S", "acceleration", -1, 1e9),
        ("M", "velocity", -1, 1.0),
    ],
)
def test_a_sensitivity_alone_is_flat_in_what_the_instrument_records(
    tmp_path: Path, units: str, quantity: str, order: int, size: float
) -> None:
    file = write(tmp_path / "a.xml", Epoch(response=sensitivity_alone(1e6, units)))
    request = ResponseRequest(quantity, 200.0, 10.0, 64, 1, 33)
    stations = read(file, tmp_path, request=request)
    [span] = stations.responses(CHANNEL, START_NS, END_NS)
    gain_db = load_gain_db(Location(str(tmp_path / "responses")), str(span.response))
    omega = 2 * np.pi * request.frequency_hz[1:]
    np.testing.assert_allclose(gain_db, 20 * np.log10(1e6 * size * omega**order), atol=1e-4)
    epoch = stations.epoch(CHANNEL, START_NS)
    assert epoch is not None
    assert epoch.gain_only


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (None, "has no response"),
        (sensitivity_alone(1e6, "PA"), "its input is in 'PA', which is no ground motion"),
    ],
)
def test_a_response_that_cannot_be_used_says_why(tmp_path: Path, response: Any, reason: str) -> None:
    file = write(tmp_path / "a.xml", Epoch(response=response))
    [span] = read(file, tmp_path, request=REQUEST).responses(CHANNEL, START_NS, END_NS)
    assert span.response is None
    assert span.reason is not None
    assert reason in span.reason


def test_equal_responses_have_one_name_and_others_another(tmp_path: Path) -> None:
    write(tmp_path / "x" / "XX.AAA.xml", Epoch(response=geophone()))
    write(tmp_path / "x" / "XX.BBB.xml", Epoch(OTHER, response=geophone()))
    write(tmp_path / "x" / "XX.CCC.xml", Epoch(ChannelId("XX", "CCC", "", "HHZ"), response=geophone(5e8)))
    third = ChannelId("XX", "CCC", "", "HHZ")
    stations = read(tmp_path / "x", tmp_path, [CHANNEL, OTHER, third], REQUEST)
    names = [stations.responses(channel, START_NS, END_NS)[0].response for channel in (CHANNEL, OTHER, third)]
    assert names[0] == names[1] != names[2]
    assert len(list((tmp_path / "responses").iterdir())) == 2


def test_a_stored_gain_that_was_changed_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.xml", Epoch(response=geophone()))
    [span] = read(file, tmp_path, request=REQUEST).responses(CHANNEL, START_NS, END_NS)
    place = tmp_path / "responses" / f"{span.response}.json"
    place.write_text(place.read_text().replace("1", "2", 1))
    with pytest.raises(UnreadableInputError, match="other numbers than were written"):
        load_gain_db(Location(str(tmp_path / "responses")), str(span.response))
    place.unlink()
    with pytest.raises(UnreadableInputError, match="missing or damaged"):
        load_gain_db(Location(str(tmp_path / "responses")), str(span.response))


# --- which epoch holds ----------------------------------------------------------------------------------


def known(start: int, end: int, response: str | None = "r", latitude: float = 0.0) -> KnownEpoch:
    return KnownEpoch(CHANNEL, start, end, latitude, 0, 0, 0, None, None, 1.0, response)


SECOND = 10**9


def spans(*epochs: KnownEpoch, start: int = 0, end: int = 1000 * SECOND) -> list[tuple[int, int, str | None]]:
    found = Stations(epochs, "here").responses(CHANNEL, start, end)
    return [(span.start_ns // SECOND, span.end_ns // SECOND, span.response) for span in found]


def test_epochs_follow_one_another() -> None:
    first, second = known(0, 50 * SECOND, "a"), known(50 * SECOND, OPEN_END_NS, "b")
    assert [name for _, _, name in spans(second, first)] == ["a", "b"]
    assert [name for _, _, name in spans(first, second, start=50 * SECOND)] == ["b"]
    assert [name for _, _, name in spans(first, second, end=50 * SECOND)] == ["a"]


def test_a_response_that_goes_on_over_a_new_epoch_is_one_span() -> None:
    assert spans(known(0, 50 * SECOND), known(50 * SECOND, 90 * SECOND)) == [(0, 90, "r")]


def test_where_epochs_overlap_the_one_that_started_last_holds() -> None:
    found = spans(known(0, 100 * SECOND, "long"), known(20 * SECOND, 30 * SECOND, "short"))
    assert found == [(0, 20, "long"), (20, 30, "short"), (30, 100, "long")]


def test_of_epochs_that_start_together_the_one_listed_last_holds_and_it_is_noted() -> None:
    both = [known(0, 100 * SECOND, "first"), known(0, 100 * SECOND, "last")]
    assert spans(*both) == [(0, 100, "last")]
    [note] = Stations(both, "here").notes([CHANNEL])
    assert "two epochs with different responses hold at 1970-01-01T00:00:00 in here" in note


def test_an_end_at_the_last_second_of_a_day_leaves_no_hole() -> None:
    assert spans(known(0, 99 * SECOND, "a"), known(100 * SECOND, 200 * SECOND, "b")) == [
        (0, 100, "a"),
        (100, 200, "b"),
    ]
    assert spans(known(0, 99 * SECOND), known(100 * SECOND, 200 * SECOND)) == [(0, 200, "r")]
    assert spans(known(0, 98 * SECOND), known(100 * SECOND, 200 * SECOND))[0] == (0, 98, "r")


def test_a_channel_operates_where_an_epoch_meets_the_interval() -> None:
    stations = Stations([known(10 * SECOND, 20 * SECOND), known(30 * SECOND, 40 * SECOND)], "here")
    cases = [((0, 10), False), ((0, 11), True), ((20, 30), False), ((39, 50), True), ((40, 50), False)]
    for (start, end), expected in cases:
        assert stations.operates(CHANNEL, start * SECOND, end * SECOND) is expected


def test_a_channel_that_nothing_is_known_of_is_taken_to_operate_and_has_no_response() -> None:
    stations = Stations([known(10, 20)], "here")
    assert stations.operates(OTHER, 0, 5)
    assert stations.responses(OTHER, 0, 5) == (
        ResponseSpan(0, OPEN_END_NS, None, "the channel is not in here"),
    )
    assert stations.epoch(OTHER, 0) is None


def test_the_place_of_a_channel_is_that_of_its_last_epoch_so_far() -> None:
    stations = Stations([known(10, 20, latitude=1), known(30, 40, latitude=2)], "here")
    times = [0, 10, 25, 30, 99]
    found = [epoch.latitude for time in times if (epoch := stations.epoch(CHANNEL, time))]
    assert found == [1, 1, 1, 2, 2]


def test_a_hundred_thousand_segments_are_answered_in_seconds() -> None:
    import time

    day = 86_400 * SECOND
    channels = [ChannelId("XX", f"S{number}", "", "HHZ") for number in range(100)]
    epochs = [
        KnownEpoch(channel, 300 * k * day, 300 * (k + 1) * day, 0, 0, 0, 0, None, None, 1.0, f"r{k}")
        for channel in channels
        for k in range(4)
    ]
    stations = Stations(epochs, "here")
    began = time.process_time()
    for channel in channels:
        for number in range(1000):
            stations.operates(channel, number * day, (number + 1) * day)
            stations.responses(channel, number * day, (number + 1) * day)
    assert time.process_time() - began < 3


# --- where documents lie --------------------------------------------------------------------------------


def test_only_files_named_for_a_wanted_station_are_read(tmp_path: Path, opened: list[str]) -> None:
    scedc = tmp_path / "FDSNstationXML"
    write(scedc / "XX" / "XX_AAA.xml", Epoch())
    write(scedc / "XX" / "XX_BBB.xml", Epoch(OTHER))
    write(scedc / "YY" / "YY_AAA.xml", Epoch(ChannelId("YY", "AAA", "", "HHZ")))
    stations = read(scedc, tmp_path)
    assert opened == ["XX/XX_AAA.xml"]
    assert stations.epoch(CHANNEL, START_NS) is not None


@pytest.mark.parametrize("name", ["XX.AAA.xml", "XX.AAA.00.BHZ_station.xml"])
def test_names_of_other_data_centres_tell_their_station_too(
    tmp_path: Path, opened: list[str], name: str
) -> None:
    write(tmp_path / "xml" / name, Epoch())
    write(tmp_path / "xml" / "XX.BBB.xml", Epoch(OTHER))
    read(tmp_path / "xml", tmp_path)
    assert opened == [name]


def test_files_whose_names_tell_nothing_are_all_read(tmp_path: Path, opened: list[str]) -> None:
    write(tmp_path / "xml" / "network.xml", Epoch())
    write(tmp_path / "xml" / "XX_2021.xml", Epoch(OTHER))
    stations = read(tmp_path / "xml", tmp_path, [CHANNEL, OTHER])
    assert sorted(opened) == ["XX_2021.xml", "network.xml"]
    assert stations.epoch(OTHER, START_NS) is not None


def test_a_glob_and_a_bucket_work_as_a_folder_does(tmp_path: Path) -> None:
    write(tmp_path / "xml" / "a" / "XX_AAA.xml", Epoch())
    assert read(tmp_path / "xml" / "*" / "XX_*.xml", tmp_path).epoch(CHANNEL, START_NS) is not None
    bucket = Location("memory://stations-bucket/FDSNstationXML/XX/XX_AAA.xml")
    bucket.write_bytes(station_xml([Epoch(latitude=12.0)]))
    for url in ("memory://stations-bucket/FDSNstationXML", bucket.url):
        epoch = read(url, tmp_path).epoch(CHANNEL, START_NS)
        assert epoch is not None
        assert epoch.latitude == 12.0


def test_documents_and_gains_lie_in_a_bucket_as_well(
    tmp_path: Path, s3_options: dict[str, Any], opened: list[str]
) -> None:
    write(tmp_path / "XX_AAA.xml", Epoch(response=geophone()))
    write(tmp_path / "XX_BBB.xml", Epoch(OTHER))
    for path in tmp_path.iterdir():  # through the server, which remembers what lies in its folders
        Location("s3://bucket/FDSNstationXML/XX", s3_options).child(path.name).write_bytes(path.read_bytes())

    def ask() -> Stations:
        kept = Location("s3://bucket/root/_scaledec", s3_options)
        return read_stations(
            Location("s3://bucket/FDSNstationXML", s3_options),
            [CHANNEL],
            index=kept.child("stations"),
            responses=kept.child("responses"),
            request=REQUEST,
            start_ns=START_NS,
            end_ns=END_NS,
        )

    [span] = ask().responses(CHANNEL, START_NS, END_NS)
    place = Location("s3://bucket/root/_scaledec/responses", s3_options)
    assert load_gain_db(place, str(span.response)).shape == (33,)
    assert ask().responses(CHANNEL, START_NS, END_NS) == (span,)
    assert opened == ["XX/XX_AAA.xml"], "once for each version"
    one = station_sources.StationFiles.at(Location("s3://bucket/FDSNstationXML/XX/XX_AAA.xml", s3_options))
    assert [item.key for item in one.files] == ["XX_AAA.xml"]
    assert one.read(one.files[0]) == (tmp_path / "XX_AAA.xml").read_bytes()


def test_a_place_without_stationxml_is_refused_with_what_would_do(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"no StationXML at .*correct archive.stationxml"):
        read(tmp_path / "nowhere", tmp_path)


def test_a_damaged_file_is_listed_and_the_others_are_used(tmp_path: Path) -> None:
    write(tmp_path / "xml" / "a.xml", Epoch())
    (tmp_path / "xml" / "b.xml").write_bytes(station_xml([Epoch(OTHER)])[:300])
    stations = read(tmp_path / "xml", tmp_path, [CHANNEL, OTHER])
    [(key, reason)] = stations.unreadable
    assert key == "b.xml"
    assert "no StationXML that ObsPy can read" in reason
    assert stations.epoch(CHANNEL, START_NS) is not None


def test_where_no_document_can_be_read_the_run_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(b"<html>404</html>")
    with pytest.raises(ArchiveError, match=r"no document of .* can be read"):
        read(tmp_path / "a.xml", tmp_path)


# --- read once ------------------------------------------------------------------------------------------


def test_a_document_is_read_again_only_when_it_has_changed(tmp_path: Path, opened: list[str]) -> None:
    file = write(tmp_path / "xml" / "XX_AAA.xml", Epoch(response=geophone()))
    first = read(tmp_path / "xml", tmp_path, request=REQUEST)
    again = read(tmp_path / "xml", tmp_path, request=REQUEST)
    assert opened == ["XX_AAA.xml"]
    assert again.responses(CHANNEL, START_NS, END_NS) == first.responses(CHANNEL, START_NS, END_NS)
    write(file, Epoch(response=geophone(5e8)))
    changed = read(tmp_path / "xml", tmp_path, request=REQUEST)
    assert len(opened) == 2
    assert changed.responses(CHANNEL, START_NS, END_NS) != first.responses(CHANNEL, START_NS, END_NS)


def test_gains_that_were_removed_are_computed_again(tmp_path: Path) -> None:
    file = write(tmp_path / "a.xml", Epoch(response=geophone()))
    [span] = read(file, tmp_path, request=REQUEST).responses(CHANNEL, START_NS, END_NS)
    (tmp_path / "responses" / f"{span.response}.json").unlink()
    read(file, tmp_path, request=REQUEST)
    assert load_gain_db(Location(str(tmp_path / "responses")), str(span.response)).shape == (33,)


def test_gains_of_other_channels_are_computed_when_they_are_wanted(tmp_path: Path) -> None:
    file = write(tmp_path / "a.xml", Epoch(response=geophone()), Epoch(OTHER, response=geophone(5e8)))
    read(file, tmp_path, request=REQUEST)
    assert len(list((tmp_path / "responses").iterdir())) == 1
    [span] = read(file, tmp_path, [OTHER], REQUEST).responses(OTHER, START_NS, END_NS)
    assert span.response is not None
    assert len(list((tmp_path / "responses").iterdir())) == 2


# --- a service ------------------------------------------------------------------------------------------


class Service:
    """An FDSN station service with one station; ``failures`` answers come first."""

    def __init__(self) -> None:
        self.document = station_xml([Epoch(response=geophone())])
        self.queries: list[dict[str, list[str]]] = []
        self.failures: list[int] = []


@contextmanager
def serving(service: Service) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            service.queries.append(query)
            status = service.failures.pop(0) if service.failures else 200
            found = query["station"] == ["AAA"]
            self.send_response(status if status != 200 or found else 204)
            self.end_headers()
            if status == 200 and found:
                self.wfile.write(service.document)

        def log_message(self, *args: Any) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/fdsnws/station/1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_service_is_asked_once_for_each_station(tmp_path: Path) -> None:
    service = Service()
    with serving(service) as url:
        stations = read(url, tmp_path, [CHANNEL, OTHER], REQUEST)
        read(url, tmp_path, [CHANNEL, OTHER], REQUEST)
    assert sorted(query["station"] for query in service.queries) == [["AAA"], ["BBB"]]
    assert service.queries[0]["level"] == ["response"]
    assert stations.responses(CHANNEL, START_NS, END_NS)[0].response is not None
    assert stations.epoch(OTHER, START_NS) is None
    assert not stations.unreadable


def test_a_busy_service_is_asked_again(tmp_path: Path) -> None:
    service = Service()
    service.failures = [503, 429]
    with serving(service) as url:
        assert read(url, tmp_path).epoch(CHANNEL, START_NS) is not None
    assert len(service.queries) == 3


def test_a_service_that_is_down_on_a_later_day_does_not_stop_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service()
    with serving(service) as url:
        first = read(url, tmp_path, request=REQUEST)
        service.failures = [500] * 4
        real = station_sources.FdsnStations.documents

        def tomorrow(self: Any, stations: Any) -> Any:
            return [type(item)(item.key, item.size, "tomorrow") for item in real(self, stations)]

        monkeypatch.setattr(station_sources.FdsnStations, "documents", tomorrow)
        later = read(url, tmp_path, request=REQUEST)
    assert later.responses(CHANNEL, START_NS, END_NS) == first.responses(CHANNEL, START_NS, END_NS)
    [(key, reason)] = later.unreadable
    assert key == "XX.AAA"
    assert "HTTP Error 500" in reason
    assert "what was read before is used" in reason


# --- real metadata --------------------------------------------------------------------------------------


def test_real_stationxml_gives_the_gains_that_obspy_evaluates(real_data: Path, tmp_path: Path) -> None:
    channel = ChannelId("CI", "WBM", "", "LHZ")
    request = ResponseRequest("velocity", 60.0, 1.0, 256, 0, 129)
    place = real_data / "scedc" / "FDSNstationXML"
    stations = read(place, tmp_path, [channel], request)
    [span] = stations.responses(channel, START_NS, END_NS)
    gain_db = load_gain_db(Location(str(tmp_path / "responses")), str(span.response))
    found = read_inventory(str(place / "CI" / "CI_WBM.xml")).select(channel="LHZ")[0][0][0]
    expected = found.response.get_evalresp_response_for_frequencies(request.frequency_hz[1:], output="VEL")
    expected_db = 20 * np.log10(np.abs(expected))
    np.testing.assert_allclose(gain_db[1:], np.maximum(expected_db, expected_db.max() - 60), atol=1e-4)


def test_real_stationxml_of_many_epochs_and_doubled_ones_is_read(real_data: Path, tmp_path: Path) -> None:
    anmo, flo2 = ChannelId("IU", "ANMO", "00", "BHZ"), ChannelId("CM", "FLO2", "00", "HHZ")
    stations = read(real_data / "stationxml", tmp_path, [anmo, flo2], REQUEST, start_ns=0, end_ns=END_NS)
    assert len(stations.responses(anmo, 0, END_NS)) >= 5
    assert not stations.operates(anmo, 0, parse_time("1998-10-26"))
    assert len(stations.notes([anmo, flo2])) == 1
