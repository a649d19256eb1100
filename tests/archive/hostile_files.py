"""Broken miniSEED without end: seeded mutations of good and odd files, with the fields that hurt most."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scaledec.archive.write import Encoding, write_miniseed
from scaledec.vocabulary import ChannelId
from tests.archive.making import CHANNEL, START_NS

# (offset, bytes) of fields of a header. miniSEED 2: sequence and quality, codes, time, samples, rate factor
# and multiplier, flags, number of blockettes, time correction, data offset, first blockette; then, where
# it mostly stands, blockette 1000: kind, next one, encoding, byte order, record length.
FIELDS_2 = (
    *(
        (0, 6),
        (6, 1),
        (8, 5),
        (13, 2),
        (15, 3),
        (18, 2),
        (20, 10),
        (20, 2),
        (22, 2),
        (24, 1),
        (28, 2),
        (30, 2),
    ),
    *(
        (32, 2),
        (34, 2),
        (36, 1),
        (37, 1),
        (39, 1),
        (40, 4),
        (44, 2),
        (46, 2),
        (48, 2),
        (50, 2),
        (52, 1),
        (53, 1),
    ),
    (54, 1),
)
# miniSEED 3: version, flags, time, encoding, rate, samples, checksum, version, lengths of id, extra, payload.
FIELDS_3 = (
    (2, 1),
    (3, 1),
    (4, 4),
    (8, 8),
    (15, 1),
    (16, 8),
    (24, 4),
    (28, 4),
    (32, 1),
    (33, 1),
    (34, 2),
    (36, 4),
    (40, 9),
)
BLOCKETTES = (0, 48, 56, 64, 100, 200, 201, 300, 310, 320, 390, 395, 400, 405, 500, 1000, 1001, 2000)
ENCODINGS: tuple[Encoding, ...] = ("steim1", "steim2", "int32", "float32", "float64")
LONGEST_SEED = 16_384
OTHER = ChannelId.parse("XX.BBB.00.HHN")


def good_files() -> list[bytes]:
    """Files of every encoding, format and several record lengths, of one channel and of two."""
    values = np.random.default_rng(1).integers(-1000, 1000, 1500).cumsum()
    found = []
    for encoding in ENCODINGS:
        samples = values.astype(encoding if encoding.startswith("float") else np.int32)
        for version in (2, 3):
            for length in (256, 512, 4096):
                for channels in ((CHANNEL,), (CHANNEL, OTHER)):
                    parts = [
                        write_miniseed(
                            channel,
                            START_NS,
                            100.0,
                            samples,
                            record_length=length,
                            encoding=encoding,
                            format_version=version,
                        )
                        for channel in channels
                    ]
                    found.append(b"".join(parts)[:LONGEST_SEED])
    return found


def odd_files(folder: Path) -> list[bytes]:
    """The beginnings of all odd files."""
    paths = sorted(
        path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".md", ".tsv")
    )
    return [data[:LONGEST_SEED] for path in paths if (data := path.read_bytes())]


def mutant(seeds: Sequence[bytes], number: int) -> bytes:
    """The file of this number: the same for the same seeds on every machine."""
    choose = random.Random(number)
    data = bytearray(choose.choice(seeds))
    for _ in range(choose.randint(1, 4)):
        if data:
            choose.choice((_flip, _cut, _splice, _field, _field, _field, _insert, _repeat))(
                data, seeds, choose
            )
    return bytes(data)


def _flip(data: bytearray, seeds: Sequence[bytes], choose: random.Random) -> None:
    for _ in range(choose.randint(1, 20)):
        data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)


def _cut(data: bytearray, seeds: Sequence[bytes], choose: random.Random) -> None:
    del data[choose.randrange(len(data)) :]


def _splice(data: bytearray, seeds: Sequence[bytes], choose: random.Random) -> None:
    """A part of another file, in place of as much or in between."""
    other = choose.choice(seeds)
    begin, at = choose.randrange(len(other)), choose.randrange(len(data))
    part = other[begin : begin + choose.choice((16, 64, 512, 4096))]
    data[at : at + len(part) * choose.randrange(2)] = part


def _field(data: bytearray, seeds: Sequence[bytes], choose: random.Random) -> None:
    """One field of a header, or of what stands where a header could, to an extreme or a likely value."""
    header = choose.choice((0, 0, 256, 512, 4096, choose.randrange(0, len(data), 64)))
    if header + 64 > len(data):
        return
    offset, length = choose.choice(FIELDS_3 if data[header : header + 2] == b"MS" else FIELDS_2)
    small = choose.choice((*BLOCKETTES, choose.randrange(200)))
    value = choose.choice(
        (
            bytes(length),
            b"\xff" * length,
            b"\x7f" + b"\xff" * (length - 1),
            b"\x80" + bytes(length - 1),
            choose.randbytes(length),
            (small % 256**length).to_bytes(length, choose.choice(("big", "little"))),
        )
    )
    data[header + offset : header + offset + length] = value


def _insert(data: bytearray, seeds: Sequence[bytes], choose: random.Random) -> None:
    at = choose.randrange(len(data))
    data[at:at] = choose.randbytes(choose.choice((1, 7, 64, 512)))


def _repeat(data: bytearray, seeds: Sequence[bytes], choose: random.Random) -> None:
    at = choose.randrange(len(data))
    data[at:at] = data[at : at + choose.choice((64, 512, 1024))] * choose.randint(1, 3)
