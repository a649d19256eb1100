"""Ranks as threads of this process, and small clouds of windows with known classes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scaledec.training.session import LocalSession, Metrics, SaveInto, TrainingSession

ResultT = TypeVar("ResultT")


@dataclass
class Meeting:
    """Where the ranks of one training meet."""

    world_size: int
    barrier: threading.Barrier = field(init=False)
    parts: list[Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.world_size, timeout=60)
        self.parts = [torch.zeros(0)] * self.world_size


@dataclass
class ThreadSession:
    """One rank among threads; sums are taken in the order of ranks."""

    rank: int
    meeting: Meeting
    reports: list[Metrics] = field(default_factory=list)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def world_size(self) -> int:
        return self.meeting.world_size

    def all_reduce(self, tensor: Tensor) -> Tensor:
        self.meeting.parts[self.rank] = tensor.clone()
        self.meeting.barrier.wait()
        tensor.copy_(torch.stack(self.meeting.parts).sum(dim=0))
        self.meeting.barrier.wait()
        return tensor

    def barrier(self) -> None:
        self.meeting.barrier.wait()

    def report(self, metrics: Metrics, save: SaveInto | None = None) -> None:
        self.reports.append(metrics)
        self.barrier()

    @contextmanager
    def latest_checkpoint(self) -> Iterator[Path | None]:
        yield None


def run_ranks(world_size: int, loop: Callable[[TrainingSession], ResultT]) -> list[ResultT]:
    """Run ``loop`` on each rank at once; the first error of any rank is raised."""
    if world_size == 1:
        return [loop(LocalSession(None))]
    meeting = Meeting(world_size)

    def guarded(rank: int) -> ResultT:
        try:
            return loop(ThreadSession(rank, meeting))
        except BaseException:
            meeting.barrier.abort()
            raise

    with ThreadPoolExecutor(world_size) as pool:
        futures = [pool.submit(guarded, rank) for rank in range(world_size)]
    errors = [error for error in (future.exception() for future in futures) if error is not None]
    for error in errors:
        if not isinstance(error, threading.BrokenBarrierError):  # what the others get when one has failed
            raise error
    return [future.result() for future in futures]


def ridges(n: int, seed: int = 0, side: int = 8) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Windows (n, side, side) that hold one of four ridges at varying strength in noise, and which."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, n)
    i, j = np.mgrid[:side, :side] - (side - 1) / 2
    distance = np.stack([i, j, (i - j) / 2**0.5, (i + j) / 2**0.5])
    shape = np.exp(-0.5 * (distance / 1.2) ** 2)[truth]
    windows = shape * rng.uniform(1.5, 3, (n, 1, 1)) + rng.normal(size=(n, side, side)) * 0.3
    return windows.astype(np.float32), truth
