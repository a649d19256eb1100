"""Where the stores of these tests lie: a folder, memory, and a real S3 server."""

from __future__ import annotations

import uuid
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
