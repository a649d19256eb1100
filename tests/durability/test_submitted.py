"""`scaledec submit` on a real cluster of two nodes does what `scaledec run` does here."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.durability.children import LONGEST_S, SCALEDEC, differences
from tests.durability.conftest import Reference, write_config
from tests.engines.ray_cluster import RayCluster, running_cluster

pytestmark = [pytest.mark.durability, pytest.mark.ray]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with running_cluster(nodes=2, cpus=2) as cluster:
        yield cluster


def actors(cluster: RayCluster) -> list[dict[str, Any]]:
    """Every actor that the cluster has had."""
    request = urllib.request.Request(
        f"{cluster.dashboard}/api/v0/actors?limit=1000",
        headers={"Authorization": f"Bearer {cluster.token}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]["result"]
    return found


def test_a_submitted_run_gives_the_same_cube_and_labels_from_workers_on_both_nodes(
    cluster: RayCluster, two_days: Path, reference: Reference, tmp_path: Path
) -> None:
    work = write_config(tmp_path, two_days)
    ended = subprocess.run(
        [SCALEDEC, "submit", work.config, "--address", cluster.dashboard],
        env=cluster.environment(),
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    told = f"{ended.stdout}\n--- stderr\n{ended.stderr}"
    assert ended.returncode == 0, told
    assert "label: " in ended.stdout, told
    assert not differences(work.cube, reference.work.cube), told
    assert not differences(work.labels, reference.work.labels), told
    found = actors(cluster)
    nodes = {actor["node_id"] for actor in found if actor["class_name"] == "_WorkerActor"}
    assert len(nodes) == 2, f"Dask's workers were on {len(nodes)} node: {found}"


def test_a_submitted_run_that_is_refused_returns_the_codes_of_run(
    cluster: RayCluster, tmp_path: Path
) -> None:
    work = write_config(tmp_path, tmp_path / "no-archive")
    ended = subprocess.run(
        [SCALEDEC, "submit", work.config, "--address", cluster.dashboard],
        env=cluster.environment(),
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "no-archive" in ended.stdout + ended.stderr
