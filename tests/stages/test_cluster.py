"""The cluster stage as a whole: what it reads, what it leaves behind, on one rank and on several."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score

from scaledec.config import parse_config, pretrain_fingerprint, run_fingerprint
from scaledec.errors import StoreConflictError, StoreNotFoundError, TrainingError
from scaledec.location import Location
from scaledec.numerics.metrics import adjusted_rand_index
from scaledec.numerics.normalise import Normaliser
from scaledec.stages.cluster import cluster_loop
from scaledec.stages.cluster_job import ClusterJob, ClusterOutcome
from scaledec.training.saved_model import SavedModel
from scaledec.training.session import LocalSession
from tests.stages.cluster_ranks import ridges, run_ranks
from tests.stages.cluster_runs import (
    HELD_OUT,
    TRUTH,
    N,
    assignments,
    job_on_copy,
    make_pretrained_run,
    read_metrics,
)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pretrained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pretrained_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def job(pretrained_run: Path, tmp_path: Path) -> ClusterJob:
    """A job on its own copy of the run."""
    return job_on_copy(pretrained_run, tmp_path / "run")


def test_every_sampled_window_gets_its_labels_before_and_after(job: ClusterJob) -> None:
    outcome = cluster_loop(LocalSession(None), job)
    found = assignments(job)
    assert set(found) == {
        "embedding",
        "embedding_pretrained",
        "label",
        "label_kmeans",
        "label_gmm",
        "confidence",
        "distance",
        "outlier",
    }
    assert found["embedding_pretrained"].shape == (N, 4)
    for name in ("label", "label_kmeans", "label_gmm"):
        assert adjusted_rand_index(TRUTH, found[name]) > 0.8
    held_out = slice(N - HELD_OUT, None)
    assert adjusted_rand_index(TRUTH[held_out], found["label"][held_out]) > 0.8
    assert ((found["confidence"] > 0.25) & (found["confidence"] <= 1)).all()
    assert outcome.counts == tuple(np.bincount(found["label"][: N - HELD_OUT], minlength=4))


def test_the_model_gives_the_labels_that_were_stored(job: ClusterJob) -> None:
    cluster_loop(LocalSession(None), job)
    model, found = SavedModel.load(job.run), assignments(job)
    z = model.embed(ridges(N)[0])
    np.testing.assert_array_equal(z, found["embedding"])
    np.testing.assert_array_equal(model.assign(z).label, found["label"])
    np.testing.assert_array_equal(model.assign(z).confidence, found["confidence"])
    before = SavedModel.load(job.run.child("pretrained"))
    np.testing.assert_array_equal(before.embed(ridges(N)[0]), found["embedding_pretrained"])


@pytest.mark.parametrize("method", ["dec", "idec", "kmeans", "gmm"])
def test_clusters_are_numbered_from_the_largest(
    job: ClusterJob, method: Literal["dec", "idec", "kmeans", "gmm"]
) -> None:
    outcome = cluster_loop(LocalSession(None), replace(job, method=method))
    assert list(outcome.counts) == sorted(outcome.counts, reverse=True)
    for name in ("label", "label_kmeans", "label_gmm"):
        counts = np.bincount(assignments(job)[name][: N - HELD_OUT], minlength=4)
        assert list(counts) == sorted(counts, reverse=True)


@pytest.mark.parametrize("method", ["kmeans", "gmm"])
def test_kmeans_and_gmm_stop_at_the_initialisation(job: ClusterJob, method: Literal["kmeans", "gmm"]) -> None:
    outcome = cluster_loop(LocalSession(None), replace(job, method=method))
    assert (outcome.stop_reason, outcome.steps) == ("start", 0)
    found = assignments(job)
    np.testing.assert_array_equal(found["label"], found[f"label_{method}"])
    np.testing.assert_array_equal(found["embedding"], found["embedding_pretrained"])
    model = SavedModel.load(job.run)
    assert model.method == method
    assert (model.mixture is None) == (method == "kmeans")
    assert [record["stop_reason"] for record in read_metrics(job)] == ["start"]


def test_metrics_tell_the_story_of_every_refresh(job: ClusterJob) -> None:
    cluster_loop(LocalSession(None), job)
    first, *rest = read_metrics(job)
    assert first["reconstruction"] is None
    assert first["label_change"] is None
    for record in rest:
        assert record["loss"] == pytest.approx(
            record["reconstruction"] / variance(job) + record["kl"] / np.log(4)
        )
        assert 0 <= record["label_change"] <= 1
        assert sum(record["counts"]) == N - HELD_OUT
        assert 1 <= record["effective_clusters"] <= 4
    assert rest[-1]["stop_reason"] == "epochs"


def test_the_model_says_how_separated_its_clusters_and_its_baselines_are(job: ClusterJob) -> None:
    cluster_loop(LocalSession(None), job)
    found, stored = SavedModel.load(job.run).facts["separation"], assignments(job)
    trained = slice(0, N - HELD_OUT)
    for method, z, label in (
        ("kmeans", stored["embedding_pretrained"], stored["label_kmeans"]),
        ("gmm", stored["embedding_pretrained"], stored["label_gmm"]),
        ("idec", stored["embedding"], stored["label"]),
    ):
        expected = calinski_harabasz_score(z[trained], label[trained])
        assert found[method]["calinski_harabasz"] == pytest.approx(expected, rel=1e-6)
        assert found[method]["davies_bouldin"] == pytest.approx(
            davies_bouldin_score(z[trained], label[trained]), rel=1e-6
        )
        assert -1 <= found[method]["simplified_silhouette"] <= 1


def variance(job: ClusterJob) -> float:
    normaliser = SavedModel.load(job.run).normaliser
    return float(normaliser.apply(ridges(N)[0][: N - HELD_OUT]).astype(np.float64).var())


@pytest.mark.parametrize(("loss", "sphered"), [("scaled", True), ("raw", False)])
def test_dec_starts_in_units_in_which_clusters_are_round_unless_the_published_recipe_is_asked_for(
    job: ClusterJob, loss: Literal["scaled", "raw"], sphered: bool
) -> None:
    cluster_loop(LocalSession(None), replace(job, loss=loss, learning_rate=1e-9, epochs=1))
    before, after = SavedModel.load(job.run.child("pretrained")), SavedModel.load(job.run)
    windows = ridges(N)[0]
    z, z_after = before.embed(windows), after.embed(windows)
    labels = assignments(job)["label_gmm"]
    within = sum(np.cov(z_after[labels == k].T) * np.mean(labels == k) for k in range(4))
    assert after.facts["sphered"] is sphered
    assert np.allclose(within, np.eye(4), atol=0.2) is sphered
    assert np.allclose(z, z_after, atol=1e-4) is not sphered


def test_the_model_keeps_both_baselines_and_how_it_came_about(job: ClusterJob) -> None:
    cluster_loop(LocalSession(None), job)
    facts = SavedModel.load(job.run).facts
    assert np.shape(facts["starts"]["kmeans"]["centroids"]) == (4, 4)
    assert np.shape(facts["starts"]["gmm"]["covariances"]) == (4, 4, 4)
    assert facts["starts"]["kmeans"]["seed"] != facts["starts"]["gmm"]["lower_bound"]
    assert facts["stop_reason"] == "epochs"
    assert facts["pretrained"]["checksum"] == SavedModel.load(job.run.child("pretrained")).checksum


def test_a_finished_run_is_not_trained_again(job: ClusterJob) -> None:
    first = cluster_loop(LocalSession(None), job)
    written = job.run.child("model.safetensors").path.stat().st_mtime_ns
    again = cluster_loop(LocalSession(None), job)
    assert again == replace(first, already_finished=True)
    assert job.run.child("model.safetensors").path.stat().st_mtime_ns == written


def test_the_same_job_gives_the_same_bytes(pretrained_run: Path, tmp_path: Path) -> None:
    jobs = [job_on_copy(pretrained_run, tmp_path / name) for name in "ab"]
    for job in jobs:
        cluster_loop(LocalSession(None), job)
    for name in ("model.safetensors", "model.json", "metrics-cluster.jsonl"):
        assert jobs[0].run.child(name).read_bytes() == jobs[1].run.child(name).read_bytes()


class KilledError(RuntimeError):
    """Stands for kill -9."""


def test_a_killed_run_ends_with_the_same_bytes(pretrained_run: Path, tmp_path: Path) -> None:
    whole, killed = (
        replace(job_on_copy(pretrained_run, tmp_path / name), epochs=70) for name in ("whole", "killed")
    )
    cluster_loop(LocalSession(whole.run.child("checkpoints")), whole)

    def die_at(step: int) -> None:
        def on_report(record: Any) -> None:
            if record["step"] >= step:
                raise KilledError

        cluster_loop(LocalSession(killed.run.child("checkpoints"), on_report=on_report), killed)

    for step in (0, 200):
        with pytest.raises(KilledError):
            die_at(step)
    cluster_loop(LocalSession(killed.run.child("checkpoints")), killed)
    for name in ("model.safetensors", "model.json", "metrics-cluster.jsonl"):
        assert whole.run.child(name).read_bytes() == killed.run.child(name).read_bytes()
    for name, values in assignments(whole).items():
        np.testing.assert_array_equal(values, assignments(killed)[name])


@pytest.mark.parametrize("method", ["dec", "idec"])
def test_two_ranks_write_what_one_rank_writes(
    pretrained_run: Path, tmp_path: Path, method: Literal["dec", "idec"]
) -> None:
    alone, together = (
        replace(job_on_copy(pretrained_run, tmp_path / name), method=method) for name in ("one", "two")
    )
    outcome = cluster_loop(LocalSession(None), alone)
    outcomes = run_ranks(2, lambda session: cluster_loop(session, together))
    assert outcomes == [outcome, outcome]
    np.testing.assert_allclose(
        SavedModel.load(together.run).centroids, SavedModel.load(alone.run).centroids, rtol=1e-3, atol=1e-4
    )
    theirs = assignments(together)
    for name, values in assignments(alone).items():
        if name.startswith("label"):
            np.testing.assert_array_equal(values, theirs[name])
        else:
            np.testing.assert_allclose(values, theirs[name], rtol=2e-3, atol=1e-4)


def test_only_rank_zero_writes(job: ClusterJob, monkeypatch: pytest.MonkeyPatch) -> None:
    # The fault: every rank writing the same file.
    writers: dict[int, set[str]] = {}
    write = Location.write_bytes

    def spy(self: Location, data: bytes) -> None:
        writers.setdefault(threading.get_ident(), set()).add(self.url.rsplit("/", 1)[-1])
        write(self, data)

    monkeypatch.setattr(Location, "write_bytes", spy)
    run_ranks(3, lambda session: cluster_loop(session, job))
    assert [names >= {"model.json", "metrics-cluster.jsonl"} for names in writers.values()] == [True]


def test_windows_that_are_not_finite_are_rejected_before_f_and_left_unlabelled(
    job: ClusterJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The fault: NaN from dead channels poisoning f.
    apply = Normaliser.apply

    def with_hole(self: Normaliser, windows: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        normalised = apply(self, windows)
        normalised[windows[:, 0, 0] == ridges(N)[0][5, 0, 0], 3, 3] = np.nan
        return normalised

    monkeypatch.setattr(Normaliser, "apply", with_hole)
    cluster_loop(LocalSession(None), job)
    found = assignments(job)
    assert found["label"][5] == found["label_kmeans"][5] == -1
    assert np.isnan(found["embedding"][5]).all()
    assert (np.delete(found["label"], 5) >= 0).all()
    assert sum(read_metrics(job)[-1]["frequencies"]) == pytest.approx(N - HELD_OUT - 1)


def test_too_many_clusters_for_the_windows_is_a_sentence(job: ClusterJob) -> None:
    with pytest.raises(TrainingError, match=r"lower cluster.n_clusters or raise pretrain.windows"):
        cluster_loop(LocalSession(None), replace(job, n_clusters=N + 1))


def test_a_run_without_a_pretrained_model_says_what_to_run_first(job: ClusterJob) -> None:
    with pytest.raises(StoreNotFoundError, match="run `scaledec pretrain` first"):
        cluster_loop(LocalSession(None), replace(job, run=job.run.child("elsewhere")))


def test_models_and_checkpoints_of_other_settings_are_refused(job: ClusterJob) -> None:
    with pytest.raises(StoreConflictError, match="a pretrained model of other settings"):
        cluster_loop(LocalSession(None), replace(job, pretrain_fingerprint="other"))
    session = LocalSession(job.run.child("checkpoints"))
    cluster_loop(session, job)
    with pytest.raises(StoreConflictError, match="a clustered model of other settings"):
        cluster_loop(session, replace(job, fingerprint="other"))
    job.run.child("model.json").path.unlink()
    with pytest.raises(StoreConflictError, match="checkpoints of other settings"):
        cluster_loop(session, replace(job, fingerprint="other"))


def test_a_job_takes_every_setting_of_the_configuration(tmp_path: Path) -> None:
    settings = {"method": "dec", "n_clusters": 5, "restarts": 7, "alpha": 2.0, "seed": 3, "tolerance": 0.1}
    overrides = [f"cluster.{name}={value}" for name, value in settings.items()]
    config = parse_config(f"{{root: {tmp_path}, archive: {{url: {tmp_path}}}}}", overrides)
    run = Location(str(tmp_path)).child("runs", "a")
    job = ClusterJob.from_config(config, run, run.child("training.zarr"))
    # A schedule's name decides nothing by itself: the settings that it brings do.
    for name in set(type(config.cluster).model_fields) - {"preset"}:
        assert getattr(job, name) == getattr(config.cluster, name)
    assert job.fingerprint == run_fingerprint(config)
    assert job.pretrain_fingerprint == pretrain_fingerprint(config)


def test_a_job_travels_to_workers(job: ClusterJob) -> None:
    assert pickle.loads(pickle.dumps(job)) == job  # noqa: S301 (our own bytes)


def test_progress_hears_of_refreshes(job: ClusterJob) -> None:
    heard: list[Any] = []
    outcome: ClusterOutcome = cluster_loop(LocalSession(None, on_report=heard.append), job)
    assert [record["step"] for record in heard] == [0, outcome.steps]
