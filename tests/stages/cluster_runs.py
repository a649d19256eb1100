"""A small run on disk that is ready to be clustered: a training set and a pretrained network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scaledec.location import Location
from scaledec.numerics.nets.presets import NetworkSpec
from scaledec.stages.cluster_job import ClusterJob
from scaledec.stages.pretrain import PretrainJob, pretrain_loop
from scaledec.store.training import TrainingStore, TrainingTemplate
from scaledec.training.session import LocalSession
from scaledec.training.sources import StoredWindows
from scaledec.vocabulary import ChannelId
from tests.stages.cluster_ranks import ridges

N = 360
HELD_OUT = 60
TRUTH: npt.NDArray[np.int64] = ridges(N)[1]


def write_training_set(location: Location) -> None:
    template = TrainingTemplate(8, 1.0, tuple(np.arange(8.0)), "db", "float32", "cube")
    with TrainingStore.create(location, template, N) as writer:
        writer.append(
            ridges(N)[0],
            channels=[ChannelId("XX", "A", "", "HHZ")] * N,
            segment_start_ns=np.zeros(N, np.int64),
            window_index=np.arange(N, dtype=np.int32),
            split=np.r_[np.zeros(N - HELD_OUT, np.uint8), np.ones(HELD_OUT, np.uint8)],
        )


def make_pretrained_run(folder: Path) -> Path:
    """Fill a run's folder with a training set and a pretrained network."""
    training_set = Location(str(folder)).child("training.zarr")
    write_training_set(training_set)
    job = PretrainJob(
        run=Location(str(folder)),
        source=StoredWindows(training_set),
        network=NetworkSpec(8, 8, (8, 16), 4),
        epochs=25,
        batch=32,
        learning_rate=3e-3,
        patience=25,
        fingerprint="before",
    )
    pretrain_loop(LocalSession(None), job)
    return folder


def job_on_copy(pretrained_run: Path, folder: Path) -> ClusterJob:
    """A job on its own copy of the run."""
    shutil.copytree(pretrained_run, folder)
    run = Location(str(folder))
    return ClusterJob(
        run=run,
        source=StoredWindows(run.child("training.zarr")),
        training_set=run.child("training.zarr"),
        n_clusters=4,
        restarts=3,
        epochs=3,
        batch=64,
        learning_rate=1e-3,
        tolerance=0.0,
        fingerprint="whole",
        pretrain_fingerprint="before",
    )


def assignments(job: ClusterJob) -> dict[str, npt.NDArray[Any]]:
    assert job.training_set is not None
    return TrainingStore.open(job.training_set).assignments()


def read_metrics(job: ClusterJob) -> list[dict[str, Any]]:
    return [json.loads(line) for line in job.run.child("metrics-cluster.jsonl").read_bytes().splitlines()]
