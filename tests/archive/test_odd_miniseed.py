"""All odd files of three projects' test suites against independent readings of them, one by one and as one.

``odd_files.tsv`` says of each what happens to it; ``odd_files.py`` how the table is made.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from scaledec.archive.miniseed import read_pieces, scan_headers
from scaledec.config import parse_config
from scaledec.errors import UnreadableInputError
from scaledec.ledger.ledger import Ledger
from scaledec.pipeline.outcome import Outcome
from scaledec.pipeline.run import build_cube
from scaledec.places import Places
from scaledec.vocabulary import ChannelId, TaskResult, parse_task_key, task_key
from tests.archive.odd_files import Row, S, files_of, read_table, row, with_obspy, with_pymseed

TABLE = read_table()
LONGEST_S = 5.0
DAY_NS = 86_400 * S

FOLLOWED = {
    "obspy_testdata/io_mseed/encoding/nan_float32.mseed": "pymseed: a channel without a code is '__'",
    "obspy_testdata/io_mseed/encoding/nan_float64.mseed": "pymseed: a channel without a code is '__'",
    "obspy_testdata/io_mseed/gecko_non_ascii_header.ms": "pymseed: a location that is not ASCII is none, "
    "where ObsPy takes what is left of it",
}
"""Where ObsPy and pymseed disagree: whom we follow. Samples and times agree in all three."""


@pytest.fixture(scope="module")
def odd(real_data: Path) -> Path:
    return real_data / "odd_miniseed"


def test_the_table_has_every_file_and_no_other(odd: Path) -> None:
    assert [expected.path for expected in TABLE] == files_of(odd)
    assert len(TABLE) > 180


# By a thread: a signal would wait for a compiled loop that does not end.
@pytest.mark.timeout(60, method="thread")
@pytest.mark.parametrize("expected", TABLE, ids=lambda expected: expected.path)
def test_what_becomes_of_each_file_is_what_the_table_says(odd: Path, expected: Row) -> None:
    began = time.monotonic()
    found = row(odd, expected.path)
    assert time.monotonic() - began < LONGEST_S
    assert found == expected


def test_what_obspy_or_pymseed_reads_is_read_as_they_do() -> None:
    for expected in TABLE:
        opinions = {expected.obspy, expected.pymseed}
        if "differs" in opinions:
            assert expected.path in FOLLOWED
            assert expected.pymseed == "same"
        elif opinions == {"-"}:
            assert expected.outcome in ("refused", "noted"), expected
            assert expected.said
        else:
            assert expected.outcome != "refused" or expected.said == "it is empty"
    assert FOLLOWED.keys() == {expected.path for expected in TABLE if expected.obspy == "differs"}


def test_headers_and_samples_of_every_readable_file_agree(odd: Path) -> None:
    for expected in TABLE:
        if expected.outcome in ("read", "noted"):
            data = (odd / expected.path).read_bytes()
            spans = {span.channel for span in scan_headers(data, expected.path)}
            assert {piece.channel for piece in read_pieces(data, name=expected.path).pieces} <= spans


def test_an_error_page_saved_as_data_is_refused_with_its_first_words(odd: Path) -> None:
    (path,) = odd.glob("http404_saved_as_data*")
    with pytest.raises(UnreadableInputError, match="text that begins 'Error 404: No data selected"):
        read_pieces(path.read_bytes(), name=path.name)


# All files as one archive through the whole cube stage.

CUBE_RATE_HZ = 20


@pytest.fixture(scope="module")
def built(odd: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Mapping[str, TaskResult]]:
    root = tmp_path_factory.mktemp("odd") / "root"
    config = parse_config(
        f"""
        root: {root}
        archive: {{layout: files, url: {odd}}}
        spectrogram: {{sampling_rate_hz: {CUBE_RATE_HZ}, segment_s: 86400, window_s: 6.4}}
        windows: {{length_s: 64}}
        compute: {{engine: serial}}
        """
    )
    return build_cube(config), Ledger(Places.at(config.root).ledger("cube")).read()


Built = tuple[Outcome, Mapping[str, TaskResult]]


def test_as_one_archive_every_refused_file_is_listed_with_its_reason(built: Built) -> None:
    outcome, _ = built
    listed = {failure.key: failure.reason for failure in outcome.failures}
    for expected in TABLE:
        # A header that can be read names a channel and a time: its segment fails in the object's stead.
        if expected.outcome == "refused":
            reason = listed.get(expected.path) or next(
                (reason for reason in listed.values() if expected.path in reason), ""
            )
            assert expected.said in reason, expected.path
    assert outcome.exit_code == 3


def test_as_one_archive_channels_slower_than_the_cube_are_refused_with_both_rates(
    built: Built, rates: dict[str, dict[float, set[int]]]
) -> None:
    _, results = built
    slow = {channel for channel, found in rates.items() if max(found) < CUBE_RATE_HZ}
    refused = {
        str(parse_task_key(key)[0]): result.reason
        for key, result in results.items()
        if "slower than the 20 Hz of the cube" in (result.reason or "")
    }
    assert len(slow) > 15
    assert slow <= refused.keys()
    for channel in slow:
        assert "sampled at" in str(refused[channel])


@pytest.fixture(scope="module")
def rates(odd: Path) -> dict[str, dict[float, set[int]]]:
    """By channel and rate the instants of every sample, by pymseed record for record, or else by ObsPy."""
    found: dict[str, dict[float, set[int]]] = defaultdict(lambda: defaultdict(set))
    for expected in TABLE:
        data = (odd / expected.path).read_bytes()
        for channel, start_ns, rate_hz, samples in with_pymseed(data) or with_obspy(data) or []:
            real = np.flatnonzero(np.isfinite(samples))
            found[channel][rate_hz].update((start_ns + np.rint(real * (S / rate_hz)).astype(int)).tolist())
    return found


def test_as_one_archive_every_sample_of_a_channel_of_one_rate_is_in_its_segment(
    built: Built, rates: dict[str, dict[float, set[int]]]
) -> None:
    """Counted on the grid of each day: what several files hold of one instant is one sample."""
    _, results = built
    checked = 0
    for channel, by_rate in rates.items():
        if len(by_rate) > 1 or not all(rate >= CUBE_RATE_HZ and rate.is_integer() for rate in by_rate):
            continue
        (rate_hz,) = map(round, by_rate)
        days = defaultdict(set)
        for instant in by_rate[rate_hz]:
            position = (instant * rate_hz + S // 2) // S  # the nearest grid point
            days[position // (86_400 * rate_hz)].add(position)
        for day, expected in days.items():
            result = results[task_key(ChannelId.parse(channel), day * DAY_NS)]
            assert result.details["n_samples"] == pytest.approx(len(expected), abs=2), result
            assert result.status in ("done", "empty")
            checked += len(expected)
    assert checked > 300_000


def test_as_one_archive_what_a_damaged_file_lost_is_told_in_the_ledger(built: Built) -> None:
    _, results = built
    notes = [str(note) for result in results.values() for note in result.details.get("notes", ())]  # type: ignore[union-attr]
    for name, said in (
        ("brokenlastrecord.mseed", "2206 bytes belong to no readable record: 4096 to 6302"),
        ("various_noise_records.mseed", "2432 bytes belong to no readable record"),
        ("blockette008.mseed", "512 bytes belong to no readable record: 0 to 512"),
    ):
        told = [note for note in notes if name in note]
        assert any(said in note for note in told), (name, told)
