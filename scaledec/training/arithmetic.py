"""With which numbers a training computes: full float32 unless something else is asked for.

On a CPU bfloat16 does not pay for networks of this size (measured); on a GPU it is a choice, as is TF32,
which GPUs would otherwise use for convolutions without being asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, TypeAlias

import torch

__all__ = ["Precision", "arithmetic", "deterministic_algorithms", "forward_pass"]

Precision: TypeAlias = Literal["float32", "tf32", "bfloat16"]


@contextmanager
def arithmetic(precision: Precision) -> Iterator[None]:
    """What a GPU makes of float32 while the block runs: float32, or TF32 where that was asked for."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def forward_pass(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Around a network's forward pass: layers that bear it compute in bfloat16 if that was asked for."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


@contextmanager
def deterministic_algorithms(wanted: bool) -> Iterator[None]:
    """Only algorithms that give the same bits each time while the block runs, if they are wanted."""
    if not wanted:
        yield
        return
    # cuBLAS asks for this and reads it when it is first used.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
        torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
    )
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    # New memory is always written here before it is read: filling it would only take time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
        torch.utils.deterministic.fill_uninitialized_memory = before[2]  # type: ignore[attr-defined]
