"""Classes against events: every count held against loops over windows, arrivals against ObsPy's TauP."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from obspy import UTCDateTime
from obspy.core.event import Catalog, Event, Magnitude, Origin, Pick, WaveformStreamID
from obspy.geodetics import locations2degrees
from obspy.taup import TauPyModel

from scaledec.archive.event_list import SeismicEvent, read_events
from scaledec.cli.main import _verbs
from scaledec.errors import ArchiveError, ConfigError
from scaledec.location import Location
from scaledec.numerics.coincidence import Windows, adjusted_p_values, circular_shift, lift, two_sided_p
from scaledec.places import Places
from scaledec.queries.arrivals import Arrivals, Bound
from scaledec.queries.events import join_events
from scaledec.store.labels import LabelBlock, LabelStore
from scaledec.vocabulary import ChannelId, WindowState
from tests.catalog.making import (
    CHANNELS,
    N_DAYS,
    SHARD,
    START_NS,
    expected_rows,
    fill,
    make_store,
)

HOUR_NS = 3600 * 10**9


def write_csv(path: Path, hours: np.ndarray, **columns: object) -> str:
    """Events so many hours after the start of the labels."""
    time = pd.to_datetime(START_NS + (hours * HOUR_NS).astype(np.int64))
    pd.DataFrame({"time": time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), **columns}).to_csv(path, index=False)
    return str(path)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("events"))
    places = Places.at(folder)
    fill(places, make_store(places))
    return folder


def test_counts_are_those_of_a_loop_over_windows_and_events(root: str, tmp_path: Path) -> None:
    hours = np.random.default_rng(0).uniform(0, N_DAYS * 24, 60)
    catalogue = write_csv(tmp_path / "events.csv", hours, id=[f"e{i}" for i in range(60)])
    found = join_events(root, catalogue, since="origin-600", until="7200", shifts=20)
    rows = expected_rows_of(root)
    begin = found.events["time"] - pd.Timedelta(seconds=600)
    end = found.events["time"] + pd.Timedelta(seconds=7200)
    meets = (rows["start"].to_numpy()[:, None] < end.to_numpy()) & (
        rows["end"].to_numpy()[:, None] > begin.to_numpy()
    )
    for label in range(3):
        of_label = rows["label"].to_numpy() == label
        row = found.classes.iloc[label]
        assert row["windows"] == of_label.sum()
        assert row["with_events"] == (of_label & meets.any(axis=1)).sum()
        share = row["with_events"] / row["windows"]
        assert row["share"] == pytest.approx(share)
        assert row["lift"] == pytest.approx(share / meets.any(axis=1).mean())
        np.testing.assert_array_equal(found.events[f"label_{label}"], meets[of_label].sum(axis=0))
    np.testing.assert_array_equal(found.events["windows"], meets.sum(axis=0))
    assert found.n_far == (meets.sum(axis=0) == 0).sum()
    assert found.events["event"].tolist() == [f"e{i}" for i in np.argsort(hours)]


def expected_rows_of(root: str) -> pd.DataFrame:
    return expected_rows(LabelStore.open(Places.at(root).labels("first")))


def test_one_class_asked_for_has_the_row_it_has_among_all(root: str, tmp_path: Path) -> None:
    catalogue = write_csv(tmp_path / "events.csv", np.arange(5, 900, 50.5))
    everything = join_events(root, catalogue, shifts=30).classes
    one = join_events(root, catalogue, shifts=30, label=1).classes
    same = ["windows", "with_events", "lift", "chance_low", "chance_high", "p"]
    pd.testing.assert_frame_equal(one[same], everything.loc[[1], same].reset_index(drop=True))


def make_related(tmp_path: Path, hours: np.ndarray) -> str:
    """Class 2 where the hour of an event is, among random labels of 0 and 1 in long bouts."""
    places = Places.at(str(tmp_path))
    store = make_store(places, channels=CHANNELS[:1])
    rng = np.random.default_rng(4)
    bouts = np.repeat(rng.integers(0, 2, N_DAYS * 4), 6).astype(np.int16)
    bouts[hours.astype(int)] = 2
    label = bouts.reshape(N_DAYS, 24)
    for first in range(0, N_DAYS, SHARD):
        part = label[first : first + SHARD]
        sure = np.full(part.shape, 0.5, np.float32)
        state = np.full(part.shape, WindowState.LABELLED, np.uint8)
        store.write_region(LabelBlock(0, first, part, sure, sure, sure, state))
    return str(tmp_path)


def test_a_class_of_events_stands_out_and_the_others_do_not(tmp_path: Path) -> None:
    hours = np.random.default_rng(1).choice(N_DAYS * 24, 40, replace=False) + 0.5
    root = make_related(tmp_path, hours)
    catalogue = write_csv(tmp_path / "events.csv", hours)
    found = join_events(root, catalogue, until="60", shifts=199).classes
    assert found["lift"][2] == pytest.approx(N_DAYS * 24 / 40)
    assert found["p"][2] == pytest.approx(2 / 200)
    assert found["p_adjusted"][2] == pytest.approx(6 / 200)
    assert found["lift"][2] > found["chance_high"][2]


def test_chance_is_asked_within_the_time_that_has_labels(tmp_path: Path) -> None:
    """A day of labels in a store of 45: events moved to the empty days would say nothing."""
    places = Places.at(str(tmp_path))
    store = make_store(places, channels=CHANNELS[:1])
    label = np.full((SHARD, 24), -1, np.int16)
    label[3] = np.arange(24) % 3
    value = np.full(label.shape, 0.5, np.float32)
    state = np.where(label >= 0, WindowState.LABELLED, WindowState.NO_DATA).astype(np.uint8)
    store.write_region(LabelBlock(0, 0, label, value, value, value, state))
    catalogue = write_csv(tmp_path / "events.csv", np.array([3 * 24 + 2.5, 3 * 24 + 5.5, 30 * 24.0]))
    found = join_events(str(tmp_path), catalogue, until="60", shifts=60)
    assert found.events["windows"].tolist() == [1, 1]
    # Each shift meets windows, so each tells something: p is a number of 61sts.
    assert found.classes["p"][2] * 61 == pytest.approx(round(found.classes["p"][2] * 61))
    assert found.classes["lift"].tolist() == [0, 0, 3]


def test_p_values_of_events_that_have_nothing_to_do_with_the_labels_are_even(tmp_path: Path) -> None:
    """Labels in bouts and clustered events: what fools a test that takes windows for independent."""
    rng = np.random.default_rng(2)
    root = make_related(tmp_path, np.array([0.0]))
    p = []
    for trial in range(32):
        swarms = rng.uniform(0, N_DAYS * 24, 6)[:, None] + rng.exponential(3, (6, 8))
        hours = np.sort(swarms[swarms < N_DAYS * 24])
        catalogue = write_csv(tmp_path / f"{trial}.csv", hours)
        p.append(join_events(root, catalogue, until="60", shifts=49, seed=trial).classes["p"][0])
    # Of a uniform p, 32 trials have 3 below 0.1 and 16 below 0.5 on average.
    assert np.count_nonzero(np.array(p) <= 0.1) <= 9
    assert 7 <= np.count_nonzero(np.array(p) <= 0.5) <= 25


def test_intervals_follow_the_arrivals_of_taup_and_straight_rays() -> None:
    channel = ChannelId.parse("XX.A..HHZ")
    events = [
        SeismicEvent("near", 0, 10.5, 20.2, 8.0, 3.0),
        SeismicEvent("far", 10**12, -30.0, 80.0, 33.0, 6.0),
    ]
    bounds = Bound.parse("P-2"), Bound.parse("S + 30")
    places = {channel: (11.0, 21.0)}
    taup = Arrivals(events, bounds, places, velocities_km_s={}, model="iasp91", max_distance_km=None)
    number, begin, end = taup.at(channel)
    model = TauPyModel("iasp91")
    for i, event in enumerate(events):
        degrees = locations2degrees(event.latitude, event.longitude, 11.0, 21.0)
        for phase, instant, seconds in (("ttp", begin[i], -2), ("tts", end[i], 30)):
            arrival = model.get_travel_times(event.depth_km, degrees, [phase])[0].time
            # ObsPy's distance is of a sphere, ours of geocentric latitudes.
            assert (instant - event.time_ns) / 1e9 == pytest.approx(arrival + seconds, rel=0.007, abs=0.2)
    assert number.tolist() == [0, 1]
    straight = Arrivals(
        events, bounds, places, velocities_km_s={"P": 6.0, "S": 3.5}, model="", max_distance_km=150.0
    )
    number, begin, end = straight.at(channel)
    assert number.tolist() == [0]
    km = math.hypot(locations2degrees(10.5, 20.2, 11.0, 21.0) * 111.195, 8.0)
    assert (begin[0] / 1e9, end[0] / 1e9) == pytest.approx((km / 6 - 2, km / 3.5 + 30), rel=0.006)


def test_what_arrivals_need_and_is_not_known_is_told(root: str, tmp_path: Path) -> None:
    catalogue = write_csv(tmp_path / "events.csv", np.array([5.0, 9.0]))
    with pytest.raises(ConfigError, match="2 events have no latitude and longitude"):
        join_events(root, catalogue, since="P")
    places = Places.at(str(tmp_path / "blind"))
    nowhere = ChannelId.parse("XX.Z..HHZ")
    store = make_store(places, channels=[nowhere], n_days=8, coordinates={})
    fill(places, store)
    located = write_csv(tmp_path / "located.csv", np.array([5.0]), latitude=[1.0], longitude=[2.0])
    with pytest.raises(ConfigError, match=r"XX\.Z\.\.HHZ has no coordinates"):
        join_events(str(tmp_path / "blind"), located, max_distance_km=10.0)
    assert join_events(str(tmp_path / "blind"), located, shifts=1).classes["with_events"].sum() > 0
    with pytest.raises(ConfigError, match=r"none of 1 events \(0 large enough\)"):
        join_events(root, located, min_magnitude=3.0)


def test_quakeml_and_tables_give_the_same_events(tmp_path: Path) -> None:
    origin = Origin(time=UTCDateTime("2020-02-01T03:04:05.678"), latitude=1.5, longitude=-2.5, depth=12_000.0)
    older = Origin(time=UTCDateTime("2020-02-01T03:04:00"), latitude=0.0, longitude=0.0)
    pick = Pick(time=UTCDateTime("2020-02-01T03:04:10"), waveform_id=WaveformStreamID("XX", "A"))
    event = Event(
        resource_id="smi:local/event/42",
        origins=[older, origin],
        magnitudes=[Magnitude(mag=3.5)],
        picks=[pick],
    )
    event.preferred_origin_id = origin.resource_id
    catalog = Catalog([event, Event(resource_id="smi:local/event/none")])
    catalog.write(str(tmp_path / "events.xml"), format="QUAKEML")
    time = "2020-02-01T03:04:05.678"
    (tmp_path / "usgs.csv").write_text(
        f'time,latitude,longitude,depth,mag,place,id\n{time}Z,1.5,-2.5,12.0,3.5,"here, there",42\n'
    )
    (tmp_path / "fdsn.txt").write_text(
        "#EventID | Time | Latitude | Longitude | Depth/km | Author | Magnitude\n"
        f"42|{time}|1.5|-2.5|12.0|me|3.5\n"
    )
    expected = (SeismicEvent("42", UTCDateTime(time).ns, 1.5, -2.5, 12.0, 3.5),)
    for name in ("events.xml", "usgs.csv", "fdsn.txt"):
        assert read_events(Location(str(tmp_path / name))) == expected


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.csv", "date,lat\n2020-01-01,1\n", "columns date, lat; expected time"),
        ("a.csv", "time,lat\n2020-01-01,north\n", "line 2: could not convert"),
        ("a.csv", "time\nsoon\n", "line 2: Invalid isoformat"),
        ("a.xml", "<no/>", "no QuakeML"),
    ],
)
def test_a_catalogue_that_is_none_is_told(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ArchiveError, match=sentence):
        read_events(Location(str(tmp_path / name)))
    (tmp_path / "empty.csv").write_text("time\n")
    with pytest.raises(ConfigError, match="holds no event"):
        read_events(Location(str(tmp_path / "empty.csv")))


@pytest.mark.parametrize("text", ["", "X+3", "P+", "origin+1h", "P S"])
def test_an_end_that_is_none_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="P-2, S"):
        Bound.parse(text)


def test_overlapping_intervals_count_each_window_once() -> None:
    rng = np.random.default_rng(5)
    start = np.sort(rng.choice(1000, 120, replace=False)).astype(np.int64)
    label = rng.integers(0, 4, 120).astype(np.int16)
    begin = rng.integers(-50, 1000, 40)
    end = begin + rng.integers(1, 200, 40)
    windows = Windows(start, label, 7, 4)
    meets = (start[:, None] < end) & (start[:, None] + 7 > begin)
    np.testing.assert_array_equal(
        windows.within(begin, end), np.bincount(label[meets.any(axis=1)], minlength=4)
    )
    expected = [np.bincount(label[meets[:, i]], minlength=4) for i in range(40)]
    np.testing.assert_array_equal(windows.of_each(begin, end), expected)
    assert windows.within(begin[:0], end[:0]).tolist() == [0] * 4


def test_a_circular_shift_keeps_lengths_within_the_span() -> None:
    begin, end = np.array([10, 80, 95]), np.array([20, 90, 99])
    moved, until = circular_shift(begin, end, 15, (0, 100))
    assert list(zip(moved.tolist(), until.tolist(), strict=True)) == [(25, 35), (95, 100), (10, 14), (0, 5)]
    assert (until - moved).sum() == (end - begin).sum()


def test_significance_has_the_closed_forms() -> None:
    assert two_sided_p(5.0, np.arange(99.0)) == pytest.approx(2 * 7 / 100)
    assert two_sided_p(1000.0, np.arange(99.0)) == pytest.approx(2 / 100)
    assert two_sided_p(50.0, np.full(9, 50.0)) == 1
    assert math.isnan(two_sided_p(math.nan, np.arange(9.0)))
    np.testing.assert_allclose(adjusted_p_values([0.01, 0.04, math.nan, 0.03]), [0.03, 0.06, math.nan, 0.06])
    np.testing.assert_allclose(lift([[2, 1], [0, 0]], np.array([4, 8])), [[2.0, 0.5], [math.nan, math.nan]])


def test_the_verb_prints_classes_and_writes_events(root: str, tmp_path: Path) -> None:
    config = tmp_path / "my.yaml"
    config.write_text(f"root: {root}\nrun: first\narchive: {{url: nowhere}}\n")
    catalogue = write_csv(
        tmp_path / "e.csv", np.array([3.0, 40.0]), latitude=[10.0, 50.0], longitude=[20.0, 60.0]
    )
    arguments = ["join-events", str(config), catalogue, "--max-distance-km", "900", "--shifts", "9"]
    shown = CliRunner().invoke(
        _verbs, [*arguments, "--events", str(tmp_path / "each.csv")], catch_exceptions=False
    )
    assert shown.exit_code == 0
    assert shown.stdout.split()[:4] == ["label", "windows", "with_events", "share"]
    assert "2 events in the time of the labels, 1 of them with no window" in shown.stderr
    assert pd.read_csv(tmp_path / "each.csv")["windows"].tolist()[1] == 0
    CliRunner().invoke(_verbs, [*arguments, "-o", str(tmp_path / "classes.json")], catch_exceptions=False)
    assert [row["label"] for row in json.loads((tmp_path / "classes.json").read_text())] == [0, 1, 2]
