"""Labels are what the model says by pencil and paper: NumPy in float64 on windows read from the store.

Nothing of ours but the files: weights by safetensors, power by zarr, the network, the normaliser and the
clusters written down again.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr
from safetensors.numpy import load_file
from scipy.stats import multivariate_normal

from scaledec.numerics.clusters import Mixture
from scaledec.places import Places
from scaledec.stages.label import Labeller
from scaledec.training.saved_model import SavedModel
from tests.stages.small_cubes import (
    channels_of,
    make_cube,
    make_labels,
    plan_for,
    save_model,
    small_config,
)

Float64 = npt.NDArray[np.float64]
N_SEGMENTS, STRIDE, LENGTH, FRAMES = 3, 8, 16, 600
WINDOWS = [(0, 0, 0), (0, 0, 74), (0, 1, 31), (1, 0, 74), (1, 1, 3), (1, 2, 73)]
"""Channel, segment, window; number 74 ends in the next segment."""


def model_of(method: Any, root: Path) -> None:
    """Save a model of that method, with the windows of a first one as reference."""
    place = Places.at(str(root)).run("run")
    model = SavedModel.load(place)
    mixture = None
    if method == "gmm":
        factors = np.random.default_rng(1).standard_normal((3, 3, 3)) + 2 * np.eye(3)
        mixture = Mixture(np.array([0.2, 0.3, 0.5]), factors @ factors.transpose(0, 2, 1))
    model = replace(model, method=method, mixture=mixture, alpha=1.5)
    rng = np.random.default_rng(5)
    model.referring_to(rng.standard_normal((500, 3)) * model.centroids.std() + model.centroids[0]).save(place)


def convolved(x: Float64, weight: Float64, bias: Float64) -> Float64:
    """Stride 2, zeros around: (plane, frame, frequency) to (width, frame, frequency), cell by cell."""
    k = weight.shape[2]
    x = np.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    rows, columns = ((side - k) // 2 + 1 for side in x.shape[1:])
    out = np.empty((len(weight), rows, columns))
    for i in range(rows):
        for j in range(columns):
            patch = x[:, 2 * i : 2 * i + k, 2 * j : 2 * j + k]
            out[:, i, j] = (weight * patch).sum(axis=(1, 2, 3)) + bias
    return out


def embedded(power_db: Float64, tensors: dict[str, Float64]) -> Float64:
    deviation = tensors["normaliser.deviation_db"]
    x = ((power_db - tensors["normaliser.mean_db"]) / deviation)[None]
    for layer in (0, 2):
        weight, bias = (tensors[f"network.down.{layer}.{name}"] for name in ("weight", "bias"))
        x = np.maximum(convolved(x, weight, bias), 0)
    return np.asarray(tensors["network.to_latent.weight"] @ x.ravel() + tensors["network.to_latent.bias"])


def assigned(z: Float64, method: str, alpha: float, tensors: dict[str, Float64]) -> tuple[int, Float64]:
    """The label; confidence, distance and outlier score."""
    centroids = tensors["centroids"]
    distance = np.linalg.norm(z - centroids, axis=1)
    if method == "gmm":
        covariances = tensors["mixture.covariances"]
        pairs = zip(tensors["mixture.weights"], centroids, covariances, strict=True)
        weight = np.array([w * multivariate_normal(m, c).pdf(z) for w, m, c in pairs])
        reach = np.array(
            [
                np.sqrt((z - m) @ np.linalg.solve(c, z - m))
                for m, c in zip(centroids, covariances, strict=True)
            ]
        )
    else:
        reach = distance
        if method == "kmeans":
            weight = np.exp(-(distance**2 - distance.min() ** 2) / (2 * tensors["reference.variance"][0]))
        else:
            weight = (1 + distance**2 / alpha) ** (-(alpha + 1) / 2)
    k = int(weight.argmax())
    known = tensors["reference.reach"][k]
    inside = np.interp(reach[k], known, tensors["reference.level"])
    outlier = inside if reach[k] <= known[-1] else reach[k] / known[-1]
    return k, np.array([weight[k] / weight.sum(), distance[k], outlier])


@pytest.mark.parametrize("method", ["idec", "kmeans", "gmm"])
def test_labels_are_those_of_the_model_applied_by_hand(tmp_path: Path, method: str) -> None:
    config = small_config(tmp_path)
    cube = make_cube(config, channels_of(2), N_SEGMENTS)
    save_model(config)
    model_of(method, tmp_path)
    checksum = SavedModel.load(Places.at(config.root).run("run")).checksum
    labeller = Labeller(make_labels(config, cube))
    for task in plan_for(config, cube, checksum).tasks:
        labeller.run(task)

    run = tmp_path / "runs" / "run"
    tensors = {name: t.astype(np.float64) for name, t in load_file(run / "model.safetensors").items()}
    alpha = json.loads((run / "model.json").read_text())["alpha"]
    power = zarr.open_array(tmp_path / "cube.zarr" / "power", mode="r")
    names = ("label", "confidence", "distance", "outlier", "embedding")
    labels = tmp_path / "labels" / "run.zarr"
    found = {name: np.asarray(zarr.open_array(labels / name, mode="r")[:]) for name in names}
    assert len(set(found["label"][found["label"] >= 0].tolist())) > 1
    for channel, segment, window in WINDOWS:
        flat = np.concatenate(list(np.asarray(power[channel]).astype(np.float64)))
        first = segment * FRAMES + window * STRIDE
        z = embedded(flat[first : first + LENGTH], tensors)
        place = channel, segment, window
        np.testing.assert_allclose(found["embedding"][place], z, rtol=2e-5, atol=2e-5)
        label, numbers = assigned(z, method, alpha, tensors)
        assert found["label"][place] == label
        told = [found[name][place] for name in ("confidence", "distance", "outlier")]
        np.testing.assert_allclose(told, numbers, rtol=1e-4, atol=1e-4)
