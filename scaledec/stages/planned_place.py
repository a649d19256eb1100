"""Whether an open cube is the one that a task was planned for."""

from __future__ import annotations

from scaledec.errors import StoreConflictError
from scaledec.store.cube_base import Cube
from scaledec.vocabulary import CubeTask

__all__ = ["check_planned_for"]


def check_planned_for(store: Cube, task: CubeTask, fingerprint: str) -> None:
    """Raise ``StoreConflictError`` unless the cube has these settings, and the task's place its names."""
    index = task.channel_index
    if (
        store.fingerprint != fingerprint
        or not 0 <= index < len(store.channels)
        or store.channels[index] != task.channel
        or not 0 <= task.time_index < store.n_segments
        or store.segment_start_ns(task.time_index) != task.start_ns
    ):
        raise StoreConflictError(
            f"{store.location} is not the cube that task {task.key} was planned for; another run has "
            "replaced it: plan again"
        )
