"""Where the work is done: nothing here changes a result."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from scaledec.config.section import Count, NonNegative, Section

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
    train_workers: Count = 1
    """Processes that train together."""
    threads_per_worker: Count | Literal["auto"] = "auto"
    """Cores of one training worker; auto: all of this machine's, shared by its workers."""
    label_actors: Count | Literal["auto"] = "auto"
    """Processes that label; auto: one a core (or as many as the GPUs hold)."""
    gpus_per_label_actor: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of a GPU that a labelling process takes; 0.25: four of them on each GPU."""
    gpu: bool | Literal["auto"] = "auto"
    """Use GPUs; auto: where there are any."""


class ComputeConfig(Section):
    """Where the work is done; nothing here changes a result."""

    engine: Literal["distributed", "serial"] = "distributed"
    """distributed: Dask for the cube, Ray for training and labels; serial: all in this process."""
    price_per_core_hour: NonNegative | None = None
    """What a core costs for an hour, in any currency: `scaledec plan` then says what the rest will cost."""
    training_set: Literal["auto", "memory", "stream"] = "auto"
    """Where the windows that are trained on are kept. memory: on the GPU if they fit, else in main memory;
    stream: in training.zarr, read as they are needed, with about 1 GB of them in memory; auto: in memory if
    they take no more than half of what is free. The same batches, to the bit, in each case."""
    dask: DaskConfig = DaskConfig()
    """Where cube tasks run."""
    ray: RayConfig = RayConfig()
    """Where training and labelling run."""
