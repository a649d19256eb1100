"""Training in this process: the engine for small work, tests and debuggers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar

import torch

from scaledec.location import Location
from scaledec.training.arithmetic import deterministic_algorithms
from scaledec.training.session import LocalSession, OnReport, TrainingSession

__all__ = ["run_training"]

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")


def run_training(
    loop: Callable[[TrainingSession, JobT], ResultT],
    job: JobT,
    *,
    storage: Location | None,
    name: str,
    threads: int | Literal["auto"] = "auto",
    gpu: bool | Literal["auto"] = "auto",
    deterministic: bool = False,
    on_report: OnReport | None = None,
) -> ResultT:
    """Run a training loop to its end as the only rank.

    Parameters
    ----------
    loop, job
        The loop and what it works on.
    storage, name
        Checkpoints are kept in the folder ``name`` below ``storage``, and a second call resumes from them;
        ``None``: none are kept.
    threads
        Of torch while the loop runs; ``auto`` leaves them as they are.
    gpu
        Whether to use a GPU; ``auto``: if there is one.
    deterministic
        Whether to use only algorithms that give the same bits each time.
    on_report
        Called with the metrics of each report.

    Returns
    -------
    ResultT
        What the loop returns.
    """
    use_gpu = torch.cuda.is_available() if gpu == "auto" else gpu
    session = LocalSession(
        None if storage is None else storage.child(name),
        on_report=on_report,
        device=torch.device("cuda" if use_gpu else "cpu"),
    )
    with _torch_threads(None if threads == "auto" else threads), deterministic_algorithms(deterministic):
        return loop(session, job)


@contextmanager
def _torch_threads(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
