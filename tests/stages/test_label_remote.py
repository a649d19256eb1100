"""Labelling a cube in a bucket through a connection that spoils a part of its requests."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from scaledec.archive.folders import walk_files
from scaledec.config import Config
from scaledec.location import Location
from scaledec.places import Places
from scaledec.stages.label import LabelContext, Labeller
from scaledec.store.labels import LabelStore
from scaledec.vocabulary import WindowState
from tests.servers import FaultProxy
from tests.stages.small_cubes import small_run

N_CHANNELS, N_SEGMENTS = 2, 4


def copied(source: Path, target: Location) -> None:
    """Everything below a folder, to a bucket."""
    for path in source.rglob("*"):
        if path.is_file():
            target.child(*path.relative_to(source).parts).write_bytes(path.read_bytes())


def through(config: Config, context: LabelContext, root: Location) -> LabelContext:
    """The same work on a root elsewhere."""
    places = Places.at(root.url, root.storage_options)
    return LabelContext(
        places.cube, places.run("run"), places.labels("run"), config.window_grid, context.batch
    )


def test_faults_of_the_connection_change_no_byte_of_the_labels(
    tmp_path: Path, s3_options: dict[str, Any]
) -> None:
    small = small_run(tmp_path, N_CHANNELS, N_SEGMENTS)
    direct = Location(f"s3://bucket/{uuid.uuid4().hex}", s3_options)
    copied(tmp_path, direct)
    labeller = Labeller(small.context)
    results = [labeller.run(task) for task in small.tasks]

    proxy = FaultProxy(s3_options["endpoint_url"], share=0.25, seed=3, slow_s=0.05)
    with proxy.running() as url:
        spoilt = Location(direct.url, {**s3_options, "endpoint_url": url})
        remote = Labeller(through(small.config, small.context, spoilt))
        assert [r.details["checksum"] for r in map(remote.run, small.tasks)] == [
            r.details["checksum"] for r in results
        ]
    assert proxy.faults["503"] + proxy.faults["reset"] + proxy.faults["cut"] > 3
    assert any("/cube.zarr/power" in line for line, fault in proxy.requests if fault)
    here = {e.name: e for e in walk_files(small.context.labels)}
    there = Places.at(direct.url, s3_options).labels("run")
    assert {e.name for e in walk_files(there)} == set(here)
    for name in here:
        if name != "zarr.json":
            assert there.child(name).read_bytes() == small.context.labels.child(name).read_bytes()


@pytest.mark.heavy  # every request is tried again with growing waits
def test_a_segment_that_stays_out_of_reach_fails_its_task_alone(
    tmp_path: Path, s3_options: dict[str, Any]
) -> None:
    small = small_run(tmp_path, N_CHANNELS, N_SEGMENTS)
    direct = Location(f"s3://bucket/{uuid.uuid4().hex}", s3_options)
    copied(tmp_path, direct)
    proxy = FaultProxy(s3_options["endpoint_url"], share=1.0, kinds=("503",), only="/cube.zarr/power/c/0/3/")
    with proxy.running() as url:
        spoilt = Location(direct.url, {**s3_options, "endpoint_url": url})
        remote = Labeller(through(small.config, small.context, spoilt))
        results = {task.key: remote.run(task) for task in small.tasks}
    failed = [key for key, result in results.items() if result.status == "failed"]
    assert failed == ["XX.S00..HHZ/2020-01-01T00:20:00"]
    store = LabelStore.open(Places.at(direct.url, s3_options).labels("run"))
    assert (store.read_region(1, 0, N_SEGMENTS).label[:, :74] >= 0).all()
    assert (store.read_region(0, 2, 4).state == WindowState.NOT_LABELLED).all()
