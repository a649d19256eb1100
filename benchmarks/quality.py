"""How well the estimator's methods recover known classes: mean and spread over seeds, and paired gains.

    python -m benchmarks.quality SET [--seeds 0 1 2 3 4] [--windows N] [--methods ...] [--set KEY=VALUE ...]

Sets: ``digits`` are scikit-learn's (1,797 images of 8 x 8); ``mnist`` and ``usps`` are drawn from strokes
(:mod:`benchmarks.images`; the seed is a population of writers); ``archive`` is the synthetic one (windows of
40 x 64, seven classes, two thirds noise), ``balanced`` its windows with as many of each class, ``uneven``
with twenty of noise to one of any other class, ``triggered`` windows at its detections.

Every method of a seed starts from the same pretrained network. ``default`` is what the estimator does if it
is asked for nothing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import yaml
from sklearn.datasets import load_digits

from benchmarks.images import MNIST_LIKE, USPS_LIKE, draw
from scaledec import DeepEmbeddedClustering
from scaledec.config import load_config, run_name
from scaledec.location import Location
from scaledec.numerics.metrics import (
    adjusted_rand_index,
    hungarian_accuracy,
    normalised_mutual_information,
)
from scaledec.training.arrays import as_windows
from scaledec.training.saved_model import SavedModel

Windows: TypeAlias = npt.NDArray[np.float32]
Classes: TypeAlias = npt.NDArray[np.int64]
Scores: TypeAlias = tuple[float, float, float]
"""Accuracy, NMI and ARI."""

METHODS: Mapping[str, Mapping[str, Any]] = {
    "kmeans": {"method": "kmeans"},
    "gmm": {"method": "gmm"},
    "default": {},
    "dec": {"method": "dec"},
    "idec": {"method": "idec"},
    "dec from k-means": {"method": "dec", "init": "kmeans"},
    "idec from k-means": {"method": "idec", "init": "kmeans"},
}
"""What each asks of the clustering."""
ARCHIVES = ("archive", "balanced", "uneven", "triggered")
_RARE = 60
"""Windows of each class but noise in ``uneven``."""


@dataclass(frozen=True, slots=True)
class KnownSet:
    """Windows whose classes are known."""

    windows: Windows
    truth: Classes

    def part(self, rows: npt.NDArray[np.int64]) -> KnownSet:
        """Some of them; classes that have none left do not count."""
        return KnownSet(self.windows[rows], np.unique(self.truth[rows], return_inverse=True)[1])


def load(name: str, n: int, seed: int) -> KnownSet:
    """A set by name; of images ``n``."""
    if name == "digits":
        bunch = load_digits()
        return KnownSet(bunch.images.astype(np.float32), bunch.target)
    if name in ARCHIVES:
        return _archive(name, n, seed)
    return KnownSet(*draw(n, {"mnist": MNIST_LIKE, "usps": USPS_LIKE}[name], seed))


def _archive(name: str, n: int, seed: int) -> KnownSet:
    """Windows of a synthetic archive with the family of each."""
    from scaledec.pipeline.demo import write_demo_config
    from scaledec.pipeline.run import build_cube
    from scaledec.places import Places
    from scaledec.report.scoring import windows_families
    from scaledec.stages.training_set import build_training_set
    from scaledec.store.cubes import open_cube
    from scaledec.synthetic.archive import write_synthetic_archive
    from scaledec.synthetic.settings import DEFAULT_STATIONS, SyntheticSettings

    overrides = ["compute.engine=serial", f"pretrain.windows={n if name != 'balanced' else 100_000}"]
    if name == "triggered":
        overrides += ["windows.mode=triggered", "windows.detector={on: 3, off: 1.5}"]
    with tempfile.TemporaryDirectory() as folder:
        settings = SyntheticSettings(hours=36.0, stations=DEFAULT_STATIONS[:3], faults=False, seed=seed)
        made = write_synthetic_archive(Path(folder) / "archive", settings, workers=1)
        config = load_config(write_demo_config(Path(folder)), overrides)
        build_cube(config)
        places = Places.at(config.root)
        cube = open_cube(places.cube)
        store = build_training_set(config, cube, places.training_set(run_name(config)))
        windows = np.concatenate([block for _, block in store.iter_blocks()]).astype(np.float32)
        found = KnownSet(windows, windows_families(store, made.truth, config.window_grid))
    counts = np.bincount(found.truth)
    rng = np.random.default_rng(seed)
    if name == "balanced":
        most = np.full(len(counts), counts[counts > 0].min())
    elif name == "uneven":
        most = np.r_[20 * _RARE, np.full(len(counts) - 1, _RARE)]
    else:
        most = counts
    rows = [rng.permutation(np.flatnonzero(found.truth == c))[:m] for c, m in enumerate(most)]
    return found.part(np.sort(np.concatenate(rows)))


def fit(
    known: KnownSet, methods: Sequence[str], seed: int, asked: Mapping[str, Any]
) -> dict[str, tuple[Scores, float]]:
    """Scores of each method on one pretrained network, and its seconds; ``asked`` of the estimator."""
    model = DeepEmbeddedClustering(len(np.unique(known.truth)), random_state=seed, **asked)
    windows = as_windows(known.windows)
    found: dict[str, tuple[Scores, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        run = Location(folder)
        pretrain = model._pretrain_job(run, windows, seed)
        model._run("pretrain", pretrain, pretrain.epochs)
        default = model._cluster_job(pretrain, windows)
        for name in methods:
            started = time.perf_counter()
            model._run("cluster", replace(default, **METHODS[name]), default.epochs)
            seconds = time.perf_counter() - started
            clustered = SavedModel.load(run)
            labels = clustered.assign(clustered.embed(windows)).label
            (Path(folder) / "model.json").unlink()
            found[name] = (scores(known.truth, labels), seconds)
    return found


def scores(truth: Classes, labels: npt.ArrayLike) -> Scores:
    """Accuracy, NMI and ARI of labels."""
    return (
        hungarian_accuracy(truth, labels),
        normalised_mutual_information(truth, labels),
        adjusted_rand_index(truth, labels),
    )


def table(found: Mapping[str, Sequence[Scores]]) -> str:
    """Mean and standard deviation of each method, and its gains over k-means of the same seed."""
    rows = [
        "| method | accuracy | NMI | ARI | gain over k-means of the same network (least) |",
        "|" + "---|" * 5,
    ]
    for name, values in found.items():
        cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(np.mean(values, 0), np.std(values, 0), strict=True)]
        gain = np.subtract(values, found["kmeans"])
        least = " / ".join(f"{g:+.3f}" for g in gain.min(axis=0))
        mean = " / ".join(f"{g:+.3f}" for g in gain.mean(axis=0))
        rows.append(f"| {name} | {' | '.join(cells)} | {'' if name == 'kmeans' else f'{mean} ({least})'} |")
    return "\n".join(rows)


def main() -> None:
    """Print a line a fit, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", choices=["digits", "mnist", "usps", *ARCHIVES])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--windows", type=int, default=5000, help="images drawn, or windows sampled")
    parser.add_argument("--methods", nargs="+", default=list(METHODS)[:5], choices=METHODS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", nargs="+", default=[], help="of the estimator, e.g. pretrain_epochs=20")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    asked = {name: yaml.safe_load(value) for name, value in (text.split("=", 1) for text in given.set)}
    methods = ["kmeans", *(name for name in given.methods if name != "kmeans")]
    all_scores: dict[str, list[Scores]] = {name: [] for name in methods}
    for seed in given.seeds:
        known = load(given.data, given.windows, seed)
        for name, (found, seconds) in fit(known, methods, seed, asked).items():
            all_scores[name].append(found)
            told = " / ".join(f"{score:.3f}" for score in found)
            print(
                f"{given.data} {len(known.truth)} seed {seed} {name:18} {told}  {seconds:.0f} s", flush=True
            )
    print(table(all_scores))


if __name__ == "__main__":
    main()
