"""A whole run, from miniSEED to labels, with everything in a bucket behind a connection full of faults."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

import scaledec as sd
from scaledec.archive.folders import walk_files
from scaledec.config import Config
from scaledec.location import Location
from scaledec.places import Places
from tests.pipeline.test_object_store import N_TASKS, configure, put_archive, through
from tests.servers import FaultProxy

pytestmark = pytest.mark.heavy

SETTINGS = (
    "run=faults",
    "model={widths: [4, 8], latent: 3}",
    "pretrain={windows: 600, epochs: 4, batch: 32}",
    "cluster={n_clusters: 3, restarts: 2, epochs: 3, batch: 64}",
    "label={segments_per_shard: 2}",
)


def products(config: Config) -> dict[str, bytes]:
    """Every object of the cube and of the labels, and the model's weights."""
    places = Places.at(config.root, config.storage_options)
    stores = {"cube": places.cube, "labels": places.labels("faults"), "run": places.run("faults")}
    found = {
        f"{name}/{entry.name}": place.child(*entry.name.split("/")).read_bytes()
        for name, place in stores.items()
        for entry in walk_files(place)
    }
    return {
        name: data
        for name, data in found.items()
        if not name.startswith("run/") or name == "run/model.safetensors" or "training.zarr" in name
    }


def test_a_tenth_of_all_requests_may_fail_and_model_and_labels_are_the_same(
    s3_options: dict[str, Any], tmp_path: Path
) -> None:
    local = Location(str(tmp_path / "local"))
    put_archive(local.child("archive"))
    here = configure(local, *SETTINGS)
    assert all(outcome.exit_code == 0 for outcome in sd.run(here))
    expected = products(here)
    assert "run/model.safetensors" in expected
    assert sum(name.startswith("cube/power/c/") for name in expected) == N_TASKS

    direct = Location(f"s3://bucket/{uuid.uuid4().hex}", s3_options)
    put_archive(direct.child("archive"))
    proxy = FaultProxy(s3_options["endpoint_url"], share=0.1, seed=7, slow_s=0.1)
    with proxy.running() as url:
        outcomes = sd.run(configure(through(direct, url), *SETTINGS))
        # Every kind of fault, and not on the cube alone.
        assert set(proxy.faults) == set(proxy.kinds)
        for part in ("/cube.zarr/", "/runs/", "/labels/", "/_scaledec/"):
            assert any(fault and part in line for line, fault in proxy.requests), part
    assert [outcome.failures for outcome in outcomes if outcome.failures] == []
    found = products(configure(direct, *SETTINGS))
    assert sorted(found) == sorted(expected)
    assert [name for name in found if found[name] != expected[name]] == []
