"""Where the work is done: nothing here changes a result."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from scaledec.config.section import Count, NonNegative, Positive, Section
from scaledec.errors import ConfigError

__all__ = ["ComputeConfig", "DaskConfig", "RayConfig"]


class DaskConfig(Section):
    """Where cube tasks run."""

    address: str | None = None
    """Scheduler address, e.g. tcp://host:8786; null: workers on this machine."""
    workers: Count | Literal["auto"] = "auto"
    """Worker processes when none are given by an address; auto: one a core."""
    memory_limit: str = "auto"
    """Memory of one worker, e.g. 2GiB; auto: an equal share."""
    on_ray: bool = False
    """Place Dask's workers on the Ray cluster instead of on this machine."""


class RayConfig(Section):
    """Where training and labelling run."""

    address: str | None = None
    """Ray cluster to join (auto, host:port or ray://host:port); null: a session on this machine."""
    train_workers: Count | tuple[Count, Count] = 1
    """Processes that train together; [min, max]: as many of them as the cluster has room for. When a worker
    or its node is lost, the others go on from the last checkpoint, and once a minute it is looked for room
    for more."""
    threads_per_worker: Count | Literal["auto"] = "auto"
    """Cores of one training worker; auto: all of this machine's, shared by its workers."""
    label_actors: Count | Literal["auto"] = "auto"
    """Processes that label; auto: one a core (or as many as the GPUs hold)."""
    gpus_per_label_actor: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of a GPU that a labelling process takes; 0.25: four of them on each GPU."""
    gpu: bool | Literal["auto"] = "auto"
    """Use GPUs; auto: where there are any."""

    @model_validator(mode="after")
    def _check(self) -> RayConfig:
        if isinstance(self.train_workers, tuple) and self.train_workers[0] > self.train_workers[1]:
            raise ConfigError(
                f"compute.ray.train_workers is {list(self.train_workers)}: expected [min, max], min <= max"
            )
        return self


class ComputeConfig(Section):
    """Where the work is done; nothing here changes a result."""

    engine: Literal["distributed", "serial"] = "distributed"
    """distributed: Dask for the cube, Ray for training and labels; serial: all in this process."""
    task_limit_s: Positive = 1800.0
    """A segment of the cube that takes longer, beside a second for each MB of its files (of remote ones: what
    archive.access allows), hangs: its worker is ended, and it is listed as failed."""
    price_per_core_hour: NonNegative | None = None
    """What a core costs for an hour, in any currency: `scaledec plan` then says what the rest will cost."""
    training_set: Literal["auto", "memory", "stream"] = "auto"
    """Where the windows that are trained on are kept. memory: on the GPU if they fit, else in main memory;
    stream: in training.zarr, read as they are needed, with about 1 GB of them in memory; auto: in memory if
    they take no more than half of what is free. The same batches, to the bit, in each case."""
    pictures_every: Count | None = None
    """While the network is pretrained, draw learning curve, reconstructions and embedding after so many
    epochs each, into runs/RUN/pictures; null: never."""
    tensorboard: bool = False
    """Write what is in the metrics as TensorBoard event files too, into runs/RUN/tensorboard."""
    mlflow: str | None = None
    """Tracking address of MLflow that metrics go to as well (needs mlflow installed); null: none."""
    compiled: bool = False
    """Compile the network before training (torch.compile; needs a C++ compiler): a minute at the start, for a
    GPU that has long epochs. It rounds otherwise, in the last bits."""
    deterministic: bool = False
    """Train with algorithms that give the same bits each time, also on a GPU, where they are slower; a CPU
    gives the same bits for the same number of threads anyway."""
    dask: DaskConfig = DaskConfig()
    """Where cube tasks run."""
    ray: RayConfig = RayConfig()
    """Where training and labelling run."""
