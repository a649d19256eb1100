"""Writing the labels of one task; apart from labelling, so that a writer need not load a network."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scaledec.grid import Windows
from scaledec.location import Location
from scaledec.stages.sensors import Components
from scaledec.store.labels import LabelBlock, LabelStore
from scaledec.vocabulary import JsonValue, LabelTask, TaskResult

__all__ = ["LabelContext", "count_labels", "failed", "write_block"]


@dataclass(frozen=True, slots=True)
class LabelContext:
    """What every labelling task of a run shares; small, and may be pickled."""

    cube: Location
    model: Location
    """Folder of the trained model."""
    labels: Location
    """The label store, already created by the coordinator."""
    windows: Windows
    batch: int = 256
    """Windows encoded at once."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """In which the encoder computes."""
    embedding: bool = True
    """Whether embeddings are stored."""
    components: Components | None = None
    """What is stacked in a window; ``None``: channels are labelled one by one."""


def write_block(
    labels: LabelStore, task: LabelTask, block: LabelBlock, *, label_s: float = 0.0
) -> TaskResult:
    """Write the labels of a task; on return they are durable, and the result may go to the ledger.

    Parameters
    ----------
    labels
        Opened ``r+``.
    task, block
        What was labelled, and the labels.
    label_s
        Seconds that labelling took; kept in the result.
    """
    started = time.perf_counter()
    checksum = labels.write_region(block)
    seconds = {"label": round(label_s, 3), "write": round(time.perf_counter() - started, 3)}
    return TaskResult(
        task.key,
        task.fingerprint,
        "done",
        details={"checksum": checksum, **count_labels(block), "seconds": seconds},
    )


def count_labels(block: LabelBlock) -> dict[str, JsonValue]:
    """Windows with and without a label, and how many of each label, for the ledger."""
    label, count = np.unique(block.label[block.label >= 0], return_counts=True)
    labelled = int(count.sum())
    return {
        "labelled": labelled,
        "unlabelled": block.label.size - labelled,
        "labels": {str(number): int(n) for number, n in zip(label, count, strict=True)},
    }


def failed(task: LabelTask, reason: str) -> TaskResult:
    """The result of a task whose part of the cube could not be read."""
    return TaskResult(task.key, task.fingerprint, "failed", reason)
