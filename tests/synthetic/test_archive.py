from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaledec.errors import ConfigError, StoreConflictError
from scaledec.synthetic.archive import SyntheticArchive, write_synthetic_archive
from scaledec.synthetic.families import FAMILY_NAMES
from scaledec.synthetic.plant import channel_day
from scaledec.synthetic.settings import DEFAULT_STATIONS, SyntheticSettings
from scaledec.vocabulary import parse_time

SMALL = SyntheticSettings(
    start="2024-03-04T23:30", hours=1.0, sampling_rate_hz=20.0, stations=DEFAULT_STATIONS[:2], rate=5.0
)

# ObsPy 1.5 lists its plugins in a way that Python 3.11 deprecates, when it is first imported.
pytestmark = pytest.mark.filterwarnings("ignore:SelectableGroups:DeprecationWarning")


def read_with_obspy(path: Path) -> Any:
    import obspy

    return obspy.read(str(path))


def digest(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def day_path(archive: SyntheticArchive, station: str, day: int) -> Path:
    name = f"SY.{station}.00.BHZ.D.2024.{day:03d}"
    return archive.sds.path / "2024" / "SY" / station / "BHZ.D" / name


def test_equal_settings_give_equal_bytes_whatever_the_number_of_threads(tmp_path: Path) -> None:
    write_synthetic_archive(tmp_path / "a", SMALL, workers=1)
    write_synthetic_archive(tmp_path / "b", SMALL, workers=3)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


def test_an_archive_that_is_there_is_not_written_again_and_one_cut_short_is(tmp_path: Path) -> None:
    first = write_synthetic_archive(tmp_path, SMALL)
    before = digest(tmp_path)
    assert first.written
    assert not write_synthetic_archive(tmp_path, SMALL).written
    next(tmp_path.rglob("*.064")).unlink()
    assert write_synthetic_archive(tmp_path, SMALL).written
    assert digest(tmp_path) == before


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path) -> None:
    write_synthetic_archive(tmp_path, SMALL)
    with pytest.raises(StoreConflictError, match=r"other settings \(seed 0\); name another folder"):
        write_synthetic_archive(tmp_path, SyntheticSettings(hours=1.0, seed=1))


def test_settings_that_make_no_archive_are_refused() -> None:
    with pytest.raises(ConfigError, match="0 hours"):
        SyntheticSettings(hours=0)
    with pytest.raises(ConfigError, match="between two samples"):
        SyntheticSettings(start="2024-03-04T00:00:00.003")
    with pytest.raises(ConfigError, match="letters of ZNE"):
        SyntheticSettings(components="X")


def test_the_files_are_steim2_records_that_another_reader_reads_back(tmp_path: Path) -> None:
    archive = write_synthetic_archive(tmp_path, SMALL)
    [trace] = read_with_obspy(day_path(archive, "GLAC", 64))
    assert (trace.id, trace.stats.sampling_rate) == ("SY.GLAC.00.BHZ", 20.0)
    assert (trace.stats.mseed.encoding, trace.stats.mseed.record_length) == ("STEIM2", 512)
    assert trace.stats.starttime.ns == parse_time("2024-03-04T23:30")
    samples, _ = channel_day(SMALL, DEFAULT_STATIONS[1], "Z", SMALL.days[0])
    np.testing.assert_array_equal(trace.data, samples)


def test_signals_run_on_across_midnight() -> None:
    whole = SyntheticSettings(start="2024-03-04T23:30", hours=1.0, sampling_rate_hz=20.0, rate=20.0)
    first, _ = channel_day(whole, DEFAULT_STATIONS[0], "Z", whole.days[0])
    later = SyntheticSettings(start="2024-03-04T23:50", hours=0.5, sampling_rate_hz=20.0, rate=20.0)
    part, _ = channel_day(later, DEFAULT_STATIONS[0], "Z", later.days[0])
    np.testing.assert_array_equal(part, first[-part.size :])
    second, _ = channel_day(whole, DEFAULT_STATIONS[0], "Z", whole.days[1])
    steps = np.abs(np.diff(np.concatenate([first, second]).astype(np.int64)))
    assert steps[first.size - 1] <= np.sort(steps)[-2]


def test_the_faults_are_where_they_are_said_to_be(tiny_archive: SyntheticArchive) -> None:
    faults = {fault.kind: fault for fault in tiny_archive.faults}
    assert set(faults) == {"gap", "overlap", "missing day", "unreadable file"}
    gap = read_with_obspy(day_path(tiny_archive, "CRAT", 64))
    assert len(gap) == 2
    assert gap[0].stats.endtime.ns + 20_000_000 == faults["gap"].start_ns
    assert gap[1].stats.starttime.ns == faults["gap"].end_ns
    one, two = read_with_obspy(day_path(tiny_archive, "CRAT", 65))
    n_twice = (one.stats.endtime.ns - two.stats.starttime.ns) // 20_000_000 + 1
    assert two.stats.starttime.ns == faults["overlap"].start_ns
    np.testing.assert_array_equal(one.data[-n_twice:], two.data[:n_twice])
    assert not day_path(tiny_archive, "TOWN", 65).exists()
    assert day_path(tiny_archive, "GLAC", 64).read_bytes().startswith(b"<!DOCTYPE html>")
    readme = (tiny_archive.location.path / "README.md").read_text()
    assert all(fault.sentence() in readme for fault in tiny_archive.faults)


def test_every_family_is_planted_and_stands_out_of_the_noise(tiny_archive: SyntheticArchive) -> None:
    truth = tiny_archive.truth
    assert set(truth["family"]) == set(FAMILY_NAMES) - {"noise"}
    assert (truth["end"] > truth["start"]).all()
    assert (truth["excess_db"] > 3.0).all()
    heard = truth[truth["family"] == "local event"].groupby("event")["channel"].nunique()
    assert (heard > 1).any()
