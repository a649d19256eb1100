"""What the benchmarks call published is the published network, and does what it is timed for."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.published import PublishedClustering, PublishedNetwork, PublishedTraining
from scaledec.numerics.nets.presets import NetworkSpec
from tests.nets.published import JENKINS2021


def test_the_network_has_the_published_layers_and_embeds_as_the_preset_does() -> None:
    network, (frames, frequencies) = PublishedNetwork(), JENKINS2021.window
    assert sum(p.numel() for p in network.parameters()) == JENKINS2021.parameters
    x = torch.randn(3, 1, frequencies, frames, generator=torch.Generator().manual_seed(0))
    x_hat, z = network(x)
    assert (x_hat.shape, z.shape) == (x.shape, (3, JENKINS2021.latent))
    ours = NetworkSpec(frames, frequencies, (), JENKINS2021.latent, "jenkins2021").build()
    layers = [layer.state_dict() for layer in network.encoder if isinstance(layer, nn.Conv2d | nn.Linear)]
    convolutions = [layer for layer in ours.down.modules() if isinstance(layer, nn.Conv2d)]
    # Axes are swapped here: kernels turn over, and so do the features that the last layer sees.
    for mine, theirs in zip(convolutions, layers[:-1], strict=True):
        mine.load_state_dict({**theirs, "weight": theirs["weight"].transpose(2, 3)})
    weight = layers[-1]["weight"].reshape(-1, 128, 3, 3).transpose(2, 3).flatten(1)
    ours.to_latent.load_state_dict({**layers[-1], "weight": weight})
    torch.testing.assert_close(ours.encode(x.transpose(2, 3)), z, rtol=1e-4, atol=1e-5)


def test_its_loops_train_and_label() -> None:
    windows = torch.randn(20, 100, 87, generator=torch.Generator().manual_seed(0))
    training = PublishedTraining(windows[:16], windows[16:], batch=8)
    training.epoch()
    clustering = PublishedClustering(windows, batch=8, n_clusters=3)
    clustering.epoch()
    q, labels = clustering.infer_labels()
    assert q.shape == (20, 3)
    assert abs(q.sum(1) - 1).max() < 1e-4
    assert (labels == q.argmax(1)).all()
    assert clustering.embed().shape == (20, 9)
