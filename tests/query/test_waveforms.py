from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import obspy
import pandas as pd
import pytest

from scaledec.archive.archive import Archive
from scaledec.archive.miniseed import read_pieces
from scaledec.cli.main import main
from scaledec.errors import ConfigError
from scaledec.location import Location
from scaledec.queries.waveforms import file_name, save_waveforms
from scaledec.synthetic.labels import SimulatedLabels, write_simulated_labels
from scaledec.vocabulary import ChannelId
from tests.archive.making import CHANNEL, DAY_NS, START_NS, numbers, put_day, record_bytes

RATE = 10.0
STEP_NS = 100_000_000


def hits(*spans: tuple[float, float], channel: str = str(CHANNEL)) -> pd.DataFrame:
    """Spans in seconds after the start of the first day."""
    at = (START_NS + np.array(spans) * 1e9).astype(np.int64).astype("datetime64[ns]")
    return pd.DataFrame({"channel": channel, "start": at[:, 0], "end": at[:, 1]})


def put(folder: Path, first: int, samples: npt.NDArray[np.int32], *, shift_ns: int = 0) -> None:
    """Samples from number ``first`` on, whose values are their numbers, into the file of their day."""
    start_ns = START_NS + first * STEP_NS + shift_ns
    put_day(folder, start_ns, record_bytes(start_ns, samples, rate_hz=RATE))


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(Location(str(tmp_path / "sds")), "sds")


def cut_samples(folder: Path, second: float) -> tuple[npt.NDArray[np.int32], list[int]]:
    """Samples of a file, and when each piece begins, in nanoseconds after the start of the first day."""
    data = (folder / file_name(CHANNEL, START_NS + round(second * 1e9))).read_bytes()
    pieces = read_pieces(data, channel=CHANNEL, name="cut").pieces
    return np.concatenate([p.samples for p in pieces]), [p.start_ns - START_NS for p in pieces]


def test_a_hit_gets_exactly_its_samples_over_midnight_too(archive: Archive, tmp_path: Path) -> None:
    day = DAY_NS // STEP_NS
    put(archive.location.path, 0, numbers(day))
    put(archive.location.path, day, numbers(600, day))
    out = tmp_path / "out"
    saved = save_waveforms(archive, hits((100, 125.6), (86_390, 86_410)), out)
    assert (saved.written, saved.with_gaps, saved.failures) == (2, 0, ())
    samples, starts = cut_samples(out, 100)
    np.testing.assert_array_equal(samples, np.arange(1000, 1256))
    assert starts == [100 * 10**9]
    np.testing.assert_array_equal(cut_samples(out, 86_390)[0], np.arange(863_900, 864_100))
    assert sorted(path.name for path in out.iterdir()) == [
        "XX.AAA.00.HHZ.20210304T000140.000000Z.mseed",
        "XX.AAA.00.HHZ.20210304T235950.000000Z.mseed",
    ]
    (trace,) = obspy.read(str(out / "XX.AAA.00.HHZ.20210304T000140.000000Z.mseed"))
    np.testing.assert_array_equal(trace.data, np.arange(1000, 1256))


def test_times_between_the_samples_are_kept_and_a_margin_is_added(archive: Archive, tmp_path: Path) -> None:
    put(archive.location.path, 0, numbers(2000), shift_ns=37_000_000)
    save_waveforms(archive, hits((50, 60)), tmp_path, margin_s=5)
    samples, starts = cut_samples(tmp_path, 45)
    np.testing.assert_array_equal(samples, np.arange(450, 650))
    assert starts == [45 * 10**9 + 37_000_000]


def test_a_hit_with_a_gap_gets_what_there_is(archive: Archive, tmp_path: Path) -> None:
    day = archive.location.path
    first, second = (
        record_bytes(START_NS + n * STEP_NS, numbers(m, n), rate_hz=RATE) for n, m in ((0, 1100), (1200, 800))
    )
    put_day(day, START_NS, first + second)
    saved = save_waveforms(archive, hits((105, 130), (111, 119), (115, 125)), tmp_path / "out")
    assert (saved.written, saved.with_gaps) == (2, 1)
    assert saved.failures == (
        (file_name(CHANNEL, START_NS + 111 * 10**9), "the archive holds no sample of it that can be read"),
    )
    samples, starts = cut_samples(tmp_path / "out", 105)
    np.testing.assert_array_equal(samples, [*range(1050, 1100), *range(1200, 1300)])
    assert starts == [105 * 10**9, 120 * 10**9]
    np.testing.assert_array_equal(cut_samples(tmp_path / "out", 115)[0], np.arange(1200, 1250))


