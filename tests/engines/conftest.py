"""Fixtures of the engines' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines.ray_cluster import RayCluster, running_cluster


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    """Two nodes of two CPUs, with a token; started once for all tests that ask for it."""
    with running_cluster() as cluster:
        yield cluster
