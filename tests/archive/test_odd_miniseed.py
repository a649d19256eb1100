"""All odd files of three projects' test suites against independent readings of them."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pymseed import MS3Record

from scaledec.archive.miniseed import read_pieces, scan_headers
from scaledec.errors import UnreadableInputError

Samples = npt.NDArray[Any]


@pytest.fixture(scope="module")
def matrix(real_data: Path) -> dict[Path, tuple[bool, bool]]:
    """For each file that is there: whether ObsPy and whether pymseed read it."""
    folder = real_data / "odd_miniseed"
    with (folder / "odd_miniseed_read_matrix.tsv").open() as lines:
        rows = list(csv.reader(lines, delimiter="\t"))[1:]
    found = {
        folder / row[0]: (row[2].startswith("ok"), row[3].startswith("ok"))
        for row in rows
        if (folder / row[0]).is_file()
    }
    assert len(found) > 150
    return found


def obspy_samples(data: bytes) -> Samples:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import obspy

        stream = obspy.read(io.BytesIO(data), format="MSEED")
    traces = [trace for trace in stream if trace.data.dtype.kind in "if"]
    traces.sort(key=lambda trace: (trace.id, trace.stats.starttime, -trace.stats.npts))
    return joined(trace.data for trace in traces)


def pymseed_samples(data: bytes) -> Samples:
    """Record by record, joined in time order within a channel."""
    parts = [
        (record.sourceid, record.starttime, np.array(record.np_datasamples))
        for record in MS3Record.from_buffer(data, unpack_data=True)
        if record.numsamples and record.sampletype in ("i", "f", "d")
    ]
    parts.sort(key=lambda part: part[:2])
    return joined(samples for *_, samples in parts)


def joined(parts: Any) -> Samples:
    found = [np.asarray(part, np.float64) for part in parts]
    return np.concatenate(found) if found else np.empty(0)


def our_samples(data: bytes, name: str) -> Samples:
    pieces = sorted(
        read_pieces(data, name=name).pieces, key=lambda p: (str(p.channel), p.start_ns, -len(p.samples))
    )
    return joined(piece.samples for piece in pieces)


def differences(matrix: dict[Path, tuple[bool, bool]]) -> Iterator[str]:
    for path, (obspy_reads, pymseed_reads) in matrix.items():
        data = path.read_bytes()
        if not data or not (obspy_reads or pymseed_reads):
            continue
        expected = obspy_samples(data) if obspy_reads else pymseed_samples(data)
        got = our_samples(data, path.name)
        if not np.array_equal(np.sort(got), np.sort(expected)):
            yield f"{path.name}: {len(got)} samples, expected {len(expected)}"
        elif obspy_reads and pymseed_reads and not np.array_equal(got, pymseed_samples(data)):
            yield f"{path.name}: the samples come in another order than their records"


def test_every_file_that_obspy_or_pymseed_reads_gives_the_same_samples(
    matrix: dict[Path, tuple[bool, bool]],
) -> None:
    assert list(differences(matrix)) == []


def test_every_file_that_neither_reads_is_refused_or_keeps_its_good_records_and_counts_the_rest(
    matrix: dict[Path, tuple[bool, bool]],
) -> None:
    refused = 0
    for path, readers in matrix.items():
        data = path.read_bytes()
        if any(readers) and data:
            continue
        try:
            outcome = read_pieces(data, name=path.name)
        except UnreadableInputError:
            refused += 1
        else:
            assert outcome.dropped_bytes > 0
            assert outcome.notes
    assert refused >= 7


def test_headers_and_samples_of_every_readable_file_agree(matrix: dict[Path, tuple[bool, bool]]) -> None:
    for path, readers in matrix.items():
        data = path.read_bytes()
        if not all(readers) or not data:
            continue
        spans = {span.channel for span in scan_headers(data, path.name)}
        assert {piece.channel for piece in read_pieces(data, name=path.name).pieces} <= spans


def test_miniseed_3_which_obspy_cannot_read_is_read(real_data: Path) -> None:
    path = real_data / "odd_miniseed/libmseed/testdata-3channel-signal.mseed3"
    outcome = read_pieces(path.read_bytes(), name=path.name)
    assert sum(len(piece.samples) for piece in outcome.pieces) == 12_600


def test_what_pymseed_refuses_is_read_with_obspy_and_said_so(real_data: Path) -> None:
    path = real_data / "odd_miniseed/obspy_testdata/io_mseed/microsecond_wrap.mseed"
    outcome = read_pieces(path.read_bytes(), name=path.name)
    assert sum(len(piece.samples) for piece in outcome.pieces) == 277
    assert "read with ObsPy: pymseed cannot" in outcome.notes


def test_an_error_page_saved_as_data_is_refused_with_its_first_words(real_data: Path) -> None:
    (path,) = (real_data / "odd_miniseed").glob("http404_saved_as_data*")
    with pytest.raises(UnreadableInputError, match="text that begins 'Error 404: No data selected"):
        read_pieces(path.read_bytes(), name=path.name)
