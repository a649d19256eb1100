"""A saved model is the model, and labels windows the same in any company."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load, save
from scipy.stats import multivariate_normal

from scaledec.errors import StoreError, StoreNotFoundError, TrainingError
from scaledec.location import Location
from scaledec.numerics.clusters import Mixture
from scaledec.numerics.nets.presets import NetworkSpec
from scaledec.numerics.normalise import Normaliser
from scaledec.training.saved_model import SavedModel, embed_tensor

SPEC = NetworkSpec(20, 17, (4, 8), 3)
Array = npt.NDArray[Any]


def windows(n: int = 150) -> npt.NDArray[np.float16]:
    return (np.random.default_rng(0).standard_normal((n, 20, 17)) * 6 - 90).astype(np.float16)


def model(method: Any = "idec", **changes: Any) -> SavedModel:
    rng = np.random.default_rng(1)
    normaliser = Normaliser.fit("whiten", [windows()])
    centroids = rng.standard_normal((4, 3))
    built = SavedModel(SPEC.build(seed=2), SPEC, normaliser, method, centroids, 1.5, facts={"epochs": 3})
    return replace(built, **changes)


def mixture() -> Mixture:
    rng = np.random.default_rng(2)
    factors = rng.standard_normal((4, 3, 3)) + 2 * np.eye(3)
    return Mixture(np.array([0.1, 0.2, 0.3, 0.4]), factors @ factors.transpose(0, 2, 1))


@pytest.fixture
def place(tmp_path: Path) -> Location:
    return Location(str(tmp_path / "run"))


@pytest.fixture
def torch_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("method", ["autoencoder", "dec", "idec", "kmeans", "gmm"])
def test_a_loaded_model_is_the_one_that_was_saved(place: Location, method: str) -> None:
    saved = model(method, mixture=mixture() if method == "gmm" else None)
    if method != "autoencoder":
        saved = saved.referring_to(saved.embed(windows()))
    checksum = saved.save(place)
    loaded = SavedModel.load(place)
    assert loaded.checksum == saved.checksum == checksum
    assert (loaded.method, loaded.alpha) == (method, 1.5)
    assert loaded.facts == {"epochs": 3}
    z = saved.embed(windows())
    np.testing.assert_array_equal(loaded.embed(windows()), z)
    np.testing.assert_array_equal(loaded.prototypes(), saved.prototypes())
    if method != "autoencoder":
        for name in ("label", "confidence", "distance", "outlier"):
            np.testing.assert_array_equal(getattr(loaded.assign(z), name), getattr(saved.assign(z), name))


def test_saving_again_gives_the_same_bytes(place: Location, tmp_path: Path) -> None:
    model().save(place)
    SavedModel.load(place).save(Location(str(tmp_path / "copy")))
    for name in ("model.safetensors", "model.json"):
        assert place.child(name).read_bytes() == Location(str(tmp_path / "copy")).child(name).read_bytes()


def test_the_checksum_follows_what_decides_labels_and_nothing_else() -> None:
    reference = model()
    assert replace(reference, facts={}).checksum == reference.checksum
    assert replace(reference, alpha=1.0).checksum != reference.checksum
    assert replace(reference, method="kmeans").checksum != reference.checksum
    assert replace(reference, centroids=reference.centroids + 1e-12).checksum != reference.checksum
    assert reference.referring_to(reference.embed(windows())).checksum != reference.checksum


def rewrite(place: Location, tensors: dict[str, torch.Tensor]) -> None:
    """Write other weights and a description that says they are right."""
    loaded = SavedModel.load(place)
    loaded.save(place)
    values = json.loads(place.child("model.json").read_bytes())
    from scaledec.training import saved_model

    data = save(tensors)
    described = {name: values[name] for name in saved_model._DESCRIBED}
    values["checksum"] = saved_model._checksum(data, described)
    place.child("model.safetensors").write_bytes(data)
    place.child("model.json").write_bytes(json.dumps(values).encode())


@pytest.mark.parametrize("change", ["missing", "surplus"])
def test_a_missing_or_surplus_tensor_is_an_error_and_no_untrained_layer(place: Location, change: str) -> None:
    model().save(place)
    tensors = load(place.child("model.safetensors").read_bytes())
    if change == "missing":
        del tensors["network.down.0.weight"]
    else:
        tensors["network.down.9.weight"] = torch.zeros(1)
    rewrite(place, tensors)
    with pytest.raises(StoreError, match=r"holds no model of this version.*network|down"):
        SavedModel.load(place)


def test_weights_and_description_of_different_models_do_not_load(place: Location, tmp_path: Path) -> None:
    model().save(place)
    other = Location(str(tmp_path / "other"))
    model(centroids=np.zeros((4, 3))).save(other)
    place.child("model.safetensors").write_bytes(other.child("model.safetensors").read_bytes())
    with pytest.raises(StoreError, match=r"is not the one that model.json .* describes"):
        SavedModel.load(place)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("normaliser", "kind", "max"),
        ("normaliser", "scale", "linear"),
        ("normaliser", "clip_db", [-120.0, -60.0]),
        ("network", "activation", "tanh"),
    ],
)
def test_a_model_with_another_normaliser_or_network_described_does_not_load(
    place: Location, part: str, name: str, value: Any
) -> None:
    model().save(place)
    values = json.loads(place.child("model.json").read_bytes())
    values[part][name] = value
    place.child("model.json").write_bytes(json.dumps(values).encode())
    with pytest.raises(StoreError, match=r"is not the one that model.json .* describes"):
        SavedModel.load(place)


@pytest.mark.parametrize("kind", ["whiten", "zscore", "max", "centred_max", "l2"])
@pytest.mark.parametrize("clip_db", [None, (-100.0, -85.0)])
def test_a_loaded_model_normalises_as_it_was_trained(
    place: Location, kind: Any, clip_db: tuple[float, float] | None
) -> None:
    normaliser = Normaliser.fit(kind, [windows()], clip_db=clip_db)
    saved = model(normaliser=normaliser)
    saved.save(place)
    loaded = SavedModel.load(place)
    assert (loaded.normaliser.kind, loaded.normaliser.clip_db) == (kind, clip_db)
    silent = np.full((1, 20, 17), -300, np.float16)
    x = np.concatenate([windows()[:5], silent])
    z = embed_tensor(loaded.network, torch.from_numpy(normaliser.apply(x)))
    np.testing.assert_array_equal(loaded.embed(x), z.numpy())


def test_a_torn_description_is_an_error_that_names_it(place: Location) -> None:
    model().save(place)
    description = place.child("model.json")
    description.write_bytes(description.read_bytes()[:40])
    with pytest.raises(StoreError, match=r"model.json is no JSON"):
        SavedModel.load(place)


def test_no_model_is_said_to_be_no_model(place: Location) -> None:
    with pytest.raises(StoreNotFoundError, match=r"model.json"):
        SavedModel.load(place)


def test_a_windows_embedding_does_not_depend_on_its_company() -> None:
    trained, x = model(), windows()
    whole = trained.embed(x)
    assert whole.dtype == np.float32
    assert whole.shape == (150, 3)
    for size in (1, 2, 7, 63, 64, 65, 149):
        parts = [trained.embed(x[i : i + size]) for i in range(0, len(x), size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(trained.embed(x[::-1]), whole[::-1])
    assert trained.embed(x[:0]).shape == (0, 3)


def test_normalised_windows_embed_to_the_same_numbers() -> None:
    trained, x = model(), windows()
    z = embed_tensor(trained.network, torch.from_numpy(trained.normaliser.apply(x)))
    np.testing.assert_array_equal(z.numpy(), trained.embed(x))


def test_the_embedding_is_that_of_the_whole_batch_at_once() -> None:
    trained, x = model(), windows()
    with torch.no_grad():
        z = trained.network.encode(torch.from_numpy(trained.normaliser.apply(x))[:, None])
    np.testing.assert_allclose(trained.embed(x), z, rtol=1e-5, atol=1e-6)


def test_lower_precision_moves_embeddings_a_little_and_still_knows_no_company() -> None:
    trained, x = model(), windows()
    z, lower = trained.embed(x), trained.embed(x, precision="bfloat16")
    assert lower.dtype == np.float32
    assert (lower != z).any()
    # bfloat16 has eight bits; the last linear map keeps all of them apart.
    np.testing.assert_allclose(lower, z, atol=0.02 * np.abs(z).max())
    assert len(np.unique(lower[:, 0])) == len(np.unique(z[:, 0]))
    assert (trained.assign(lower).label == trained.assign(z).label).mean() > 0.98
    parts = [trained.embed(x[i : i + 7], precision="bfloat16") for i in range(0, len(x), 7)]
    np.testing.assert_array_equal(np.concatenate(parts), lower)


def test_threads_change_no_label(torch_threads: None) -> None:
    trained, x = model(), windows()
    torch.set_num_threads(1)
    one = trained.embed(x)
    torch.set_num_threads(2)
    two = trained.embed(x)
    np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(trained.assign(two).label, trained.assign(one).label)


@pytest.mark.parametrize("method", ["dec", "idec"])
def test_soft_assignment_is_students_t(method: str) -> None:
    trained = model(method)
    trained = trained.referring_to(trained.embed(windows()))
    z = np.random.default_rng(3).standard_normal((50, 3)).astype(np.float32)
    squared = ((z[:, None].astype(np.float64) - trained.centroids) ** 2).sum(2)
    q = (1 + squared / 1.5) ** (-(1.5 + 1) / 2)
    q /= q.sum(1, keepdims=True)
    found = trained.assign(z)
    assert found.label.dtype == np.int16
    np.testing.assert_array_equal(found.label, squared.argmin(1))
    np.testing.assert_allclose(found.confidence, q.max(1), rtol=1e-6)
    np.testing.assert_allclose(found.distance, np.sqrt(squared.min(1)), rtol=1e-6)


def test_a_mixtures_assignment_is_its_posterior() -> None:
    gaussian = mixture()
    trained = model("gmm", mixture=gaussian)
    z = np.random.default_rng(4).standard_normal((50, 3)).astype(np.float32)
    density = np.stack(
        [
            weight * multivariate_normal(mean, covariance).pdf(z)
            for weight, mean, covariance in zip(
                gaussian.weights, trained.centroids, gaussian.covariances, strict=True
            )
        ],
        axis=1,
    )
    found = trained.assign(z)
    np.testing.assert_array_equal(found.label, density.argmax(1))
    np.testing.assert_allclose(found.confidence, (density / density.sum(1, keepdims=True)).max(1), rtol=1e-5)
    np.testing.assert_allclose(
        found.distance, np.linalg.norm(z - trained.centroids[found.label], axis=1), rtol=1e-5
    )


def test_far_windows_still_have_a_finite_confidence() -> None:
    for trained in (model(), model("gmm", mixture=mixture())):
        found = trained.assign(np.full((1, 3), 1e15, np.float32))
        assert np.isfinite(found.confidence).all()
        assert 0 < found.confidence[0] <= 1


def test_a_model_without_clusters_says_so() -> None:
    with pytest.raises(TrainingError, match="run the cluster stage"):
        model("autoencoder", centroids=np.zeros((0, 0))).assign(np.zeros((1, 3)))


def test_prototypes_are_decoded_centroids() -> None:
    trained = model()
    with torch.no_grad():
        expected = trained.network.decode(torch.from_numpy(trained.centroids).float())[:, 0]
    assert trained.prototypes().shape == (4, 20, 17)
    np.testing.assert_allclose(trained.prototypes(), expected, rtol=1e-5, atol=1e-6)
    assert model("autoencoder", centroids=np.zeros((0, 0))).prototypes().shape == (0, 20, 17)


def test_another_process_embeds_to_the_same_bits(place: Location, tmp_path: Path) -> None:
    trained = model()
    trained.save(place)
    np.save(tmp_path / "x.npy", windows())
    script = (
        "import sys, numpy as np, torch\n"
        "from scaledec.location import Location\n"
        "from scaledec.training.saved_model import SavedModel\n"
        "torch.set_num_threads(int(sys.argv[3]))\n"
        "z = SavedModel.load(Location(sys.argv[1])).embed(np.load(sys.argv[2] + '/x.npy'))\n"
        "np.save(sys.argv[2] + '/z.npy', z)\n"
    )
    threads = str(torch.get_num_threads())
    subprocess.run([sys.executable, "-c", script, place.url, str(tmp_path), threads], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "z.npy"), trained.embed(windows()))


@pytest.mark.parametrize("preset", [None, "unet2021"])
def test_a_reconstruction_is_what_the_embedding_alone_gives(preset: Any) -> None:
    spec = replace(SPEC, preset=preset)
    saved = model(network=spec.build(seed=2), spec=spec)
    given, made = saved.reconstruct(windows(5))
    np.testing.assert_array_equal(given, saved.normaliser.apply(windows(5)))
    with torch.inference_mode():
        alone = saved.network.decode(torch.from_numpy(saved.embed(windows(5))))[:, 0].numpy()
    np.testing.assert_allclose(made, alone, rtol=1e-4, atol=1e-5)
    assert saved.network.has_skips == (preset == "unet2021")
