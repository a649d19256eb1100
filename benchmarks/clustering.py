"""One epoch of IDEC through the stage's own training, against a loop written as research code is.

    python -m benchmarks.clustering [--windows 8000] [--rounds 2] [--threads 2]

Network and window of Jenkins et al. (2021), batch 64, the target refreshed twice an epoch, 8 clusters. Both
see the same windows in memory and take turns.

published: as research code trains it. At each refresh a pass in evaluation mode through the whole
autoencoder (the reconstruction is thrown away) in batches of 64, the N x K table of targets kept and indexed
by batch; default layout and Adam; losses fetched at each step. The stage: encoder alone at a refresh, one
fused optimiser, channels_last, the target from the frozen snapshot. The embedding of all windows by both is
timed too: the published evaluation decodes, and is not asked to.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from scaledec.engines.ray_session import MALLOC_SETTINGS
from scaledec.location import Location
from scaledec.numerics.dec.loss import LossWeights
from scaledec.numerics.nets.base import Autoencoder
from scaledec.numerics.nets.presets import NetworkSpec
from scaledec.stages.cluster_dec import DecSettings, DecTraining
from scaledec.training.data import TrainingData
from scaledec.training.saved_model import embed_tensor
from scaledec.training.session import LocalSession

__all__ = ["PublishedLoop", "main", "measure"]

_FRAMES, _FREQUENCIES, _BATCH, _CLUSTERS = 100, 87, 64, 8
# The network starts untrained, on noise: weights that do not collapse its embedding at once.
_GAMMA, _RATE = 1e-4, 1e-5


class PublishedLoop:
    """IDEC with the N x K table of targets, correct and in no hurry."""

    def __init__(self, windows: Tensor, network: Autoencoder, centroids: Tensor) -> None:
        self._windows = windows.unsqueeze(1)
        self._network = network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self._centroids = nn.Parameter(centroids.clone())
        self._optimiser = torch.optim.Adam([*network.parameters(), self._centroids], _RATE)

    def epoch(self) -> None:
        """Train on all windows once, refreshing the target at the start and half-way."""
        mse, divergence = nn.MSELoss(), nn.KLDivLoss(reduction="batchmean")
        order = torch.randperm(len(self._windows)).split(_BATCH)  # type: ignore[no-untyped-call]
        total = 0.0
        for step, rows in enumerate(order):
            if step in (0, len(order) // 2):
                target = self._target()
            x = self._windows[rows]
            self._optimiser.zero_grad()
            x_hat, z = self._network(x)
            loss = mse(x_hat, x) + _GAMMA * divergence(self._assignment(z).log(), target[rows])
            loss.backward()
            self._optimiser.step()
            total += loss.item() * len(x)

    def embed(self) -> Tensor:
        """Embedding of all windows by the evaluation pass."""
        self._network.eval()
        with torch.no_grad():
            parts = [self._network(x)[1] for x in self._windows.split(_BATCH)]  # type: ignore[no-untyped-call]
        self._network.train()
        return torch.cat(parts)

    def _target(self) -> Tensor:
        with torch.no_grad():
            q = self._assignment(self.embed())
            weight = q**2 / q.sum(0)
            return weight / weight.sum(1, keepdim=True)

    def _assignment(self, z: Tensor) -> Tensor:
        q = 1.0 / (1.0 + (z.unsqueeze(1) - self._centroids).pow(2).sum(2))
        return q / q.sum(1, keepdim=True)


def measure(n_windows: int, rounds: int, threads: int) -> str:
    """Run both in turns and return the table as Markdown."""
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    windows = torch.from_numpy(rng.standard_normal((n_windows, _FRAMES, _FREQUENCIES), dtype=np.float32))
    spec = NetworkSpec(_FRAMES, _FREQUENCIES, (), 9, "jenkins2021")
    centroids = embed_tensor(spec.build(seed=0), windows[:_CLUSTERS]).clone()
    published = PublishedLoop(windows, spec.build(seed=0), centroids)
    network = spec.build(seed=0)
    epochs: dict[str, Callable[[], object]] = {
        "published": published.epoch,
        "stage": lambda: _train_one_epoch(windows, spec.build(seed=0), centroids),
    }
    embeddings: dict[str, Callable[[], object]] = {
        "published": published.embed,
        "stage": lambda: embed_tensor(network, windows),
    }
    head = f"{n_windows} windows of {_FRAMES} x {_FREQUENCIES}, batch {_BATCH}, {threads} threads"
    rows = [head, "", "| | published (s) | stage (s) | times |", "|---|---|---|---|"]
    for what, rivals in (("IDEC epoch, two refreshes", epochs), ("embedding of all windows", embeddings)):
        median = _take_turns(rivals, rounds)
        ratio = median["published"] / median["stage"]
        rows.append(f"| {what} | {median['published']:.2f} | {median['stage']:.2f} | {ratio:.2f} |")
    return "\n".join(rows)


def _take_turns(rivals: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, work in rivals.items():
            began = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _train_one_epoch(windows: Tensor, network: Autoencoder, centroids: Tensor) -> None:
    settings = DecSettings(
        method="idec",
        weights=LossWeights(reconstruction=1.0, clustering=_GAMMA),
        alpha=1.0,
        epochs=1,
        batch=_BATCH,
        learning_rate=_RATE,
        updates_per_epoch=2,
        tolerance=0.0,
        seed=0,
    )
    with tempfile.TemporaryDirectory() as folder:
        session = LocalSession(Location(str(Path(folder) / "session")))
        DecTraining(session, network, centroids, TrainingData(windows), settings).run()


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--windows", type=int, default=8000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args(arguments)
    if any(name not in os.environ for name in MALLOC_SETTINGS):  # read only when a process starts
        command = [sys.executable, "-m", "benchmarks.clustering", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **MALLOC_SETTINGS})
    print(measure(given.windows, given.rounds, given.threads))


if __name__ == "__main__":
    main()
