from __future__ import annotations

import numpy as np
import pytest

from scaledec.archive.miniseed import read_pieces, scan_headers
from scaledec.errors import UnreadableInputError
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId
from tests.archive.making import CHANNEL, START_NS, numbers, record_bytes

OTHER = ChannelId.parse("XX.AAA.00.HHN")
S = NANOSECONDS_PER_SECOND


def test_only_records_that_touch_the_interval_are_decoded() -> None:
    data = record_bytes(START_NS, numbers(50_000))
    taken: list[int] = []

    def allocate(number: int, dtype: object) -> np.ndarray:
        taken.append(number)
        return np.empty(number, np.int32)

    outcome = read_pieces(
        data,
        channel=CHANNEL,
        start_ns=START_NS + 20_000 * S,
        end_ns=START_NS + 20_010 * S,
        name="a file",
        allocate=allocate,
    )
    (piece,) = outcome.pieces
    first = (piece.start_ns - START_NS) // S
    assert sum(taken) == len(piece.samples) < 2000
    assert first <= 20_000 < 20_010 <= first + len(piece.samples)
    np.testing.assert_array_equal(piece.samples, numbers(len(piece.samples), first))


def test_a_record_that_ends_where_the_interval_begins_is_left_out() -> None:
    data = record_bytes(START_NS, numbers(10))
    late = read_pieces(data, channel=CHANNEL, start_ns=START_NS + 10 * S, end_ns=None, name="a file")
    early = read_pieces(data, channel=CHANNEL, start_ns=None, end_ns=START_NS, name="a file")
    assert late.pieces == early.pieces == ()


def test_other_channels_in_the_file_are_left_alone_and_reported() -> None:
    data = record_bytes(START_NS, numbers(10)) + record_bytes(START_NS, numbers(10), channel=OTHER)
    outcome = read_pieces(data, channel=CHANNEL, name="a file")
    assert [piece.channel for piece in outcome.pieces] == [CHANNEL]
    assert outcome.foreign == (str(OTHER),)


def test_a_file_without_the_wanted_channel_is_refused_saying_what_it_holds() -> None:
    with pytest.raises(UnreadableInputError, match=r"day\.ms holds XX\.AAA\.00\.HHN, not XX\.AAA\.00\.HHZ"):
        read_pieces(record_bytes(START_NS, numbers(10), channel=OTHER), channel=CHANNEL, name="day.ms")


def test_records_out_of_time_order_give_one_piece() -> None:
    parts = [record_bytes(START_NS + first * S, numbers(100, first)) for first in (200, 0, 100)]
    (piece,) = read_pieces(b"".join(parts), channel=CHANNEL, name="a file").pieces
    np.testing.assert_array_equal(piece.samples, numbers(300))


def test_a_truncated_last_record_is_dropped_and_counted() -> None:
    data = record_bytes(START_NS, numbers(2000))
    whole = read_pieces(data, channel=CHANNEL, name="a file").pieces[0].samples
    outcome = read_pieces(data[:-200], channel=CHANNEL, name="a file")
    kept = outcome.pieces[0].samples
    assert 0 < len(kept) < len(whole)
    np.testing.assert_array_equal(kept, whole[: len(kept)])
    assert outcome.dropped_bytes == 312
    begin = len(data) - 512
    assert outcome.notes == (f"312 bytes belong to no readable record: {begin} to {begin + 312}",)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("garbage", [b"x", b"\n", b"<html>Bad gateway</html>" * 40, bytes(512)])
def test_garbage_before_between_and_after_records_costs_no_record(garbage: bytes, version: int) -> None:
    records = [
        record_bytes(START_NS + first * S, numbers(100, first), format_version=version)
        for first in (0, 100, 200)
    ]
    for data in (garbage.join([b"", *records]), garbage.join(records), b"".join(records) + garbage):
        outcome = read_pieces(data, channel=CHANNEL, name="a file")
        np.testing.assert_array_equal(outcome.pieces[0].samples, numbers(300))
        assert outcome.dropped_bytes == len(data) - sum(map(len, records))
        assert any("belong to no readable record" in note for note in outcome.notes)


