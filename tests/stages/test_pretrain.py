"""Pretraining learns, stops, resumes to the bit, and gives the same on any number of ranks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch

from scaledec.config import parse_config
from scaledec.engines.local_train import run_training
from scaledec.errors import StoreConflictError, TrainingError
from scaledec.location import Location
from scaledec.numerics.nets.presets import NetworkSpec
from scaledec.stages.pretrain import (
    METRICS_FILE,
    PRETRAINED,
    PretrainJob,
    PretrainOutcome,
    pretrain_loop,
)
from scaledec.training.saved_model import SavedModel
from scaledec.training.session import LocalSession, Metrics, OnReport
from scaledec.training.sources import ArrayWindows
from tests.stages.cluster_ranks import ridges, run_ranks

WINDOWS = ridges(330)[0]
HELD_OUT = np.arange(330) % 6 == 0


def job(folder: Path, **changes: Any) -> PretrainJob:
    plain = PretrainJob(
        run=Location(str(folder)),
        source=ArrayWindows(WINDOWS, HELD_OUT),
        network=NetworkSpec(8, 8, (8, 16), 4),
        epochs=6,
        batch=32,
        learning_rate=3e-3,
        seed=7,
        fingerprint="this one",
        checkpoint_interval_s=0,
    )
    return replace(plain, **changes)


def train(job: PretrainJob, on_report: OnReport | None = None, threads: int = 1) -> PretrainOutcome:
    return run_training(
        pretrain_loop,
        job,
        storage=job.run.child("checkpoints"),
        name="pretrain",
        threads=threads,
        on_report=on_report,
    )


def model_bytes(job: PretrainJob) -> tuple[bytes, bytes]:
    place = job.run.child(PRETRAINED)
    return place.child("model.safetensors").read_bytes(), place.child("model.json").read_bytes()


def metrics(job: PretrainJob) -> list[dict[str, Any]]:
    return [json.loads(line) for line in job.run.child(METRICS_FILE).read_bytes().splitlines()]


def losses(job: PretrainJob) -> list[tuple[int, float, float]]:
    return [(m["epoch"], m["train_loss"], m["validation_loss"]) for m in metrics(job)]


def stop_after(epoch: int) -> OnReport:
    def stop(metrics: Metrics) -> None:
        if metrics["epoch"] == epoch:
            raise KeyboardInterrupt

    return stop


def test_the_network_learns_to_reproduce_held_out_windows(tmp_path: Path) -> None:
    mine = job(tmp_path, epochs=30)
    outcome = train(mine)
    model = SavedModel.load(mine.run.child(PRETRAINED))
    x = model.normaliser.apply(WINDOWS[HELD_OUT])
    with torch.no_grad():
        x_hat = model.network(torch.from_numpy(x)[:, None])[0][:, 0].numpy()
    error = float(((x_hat - x) ** 2).mean())
    assert error < 0.6 * float((x**2).mean())
    assert error == pytest.approx(outcome.validation_loss, rel=1e-5)
    assert model.facts["fingerprint"] == "this one"


def test_every_epoch_has_one_line_of_metrics_and_one_report(tmp_path: Path) -> None:
    mine = job(tmp_path)
    reported: list[Metrics] = []
    outcome = train(mine, reported.append)
    lines = metrics(mine)
    assert lines == reported
    assert [line["epoch"] for line in lines] == list(range(1, 7))
    assert set(lines[0]) == {
        "epoch",
        "train_loss",
        "validation_loss",
        "learning_rate",
        "seconds",
        "windows_per_s",
    }
    best = min(lines, key=lambda line: line["validation_loss"])
    assert outcome == PretrainOutcome(6, best["epoch"], best["validation_loss"])


def test_it_stops_when_validation_no_longer_improves_and_keeps_the_best_weights(tmp_path: Path) -> None:
    # Noise has nothing to generalise: the validation loss turns soon.
    noise = np.random.default_rng(0).standard_normal((60, 8, 8)).astype(np.float32)
    source = ArrayWindows(noise, np.arange(60) % 3 == 0)
    mine = job(tmp_path, source=source, epochs=400, patience=3, learning_rate=3e-2)
    outcome = train(mine)
    lines = metrics(mine)
    assert outcome.epochs == outcome.best_epoch + 3 < 400
    assert outcome.validation_loss == min(line["validation_loss"] for line in lines)
    until_best = replace(mine, run=Location(str(tmp_path / "short")), epochs=outcome.best_epoch)
    train(until_best)
    assert model_bytes(mine)[0] == model_bytes(until_best)[0]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_resumed_run_ends_with_the_bytes_of_an_uninterrupted_one(tmp_path: Path, threads: int) -> None:
    whole = job(tmp_path / "whole")
    train(whole, threads=threads)
    resumed = job(tmp_path / "resumed")
    for epoch in (1, 4):
        with pytest.raises(KeyboardInterrupt):
            train(resumed, stop_after(epoch), threads=threads)
    again: list[Metrics] = []
    train(resumed, again.append, threads=threads)
    assert [m["epoch"] for m in again] == [5, 6]
    assert losses(resumed) == losses(whole)
    assert model_bytes(resumed) == model_bytes(whole)


@pytest.mark.parametrize("world_size", [1, 2])
def test_an_epoch_that_was_interrupted_goes_on_where_its_last_checkpoint_was(
    tmp_path: Path, world_size: int
) -> None:
    # 275 windows in 9 batches: checkpoints within an epoch after the second, fourth, sixth and eighth.
    plain, whole, resumed = (job(tmp_path / name, epochs=3) for name in ("plain", "whole", "resumed"))
    train(plain)
    whole, resumed = (replace(j, checkpoint_windows=64) for j in (whole, resumed))
    reported: list[Metrics] = []
    train(whole, reported.append)
    assert [m["windows"] for m in reported if "windows" in m][:4] == [64, 128, 192, 256]
    assert model_bytes(whole)[0] == model_bytes(plain)[0]
    for at in ((0, 128), (0, 256), (1, 64)):

        def stop(metrics: Metrics, at: tuple[int, int] = at) -> None:
            if (metrics["epoch"], metrics.get("windows")) == at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(resumed, stop)
    again: list[Metrics] = []
    train(resumed, again.append)
    assert (again[0]["epoch"], again[0]["windows"]) == (1, 128)
    assert losses(resumed) == losses(whole)
    assert model_bytes(resumed) == model_bytes(whole)
    if world_size > 1:
        ranks = replace(whole, run=Location(str(tmp_path / "ranks")))
        run_ranks(world_size, lambda session: pretrain_loop(session, ranks))
        np.testing.assert_allclose(losses(ranks), losses(whole), rtol=2e-4)


def test_a_run_killed_between_checkpoints_repeats_the_epochs_after_the_last_one(tmp_path: Path) -> None:
    whole, resumed = job(tmp_path / "whole"), job(tmp_path / "resumed")
    train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(resumed, stop_after(2))
    rarely = replace(resumed, checkpoint_interval_s=1e6)
    with pytest.raises(KeyboardInterrupt):
        train(rarely, stop_after(5))
    again: list[Metrics] = []
    train(resumed, again.append)
    assert [m["epoch"] for m in again] == [3, 4, 5, 6]
    assert losses(resumed) == losses(whole)
    assert model_bytes(resumed) == model_bytes(whole)


def test_a_torn_newest_checkpoint_costs_one_epoch(tmp_path: Path) -> None:
    whole, resumed = job(tmp_path / "whole"), job(tmp_path / "resumed")
    train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(resumed, stop_after(4))
    newest = sorted((tmp_path / "resumed" / "checkpoints" / "pretrain").glob("*/state.safetensors"))[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    again: list[Metrics] = []
    train(resumed, again.append)
    assert [m["epoch"] for m in again] == [4, 5, 6]
    assert model_bytes(resumed) == model_bytes(whole)


def test_a_finished_run_says_so_and_does_nothing(tmp_path: Path) -> None:
    mine = job(tmp_path)
    first = train(mine)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    reported: list[Metrics] = []
    assert train(mine, reported.append) == replace(first, already_finished=True)
    assert reported == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_model_or_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    mine = job(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(mine, stop_after(2))
    other = replace(mine, fingerprint="another")
    with pytest.raises(StoreConflictError, match=r"checkpoints of other settings .*this one.*another"):
        train(other)
    train(mine)
    with pytest.raises(StoreConflictError, match=r"a pretrained model of other settings"):
        train(other)


@pytest.mark.parametrize("world_size", [2, 3])
def test_any_number_of_ranks_gives_what_one_gives(tmp_path: Path, world_size: int) -> None:
    # 275 windows in batches of 32: the last one has 19, which no number of ranks here divides.
    alone, together = job(tmp_path / "alone", epochs=3), job(tmp_path / "together", epochs=3)
    run_ranks(1, lambda session: pretrain_loop(session, alone))
    outcomes = run_ranks(world_size, lambda session: pretrain_loop(session, together))
    assert len(set(outcomes)) == 1
    np.testing.assert_allclose(losses(together), losses(alone), rtol=2e-4)
    mine, theirs = (SavedModel.load(j.run.child(PRETRAINED)).network.state_dict() for j in (alone, together))
    for name, weight in mine.items():
        torch.testing.assert_close(theirs[name], weight, rtol=1e-2, atol=2e-4)


def test_the_result_does_not_depend_on_global_generators(tmp_path: Path) -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 (the global generator is what must not matter)
        mine = job(tmp_path / str(seed), epochs=2)
        train(mine)
        found.append(model_bytes(mine))
    assert found[0] == found[1]
    other = job(tmp_path / "other", epochs=2, seed=8)
    train(other)
    assert model_bytes(other)[0] != found[0][0]


def test_a_loss_that_is_not_finite_says_what_to_change(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"loss became (nan|inf) in epoch \d+; lower pretrain.learning_rate"
    ):
        train(job(tmp_path, learning_rate=1e18))
    assert not (tmp_path / PRETRAINED).exists()


@pytest.fixture
def in_memory() -> Iterator[Location]:
    yield Location("memory://test-pretrain/run")
    fsspec.filesystem("memory").rm("/test-pretrain", recursive=True)


def test_a_run_may_lie_on_an_object_store(tmp_path: Path, in_memory: Location) -> None:
    whole, remote = job(tmp_path), replace(job(tmp_path), run=in_memory)
    train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(remote, stop_after(3))
    train(remote)
    assert model_bytes(remote) == model_bytes(whole)
    assert losses(remote) == losses(whole)


def test_a_configuration_describes_the_job(tmp_path: Path) -> None:
    config = parse_config(
        "{root: here, archive: {url: there}, spectrogram: {band_hz: [1, 20]}, windows: {length_s: 64},"
        " model: {widths: [4, 8], latent: 5, normalise: l2}, pretrain: {epochs: 3, batch: 16, seed: 9}}"
    )
    made = PretrainJob.from_config(config, Location(str(tmp_path)), ArrayWindows(WINDOWS, HELD_OUT))
    grid = config.spectrogram_grid
    assert made.network == NetworkSpec(config.window_grid.length, grid.n_frequencies, (4, 8), 5)
    assert (made.normalise, made.epochs, made.batch, made.seed) == ("l2", 3, 16, 9)


def test_a_session_without_checkpoints_trains_all_the_same(tmp_path: Path) -> None:
    assert pretrain_loop(LocalSession(None), job(tmp_path, epochs=2)).epochs == 2
