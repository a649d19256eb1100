"""Training in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scaledec.engines.local_train import run_training
from scaledec.location import Location
from scaledec.training.session import Metrics, TrainingSession


def loop(session: TrainingSession, job: str) -> tuple[str, int]:
    session.report({"rank": session.rank, "world_size": session.world_size})
    if job == "fail":
        raise RuntimeError(job)
    return job, torch.get_num_threads()


def test_the_loop_runs_here_as_the_only_rank_and_its_result_comes_back(tmp_path: Path) -> None:
    reported: list[Metrics] = []
    before = torch.get_num_threads()
    result = run_training(
        loop,
        "job",
        storage=Location(str(tmp_path)),
        name="x",
        threads=before + 1,
        on_report=reported.append,
    )
    assert result == ("job", before + 1)
    assert reported == [{"rank": 0, "world_size": 1}]
    assert torch.get_num_threads() == before


def test_threads_are_put_back_after_an_error_and_left_alone_by_default(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="fail"):
        run_training(loop, "fail", storage=Location(str(tmp_path)), name="x", threads=before + 1)
    assert torch.get_num_threads() == before
    assert run_training(loop, "job", storage=Location(str(tmp_path)), name="x") == ("job", before)
