"""What DEC and IDEC gain over their own k-means and Gaussian mixture on scikit-learn's digits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.datasets import load_digits

from scaledec.location import Location
from scaledec.numerics.metrics import (
    adjusted_rand_index,
    hungarian_accuracy,
    normalised_mutual_information,
)
from scaledec.numerics.nets.presets import NetworkSpec
from scaledec.stages.cluster import cluster_loop
from scaledec.stages.cluster_job import ClusterJob
from scaledec.stages.pretrain import PretrainJob, pretrain_loop
from scaledec.training.saved_model import SavedModel
from scaledec.training.session import LocalSession
from scaledec.training.sources import ArrayWindows

pytestmark = pytest.mark.heavy

Method: TypeAlias = Literal["kmeans", "gmm", "dec", "idec"]
DEEP: tuple[Method, Method] = ("dec", "idec")
SEEDS = (0, 1, 2)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def digits() -> tuple[ArrayWindows, npt.NDArray[np.int64]]:
    bunch = load_digits()
    held_out = np.random.default_rng(0).random(len(bunch.images)) < 0.1
    return ArrayWindows(bunch.images.astype(np.float32), held_out), bunch.target


def pretrained_run(folder: Path, windows: ArrayWindows, seed: int) -> Location:
    run, network = Location(str(folder)), NetworkSpec(8, 8, (16, 32), 9)
    job = PretrainJob(run=run, source=windows, network=network, epochs=40, seed=seed)
    pretrain_loop(LocalSession(None), job)
    return run


def score(
    run: Location, windows: ArrayWindows, truth: npt.NDArray[np.int64], method: Method, seed: int
) -> tuple[float, float, float]:
    """Accuracy, NMI and ARI of one method on the run's pretrained network."""
    job = ClusterJob(run=run, source=windows, n_clusters=10, method=method, seed=seed)
    cluster_loop(LocalSession(None), job)
    model = SavedModel.load(run)
    labels = model.assign(model.embed(windows.windows)).label
    run.child("model.json").path.unlink()
    return (
        round(hungarian_accuracy(truth, labels), 3),
        round(normalised_mutual_information(truth, labels), 3),
        round(adjusted_rand_index(truth, labels), 3),
    )


def test_dec_and_idec_do_not_lose_to_their_own_initialisation(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    windows, truth = digits()
    scores: dict[Method, list[tuple[float, float, float]]] = {"kmeans": [], "gmm": [], "dec": [], "idec": []}
    for seed in SEEDS:
        run = pretrained_run(tmp_path / str(seed), windows, seed)
        for method, found in scores.items():
            found.append(score(run, windows, truth, method, seed))
    mean = {method: np.mean(found, axis=0) for method, found in scores.items()}
    for method, found in scores.items():
        print(f"{method}: accuracy, NMI, ARI {np.round(mean[method], 3)}; by seed {found}")
        record_property(method, mean[method].tolist())
    for method in DEEP:  # both start from the mixture's means
        gain = np.subtract(scores[method], scores["gmm"])
        assert (gain.mean(axis=0) > 0).all(), f"{method} loses to its initialisation: {gain.tolist()}"
        assert gain.min() > -0.01
        assert (mean[method] > mean["kmeans"]).all()
