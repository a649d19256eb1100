"""The session of one process, and sums of gradients over ranks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from scaledec.location import Location
from scaledec.training.checkpoint import load_state, save_state
from scaledec.training.session import LocalSession, Metrics, TrainingSession, sum_gradients
from tests.stages.cluster_ranks import run_ranks


def test_a_report_keeps_its_checkpoint_before_anyone_hears_of_it(tmp_path: Path) -> None:
    place = Location(str(tmp_path / "checkpoints"))

    def stop(metrics: Metrics) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LocalSession(place, on_report=stop).report(
            {"epoch": 4}, lambda folder: save_state(folder, {}, {"e": 4})
        )
    with LocalSession(place).latest_checkpoint() as folder:
        assert folder is not None
        assert load_state(folder)[1] == {"e": 4}


def test_without_a_place_no_checkpoint_is_made() -> None:
    def refuse(folder: Path) -> None:
        raise AssertionError("nothing may be saved")

    session = LocalSession(None)
    session.report({}, refuse)
    with session.latest_checkpoint() as folder:
        assert folder is None


@pytest.mark.parametrize("world_size", [1, 2, 5])
def test_gradients_of_shares_sum_to_the_gradient_of_the_whole_batch(world_size: int) -> None:
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))

    def gradients(session: TrainingSession) -> list[torch.Tensor]:
        layer, unused = nn.Linear(3, 2), nn.Linear(1, 1)
        for p in layer.parameters():
            nn.init.constant_(p, 0.3)
        # Five ranks and four windows: the last rank has none and no gradient.
        share = x[session.rank :: session.world_size]
        if len(share):
            (layer(share).square().sum() / len(x)).backward()
        sum_gradients(session, [*layer.parameters(), *unused.parameters()])
        return [p.grad for p in layer.parameters() if p.grad is not None]

    expected = run_ranks(1, gradients)[0]
    for found in run_ranks(world_size, gradients):
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs)
