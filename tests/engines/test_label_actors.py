"""How many actors label: as many as cores, GPUs and memory hold, and never more than tasks."""

from __future__ import annotations

from typing import Any

import pytest

from scaledec.config import RayConfig
from scaledec.engines.label_actors import actors_for
from scaledec.errors import EngineError

GB = 1e9
LAPTOP = [{"CPU": 8.0, "memory": 10 * GB}]
CLUSTER = [{"CPU": 16.0, "GPU": 2.0, "memory": 100 * GB}, {"CPU": 4.0, "GPU": 1.0, "memory": 20 * GB}]


@pytest.mark.parametrize(
    ("settings", "nodes", "n_tasks", "actors", "resources"),
    [
        ({}, LAPTOP, 100, 8, {"num_cpus": 1, "memory": GB}),
        ({}, LAPTOP, 3, 3, {"num_cpus": 1, "memory": GB}),
        ({"label_actors": 2}, LAPTOP, 100, 2, {"num_cpus": 1, "memory": GB}),
        ({"label_actors": 99}, LAPTOP, 100, 8, {"num_cpus": 1, "memory": GB}),
        ({}, CLUSTER, 100, 3, {"num_cpus": 1, "num_gpus": 1, "memory": GB}),
        ({"gpu": False}, CLUSTER, 100, 20, {"num_cpus": 1, "memory": GB}),
        ({"gpus_per_label_actor": 0.25}, CLUSTER, 100, 12, {"num_cpus": 1, "num_gpus": 0.25, "memory": GB}),
        ({"gpus_per_label_actor": 1 / 3}, CLUSTER, 100, 9, {"num_cpus": 1, "num_gpus": 1 / 3, "memory": GB}),
        # The small node has four cores for its GPU.
        ({"gpus_per_label_actor": 0.1}, CLUSTER, 100, 20, {"num_cpus": 1, "num_gpus": 0.1, "memory": GB}),
    ],
)
def test_actors_fill_what_there_is(
    settings: dict[str, Any], nodes: Any, n_tasks: int, actors: int, resources: dict[str, float]
) -> None:
    assert actors_for(RayConfig(**settings), nodes, n_tasks, int(GB)) == (actors, resources)


def test_fewer_actors_are_started_where_memory_holds_fewer() -> None:
    assert actors_for(RayConfig(), LAPTOP, 100, int(3 * GB))[0] == 3
    assert actors_for(RayConfig(gpu=False), CLUSTER, 100, int(15 * GB))[0] == 7


def test_what_does_not_fit_is_refused_with_both_numbers() -> None:
    with pytest.raises(EngineError, match=r"needs about 12,000 MB.*largest node gives Ray 10,000 MB"):
        actors_for(RayConfig(), LAPTOP, 100, int(12 * GB))
    with pytest.raises(EngineError, match=r"8 of them do not fit.*lower compute\.ray\.label_actors"):
        actors_for(RayConfig(label_actors=8), LAPTOP, 100, int(3 * GB))


def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(EngineError, match="no GPU; use gpu: auto"):
        actors_for(RayConfig(gpu=True), LAPTOP, 100, int(GB))
