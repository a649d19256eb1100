"""Random small archives against a model that looks up the grid point of every single sample."""

from __future__ import annotations

import io
import math
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaledec.archive.archive import Archive
from scaledec.archive.segment import read_segment
from scaledec.archive.write import write_miniseed
from scaledec.location import Location
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ArchiveObject, ChannelId
from tests.archive.making import CHANNEL, START_NS

S = NANOSECONDS_PER_SECOND
OTHER = ChannelId.parse("XX.AAA.00.HHN")
N_SAMPLES = 600
MARGIN = (40, 70)
# Beside the grid by less than what could round either way, whatever a neighbouring record's own share.
MOST_JITTER = 0.3
NATIVE = ("steim1", "steim2", "int32", "float32", "float64")
OBSPY = {"STEIM1": np.int32, "STEIM2": np.int32, "INT16": np.int16, "INT32": np.int32, "FLOAT32": np.float32}


@dataclass(frozen=True)
class Stretch:
    """Samples in a row, as one writer writes them."""

    first: int
    """Grid point of the first sample, counted from the segment's start."""
    length: int
    jitter: float
    """Samples by which it lies beside the grid."""
    channel: ChannelId
    writer: str
    """``2`` or ``3`` for our writer and that format, ``<`` or ``>`` for ObsPy and that byte order."""
    encoding: str
    record_length: int


File = tuple[bool, tuple[Stretch, ...], int]
"""(whether it disagrees with the others, its stretches, seed of the order of its records)."""


@st.composite
def stretches(draw: st.DrawFn) -> Stretch:
    writer = draw(st.sampled_from("23<>"))
    return Stretch(
        first=draw(st.integers(-150, N_SAMPLES + 100)),
        length=draw(st.integers(1, 300)),
        jitter=draw(st.sampled_from([0.0, 0.0, 1e-4]) | st.floats(-MOST_JITTER, MOST_JITTER)),
        channel=draw(st.sampled_from([CHANNEL, CHANNEL, OTHER])),
        writer=writer,
        encoding=draw(st.sampled_from(NATIVE if writer in "23" else sorted(OBSPY))),
        record_length=draw(st.sampled_from([128, 256, 512, 4096] if writer in "23" else [256, 512, 4096])),
    )


files = st.tuples(st.booleans(), st.lists(stretches(), min_size=1, max_size=6).map(tuple), st.integers(0, 99))


def samples_of(stretch: Stretch, shift: int) -> npt.NDArray[np.int64]:
    """Values that tell by themselves where they belong; exact in every encoding."""
    return (np.arange(stretch.first, stretch.first + stretch.length) * 7) % 20_011 + shift


def records_of(stretch: Stretch, shift: int, rate_hz: float) -> list[bytes]:
    values = samples_of(stretch, shift)
    start_ns = START_NS + round((stretch.first + stretch.jitter) * S / rate_hz)
    if stretch.writer in "<>":
        data = written_by_obspy(stretch, values, start_ns, rate_hz)
    else:
        data = write_miniseed(
            stretch.channel,
            start_ns,
            rate_hz,
            values.astype(stretch.encoding if "float" in stretch.encoding else np.int32),
            record_length=stretch.record_length,
            encoding=stretch.encoding,  # type: ignore[arg-type]
            format_version=3 if stretch.writer == "3" else 2,
        )
    if stretch.writer == "3":
        return [data]
    return [data[at : at + stretch.record_length] for at in range(0, len(data), stretch.record_length)]


def written_by_obspy(stretch: Stretch, values: npt.NDArray[Any], start_ns: int, rate_hz: float) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from obspy import Trace, UTCDateTime

        trace = Trace(values.astype(OBSPY[stretch.encoding]))
        trace.id, trace.stats.sampling_rate = str(stretch.channel), rate_hz
        trace.stats.starttime = UTCDateTime(ns=start_ns)
        file = io.BytesIO()
        how = {"encoding": stretch.encoding, "byteorder": stretch.writer, "reclen": stretch.record_length}
        trace.write(file, format="MSEED", **how)
    return file.getvalue()


def model(found: list[File]) -> tuple[npt.NDArray[Any], int, int]:
    """(grid with NaN where nothing is, duplicates, conflicts): the first file stays, sample by sample."""
    before, after = MARGIN
    grid = np.full(before + N_SAMPLES + after, np.nan)
    duplicate = conflicting = 0
    for number, (disagrees, parts, _) in enumerate(found):
        for stretch in parts:
            if stretch.channel != CHANNEL:
                continue
            for offset, value in enumerate(samples_of(stretch, (1 + number) * disagrees).tolist()):
                point = stretch.first + offset + before
                if not 0 <= point < len(grid):
                    continue
                if math.isnan(grid[point]):
                    grid[point] = value
                elif grid[point] == value:
                    duplicate += 1
                else:
                    conflicting += 1
    return grid, duplicate, conflicting


def check(found: list[File], rate_hz: float, folder: Path) -> None:
    """Write the archive, read its segment, compare."""
    objects = []
    for number, (disagrees, parts, seed) in enumerate(found):
        records = [one for part in parts for one in records_of(part, (1 + number) * disagrees, rate_hz)]
        np.random.default_rng(seed).shuffle(records)
        path = folder / f"{number}.mseed"
        path.write_bytes(b"".join(records))
        if any(part.channel == CHANNEL for part in parts):
            objects.append(ArchiveObject(path.name, path.stat().st_size, "1"))
    end_ns = START_NS + round(N_SAMPLES * S / rate_hz)
    got = read_segment(
        Archive(Location(str(folder)), "files"),
        CHANNEL,
        objects,
        start_ns=START_NS,
        end_ns=end_ns,
        margin_samples=lambda _: MARGIN,
    )
    expected, duplicate, conflicting = model(found)
    real = ~np.isnan(expected)
    if got.segment is None:  # what lies in a margin alone makes no segment
        assert not real[MARGIN[0] : MARGIN[0] + N_SAMPLES].any()
        return
    assert got.native_rate_hz == rate_hz
    np.testing.assert_array_equal(got.segment.samples, np.where(real, expected, 0))
    covered = np.zeros(len(real), bool)
    for start, stop in got.segment.runs:
        covered[start:stop] = True
    np.testing.assert_array_equal(covered, real)
    edges = [edge for run in got.segment.runs for edge in run]
    assert edges == sorted(set(edges))
    report = got.segment.report
    assert (report.n_duplicate, report.n_conflicting) == (duplicate, conflicting)
    assert (report.n_real, report.n_missing) == (real.sum(), (~real).sum())
    assert abs(report.offset_s) <= (MOST_JITTER + 0.1) / rate_hz + 1e-4
    assert not got.unreadable
    assert not [note for note in got.notes if "belong to no" in note or "cannot be decoded" in note]


rates = st.sampled_from([1.0, 20.0, 100.0])
archives = st.lists(files, min_size=1, max_size=4)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(archives, rates)
def test_a_random_archive_reads_as_the_model_says(found: list[File], rate_hz: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(found, rate_hz, Path(folder))


@pytest.mark.heavy
@settings(max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(archives, rates)
def test_thousands_of_random_archives_read_as_the_model_says(found: list[File], rate_hz: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(found, rate_hz, Path(folder))
