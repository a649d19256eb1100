"""One epoch of IDEC through the stage's own training, against a loop as published code has it.

    python -m benchmarks.clustering [--windows 8000] [--rounds 3] [--threads 2]

Network and window of Jenkins et al. (2021), batch 64, the target refreshed twice an epoch, 8 clusters. Each
rival has a process of its own, all see the same windows in memory, and they take turns.

Two epochs a turn; the stage refreshes once more at the end of a training, which is counted. published: see
``benchmarks/published.py``; once as it is (published code sets nothing for the allocator) and once with the
allocator's settings of scaledec's workers, which the stage has. The embedding of all windows is timed too,
also against the shortest loop that embeds them (bare: channels_last, inference_mode, the same batch): the
published one decodes and records gradients, and is not asked to.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.published import PublishedClustering
from benchmarks.rivals import Rival, medians, ratios, take_turns
from scaledec.location import Location
from scaledec.numerics.dec.loss import LossWeights
from scaledec.numerics.nets.presets import NetworkSpec
from scaledec.stages.cluster_dec import DecSettings, DecTraining
from scaledec.training.data import TrainingData
from scaledec.training.saved_model import embed_tensor
from scaledec.training.session import LocalSession

__all__ = ["Bare", "Published", "Stage", "main", "measure"]

_FRAMES, _FREQUENCIES, _BATCH, _CLUSTERS = 100, 87, 64, 8
_SPEC = NetworkSpec(_FRAMES, _FREQUENCIES, (), 9, "jenkins2021")
# The network starts untrained, on noise: weights that do not collapse its embedding at once.
_GAMMA, _RATE = 1e-4, 1e-5
_EPOCHS = 2


class Published:
    """Published code at work."""

    def __init__(self, windows: int, threads: int) -> None:
        torch.set_num_threads(threads)
        self._loop = PublishedClustering(_noise(windows), batch=_BATCH, n_clusters=_CLUSTERS)

    def epoch(self) -> None:
        """Train on all windows."""
        for _ in range(_EPOCHS):
            self._loop.epoch()

    def embed(self) -> None:
        """Embed all windows."""
        self._loop.embed()


class Stage:
    """The cluster stage at work."""

    def __init__(self, windows: int, threads: int) -> None:
        torch.set_num_threads(threads)
        self._windows = _noise(windows)
        self._network = _SPEC.build(seed=0)
        self._centroids = embed_tensor(self._network, self._windows[:_CLUSTERS]).clone()

    def epoch(self) -> None:
        """Train on all windows, with the refresh that ends a training besides."""
        settings = DecSettings(
            method="idec",
            weights=LossWeights(reconstruction=1.0, clustering=_GAMMA),
            alpha=1.0,
            epochs=_EPOCHS,
            batch=_BATCH,
            learning_rate=_RATE,
            updates_per_epoch=2,
            tolerance=0.0,
            seed=0,
        )
        with tempfile.TemporaryDirectory() as folder:
            session, network = LocalSession(Location(folder)), _SPEC.build(seed=0)
            DecTraining(session, network, self._centroids, TrainingData(self._windows), settings).run()

    def embed(self) -> None:
        """Embed all windows."""
        embed_tensor(self._network, self._windows)


class Bare:
    """The shortest loop that embeds."""

    def __init__(self, windows: int, threads: int) -> None:
        torch.set_num_threads(threads)
        self._windows = _noise(windows).unsqueeze(1)
        self._network = _SPEC.build(seed=0)

    def embed(self) -> None:
        """Embed all windows."""
        with torch.inference_mode():
            torch.cat([self._network.encode(x) for x in self._windows.split(_BATCH)])  # type: ignore[no-untyped-call]


def measure(n_windows: int, rounds: int, threads: int) -> str:
    """Run all in turns and return the tables as Markdown."""
    arguments = {"windows": n_windows, "threads": threads}
    here = "benchmarks.clustering:"
    rivals = {
        "published": Rival(here + "Published", arguments),
        "published, allocator set": Rival(here + "Published", arguments, malloc=True),
        "stage": Rival(here + "Stage", arguments, malloc=True),
    }
    rows = [f"{n_windows} windows of {_FRAMES} x {_FREQUENCIES}, batch {_BATCH}, {threads} threads", ""]
    rows += _table("IDEC epoch, two refreshes", rivals, "epoch", rounds, per=_EPOCHS)
    bare = {"bare": Rival(here + "Bare", arguments, malloc=True)}
    rows += ["", *_table("embedding of all windows", rivals | bare, "embed", 2 * rounds)]
    return "\n".join(rows)


def _table(what: str, rivals: dict[str, Rival], method: str, rounds: int, *, per: int = 1) -> list[str]:
    seconds = take_turns(rivals, method, rounds)
    times, median = ratios(seconds, "published"), medians(seconds)
    rows = [f"| {what} | s | times as fast as published |", "|---|---|---|"]
    return rows + [f"| {name} | {median[name] / per:.2f} | {times[name]:.2f} |" for name in rivals]


def _noise(n: int) -> Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.standard_normal((n, _FRAMES, _FREQUENCIES), dtype=np.float32))


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--windows", type=int, default=8000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args(arguments)
    print(measure(given.windows, given.rounds, given.threads))


if __name__ == "__main__":
    main()
