"""A search is drawn from its seed, judged as it says, goes on where it stopped, the same on any engine."""

from __future__ import annotations

import csv
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from scaledec.cli.main import main
from scaledec.config import Config, load_config, parse_config
from scaledec.errors import ConfigError, TrainingError
from scaledec.location import Location
from scaledec.pipeline.tune import Search, tune
from scaledec.places import Places
from scaledec.stages.training_set import training_fingerprint
from scaledec.stages.tune import (
    Trial,
    TrialContext,
    TrialResult,
    best_gamma,
    best_pretraining,
    draw_pretrainings,
    gamma_trials,
    read_result,
    run_trial,
)
from scaledec.store.training import TrainingStore, TrainingTemplate
from scaledec.vocabulary import ChannelId
from tests.stages.cluster_ranks import ridges

N = 240
SETTINGS = """
root: {root}
archive: {{url: none}}
spectrogram: {{sampling_rate_hz: 20, segment_s: 3600, window_s: 0.8, overlap: 0.5, band_hz: [0, 9.0]}}
windows: {{length_s: 3.2}}
model: {{widths: [8, 16], latent: 4}}
pretrain: {{windows: 240, epochs: 50, batch: 32}}
cluster: {{n_clusters: 4, restarts: 2, epochs: 2, batch: 64, gamma: 0.1}}
compute: {{engine: serial}}
tune: {{trials: 3, epochs: 2, batch: [16, 64], latent: [3, 6], gamma: [0.1, 1.0]}}
"""


def write_run(folder: Path, **changes: str) -> Path:
    """A configuration and the training set that another run of its root has sampled."""
    path = folder / "my.yaml"
    path.write_text(SETTINGS.format(root=folder / "root"))
    config = load_config(path, [f"{key}={value}" for key, value in changes.items()])
    grid, frequencies = config.window_grid.length, config.spectrogram_grid.frequency_hz
    assert (grid, len(frequencies)) == (8, 8)
    template = TrainingTemplate(8, 0.4, tuple(frequencies), "db", "float32", training_fingerprint(config))
    place = Places.at(config.root).training_set("other")
    with TrainingStore.create(place, template, N) as writer:
        writer.append(
            ridges(N)[0],
            channels=[ChannelId("XX", "A", "", "HHZ")] * N,
            segment_start_ns=[0] * N,
            window_index=list(range(N)),
            split=[int(i >= N - 48) for i in range(N)],
        )
    return path


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Search]:
    """A finished search in this process."""
    path = write_run(tmp_path_factory.mktemp("searched"))
    return path, tune(load_config(path))


def table(search: Search) -> list[dict[str, Any]]:
    return [{k: v for k, v in r.row().items() if k != "seconds"} for r in search.results]


def config(*overrides: str) -> Config:
    return parse_config(SETTINGS.format(root="out"), overrides)


def test_a_trial_depends_on_its_number_and_the_seed_and_the_first_is_the_users_own() -> None:
    few, many = draw_pretrainings(config("tune.trials=4")), draw_pretrainings(config("tune.trials=40"))
    assert many[:4] == few
    assert few[0] == Trial(0, 32, 1e-3, 4)
    assert {t.batch for t in many[1:]} == {16, 64}
    assert {t.latent for t in many[1:]} == {3, 6}
    rates = [t.learning_rate for t in many[1:]]
    assert min(rates) >= 3e-4
    assert max(rates) <= 1e-2
    assert sum(rate < math.sqrt(3e-4 * 1e-2) for rate in rates) in range(12, 28)  # even in the logarithm
    assert draw_pretrainings(config("tune.trials=40", "tune.seed=1"))[1:] != many[1:]


def done(number: int, latent: int, loss: float) -> TrialResult:
    return TrialResult(Trial(number, 32, 1e-3, latent), "done", validation_loss=loss)


def test_of_embeddings_that_are_nearly_as_good_the_smallest_is_chosen() -> None:
    results = [
        done(0, 20, 1.00),
        done(1, 9, 1.04),
        done(2, 9, 1.03),
        done(3, 4, 1.2),
        TrialResult(Trial(4, 32, 1e-3, 2), "failed", "no reason"),
    ]
    best = best_pretraining(results, 0.05)
    assert best is not None
    assert best.trial.number == 2
    strict = best_pretraining(results, 0.0)
    assert strict is not None
    assert strict.trial.number == 0
    assert best_pretraining(results[4:], 0.05) is None


def test_the_clustering_of_greatest_silhouette_is_chosen() -> None:
    trials = gamma_trials(config(), Trial(7, 16, 1e-3, 3))
    assert [t.gamma for t in trials] == [0.1, 1.0]
    assert {(t.batch, t.latent) for t in trials} == {(16, 3)}
    scores = [0.2, None]
    results = [TrialResult(t, "done", silhouette=s) for t, s in zip(trials, scores, strict=True)]
    best = best_gamma(results)
    assert best is not None
    assert best.trial.gamma == 0.1
    assert gamma_trials(config("cluster.method=kmeans"), trials[0]) == []


