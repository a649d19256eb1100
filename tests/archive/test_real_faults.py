"""What happens to the faults that real archives have; ``README.md`` beside the recordings lists them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from scaledec.archive.archive import Archive
from scaledec.archive.listing import Listing
from scaledec.archive.segment import SegmentRead, read_segment
from scaledec.errors import UnreadableInputError
from scaledec.location import Location
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId, parse_time
from tests.archive.making import DAY_NS

S = NANOSECONDS_PER_SECOND
MARGIN = (60, 60)


@pytest.fixture(scope="module")
def archive(real_data: Path) -> Archive:
    return Archive(Location(str(real_data / "sds")), "sds")


@pytest.fixture(scope="module")
def listing(archive: Archive) -> Listing:
    return archive.listing()


def read(archive: Archive, channel: str, day: str, margin: tuple[int, int] = (0, 0)) -> SegmentRead:
    wanted, start = ChannelId.parse(channel), parse_time(day)
    objects = archive.listing([channel]).objects_for(wanted, start, start + DAY_NS)
    return read_segment(
        archive, wanted, objects, start_ns=start, end_ns=start + DAY_NS, margin_samples=lambda _: margin
    )


def obspy_model(archive: Archive, keys: list[str], start_ns: int, n: int, rate_hz: float) -> npt.NDArray[Any]:
    """Every sample of every trace that ObsPy reads, at its nearest grid point; NaN where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import obspy

        traces = [trace for key in keys for trace in obspy.read(archive.location.path / key)]
    grid = np.full(n, np.nan)
    for trace in traces:
        first = int(np.floor((trace.stats.starttime.ns - start_ns) * rate_hz / S + 0.5))
        index = first + np.arange(trace.stats.npts)
        inside = (index >= 0) & (index < n)
        there = grid[index[inside]]
        assert np.array_equal(there[~np.isnan(there)], trace.data[inside][~np.isnan(there)])
        grid[index[inside]] = trace.data[inside]
    return grid


def test_every_real_segment_equals_what_obspy_reads_put_on_the_grid_sample_by_sample(
    archive: Archive, listing: Listing
) -> None:
    checked = 0
    for channel in listing.channels:
        days = {
            span for item in listing.objects_for(channel, 0, 2**62) if (span := archive.nominal_span_ns(item))
        }
        for start, end in sorted(days):
            objects = listing.objects_for(channel, start, end)
            found = read_segment(
                archive, channel, objects, start_ns=start, end_ns=end, margin_samples=lambda _: MARGIN
            )
            assert found.segment is not None
            rate, got = found.native_rate_hz, found.segment
            first_ns = start - round(MARGIN[0] * S / rate)
            expected = obspy_model(archive, [item.key for item in objects], first_ns, len(got.samples), rate)
            real = ~np.isnan(expected)
            np.testing.assert_array_equal(got.samples, np.where(real, expected, 0).astype(np.float32))
            covered = np.zeros(len(real), bool)
            for run_start, run_stop in got.runs:
                covered[run_start:run_stop] = True
            np.testing.assert_array_equal(covered, real)
            assert got.report.n_conflicting == got.report.n_not_finite == 0
            assert abs(got.report.offset_s) <= 0.5 / rate + 1e-4
            assert not found.notes
            assert not found.unreadable
            checked += 1
    assert checked == 44


def test_samples_stored_twice_are_kept_once_and_the_others_counted(archive: Archive) -> None:
    """CM.FLO2: from 19:00 to midnight each sample is there twice."""
    found = read(archive, "CM.FLO2.00.HHZ", "2019-12-24")
    assert found.segment is not None
    report = found.segment.report
    assert report.n_real == 5 * 360_000 - 2
    assert report.n_duplicate == report.n_real + 4  # and the one-sample overlaps at two joints, twice
    assert report.n_conflicting == 0
    assert len(found.segment.runs) == 1


