"""The estimator: scikit-learn's contract, on images and windows, with the loops of the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import scaledec
from scaledec.errors import StoreNotFoundError
from scaledec.estimator import DeepEmbeddedClustering
from scaledec.location import Location
from scaledec.numerics.metrics import adjusted_rand_index
from scaledec.training.arrays import as_windows
from scaledec.training.saved_model import SavedModel
from tests.stages.cluster_ranks import ridges


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(n_clusters: int = 4, **options: Any) -> DeepEmbeddedClustering:
    defaults: dict[str, Any] = {
        "latent": 4,
        "widths": (8, 16),
        "pretrain_epochs": 30,
        "epochs": 8,
        "batch": 32,
        "learning_rate": 3e-3,
        "restarts": 3,
        "random_state": 0,
    }
    return DeepEmbeddedClustering(n_clusters, **(defaults | options))


@pytest.fixture(scope="module")
def fitted() -> DeepEmbeddedClustering:
    return small().fit(ridges(240)[0])


def test_planted_classes_are_found_and_all_attributes_are_there(fitted: DeepEmbeddedClustering) -> None:
    windows, truth = ridges(240)
    assert adjusted_rand_index(truth, fitted.labels_) > 0.9
    assert fitted.embedding_.shape == (240, 4)
    assert fitted.cluster_centers_.shape == (4, 4)
    assert fitted.model_.method == "n2d"
    assert list(np.bincount(fitted.labels_)) == sorted(np.bincount(fitted.labels_), reverse=True)
    assert len(fitted.history_["pretrain"]) == 30
    assert fitted.history_["cluster"][-1]["stop_reason"] in ("epochs", "tolerance")
    np.testing.assert_array_equal(fitted.transform(windows), fitted.embedding_)
    np.testing.assert_array_equal(fitted.predict(windows), fitted.labels_)


def test_new_windows_are_told_apart(fitted: DeepEmbeddedClustering) -> None:
    windows, truth = ridges(200, seed=1)
    assert adjusted_rand_index(truth, fitted.predict(windows)) > 0.9


def test_the_same_seed_gives_the_same_result_twice(fitted: DeepEmbeddedClustering) -> None:
    again = clone(fitted).fit(ridges(240)[0])
    assert again.embedding_.tobytes() == fitted.embedding_.tobytes()
    np.testing.assert_array_equal(again.labels_, fitted.labels_)


@pytest.mark.parametrize("method", ["idec", "dec", "gmm", "kmeans"])
def test_every_method_labels_what_it_was_fitted_to(method: str) -> None:
    windows, truth = ridges(160)
    found = small(method=method, epochs=3)
    labels = found.fit_predict(windows)
    assert found.model_.method == method
    np.testing.assert_array_equal(found.predict(windows), labels)
    assert adjusted_rand_index(truth, labels) > 0.5


def test_one_large_class_is_not_split_and_the_default_loses_nothing_to_kmeans() -> None:
    ridge, truth = ridges(300)
    rare = np.flatnonzero(truth > 0)[:60]
    silence = np.random.default_rng(0).normal(size=(300, 8, 8)) * 0.05
    windows, classes = np.concatenate([silence, ridge[rare] * 3]), np.r_[np.zeros(300, int), truth[rare]]
    chosen, kmeans = (small(method=m, pretrain_epochs=20).fit(windows) for m in ("auto", "kmeans"))
    assert chosen.model_.method == "n2d"
    score = [adjusted_rand_index(classes, found.labels_) for found in (chosen, kmeans)]
    assert score[0] > 0.95
    assert score[0] >= score[1] - 0.01


def test_one_cluster_is_everything_without_training() -> None:
    found = small(1, pretrain_epochs=1).fit(ridges(60)[0])
    assert found.model_.method == "kmeans"
    assert set(found.labels_) == {0}


def test_planes_and_odd_sides_are_windows_too() -> None:
    ridge, truth = ridges(120, side=9)
    windows = np.stack([np.pad(ridge, ((0, 0), (0, 0), (2, 2))), np.zeros((120, 9, 13))], axis=1)
    found = small(pretrain_epochs=20, epochs=4).fit(windows)
    assert adjusted_rand_index(truth, found.labels_) > 0.5
    assert found.window_shape_ == (2, 9, 13)


def test_flat_images_give_what_images_give(fitted: DeepEmbeddedClustering) -> None:
    flat = clone(fitted).fit(ridges(240)[0].reshape(240, 64))
    np.testing.assert_array_equal(flat.labels_, fitted.labels_)
    assert flat.n_features_in_ == 64


def test_arrays_become_windows_that_a_network_takes() -> None:
    assert as_windows(np.ones((2, 3), np.float32)).shape == (2, 8, 8)
    assert as_windows(np.ones((2, 784), np.float32)).shape == (2, 28, 28)
    assert as_windows(np.ones((2, 65), np.float32)).shape == (2, 9, 9)
    framed = as_windows(np.ones((1, 3, 5, 20), np.float32))
    assert framed.shape == (1, 3, 8, 20)
    assert framed.sum() == 3 * 5 * 20


def test_a_saved_estimator_predicts_as_before_and_is_a_model_of_the_pipeline(
    fitted: DeepEmbeddedClustering, tmp_path: Path
) -> None:
    checksum = fitted.save(tmp_path)
    windows = ridges(60, seed=2)[0]
    again = DeepEmbeddedClustering.load(tmp_path)
    np.testing.assert_array_equal(again.predict(windows), fitted.predict(windows))
    assert SavedModel.load(Location(str(tmp_path))).checksum == checksum
    assert again.get_params()["method"] == "n2d"
    assert again.cluster_centers_.shape == (4, 4)
    with pytest.raises(StoreNotFoundError):
        DeepEmbeddedClustering.load(tmp_path / "nowhere")


def test_it_is_a_step_of_a_pipeline_and_a_public_name(fitted: DeepEmbeddedClustering) -> None:
    steps = make_pipeline(FunctionTransformer(np.negative), small(pretrain_epochs=2, epochs=1))
    assert steps.fit_predict(ridges(60)[0]).shape == (60,)
    assert scaledec.DeepEmbeddedClustering is DeepEmbeddedClustering
    assert small(n_clusters=3).get_params()["n_clusters"] == 3


def test_progress_is_told_on_stderr_if_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    small(2, pretrain_epochs=2, epochs=1, progress="lines").fit(ridges(60)[0])
    told = capsys.readouterr()
    assert "pretrain: 2 of 2 epochs" in told.err
    assert told.out == ""


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda x: x[:3], "n_samples=3 should be >= n_clusters=4"),
        (lambda x: np.where(x > 2, np.nan, x), "NaN"),
        (lambda x: x - 1000, "silence"),
        (lambda x: x[:, None, None, None], "expected \\(N, H, W\\)"),
    ],
)
def test_what_cannot_be_clustered_is_refused(
    break_it: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        small().fit(break_it(ridges(60)[0]))


def test_windows_of_another_shape_are_refused(fitted: DeepEmbeddedClustering) -> None:
    with pytest.raises(ValueError, match=r"of shape \(8, 9\); fitted to \(8, 8\)"):
        fitted.predict(np.zeros((2, 8, 9)))
    with pytest.raises(NotFittedError):
        small().predict(np.zeros((2, 8, 8)))


LEFT_OUT: dict[str, str] = {}
"""Checks of scikit-learn that make no sense for images, and why."""


@parametrize_with_checks(
    [small(2, method="gmm", pretrain_epochs=1, restarts=1)], expected_failed_checks=lambda estimator: LEFT_OUT
)
def test_scikit_learns_own_checks(estimator: DeepEmbeddedClustering, check: Any) -> None:
    check(estimator)
