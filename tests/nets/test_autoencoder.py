"""The autoencoder: the published network's numbers, and any window size."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scaledec.errors import ConfigError
from scaledec.numerics.nets.autoencoder import ConvAutoencoder, Expansion
from scaledec.numerics.nets.base import Autoencoder
from scaledec.numerics.nets.layers import ACTIVATIONS, Activation
from scaledec.numerics.nets.presets import NetworkSpec


@pytest.fixture(scope="module")
def published() -> Autoencoder:
    return NetworkSpec(100, 87, (), 9, "jenkins2021").build()


def test_the_published_network_has_its_parameters_layer_by_layer(published: Autoencoder) -> None:
    layers = [m for m in published.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
    counts = [sum(p.numel() for p in layer.parameters()) for layer in layers]
    down, embedding, back, up = counts[:5], counts[5], counts[6], counts[7:]
    assert down == [80, 1168, 4640, 18496, 73856]
    assert embedding == 1152 * 9 + 9
    assert back == 9 * 1152 + 1152
    assert up == [73792, 18464, 4624, 1160, 73]
    assert sum(counts) == 218_250


def test_the_published_network_has_a_rectified_embedding_and_gives_back_the_window(
    published: Autoencoder,
) -> None:
    x_hat, z = published(torch.randn(3, 1, 100, 87))
    assert x_hat.shape == (3, 1, 100, 87)
    assert z.shape == (3, 9)
    assert (z >= 0).all()
    assert (x_hat < 0).any(), "the reconstruction is not rectified"


def test_initial_weights_are_xavier_with_small_positive_biases(published: Autoencoder) -> None:
    weight = published.to_latent.weight.detach()
    bound = (6 / (1152 + 9)) ** 0.5
    assert weight.abs().max() <= bound
    assert abs(float(weight.std()) - bound / 3**0.5) < 0.02 * bound
    assert all((p == 0.01).all() for p in published.parameters() if p.dim() == 1)


@given(
    frames=st.integers(8, 70),
    frequencies=st.integers(8, 70),
    widths=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    planes=st.integers(1, 3),
    kernel=st.sampled_from([3, 5, 7]),
    activation=st.sampled_from(ACTIVATIONS),
)
@settings(max_examples=60, deadline=None)
def test_the_reconstruction_has_the_windows_shape_for_any_sides_widths_kernels_and_activations(
    frames: int, frequencies: int, widths: list[int], planes: int, kernel: int, activation: Activation
) -> None:
    spec = NetworkSpec(
        frames, frequencies, tuple(widths), 3, planes=planes, kernel=kernel, activation=activation
    )
    network = spec.build()
    x = torch.zeros(2, planes, frames, frequencies)
    x_hat, z = network(x)
    assert x_hat.shape == x.shape
    assert z.shape == (2, 3)


def test_the_embedding_is_linear_unless_a_preset_rectifies_it() -> None:
    spec, x = NetworkSpec(16, 16, (4, 8), 5), torch.randn(200, 1, 16, 16)
    assert spec.build().embeds_linearly
    assert (spec.build().encode(x) < 0).any()
    rectified = replace(spec, rectified=True).build()
    assert not rectified.embeds_linearly
    assert (rectified.encode(x) >= 0).all()


def test_weights_depend_on_the_seed_alone_and_leave_the_global_generator_as_it_was() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = NetworkSpec(16, 12, (4,), 3).build(seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second = NetworkSpec(16, 12, (4,), 3).build(seed=5)
    other = NetworkSpec(16, 12, (4,), 3).build(seed=6)
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, second.state_dict()[name])
    assert not torch.equal(first.to_latent.weight, other.to_latent.weight)


def test_the_memory_layout_changes_nothing_but_speed() -> None:
    laid_out = NetworkSpec(20, 17, (4, 8), 3).build(seed=0)
    weight = dict(laid_out.named_parameters())["down.2.weight"]
    plain = NetworkSpec(20, 17, (4, 8), 3).build(seed=0).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    assert weight.is_contiguous(memory_format=torch.channels_last)
    x = torch.randn(4, 1, 20, 17)
    for ours, theirs in zip(laid_out(x), plain(x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_the_encoder_is_what_its_layers_say_in_float64() -> None:
    """Against convolution and matrix product written out in numpy."""
    network = NetworkSpec(9, 8, (2,), 3).build(seed=1).double()
    weights = {name: p.detach().numpy() for name, p in network.named_parameters()}
    x = np.random.default_rng(0).standard_normal((9, 8))
    padded = np.pad(x, 1)
    h = np.empty((2, 5, 4))
    for c in range(2):
        for i in range(5):
            for j in range(4):
                patch = padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
                h[c, i, j] = (patch * weights["down.0.weight"][c, 0]).sum() + weights["down.0.bias"][c]
    expected = weights["to_latent.weight"] @ np.maximum(h, 0).ravel() + weights["to_latent.bias"]
    z = network.encode(torch.from_numpy(x)[None, None])
    np.testing.assert_allclose(z[0].detach().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(("frames", "frequencies"), [(7, 100), (100, 7)])
def test_a_window_that_is_too_small_is_refused_with_its_sides(frames: int, frequencies: int) -> None:
    with pytest.raises(ConfigError, match=f"{frames} frames x {frequencies} frequencies is too small"):
        NetworkSpec(frames, frequencies, (8,), 4).build()


def test_a_preset_refuses_windows_it_has_no_cells_for() -> None:
    with pytest.raises(ConfigError, match=r"convolution 5 of 5 leaves nothing"):
        NetworkSpec(20, 87, (), 9, "jenkins2021").build()


def test_a_decoder_that_misses_the_window_is_refused() -> None:
    expansion = Expansion(kernels=(3, 3), paddings=((1, 1), (1, 1)), cut=(1, 1))
    with pytest.raises(ConfigError, match="the decoder ends with 11 frames x 11 frequencies"):
        ConvAutoencoder(16, 16, (4, 8), 3, expansion=expansion)


def test_an_embedding_does_not_depend_on_its_place_in_the_batch_whatever_the_number_of_features() -> None:
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    for width in (1, 2, 3, 5, 7):
        network = NetworkSpec(20, 17, (width, width), 5).build()
        x = torch.randn(64, 1, 20, 17)
        with torch.inference_mode():
            h = network.down(x).flatten(1)
            z = network.encode(x)
            assert torch.equal(network.encode(x[order]), z[order]), h.shape[1]
            torch.testing.assert_close(z, network.to_latent(h))


def test_a_spec_survives_json_and_older_ones_stay_what_they_were() -> None:
    spec = NetworkSpec(100, 87, (8, 16), 9, "jenkins2021")
    older = {"frames": 100, "frequencies": 87, "widths": [8, 16], "latent": 9, "preset": "jenkins2021"}
    assert spec.to_json() == older
    assert NetworkSpec.from_json(older) == spec
    new = NetworkSpec(
        40, 30, (8,), 4, planes=3, kernel=5, activation="gelu", rectified=True, skip_dropout=0.2
    )
    assert NetworkSpec.from_json(json.loads(json.dumps(new.to_json()))) == new