def test_one_sample_overlaps_at_two_hour_joints_and_microsecond_jitter_leave_one_unbroken_run(
    archive: Archive,
) -> None:
    """CM.BAR2: twelve stretches, each repeating the last sample of the one before, up to 1 us off."""
    found = read(archive, "CM.BAR2.00.HHZ", "2020-09-22")
    assert found.segment is not None
    assert found.segment.runs == ((2, 8_640_000),)  # the file begins 18 ms into the day
    assert (found.segment.report.n_duplicate, found.segment.report.n_conflicting) == (11, 0)
    assert found.segment.report.offset_s == pytest.approx(-0.0016, abs=1e-4)


@pytest.mark.parametrize("station", ["CHI", "FLO2", "GARC", "ORTC"])
def test_data_that_run_seconds_past_midnight_complete_the_next_day(archive: Archive, station: str) -> None:
    """CM 2019: the files of day 358 end, and those of 359 begin, seconds after midnight."""
    found = read(archive, f"CM.{station}.00.HHZ", "2019-12-25")
    assert found.segment is not None
    (run,) = found.segment.runs
    assert run[0] == 0
    assert run[1] in (360_001, 360_003)  # one hour, to within the stations' clock offsets
    assert [item.key[-3:] for item in found.objects_used] == ["359", "358"]


def test_a_day_that_begins_late_and_runs_over_gives_to_both_days(archive: Archive) -> None:
    """GR.FUR: day 361 begins 9.769 s late and reaches 11.669 s into 362, which has no file of its own."""
    first = read(archive, "GR.FUR..BHN", "2015-12-27")
    assert first.segment is not None
    assert first.segment.runs == ((195, 1_728_000),)
    assert first.segment.report.offset_s == pytest.approx(0.02, abs=1e-4)
    second = read(archive, "GR.FUR..BHN", "2015-12-28")
    assert second.segment is not None
    assert second.segment.runs == ((0, 234),)
    assert [item.key[-3:] for item in second.objects_used] == ["361"]


def test_a_day_s_last_sample_alone_in_the_next_file_is_that_next_day_s_first(archive: Archive) -> None:
    """TA.C26K: 225 holds one sample, at midnight; with a margin it also ends the frames of 224."""
    first = read(archive, "TA.C26K..BHZ", "2018-08-12", margin=(0, 10))
    assert first.segment is not None
    assert first.segment.runs == ((0, 3_456_001),)
    second = read(archive, "TA.C26K..BHZ", "2018-08-13")
    assert second.segment is not None
    assert second.segment.runs == ((0, 1),)


def test_hours_that_are_missing_inside_a_day_stay_missing(archive: Archive) -> None:
    """CM.AGCC has 3.7 h between two pieces of the afternoon; US.OXF four gaps of 215.6 s in all."""
    agcc = read(archive, "CM.AGCC.00.HHZ", "2020-09-22").segment
    assert agcc is not None
    (_, before), (after, _) = agcc.runs
    assert (after - before) / 100 / 3600 == pytest.approx(3.58, abs=0.01)
    np.testing.assert_array_equal(agcc.samples[before:after], 0)
    oxf = read(archive, "US.OXF..BHZ", "2002-04-20").segment
    assert oxf is not None
    gaps = [b[0] - a[1] for a, b in zip(oxf.runs, oxf.runs[1:], strict=False)]
    assert len(gaps) == 4
    assert sum(gaps) / 40 == pytest.approx(215.6, abs=0.05)


def test_a_gap_across_midnight_leaves_both_days_short(archive: Archive) -> None:
    """II.KAPI: nothing from 02:10:54 on day 005 to 03:27:02 on 006."""
    first, second = (read(archive, "II.KAPI.00.BHZ", day).segment for day in ("2013-01-05", "2013-01-06"))
    assert first is not None
    assert second is not None
    assert first.runs == ((0, 157_088),)
    assert second.runs == ((248_448, 1_728_000),)


