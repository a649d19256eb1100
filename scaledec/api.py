"""What ``import scaledec`` shows: the verbs, each importing what it needs when it is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scaledec.config import Config, load_config, parse_config
from scaledec.pipeline.outcome import Outcome

if TYPE_CHECKING:
    from scaledec.pipeline.plan import RunPlan
    from scaledec.pipeline.status import Status
    from scaledec.stages.verify import VerifyReport

__all__ = [
    "Config",
    "Outcome",
    "build_cube",
    "cluster",
    "label",
    "load_config",
    "parse_config",
    "plan",
    "pretrain",
    "run",
    "status",
    "verify",
]


def plan(config: Config) -> RunPlan:
    """What a run would do: tasks, bytes, memory, what is already done. Writes nothing; print it."""
    from scaledec.pipeline.plan import plan as make_plan

    return make_plan(config)


def run(config: Config) -> Sequence[Outcome]:
    """Run every stage: cube, pretrain, cluster, label. What is done is not done again."""
    from scaledec.pipeline.run import run as run_all

    return run_all(config)


def build_cube(config: Config) -> Outcome:
    """Compute spectrograms of the archive into ``ROOT/cube.zarr``."""
    from scaledec.pipeline.run import build_cube as run_stage

    return run_stage(config)


def pretrain(config: Config) -> Sequence[Outcome]:
    """Sample the training set from the cube and train the autoencoder on it."""
    from scaledec.pipeline.run import pretrain as run_stage

    return run_stage(config)


def cluster(config: Config) -> Outcome:
    """Cluster the embeddings of the training set."""
    from scaledec.pipeline.run import cluster as run_stage

    return run_stage(config)


def label(config: Config) -> Outcome:
    """Label every window of the cube into ``ROOT/labels/RUN.zarr``."""
    from scaledec.pipeline.run import label as run_stage

    return run_stage(config)


def status(config: Config) -> Status:
    """What is done, what failed and what is left."""
    from scaledec.pipeline.status import status as read_status

    return read_status(config)


def verify(config: Config, *, recompute: int = 0, seed: int = 0) -> VerifyReport:
    """Check every finished task of the ledgers against the bytes in the stores.

    ``recompute`` segments of the cube, chosen at random, are computed again from the archive as well.
    """
    from scaledec.pipeline.check import verify as check

    return check(config, recompute=recompute, seed=seed)
