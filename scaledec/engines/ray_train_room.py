"""What a training worker asks of the Ray cluster, and whether there is room for as many as are wanted."""

from __future__ import annotations

from typing import Literal

import ray

from scaledec.errors import EngineError

__all__ = ["worker_resources"]


def worker_resources(
    workers: int | tuple[int, int], threads: int | Literal["auto"], gpu: bool | Literal["auto"]
) -> dict[str, float]:
    """What one worker asks Ray for, if the cluster as it is can hold the least number of them."""
    least, most = (workers, workers) if isinstance(workers, int) else workers
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = [int(node.get("CPU", 0)) for node in nodes]
    n_gpus = int(sum(node.get("GPU", 0) for node in nodes))
    use_gpu = n_gpus >= least if gpu == "auto" else gpu
    if use_gpu and n_gpus < least:
        raise EngineError(
            f"compute.ray.gpu is true and train_workers is {least}, but the Ray cluster has {n_gpus} GPUs; "
            "use gpu: auto or fewer workers"
        )

    def threads_for(workers: int) -> list[int]:
        return [t for t in range(1, max(cpus, default=0) + 1) if sum(n // t for n in cpus) >= workers]

    fitting = threads_for(least)
    # Where not all fit, those that do get what they would have beside the others.
    wanted = max(threads_for(most), default=min(fitting, default=0)) if threads == "auto" else threads
    if wanted not in fitting:
        raise EngineError(
            f"{least} training workers of {max(1, wanted)} CPUs each do not fit the Ray cluster, whose "
            f"nodes have {', '.join(map(str, cpus))} CPUs; lower compute.ray.train_workers or "
            "threads_per_worker"
        )
    return {"CPU": float(wanted), **({"GPU": 1.0} if use_gpu else {})}
