from __future__ import annotations

import numpy as np
import pytest

from scaledec.archive.miniseed import read_pieces
from scaledec.archive.write import Encoding, write_miniseed
from scaledec.vocabulary import ChannelId
from tests.archive.making import CHANNEL, START_NS, numbers


@pytest.mark.parametrize("encoding", ["steim1", "steim2", "int32", "float32", "float64"])
@pytest.mark.parametrize("version", [2, 3])
def test_samples_written_in_any_encoding_read_back_equal(encoding: Encoding, version: int) -> None:
    dtype = {"float32": np.float32, "float64": np.float64}.get(encoding, np.int32)
    samples = (1000 * np.random.default_rng(0).standard_normal(5000)).astype(dtype)
    data = write_miniseed(
        CHANNEL, START_NS, 100.0, samples, encoding=encoding, format_version=3 if version == 3 else 2
    )
    (piece,) = read_pieces(data, name="a file").pieces
    assert piece.channel == CHANNEL
    assert piece.start_ns == START_NS
    assert piece.sampling_rate_hz == 100.0
    assert piece.samples.dtype == dtype
    np.testing.assert_array_equal(piece.samples, samples)


def test_records_have_the_length_asked_for_and_an_empty_location_stays_empty() -> None:
    channel = ChannelId("XX", "AAA", "", "HHZ")
    data = write_miniseed(channel, START_NS, 100.0, numbers(20_000), record_length=4096)
    assert len(data) % 4096 == 0
    assert read_pieces(data, name="a file").pieces[0].channel == channel


def test_start_times_keep_their_microseconds() -> None:
    data = write_miniseed(CHANNEL, START_NS + 123_456_000, 100.0, numbers(10))
    assert read_pieces(data, name="a file").pieces[0].start_ns == START_NS + 123_456_000


def test_no_samples_make_no_bytes() -> None:
    assert write_miniseed(CHANNEL, START_NS, 100.0, numbers(0)) == b""


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (np.zeros((2, 2), np.int32), "one dimension"),
        (np.array([0.5]), "needs one dimension of int32"),
        (np.array([2**40]), "beyond the 32 bits"),
        (np.array([0, 2**30], np.int32), "cannot write XX.AAA.00.HHZ as steim2"),
    ],
)
def test_samples_that_do_not_fit_are_refused(samples: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        write_miniseed(CHANNEL, START_NS, 100.0, samples)
