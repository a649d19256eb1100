"""Published schedules by name: every number as its source has it, and the reader's own keys beside it."""

from __future__ import annotations

from typing import Any

import pytest

from scaledec.config import Config, dump_config, parse_config, pretrain_fingerprint, run_fingerprint
from scaledec.config.clustering import SCHEDULES, ClusterConfig
from scaledec.location import Location
from scaledec.stages.cluster_job import ClusterJob

# method, init, restarts, gamma, optimiser, rate, batch, steps to a refresh, tolerance, passes at most
PUBLISHED: dict[str, tuple[Any, ...]] = {
    "xie2016": ("dec", "kmeans", 20, None, "sgd", 0.01, 256, 20, 0.001, 1000),
    "guo2017": ("idec", "kmeans", 20, 0.1, "adam", 0.001, 256, 140, 0.001, 74),
    "jenkins2021": ("idec", "gmm", 100, 0.1, "adam", 0.0001, 512, 300, 0.001, 100),
    "zclust": ("dec", "kmeans", 100, None, "adam", None, None, None, None, None),
    "snover2020": ("idec", "kmeans", 100, 0.1 / 0.9, "adam", 0.0001, 256, 315, 0.001, 13),
}
KEYS = (
    "method",
    "init",
    "restarts",
    "gamma",
    "optimiser",
    "learning_rate",
    "batch",
    "refresh_steps",
    "tolerance",
    "epochs",
)


def config(cluster: str) -> Config:
    return parse_config(f"root: there\narchive: {{url: here}}\ncluster: {cluster}")


@pytest.mark.parametrize("preset", PUBLISHED)
def test_a_schedule_has_the_numbers_of_its_source_and_the_raw_loss(preset: str) -> None:
    found = config(f"{{preset: {preset}}}").cluster
    defaults = ClusterConfig()
    for key, published in zip(KEYS, PUBLISHED[preset], strict=True):
        expected = getattr(defaults, key) if published is None else published
        assert getattr(found, key) == pytest.approx(expected), key
    assert (found.loss, found.alpha) == ("raw", 1.0)
    assert found.updates_per_epoch == (1 if preset == "zclust" else defaults.updates_per_epoch)


def test_every_schedule_is_held_against_its_source() -> None:
    assert set(SCHEDULES) == set(PUBLISHED)


def test_limits_in_steps_are_those_of_the_source_in_passes_over_its_own_data() -> None:
    passes = {"guo2017": 20_000 / (70_000 / 256), "snover2020": 47_250 / (12 * 315)}
    for preset, n in passes.items():
        assert SCHEDULES[preset]["epochs"] == pytest.approx(n, abs=1)  # type: ignore[index]


def test_a_key_beside_the_schedule_is_the_readers() -> None:
    found = config("{preset: guo2017, batch: 64, n_clusters: 5}").cluster
    assert (found.batch, found.n_clusters, found.refresh_steps) == (64, 5, 140)


def test_a_schedule_survives_being_written_and_is_part_of_the_run_alone() -> None:
    chosen, plain = config("{preset: xie2016}"), config("{}")
    assert parse_config(dump_config(chosen)) == chosen
    assert run_fingerprint(chosen) != run_fingerprint(plain)
    assert pretrain_fingerprint(chosen) == pretrain_fingerprint(plain)
    assert "preset" not in plain.cluster.model_dump()


def test_a_job_is_made_of_a_schedule() -> None:
    job = ClusterJob.from_config(config("{preset: xie2016}"), Location("run"), Location("training.zarr"))
    assert (job.optimiser, job.learning_rate, job.refresh_steps, job.loss) == ("sgd", 0.01, 20, "raw")
