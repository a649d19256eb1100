"""The verbs that do the work: every stage alone, and all of them in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scaledec.config import Config
from scaledec.ledger.lock import RootLock
from scaledec.pipeline import cube as cube_stage
from scaledec.pipeline import label as label_stage
from scaledec.pipeline import learn
from scaledec.pipeline.outcome import Outcome
from scaledec.pipeline.record import recorded
from scaledec.pipeline.resources import Resources
from scaledec.places import Places

__all__ = ["build_cube", "cluster", "label", "pretrain", "run"]

Stage = Callable[[Config, Resources], Outcome]


def build_cube(config: Config) -> Outcome:
    """Compute spectrograms of the archive into ``ROOT/cube.zarr``; what is up to date is left alone."""
    return _run_stages(config, "cube", [cube_stage.build_cube])[0]


def pretrain(config: Config) -> Sequence[Outcome]:
    """Sample the training set from the cube and train the autoencoder on it."""
    return _run_stages(config, "pretrain", [learn.sample_training_set, learn.pretrain])


def cluster(config: Config) -> Outcome:
    """Cluster the embeddings of the training set."""
    return _run_stages(config, "cluster", [learn.cluster])[0]


def label(config: Config) -> Outcome:
    """Label every window of the cube with the run's model."""
    return _run_stages(config, "label", [label_stage.label_archive])[0]


def run(config: Config) -> Sequence[Outcome]:
    """All stages in order; what is done is not done again, and what failed is tried again.

    A stage that could not use some input does not stop the next: its outcome lists what is missing.
    What can be known to stop a later stage is found out before the first, which may take days.
    """
    stages: list[Stage] = [
        cube_stage.build_cube,
        learn.sample_training_set,
        learn.pretrain,
        learn.cluster,
        label_stage.label_archive,
    ]
    learn.check_run(config)
    return _run_stages(config, "run", stages)


def _run_stages(config: Config, verb: str, stages: Sequence[Stage]) -> list[Outcome]:
    folder = Places.at(config.root, config.storage_options).bookkeeping
    with (
        RootLock(folder, verb) as lock,
        recorded(config, verb) as outcomes,
        Resources(config.compute) as resources,
    ):
        if verb == "run":
            resources.check()
        for stage in stages:
            outcomes.append(stage(config, resources))
            lock.check()
    return outcomes