def test_a_search_tries_everything_on_one_training_set_and_chooses(searched: tuple[Path, Search]) -> None:
    path, search = searched
    rows = table(search)
    assert [row["trial"] for row in rows] == [
        "pretrain-000",
        "pretrain-001",
        "pretrain-002",
        "cluster-000",
        "cluster-001",
    ]
    assert {row["status"] for row in rows} == {"done"}
    losses = [row["validation_loss"] for row in rows[:3]]
    assert all(0 < loss < 2 for loss in losses)
    assert search.pretraining.validation_loss <= min(losses) * 1.05
    assert search.clustering is not None
    assert search.clustering.silhouette == max(row["silhouette"] for row in rows[3:])
    assert search.values["model.latent"] == search.pretraining.trial.latent
    root = Path(load_config(path).root)
    assert [p.name for p in (root / "runs").iterdir()] == ["other"], "a search makes no run"
    assert not list((root / "tune").rglob("checkpoints")), "what is finished needs no checkpoints"


def test_a_finished_search_is_not_done_again_and_more_trials_go_on(searched: tuple[Path, Search]) -> None:
    path, search = searched
    began = time.perf_counter()
    again = tune(load_config(path))
    assert time.perf_counter() - began < 5
    assert (again.outcome.done, again.outcome.skipped) == (0, 5)
    assert table(again) == table(search)
    more = tune(load_config(path, ["tune.trials=4", "tune.latent_slack=1"]))
    assert more.outcome.skipped >= 3
    assert table(more)[:3] == table(search)[:3]
    assert more.outcome.done == len(more.results) - more.outcome.skipped > 0


def test_the_verb_writes_the_table_and_a_configuration_that_loads(
    searched: tuple[Path, Search], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, search = searched
    with pytest.raises(SystemExit) as ended:
        main(["tune", str(path), "-o", str(tmp_path / "out" / "best"), "--set", "run=mine"])
    assert ended.value.code == 0
    shown = capsys.readouterr()
    assert "pretrain-002" in shown.out
    assert "5 done before" in shown.err
    with (tmp_path / "out" / "best.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows if row["chosen"] == "True"] == [
        search.pretraining.trial.key,
        *([] if search.clustering is None else [search.clustering.trial.key]),
    ]
    best = load_config(tmp_path / "out" / "best.yaml")
    mine = load_config(path)
    assert best.run == "mine-tuned"
    assert (best.archive, best.windows, best.tune) == (mine.archive, mine.windows, mine.tune)
    assert best.model.latent == search.values["model.latent"]
    assert best.pretrain.learning_rate == search.values["pretrain.learning_rate"]
    assert best.cluster.gamma == search.values["cluster.gamma"]


def context_of(path: Path, tmp_path: Path) -> TrialContext:
    config = load_config(path)
    return TrialContext(config, Location(str(tmp_path)), Places.at(config.root).training_set("other"))


def test_a_trial_that_cannot_be_trained_is_listed_and_not_kept(
    searched: tuple[Path, Search], tmp_path: Path
) -> None:
    context = context_of(searched[0], tmp_path)
    hopeless = Trial(1, 32, 1e18, 4)
    result = run_trial(hopeless, context)
    assert result.status == "failed"
    assert "lower pretrain.learning_rate" in str(result.reason)
    assert read_result(hopeless, context) is None


def test_a_search_that_fails_everywhere_says_why(tmp_path: Path) -> None:
    path = write_run(tmp_path)
    with pytest.raises(TrainingError, match=r"none of 2 trials could be trained.*learning_rate"):
        tune(
            load_config(
                path, ["pretrain.learning_rate=1e18", "tune.learning_rate=[1e17,1e18]", "tune.trials=2"]
            )
        )


def test_a_range_the_wrong_way_round_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"tune.learning_rate is \[0.1, 0.01\]"):
        config("tune.learning_rate=[0.1,0.01]")


def killed_when(path: Path, ready: Callable[[], bool], *overrides: str) -> None:
    """Start the verb in a process of its own and kill it as soon as ``ready`` says so."""
    words = [word for override in overrides for word in ("--set", override)]
    code = "from scaledec.cli import main; main()"
    command = [sys.executable, "-c", code, "tune", str(path), *words, "-o", str(path.parent / "killed")]
    child = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 240
    try:
        while not ready():
            assert child.poll() is None, "the search ended by itself"
            assert time.monotonic() < end, "nothing came of the search"
            time.sleep(0.02)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def results_on_disk(path: Path) -> list[Path]:
    return list(Path(load_config(path).root).glob("tune/*/*/result.json"))


@pytest.mark.heavy
@pytest.mark.durability
def test_a_killed_search_goes_on_to_the_table_of_an_unbroken_one(
    searched: tuple[Path, Search], tmp_path: Path
) -> None:
    path = write_run(tmp_path)
    killed_when(path, lambda: len(results_on_disk(path)) >= 2)
    kept = {p: p.stat().st_mtime_ns for p in results_on_disk(path)}
    found = tune(load_config(path))
    assert found.outcome.skipped >= 2
    assert table(found) == table(searched[1])
    assert {p: p.stat().st_mtime_ns for p in kept} == kept


@pytest.mark.heavy
@pytest.mark.ray
@pytest.mark.durability
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_ray_tune_gives_the_same_table_also_after_a_kill(
    searched: tuple[Path, Search], tmp_path: Path
) -> None:
    path = write_run(tmp_path)
    distributed = ("compute.engine=distributed", "tune.parallel=2")
    killed_when(path, lambda: len(results_on_disk(path)) >= 1, *distributed)
    found = tune(load_config(path, distributed))
    assert found.outcome.skipped >= 1
    expected = table(searched[1])
    for mine, theirs in zip(table(found), expected, strict=True):
        name = "validation_loss" if mine["gamma"] is None else "silhouette"
        assert mine.pop(name) == pytest.approx(theirs.pop(name), rel=1e-3)
        assert mine == theirs
