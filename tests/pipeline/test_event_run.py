from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import obspy
import pandas as pd
import pytest

import scaledec as sd
from scaledec.archive.archive import Archive
from scaledec.archive.catalog import read_catalog
from scaledec.cli.main import main
from scaledec.config import Config, dump_config
from scaledec.errors import ArchiveError, ConfigError
from scaledec.ledger.ledger import Ledger
from scaledec.location import Location
from scaledec.pipeline.cube import plan_of_cube
from scaledec.places import Places
from scaledec.queries.waveforms import save_waveforms
from scaledec.vocabulary import ChannelId, format_time, parse_time
from tests.archive.station_making import Epoch, station_xml
from tests.stages.cube_archives import START_NS
from tests.stages.event_archives import (
    DAY,
    HHN,
    HHZ,
    RATE_HZ,
    build,
    event_config,
    noise_with_bursts,
    write_day,
)

with warnings.catch_warnings():
    # ObsPy 1.5 lists its plugins in a way that Python 3.11 deprecates, when it is first imported.
    warnings.simplefilter("ignore")
    from obspy.geodetics import gps2dist_azimuth
    from obspy.taup import TauPyModel


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days of one channel, twenty events a day, at known samples."""
    folder = tmp_path_factory.mktemp("events")
    for day in range(3):
        write_day(folder, noise_with_bursts(DAY, [(p, 6_000.0) for p in places()], seed=day), day=day)
    return folder


def places() -> list[int]:
    return [50_000 + 80_000 * number for number in range(20)]


def test_planted_events_are_found_clustered_labelled_and_queried_at_their_times(folder: Path) -> None:
    config = event_config(
        folder,
        "compute.engine=serial",
        "model={widths: [4, 8], latent: 3}",
        "pretrain={windows: 50, epochs: 1, validation: 0.3}",
        "cluster={method: kmeans, n_clusters: 2, restarts: 1}",
    )
    sd.run(config)
    found = sd.query(config.root)
    planted = [
        START_NS + round((day * DAY + place) / RATE_HZ * 1e9) for day in range(3) for place in places()
    ]
    assert len(found) == 60
    late_s = (found["start"].to_numpy().astype(np.int64) - planted) / 1e9
    assert (np.abs(late_s) < 0.3).all()
    assert set(found["label"]) <= {0, 1}
    table = sd.detections(config.root, limit=25)
    assert len(table) == 25
    np.testing.assert_array_equal(table["onset"], found["start"][:25])
    assert (sd.detections(config.root, start="2021-03-02", end="2021-03-03")["value"] > 8).all()
    assert_events_are_asked_like_windows(config, found, folder)
    again = sd.run(config)
    assert "0 segments written" in again[0].message


def assert_events_are_asked_like_windows(config: Config, found: pd.DataFrame, folder: Path) -> None:
    statistics = sd.class_statistics(config.root, sample=100)
    assert statistics["sampled"].sum() == 60
    assert statistics["peak_frequency_hz_median"].dropna().between(3, 5).all()  # bursts of 4 Hz
    labels = sd.open_labels(config.root)
    assert labels.scaledec.counts("1D").sum("cluster").to_numpy().tolist() == [20, 20, 20]
    event = found.iloc[7]
    window = labels.scaledec.spectrogram(event["channel"], event["start"] + pd.Timedelta(seconds=3))
    assert window["start"] == event["start"]
    assert float(window.mean("frame").idxmax("frequency")) == pytest.approx(4, abs=1)
    archive = Archive(Location(str(folder / "sds")), "sds")
    saved = save_waveforms(archive, found.head(3), folder / "waveforms")
    assert (saved.written, saved.failures) == (3, ())
    sizes = [len(obspy.read(str(path))[0]) for path in sorted((folder / "waveforms").iterdir())]
    assert sizes == [8 * 20] * 3


def test_the_command_line_writes_detections_to_a_file(folder: Path, tmp_path: Path) -> None:
    config = event_config(folder, f"root={tmp_path / 'root'}")
    build(config)
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config))
    with pytest.raises(SystemExit) as ended:
        main(["detections", str(path), "--end", "2021-03-02", "-o", str(tmp_path / "found.csv")])
    assert not ended.value.code
    lines = (tmp_path / "found.csv").read_text().splitlines()
    assert lines[0].startswith("channel,onset,detected,peak,duration_s,value")
    assert len(lines) == 21


def test_windows_are_cut_around_the_picks_of_a_catalogue(folder: Path, tmp_path: Path) -> None:
    times = [format_time(START_NS + round(place / RATE_HZ * 1e9)) for place in (50_000, 130_000)]
    rows = [f"{times[0]},XX,AAA,,HHZ,P", f"{times[1]},XX,AAA,,,S", f"{times[1]},XX,BBB,,HHZ,P"]
    catalog = tmp_path / "picks.csv"
    catalog.write_text("\n".join(["time,network,station,location,channel,phase", *rows]))
    config = event_config(
        folder,
        f"root={tmp_path / 'root'}",
        f"windows={{mode: catalog, length_s: 8, before_s: 2, catalog: {{url: {catalog}}}}}",
    )
    store, _ = build(config)
    onset = (store.read_segment(0, 0).onset_ns - START_NS) / 1e9 * RATE_HZ
    assert onset.tolist() == [50_000 - 40, 130_000 - 40]
    assert len(read_catalog(Location(str(catalog)), "P").times_ns(HHZ)) == 1
    assert len(read_catalog(Location(str(catalog))).times_ns(HHN)) == 2
    assert not len(read_catalog(Location(str(catalog))).times_ns(ChannelId.parse("XX.CCC..HHZ")))


def test_a_new_pick_redoes_its_segment_alone(folder: Path, tmp_path: Path) -> None:
    catalog = tmp_path / "origins.csv"
    rows = ["time,latitude,longitude,depth_km", "2021-03-01T03:00:00,-78.1,170.2,4"]
    catalog.write_text("\n".join(rows))
    config = event_config(
        folder,
        f"root={tmp_path / 'root'}",
        f"windows={{mode: catalog, length_s: 8, catalog: {{url: {catalog}}}}}",
    )
    _, results = build(config)
    assert [result.details["n_events"] for result in results] == [1, 0, 0]
    Ledger(Places.at(config.root).ledger("cube")).append(results)
    assert not len(plan_of_cube(config).plan.tasks)
    catalog.write_text("\n".join([*rows, "2021-03-02T04:00:00,-78.3,170.0,2"]))
    assert [task.time_index for task in plan_of_cube(config).plan.tasks] == [1]


def travel_time_config(folder: Path, tmp_path: Path, rows: list[str], latitude: float, *more: str) -> Config:
    """Windows of 8 s, begun 2 s before the arrival of origins at the one station."""
    (tmp_path / "stations.xml").write_bytes(station_xml([Epoch(HHZ, latitude=latitude)]))
    (tmp_path / "origins.csv").write_text("\n".join(["time,latitude,longitude,depth", *rows]))
    return event_config(
        folder,
        f"root={tmp_path / 'root'}",
        f"archive.stationxml={tmp_path / 'stations.xml'}",
        f"windows={{mode: catalog, length_s: 8, before_s: 2, catalog: {{url: {tmp_path / 'origins.csv'}}}}}",
        "windows.catalog.travel_time=P",
        "compute.engine=serial",
        *more,
    )


def test_windows_lie_where_the_p_waves_of_origins_arrive(folder: Path, tmp_path: Path) -> None:
    rows = [
        "2021-03-01T03:00:00,33.5,-117.25,12.5",
        "2021-03-01T23:59:40,35.0,-116.0,",
        "2021-03-02T05:00:00,-8,155,440",
    ]
    config = travel_time_config(folder, tmp_path, rows, 35.5)
    outcome = sd.build_cube(config)
    assert outcome.failures == ()
    dataset = sd.open_cube(config.root)
    onsets = dataset.onset.to_numpy().astype(np.int64).ravel()
    onsets = np.sort(onsets[onsets > 0])
    taup = TauPyModel("iasp91")
    expected = []
    for row in rows:
        time, *place, depth = row.split(",")
        latitude, longitude = map(float, place)
        metres = gps2dist_azimuth(latitude, longitude, 35.5, -117.25)[0]
        arrivals = taup.get_travel_times(float(depth or 10), np.degrees(metres / 6371e3), ["ttp"])
        expected.append(parse_time(time) / 1e9 + arrivals[0].time - 2)
    # TauP is a sphere: where a path lies on the ellipsoid makes a second of a distant P.
    assert np.abs(onsets / 1e9 - expected).max() < 1.0
    assert np.abs(onsets / 1e9 - expected)[:2].max() < 0.2
    assert len(onsets) == 3, "that of 23:59:40 arrives on the next day"
    # A station that was put elsewhere redoes the segments of its arrivals, and no others.
    assert [
        task.time_index for task in plan_of_cube(travel_time_config(folder, tmp_path, rows, 35.6)).plan.tasks
    ] == [0, 1]


def test_a_channel_that_stands_nowhere_is_listed_and_gets_no_window_at_origins(
    folder: Path, tmp_path: Path
) -> None:
    other = ChannelId.parse("XX.BBB..HHZ")
    write_day(tmp_path, noise_with_bursts(DAY // 24, []), other)
    write_day(tmp_path, noise_with_bursts(DAY // 24, []))
    config = travel_time_config(tmp_path, tmp_path, ["2021-03-01T00:20:00,35,-117,5"], 35.5)
    outcome = sd.build_cube(config)
    [failure] = outcome.failures
    assert failure.key == str(other)
    assert "does not tell where it stands: it has no window at any origin" in failure.reason
    assert outcome.exit_code == 3
    assert (sd.detections(config.root)["channel"] == str(HHZ)).all()
    assert len(sd.detections(config.root)) == 1


def test_origins_without_a_place_and_stations_without_metadata_are_refused(
    folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="says where the channels stand"):
        travel_time_config(folder, tmp_path, [], 35.5, "archive.stationxml=null")
    with pytest.raises(
        ArchiveError, match=r"no latitude and longitude: windows\.catalog\.travel_time needs them"
    ):
        plan_of_cube(travel_time_config(folder, tmp_path, ["2021-03-01T03:00:00,,,"], 35.5))
    with pytest.raises(ArchiveError, match="line 2: latitude is '95'; expected a number up to 90"):
        plan_of_cube(travel_time_config(folder, tmp_path, ["2021-03-01T03:00:00,95,10,"], 35.5))


def test_picks_and_origins_are_read_from_quakeml(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from obspy import UTCDateTime
        from obspy.core import event as quake

        stream = quake.WaveformStreamID("XX", "AAA", "", "HHZ")
        pick = quake.Pick(time=UTCDateTime(START_NS / 1e9 + 100), waveform_id=stream, phase_hint="P")
        origin = quake.Origin(time=UTCDateTime(START_NS / 1e9 + 500), latitude=1, longitude=2, depth=7500)
        picked, located = quake.Event(picks=[pick]), quake.Event(origins=[origin])
        quake.Catalog([picked, located]).write(str(tmp_path / "found.xml"), format="QUAKEML")
    catalog = read_catalog(Location(str(tmp_path / "found.xml")))
    after_s = (catalog.times_ns(HHZ) - START_NS) / 1e9
    assert after_s.tolist() == [100, 500]
    assert ((catalog.times_ns(ChannelId.parse("XX.BBB..HHZ")) - START_NS) / 1e9).tolist() == [500]
    assert [entry.hypocentre for entry in catalog.origins] == [(1, 2, 7.5)]
