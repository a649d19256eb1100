"""Who only reads a root learns headers for himself: nothing is written below it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scaledec.archive.archive import open_archive
from scaledec.archive.borrowed_index import BorrowedIndex
from scaledec.config import ArchiveConfig
from scaledec.location import Location
from scaledec.report.gather.waveforms import WaveformReader
from scaledec.vocabulary import ChannelId
from tests.archive.making import DAY_NS, START_NS, put_day, record_bytes

CHANNEL = ChannelId.parse("XX.AAA.00.HHZ")


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_samples_of_a_new_file_are_read_and_the_roots_index_stays_as_it_was(tmp_path: Path) -> None:
    config = ArchiveConfig(url=str(tmp_path / "archive"), layout="files")
    kept = Location(str(tmp_path / "index"))
    samples = np.arange(400, dtype=np.int32)
    put_day(tmp_path / "archive", START_NS, record_bytes(START_NS, samples, rate_hz=10.0))
    open_archive(config, kept).listing([str(CHANNEL)], None, None)
    before = files_of(tmp_path / "index")
    put_day(tmp_path / "archive", START_NS + DAY_NS, record_bytes(START_NS + DAY_NS, samples, rate_hz=10.0))
    found = WaveformReader(config, kept).read(CHANNEL, START_NS + DAY_NS, START_NS + DAY_NS + 10 * 10**9)
    assert found is not None
    np.testing.assert_allclose(found.samples, samples[:100] - samples[:100].mean())
    assert before
    assert files_of(tmp_path / "index") == before


def test_the_copy_holds_what_is_known_and_goes_with_its_owner(tmp_path: Path) -> None:
    kept = Location(str(tmp_path))
    kept.child("known").write_bytes(b"headers")
    borrowed = BorrowedIndex(kept)
    folder = Path(borrowed.location.path)
    assert borrowed.location.child("known").read_bytes() == b"headers"
    del borrowed
    assert not folder.exists()
