"""Headers are read by another process: where the compiled library crashes or hangs, it alone ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scaledec.archive.apart import HeaderReader
from scaledec.archive.archive import Archive
from scaledec.archive.miniseed import scan_headers
from scaledec.errors import UnreadableInputError
from scaledec.location import Location
from tests.archive.making import CHANNEL, START_NS, numbers, record_bytes

# No file is known at which libmseed crashes or hangs. So the process is given some: loaded at its start, this
# does it where these bytes are parsed.
SPOILT = """
import os
import signal
import time
import pymseed

_add_buffer = pymseed.MS3TraceList.add_buffer


def add_buffer(self, buffer, **how):
    if b"a fault of the C library" in bytes(buffer):
        os.kill(os.getpid(), signal.SIGSEGV)
    if b"it hangs" in bytes(buffer):
        time.sleep(1000)
    return _add_buffer(self, buffer, **how)


pymseed.MS3TraceList.add_buffer = add_buffer
"""
GOOD = record_bytes(START_NS, numbers(3600))


def spoilt(how: bytes) -> bytes:
    return GOOD[:128] + how + GOOD[128 + len(how) :]


@pytest.fixture
def spoilt_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "sitecustomize.py").write_text(SPOILT)
    monkeypatch.syspath_prepend(str(tmp_path / "library"))


@pytest.fixture
def reader(spoilt_library: None) -> Iterator[HeaderReader]:
    found = HeaderReader(longest_s=1.5)
    yield found
    found.close()


def children() -> set[int]:
    return {process.pid for process in psutil.Process().children()}


def test_what_it_reads_is_what_this_process_reads(reader: HeaderReader) -> None:
    before = children()
    assert reader.scan(GOOD, "a") == scan_headers(GOOD, "a")
    (pid,) = children() - before
    with pytest.raises(UnreadableInputError, match=r"notes\.txt .* text that begins 'changed the battery'"):
        reader.scan(b"changed the battery", "notes.txt")
    assert reader.scan(GOOD, "b") == scan_headers(GOOD, "b")
    assert children() - before == {pid}, "one process reads all"


def test_a_crash_and_a_hang_are_reasons_and_the_next_object_is_read(reader: HeaderReader) -> None:
    with pytest.raises(
        UnreadableInputError, match=rf"^bad: .* ended with code -{signal.SIGSEGV.value}, by a fault"
    ):
        reader.scan(spoilt(b"a fault of the C library"), "bad")
    assert reader.scan(GOOD, "good") == scan_headers(GOOD, "good")
    began = time.monotonic()
    with pytest.raises(UnreadableInputError, match=r"^slow: .* made no progress and was ended"):
        reader.scan(spoilt(b"it hangs"), "slow")
    assert time.monotonic() - began < 20
    assert reader.scan(GOOD, "good") == scan_headers(GOOD, "good")


def test_an_archive_is_indexed_around_the_file_that_kills(
    tmp_path: Path, reader: HeaderReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaledec.archive.apart._reader", reader)
    data = tmp_path / "data"
    data.mkdir()
    for name, content in (("a", GOOD), ("b", spoilt(b"a fault of the C library")), ("c", GOOD)):
        (data / name).write_bytes(content)
    archive = Archive(Location(str(data)), "files", Location(str(tmp_path / "index")))
    listing = archive.listing()
    assert [item.key for item in listing.objects_for(CHANNEL, START_NS, START_NS + 10**9)] == ["a", "c"]
    ((item, reason),) = listing.unreadable
    assert item.key == "b"
    assert "by a fault of a compiled library" in reason
    before = children()
    os.utime(data / "a")
    assert archive.listing().unreadable == listing.unreadable, "it is not tried again before it changes"
    assert children() == before