def test_one_damaged_record_costs_only_itself() -> None:
    records = [
        record_bytes(START_NS + first * S, numbers(100, first), rate_hz=1.0) for first in (0, 100, 200)
    ]
    damaged = bytearray(records[1])
    damaged[64:] = b"\xff" * (len(damaged) - 64)
    outcome = read_pieces(records[0] + bytes(damaged) + records[2], channel=CHANNEL, name="a file")
    assert [len(piece.samples) for piece in outcome.pieces] == [100, 100]
    assert outcome.dropped_bytes == len(damaged)
    assert "1 records cannot be decoded: 512 bytes at 512" in outcome.notes[0]


def test_a_damaged_miniseed_3_record_fails_its_checksum_and_costs_only_itself() -> None:
    records = [
        record_bytes(START_NS + first * S, numbers(100, first), format_version=3) for first in (0, 100, 200)
    ]
    damaged = bytearray(records[1])
    damaged[-1] ^= 0x55
    outcome = read_pieces(records[0] + bytes(damaged) + records[2], channel=CHANNEL, name="a file")
    assert sum(len(piece.samples) for piece in outcome.pieces) == 200
    assert outcome.dropped_bytes == len(damaged)


RECORDS = 6
"""In the file of the next test: 512 bytes and 100 samples each."""


@pytest.mark.parametrize("record", range(RECORDS))
@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (54, b"\x0a", "512 bytes belong to no readable record: {at} to {end}"),  # longer than it is
        (54, b"\x0c", "512 bytes belong to no readable record: {at} to {end}"),
        (54, b"\x29", "512 bytes belong to no readable record: {at} to {end}"),  # 2 ** 41 bytes
        (54, b"\x20", "512 bytes belong to no readable record: {at} to {end}"),  # 2 ** 32, which is 1
        (54, b"\x07", "1 records cannot be decoded: 128 bytes at {at}"),  # shorter
        (46, b"\0\0", "1 records cannot be decoded: 512 bytes at {at}"),  # no blockette
        (48, b"\0\0", "1 records cannot be decoded: 512 bytes at {at}"),  # of no known kind
        (52, b"\0", "1 text records of XX.AAA.00.HHZ hold no samples"),
        (52, b"\x63", "1 records cannot be decoded: 512 bytes at {at}"),  # no known encoding
        (30, b"\0\0", "1 records say that they hold no samples"),
        (30, b"\xff\xff", "1 records cannot be decoded: 512 bytes at {at}"),
        (6, b"\0", "512 bytes belong to no readable record: {at} to {end}"),
    ],
)
def test_a_wrong_field_of_one_header_costs_that_record_alone_and_is_told(
    record: int, place: int, value: bytes, said: str
) -> None:
    """libmseed steps over what follows a record that says it is longer, without a word."""
    data = bytearray(
        b"".join(record_bytes(START_NS + 100 * n * S, numbers(100, 100 * n)) for n in range(RECORDS))
    )
    at = 512 * record
    data[at + place : at + place + len(value)] = value
    outcome = read_pieces(bytes(data), channel=CHANNEL, name="a file")
    got = np.concatenate([piece.samples for piece in outcome.pieces])
    expected = numbers(100 * RECORDS)
    np.testing.assert_array_equal(got, np.delete(expected, np.s_[100 * record : 100 * record + 100]))
    assert any(said.format(at=at, end=at + 512) in note for note in outcome.notes), outcome.notes


def test_where_most_is_lost_the_first_places_are_named_and_the_others_counted() -> None:
    data = b"junk".join(record_bytes(START_NS + 100 * n * S, numbers(100, 100 * n)) for n in range(9))
    (note,) = read_pieces(data, channel=CHANNEL, name="a file").notes
    assert note == (
        "32 bytes belong to no readable record: 512 to 516, 1028 to 1032, 1544 to 1548 and 5 more"
    )