def test_what_two_records_hold_twice_is_cut_once(archive: Archive, tmp_path: Path) -> None:
    first, again = (record_bytes(START_NS + n * STEP_NS, numbers(900, n), rate_hz=RATE) for n in (0, 600))
    put_day(archive.location.path, START_NS, again + first)
    save_waveforms(archive, hits((50, 110)), tmp_path / "out")
    np.testing.assert_array_equal(cut_samples(tmp_path / "out", 50)[0], np.arange(500, 1100))


def test_a_clock_that_is_set_back_a_little_loses_no_sample(archive: Archive, tmp_path: Path) -> None:
    late = START_NS + 900 * STEP_NS - 30_000_000  # three tenths of a sample early
    both = (
        record_bytes(START_NS, numbers(900), rate_hz=RATE),
        record_bytes(late, numbers(600, 900), rate_hz=RATE),
    )
    put_day(archive.location.path, START_NS, b"".join(both))
    saved = save_waveforms(archive, hits((50, 110)), tmp_path / "out")
    np.testing.assert_array_equal(cut_samples(tmp_path / "out", 50)[0], np.arange(500, 1101))
    assert saved.with_gaps == 0


def test_samples_that_steim_cannot_hold_are_kept_too(archive: Archive, tmp_path: Path) -> None:
    wild = np.array([2**31 - 1, -(2**31), 5] * 100, np.int32)
    put_day(archive.location.path, START_NS, record_bytes(START_NS, wild, rate_hz=RATE, encoding="int32"))
    real = record_bytes(START_NS + DAY_NS, np.linspace(0, 1, 300), rate_hz=RATE, encoding="float64")
    put_day(archive.location.path, START_NS + DAY_NS, real)
    save_waveforms(archive, hits((0, 10), (86_400, 86_410)), tmp_path / "out")
    np.testing.assert_array_equal(cut_samples(tmp_path / "out", 0)[0], wild[:100])
    np.testing.assert_array_equal(cut_samples(tmp_path / "out", 86_400)[0], np.linspace(0, 1, 300)[:100])


def test_nothing_is_written_over(archive: Archive, tmp_path: Path) -> None:
    put(archive.location.path, 0, numbers(2000))
    out = tmp_path / "out"
    save_waveforms(archive, hits((0, 10)), out)
    other = out / file_name(CHANNEL, START_NS + 20 * 10**9)
    other.write_bytes(b"mine")
    saved = save_waveforms(archive, hits((0, 10), (20, 30), (40, 50)), out)
    assert (saved.written, saved.already_there) == (1, 1)
    assert saved.failures == (
        (other.name, "a file of this name with other contents is there: choose another folder"),
    )
    assert other.read_bytes() == b"mine"