@pytest.mark.parametrize(
    ("channel", "day"), [("CI.WBM..LHZ", "2022-01-02"), ("BK.RUSS.00.LHZ", "2022-01-02")]
)
def test_samples_off_the_second_by_a_constant_are_placed_whole_and_the_offset_is_reported(
    archive: Archive, channel: str, day: str
) -> None:
    found = read(archive, channel, day)
    assert found.segment is not None
    assert found.segment.runs == ((0, 86_400),)
    assert found.segment.report.offset_s == pytest.approx(0.0715 if "WBM" in channel else 0.0, abs=5e-4)


def test_rates_of_1_20_40_and_100_hz_lie_side_by_side(archive: Archive) -> None:
    asked = {
        "TA.121A..LHZ": ("2016-08-29", 1),
        "CI.WBM..LHZ": ("2022-01-01", 1),
        "IU.ANMO.00.BHZ": ("2013-01-06", 20),
        "US.OXF..BHZ": ("2002-04-20", 40),
        "CM.BAR2.00.HHN": ("2020-09-22", 100),
    }
    for channel, (day, rate_hz) in asked.items():
        assert read(archive, channel, day).native_rate_hz == rate_hz


def test_the_header_decides_which_channel_a_file_holds_whatever_its_name_says(real_data: Path) -> None:
    """SCEDC's BKTHIS_LHZ00 and NCEDC's THIS.BK.LHZ.00 are one channel, BK.THIS.00.LHZ, in two namings."""
    for folder, name in (("scedc", "BKTHIS_LHZ00_2022002.ms"), ("ncedc", "THIS.BK.LHZ.00.D.2022.002")):
        base = real_data / folder / "continuous_waveforms"
        (path,) = base.rglob(name)
        listing = Archive(Location(str(base)), "files").listing(["BK.THIS.*.*"])
        assert [str(channel) for channel in listing.channels] == ["BK.THIS.00.LHZ"]
        (item,) = listing.objects_for(listing.channels[0], *listing.span)
        assert item.key == path.relative_to(base).as_posix()


def test_a_real_day_under_a_name_with_another_location_is_refused_saying_what_it_holds(
    real_data: Path, tmp_path: Path
) -> None:
    (path,) = (real_data / "scedc").rglob("BKTHIS_LHZ00_2022002.ms")
    key = "2022/BK/THIS/LHZ.D/BK.THIS..LHZ.D.2022.002"
    Location(str(tmp_path)).child(*key.split("/")).write_bytes(path.read_bytes())
    with pytest.raises(UnreadableInputError, match=r"holds BK\.THIS\.00\.LHZ, not BK\.THIS\.\.LHZ"):
        read(Archive(Location(str(tmp_path)), "sds"), "BK.THIS..LHZ", "2022-01-02")


def test_a_file_of_65_minutes_is_65_minutes_of_its_day(real_data: Path) -> None:
    archive = Archive(Location(str(real_data / "scedc" / "continuous_waveforms")), "files")
    start = parse_time("2022-01-02")
    for station in ("FOX2", "NCH"):
        channel = ChannelId("CI", station, "", "LHZ")
        objects = archive.listing().objects_for(channel, start, start + DAY_NS)
        found = read_segment(archive, channel, objects, start_ns=start, end_ns=start + DAY_NS)
        assert found.segment is not None
        assert found.segment.report.n_real == pytest.approx(65 * 60, abs=120)
        assert found.segment.report.n_missing == 86_400 - found.segment.report.n_real


def test_an_error_page_as_a_day_file_fails_its_own_day_with_its_first_words(
    real_data: Path, tmp_path: Path
) -> None:
    (page,) = (real_data / "odd_miniseed").glob("http404_saved_as_data*")
    key = "2013/IU/ANMO/BHN.D/IU.ANMO.00.BHN.D.2013.006"
    Location(str(tmp_path)).child(*key.split("/")).write_bytes(page.read_bytes())
    with pytest.raises(UnreadableInputError, match=f"{key} .*begins 'Error 404: No data selected"):
        read(Archive(Location(str(tmp_path)), "sds"), "IU.ANMO.00.BHN", "2013-01-06")
