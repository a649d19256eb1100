"""How many labelling actors a Ray cluster holds: by its cores, its GPUs and its memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from scaledec.config import RayConfig
from scaledec.errors import EngineError

__all__ = ["actors_for"]


def actors_for(
    config: RayConfig, nodes: Sequence[Mapping[str, float]], n_tasks: int, memory: int
) -> tuple[int, dict[str, float]]:
    """How many actors, and what each asks Ray for.

    Parameters
    ----------
    nodes
        What each node of the cluster has: ``CPU``, ``GPU`` and ``memory`` in bytes, as Ray counts them.
    n_tasks
        More actors than tasks are of no use.
    memory
        Bytes that an actor is projected to hold; 0: not known.

    Raises
    ------
    EngineError
        If a GPU is asked for and there is none, or no node, or too few of them, has that much memory.
    """
    has_gpu = any(node.get("GPU", 0) for node in nodes)
    use_gpu = has_gpu if config.gpu == "auto" else config.gpu
    if use_gpu and not has_gpu:
        raise EngineError("compute.ray.gpu is true, but the Ray cluster has no GPU; use gpu: auto")
    share = config.gpus_per_label_actor
    # To a millionth: three actors of a third fit one GPU.
    places = [
        min(node.get("CPU", 0), node.get("GPU", 0) / share + 1e-6) if use_gpu else node.get("CPU", 0)
        for node in nodes
    ]
    roomy = [
        min(n, node.get("memory", math.inf) / max(memory, 1)) for n, node in zip(places, nodes, strict=True)
    ]
    most, fitting = (max(1, sum(map(int, counts))) for counts in (places, roomy))
    asked = most if config.label_actors == "auto" else min(config.label_actors, most)
    wanted = min(asked, n_tasks)
    if not sum(map(int, roomy)) or (config.label_actors != "auto" and wanted > fitting):
        largest = max((node.get("memory", 0) for node in nodes), default=0)
        raise EngineError(
            f"a labelling actor needs about {memory / 1e6:,.0f} MB, and {wanted} of them do not fit the Ray "
            f"cluster, whose largest node gives Ray {largest / 1e6:,.0f} MB: lower compute.ray.label_actors, "
            "label.segments_per_shard (under another run name) or spectrogram.segment_s, or use larger nodes"
        )
    resources = {"num_cpus": 1, "num_gpus": share} if use_gpu else {"num_cpus": 1}
    return min(wanted, fitting), {**resources, **({"memory": memory} if memory else {})}