def test_a_file_that_vanishes_is_listed_and_the_rest_is_cut(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(archive.location.path, 0, numbers(2000))
    put(archive.location.path, DAY_NS // STEP_NS, numbers(2000))
    original = Archive.listing

    def list_then_lose(self: Archive, *arguments: object) -> object:
        found = original(self, *arguments)  # type: ignore[arg-type]
        next(archive.location.path.rglob("*.063")).unlink()
        return found

    monkeypatch.setattr(Archive, "listing", list_then_lose)
    saved = save_waveforms(archive, hits((0, 10), (30, 40), (86_450, 86_460)), tmp_path / "out")
    assert saved.written == 1
    vanished = [reason for where, reason in saved.failures if where.endswith(".063")]
    assert len(vanished) == 1
    assert "vanished since it was listed" in vanished[0]
    assert [path.name for path in (tmp_path / "out").iterdir()] == [
        "XX.AAA.00.HHZ.20210305T000050.000000Z.mseed"
    ]


def test_a_file_of_several_channels_gives_those_of_a_sensor(tmp_path: Path) -> None:
    codes = ("HHZ", "HHN", "HHE", "HHX")
    channels = [ChannelId("XX", "AAA", "", code) for code in codes]
    data = [
        record_bytes(START_NS, numbers(500, 1000 * n), channel=c, rate_hz=RATE)
        for n, c in enumerate(channels)
    ]
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "all.mseed").write_bytes(b"".join(data))
    archive = Archive(Location(str(tmp_path / "files")), "files", Location(str(tmp_path / "index")))
    saved = save_waveforms(archive, hits((10, 20), channel="XX.AAA..HH?"), tmp_path / "out", components="ZNE")
    assert saved.written == 3
    for n, channel in enumerate(channels[:3]):
        data_of = (tmp_path / "out" / file_name(channel, START_NS + 10 * 10**9)).read_bytes()
        (piece,) = read_pieces(data_of, channel=channel, name="cut").pieces
        np.testing.assert_array_equal(piece.samples, np.arange(100, 200) + 1000 * n)


def test_an_archive_of_spectrograms_has_no_waveforms(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no waveforms to cut"):
        save_waveforms(Archive(Location(str(tmp_path)), "cube"), hits((0, 1)), tmp_path)
    with pytest.raises(ConfigError, match="margin is -1"):
        save_waveforms(Archive(Location(str(tmp_path)), "sds"), hits((0, 1)), tmp_path, margin_s=-1)


def test_the_command_line_cuts_hits_and_lists_what_the_archive_does_not_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two_days = SimulatedLabels(
        stations=1, channels_per_station=1, segments=2, start="2021-03-04", unlabelled=0
    )
    write_simulated_labels(str(tmp_path / "root"), two_days)
    (channel,) = two_days.channels
    for day in (0, 1):
        data = record_bytes(START_NS + day * DAY_NS, numbers(86_400), channel=channel, rate_hz=1)
        put_day(tmp_path / "sds", START_NS + day * DAY_NS, data, channel=channel)
    config = tmp_path / "my.yaml"
    config.write_text(f"root: {tmp_path / 'root'}\narchive: {{url: {tmp_path / 'sds'}}}\nrun: simulated\n")

    def run(*options: str) -> int:
        around = ["--start", "2021-03-04T23:59", "--end", "2021-03-05T00:01"]
        with pytest.raises(SystemExit) as exit_:
            main(["query", str(config), *around, *options])
        return int(exit_.value.code or 0)

    assert run("--waveforms", str(tmp_path / "out")) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names[0] == "ZS.S000..HHZ.20210304T235908.800000Z.mseed"
    assert len(names) == 5
    assert capsys.readouterr().out == ""
    next((tmp_path / "sds").rglob("*.064")).unlink()
    assert run("--waveforms", str(tmp_path / "again"), "-o", str(tmp_path / "hits.csv")) == 3
    told = capsys.readouterr().err
    assert "2 waveforms written, 3 failures" in told
    assert "ZS.S000..HHZ.20210305T000025.600000Z.mseed: the archive holds no sample of it" in told
    assert len(pd.read_csv(tmp_path / "hits.csv")) == 5
    assert run("--count-by", "label", "--waveforms", str(tmp_path / "out")) == 2


def test_hits_are_the_samples_that_obspy_slices(archive: Archive, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples = rng.integers(-1000, 1000, DAY_NS // STEP_NS, dtype=np.int32)
    put(archive.location.path, 0, samples, shift_ns=41_000_000)
    found = hits(*[(second, second + 26) for second in rng.uniform(0, 80_000, 5).round(6)])
    save_waveforms(archive, found, tmp_path / "out")
    stream = obspy.read(str(next(archive.location.path.rglob("*.063"))))
    for start_ns in found["start"].to_numpy().astype(np.int64).tolist():
        begin = obspy.UTCDateTime(ns=start_ns)
        (expected,) = stream.slice(begin, begin + 26, nearest_sample=False)
        (cut,) = obspy.read(str(tmp_path / "out" / file_name(CHANNEL, start_ns)))
        np.testing.assert_array_equal(cut.data, expected.data)
        assert abs(cut.stats.starttime - expected.stats.starttime) < 1e-5


@pytest.mark.parametrize("layout", ["scedc", "ncedc"])
def test_hits_in_a_data_centres_layout_are_the_samples_that_obspy_slices(
    layout: str, real_data: Path, tmp_path: Path
) -> None:
    archive = Archive(Location(str(real_data / layout)), layout, Location(str(tmp_path / "index")))
    listing = archive.listing()
    rng = np.random.default_rng(0)
    n_samples = 0
    for channel in listing.channels:
        item = listing.objects_for(channel, *listing.span)[0]
        stream = obspy.read(str(real_data / layout / item.key)).select(id=str(channel))
        first, last = stream[0].stats.starttime.ns, stream[-1].stats.endtime.ns
        start = rng.integers(first, last - 60 * 10**9, 3)
        ends = (start + 60 * 10**9).astype("datetime64[ns]")
        found = pd.DataFrame({"channel": str(channel), "start": start.astype("datetime64[ns]"), "end": ends})
        save_waveforms(archive, found, tmp_path / "out")
        for start_ns in start.tolist():
            begin = obspy.UTCDateTime(ns=start_ns)
            (expected,) = stream.slice(begin, begin + 60 - 1e-6, nearest_sample=False)
            (cut,) = obspy.read(str(tmp_path / "out" / file_name(channel, start_ns)))
            np.testing.assert_array_equal(cut.data, expected.data)
            n_samples += len(cut)
    assert n_samples > 500
