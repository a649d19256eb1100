"""Every preset is what its source says, layer by layer, and works from end to end."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scaledec.config.network import ModelConfig
from scaledec.engines.local_train import run_training
from scaledec.errors import ConfigError, StoreError
from scaledec.location import Location
from scaledec.numerics.nets.base import Autoencoder
from scaledec.numerics.nets.presets import LATENT, NetworkSpec, Preset
from scaledec.numerics.normalise import Kind, Normaliser
from scaledec.stages.cluster import cluster_loop
from scaledec.stages.cluster_job import ClusterJob
from scaledec.stages.pretrain import PRETRAINED, PretrainJob, pretrain_loop
from scaledec.training.saved_model import SavedModel
from scaledec.training.sources import ArrayWindows
from tests.nets.published import DAS_CUBE, JENKINS2021, SNOVER2020, ZCLUST, Published

PRESETS: tuple[Preset, ...] = get_args(Preset)
PUBLISHED: dict[Preset, Published] = {
    "jenkins2021": JENKINS2021,
    "zclust": ZCLUST,
    "snover2020": SNOVER2020,
    "das_cube": DAS_CUBE,
}
WINDOWS: dict[Preset, tuple[int, int]] = {
    **{name: network.window for name, network in PUBLISHED.items()},
    "unet2021": (20, 17),
    "residual": (20, 17),
}


def build(preset: Preset, sides: tuple[int, int] | None = None, *, planes: int = 1) -> Autoencoder:
    frames, frequencies = sides or WINDOWS[preset]
    return NetworkSpec(frames, frequencies, (), LATENT[preset], preset, planes).build()


def outputs(network: Autoencoder, kind: type[nn.Module], x: Tensor) -> list[tuple[int, int, tuple[int, int]]]:
    """(parameters, channels, (frames, frequencies)) of every layer of a kind, in the order of their work."""
    found = []

    def note(layer: nn.Module, _: object, out: Tensor) -> None:
        count = sum(p.numel() for p in layer.parameters())
        found.append((count, out.shape[1], (out.shape[2], out.shape[3])))

    hooks = [m.register_forward_hook(note) for m in network.modules() if type(m) is kind]
    network(x)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("preset", PUBLISHED)
def test_a_preset_has_the_layers_parameters_and_outputs_of_its_source(preset: Preset) -> None:
    published, network = PUBLISHED[preset], build(preset)
    x = torch.rand(2, 1, *published.window)
    assert outputs(network, nn.Conv2d, x) == list(published.down)
    assert outputs(network, nn.ConvTranspose2d, x) == list(published.up)
    dense = (network.to_latent, network.from_latent)
    assert tuple(sum(p.numel() for p in layer.parameters()) for layer in dense) == published.embedding
    assert sum(p.numel() for p in network.parameters()) == published.parameters
    x_hat, z = network(x)
    assert x_hat.shape == x.shape
    assert z.shape == (2, published.latent)
    assert LATENT[preset] == published.latent


def test_zclust_is_leaky_everywhere_even_after_the_reconstruction() -> None:
    network = build("zclust")
    slopes = [m.negative_slope for m in network.modules() if isinstance(m, nn.LeakyReLU)]
    assert slopes == [0.02] * (5 + 1 + 1 + 5)
    # In float64, layer by layer, with the paddings of its source and its edges cut.
    network = network.double()
    h = torch.randn(2, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x_hat = network.decode(h)
    h = network.from_latent(h).unflatten(1, (128, 3, 3))
    layers = [m for m in network.up.modules() if isinstance(m, nn.ConvTranspose2d)]
    for layer, padding in zip(layers, [(1, 1), (1, 0), (1, 0), (0, 1), (1, 1)], strict=True):
        h = nn.functional.leaky_relu(h, 0.02)
        h = nn.functional.conv_transpose2d(h, layer.weight, layer.bias, stride=2, padding=padding)
    torch.testing.assert_close(x_hat, nn.functional.leaky_relu(h, 0.02)[:, :, 1:-1, 1:-1])


def test_zclust_starts_as_torch_does_and_snover_without_biases() -> None:
    zclust, snover = build("zclust").requires_grad_(False), build("snover2020")
    assert zclust.to_latent.weight.abs().max() <= 1152**-0.5
    assert float(zclust.to_latent.weight.std()) == pytest.approx((3 * 1152) ** -0.5, rel=0.02)
    assert 0 < float(zclust.to_latent.bias.abs().max()) <= 1152**-0.5
    assert all((p == 0).all() for p in snover.parameters() if p.dim() == 1)
    assert snover.to_latent.weight.abs().max() <= (6 / (896 + 14)) ** 0.5


@pytest.mark.parametrize("preset", ["snover2020", "das_cube"])
def test_embeddings_rectified_in_the_source_are_so_here(preset: Preset) -> None:
    network = build(preset)
    x_hat, z = network(torch.randn(200, 1, *WINDOWS[preset]))
    assert (z >= 0).all()
    assert bool((x_hat < 0).any()) == (preset == "snover2020"), "linear there, rectified in das_cube"


def test_the_unet_has_the_parameters_that_its_widths_say() -> None:
    """By the formula of each layer: kernels of 3 x 3, 2 x 2 on the way up, 1 x 1 at the end."""
    widths = (16, 32, 64, 128, 256)

    def convolution(before: int, after: int, kernel: int) -> int:
        return before * after * kernel**2 + after

    network = build("unet2021", (100, 87))
    down = sum(
        convolution(a, b, 3) + convolution(b, b, 3) for a, b in zip((1, *widths[:-1]), widths, strict=True)
    )
    up = sum(
        convolution(b, a, 2) + convolution(2 * a, a, 3) + convolution(a, a, 3)
        for a, b in itertools.pairwise(widths)
    )
    n_features = 256 * (100 // 16) * (87 // 16)
    dense = n_features * 9 + 9 + 9 * n_features + n_features
    total = down + up + convolution(16, 1, 1) + dense
    assert sum(p.numel() for p in network.parameters()) == total == 2_086_746


@pytest.mark.parametrize(
    ("preset", "planes"), [*((preset, 1) for preset in PRESETS), ("unet2021", 3), ("residual", 3)]
)
def test_a_preset_takes_other_windows_and_if_it_is_ours_several_planes(preset: Preset, planes: int) -> None:
    for sides in [(33, 41), (64, 50)]:
        network = build(preset, sides, planes=planes)
        x = torch.rand(2, planes, *sides)
        x_hat, z = network(x)
        assert x_hat.shape == x.shape
        torch.testing.assert_close(network.encode(x), z)
        assert network.decode(z).shape == x.shape


@pytest.mark.parametrize(
    ("preset", "sides", "told"),
    [
        ("unet2021", (15, 40), "at least 16 frames x 16 frequencies"),
        ("residual", (7, 40), "too small for the residual network"),
        ("das_cube", (4, 7), "at least 1 frames x 8 frequencies"),
        ("snover2020", (8, 40), "convolution 4 of 4 leaves nothing"),
    ],
)
def test_a_window_that_is_too_small_for_a_preset_is_refused(
    preset: Preset, sides: tuple[int, int], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        build(preset, sides)


@pytest.mark.parametrize("preset", PRESETS)
def test_an_embedding_depends_on_the_encoders_parameters_and_on_all_of_them(preset: Preset) -> None:
    network = build(preset)
    # Away from zero, where a rectified embedding has no gradient.
    with torch.no_grad():
        network.to_latent.bias.fill_(10)
    network.encode(torch.rand(4, 1, *WINDOWS[preset])).sum().backward()  # type: ignore[no-untyped-call]
    encoder = set(network.encoder_parameters())
    for name, parameter in network.named_parameters():
        touched = parameter.grad is not None and bool(parameter.grad.any())
        assert touched == (parameter in encoder), name


@pytest.mark.parametrize("preset", PRESETS)
def test_the_mode_of_a_network_changes_nothing(preset: Preset) -> None:
    network, x = build(preset), torch.rand(3, 1, *WINDOWS[preset])
    with torch.inference_mode():
        trained, evaluated = network.train()(x), network.eval()(x)
    for one, other in zip(trained, evaluated, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def power_db(n: int, sides: tuple[int, int]) -> np.ndarray:
    """Windows of two kinds: a ridge along frames or along frequencies, at any place."""
    rng = np.random.default_rng(0)
    x = rng.normal(-100, 1, (n, *sides)).astype(np.float32)
    for i, window in enumerate(x):
        at = rng.integers(0, min(sides))
        if i % 2:
            window[at] += 20
        else:
            window[:, at] += 20
    return x


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_trains_clusters_saves_loads_and_labels(preset: Preset, tmp_path: Path) -> None:
    sides = {"unet2021": (16, 19), "residual": (12, 11), "das_cube": (4, 24)}.get(preset, WINDOWS[preset])
    windows = power_db(40, sides)
    source = ArrayWindows(windows, np.arange(40) % 4 == 0)
    normalise: Kind = "max" if preset == "das_cube" else "zscore"
    run = Location(str(tmp_path))
    spec = NetworkSpec(*sides, (), LATENT[preset], preset)
    pretraining = PretrainJob(
        run=run, source=source, network=spec, normalise=normalise, epochs=2, batch=8, seed=3
    )
    storage = run.child("checkpoints")
    outcome = run_training(pretrain_loop, pretraining, storage=storage, name="pretrain", threads=1)
    assert math.isfinite(outcome.validation_loss)
    assert (outcome.embedding_loss is not None) == (preset == "unet2021")
    clustering = ClusterJob(
        run=run,
        source=source,
        method="kmeans",
        n_clusters=2,
        init="kmeans",
        restarts=2,
        batch=8,
    )
    run_training(cluster_loop, clustering, storage=storage, name="cluster", threads=1)
    model = SavedModel.load(run)
    assert model.spec == spec
    z = model.embed(windows)
    labels = model.assign(z).label
    assert set(labels.tolist()) <= {0, 1}
    assert model.prototypes().shape == (2, *sides)
    again = SavedModel.load(run)
    np.testing.assert_array_equal(again.embed(windows[7:9]), z[7:9])
    pretrained = SavedModel.load(run.child(PRETRAINED))
    assert pretrained.normaliser.kind == normalise


def test_weights_of_another_preset_do_not_load(tmp_path: Path) -> None:
    sides = (100, 87)
    spec = NetworkSpec(*sides, (), 9, "jenkins2021")
    model = SavedModel(spec.build(), spec, Normaliser("l2"))
    place = Location(str(tmp_path))
    model.save(place)
    values = json.loads(place.child("model.json").read_bytes())
    values["network"]["preset"] = "residual"
    place.child("model.json").write_bytes(json.dumps(values).encode())
    with pytest.raises(StoreError, match=r"is not the one that model.json"):
        SavedModel.load(place)


def test_the_configuration_knows_the_same_presets_kinds_and_embeddings() -> None:
    fields = ModelConfig.model_fields
    preset = fields["preset"].annotation
    assert set(get_args(get_args(preset)[0])) == set(PRESETS)
    assert set(get_args(fields["normalise"].annotation)) == set(get_args(Kind))
    for name in PRESETS:
        normalise: Kind = "max" if name == "das_cube" else "whiten"
        assert ModelConfig(preset=name, normalise=normalise).latent == LATENT[name]
        assert ModelConfig(preset=name, normalise=normalise, latent=5).latent == 5