def test_encodings_may_change_within_an_unbroken_stretch() -> None:
    data = record_bytes(START_NS, numbers(100)) + record_bytes(
        START_NS + 100 * S, numbers(100, 100).astype(np.float32), encoding="float32"
    )
    outcome = read_pieces(data, channel=CHANNEL, name="a file")
    joined = np.concatenate([piece.samples for piece in outcome.pieces])
    np.testing.assert_array_equal(joined, numbers(200))
    assert outcome.dropped_bytes == 0


def test_a_clock_that_drifts_is_followed_record_by_record() -> None:
    """Each record comes a tenth of a sample late: together they are ten samples late at the end."""
    data = b"".join(
        record_bytes(START_NS + number * (100 * S + S // 10), numbers(100, 100 * number))
        for number in range(100)
    )
    for piece in read_pieces(data, channel=CHANNEL, name="a file").pieces:
        number, rest = divmod(int(piece.samples[0]), 100)
        assert rest == 0
        for record in range(len(piece.samples) // 100):
            placed = piece.start_ns + record * 100 * S
            assert abs(placed - (START_NS + (number + record) * (100 * S + S // 10))) <= 0.1001 * S


def test_nothing_but_text_records_is_no_fault_of_the_file_but_gives_no_samples() -> None:
    from pymseed import DataEncoding, MS3TraceList

    with MS3TraceList() as traces:
        traces.add_data("FDSN:XX_AAA_00_H_H_Z", b"clock locked", "t", 0.0, starttime=START_NS)
        text = b"".join(traces.generate(encoding=DataEncoding.TEXT, format_version=2, max_record_length=512))
    assert read_pieces(text, name="a file").notes == (f"1 text records of {CHANNEL} hold no samples",)
    mixed = read_pieces(text + record_bytes(START_NS, numbers(10)), channel=CHANNEL, name="a file")
    assert sum(len(piece.samples) for piece in mixed.pieces) == 10


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is empty"),
        (b"<html><head><title>503</title>", "text that begins '<html><head><title>503</title>'"),
        (bytes(range(128, 256)) * 8, "begins with the bytes 80 81 82"),
    ],
)
def test_what_is_no_miniseed_at_all_is_refused_with_its_first_words(data: bytes, said: str) -> None:
    for read in (read_pieces, scan_headers):
        with pytest.raises(UnreadableInputError) as refused:
            read(data, name="2021/day.ms")
        assert said in str(refused.value)
        assert "2021/day.ms" in str(refused.value)


def test_headers_alone_give_channels_spans_and_rates() -> None:
    data = (
        record_bytes(START_NS, numbers(10))
        + record_bytes(START_NS + 20 * S, numbers(5))
        + record_bytes(START_NS, numbers(40), channel=OTHER, rate_hz=20.0)
    )
    spans = [
        (str(s.channel), s.start_ns - START_NS, s.end_ns - START_NS, s.sampling_rate_hz)
        for s in scan_headers(data, "x")
    ]
    assert spans == [
        (str(OTHER), 0, 2 * S, 20.0),
        (str(CHANNEL), 0, 10 * S, 1.0),
        (str(CHANNEL), 20 * S, 25 * S, 1.0),
    ]


def test_random_damage_never_ends_in_anything_but_pieces_or_a_refusal() -> None:
    random = np.random.default_rng(7)
    good = b"".join(
        record_bytes(START_NS + first * S, numbers(300, first), format_version=version)
        for version in (2, 3)
        for first in (0, 300)
    )
    for _ in range(400):
        data = bytearray(good)
        for place in random.integers(0, len(data), random.integers(1, 30)):
            data[place] = random.integers(0, 256)
        del data[random.integers(1, len(data)) :]
        try:
            outcome = read_pieces(bytes(data), name="a file")
        except UnreadableInputError:
            continue
        assert all(len(piece.samples) <= 2 * len(data) for piece in outcome.pieces)
        assert 0 <= outcome.dropped_bytes <= len(data)
