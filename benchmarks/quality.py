"""How well the estimator's methods recover known classes: mean and spread over seeds.

Digits are scikit-learn's (1,797 images of 8 x 8, ten classes of equal size); the archive is the synthetic
one (windows of 40 x 64, seven classes, most windows noise). Every method of a seed starts from
the same pretrained network, because the seed decides it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits

from scaledec import DeepEmbeddedClustering
from scaledec.config import load_config, run_name
from scaledec.numerics.metrics import (
    adjusted_rand_index,
    hungarian_accuracy,
    normalised_mutual_information,
)

METHODS: tuple[Literal["kmeans", "gmm", "n2d", "idec"], ...] = ("kmeans", "gmm", "n2d", "idec")


def digits() -> tuple[npt.NDArray[Any], npt.NDArray[Any], dict[str, Any]]:
    """Images, classes, and what is asked of the estimator beside its defaults."""
    bunch = load_digits()
    return bunch.images, bunch.target, {}


def archive(n: int = 3000) -> tuple[npt.NDArray[Any], npt.NDArray[Any], dict[str, Any]]:
    """Windows of the synthetic archive, the family of each, and settings for a benchmark of minutes."""
    from scaledec.pipeline.demo import write_demo_config
    from scaledec.pipeline.run import build_cube
    from scaledec.places import Places
    from scaledec.report.scoring import windows_families
    from scaledec.stages.training_set import build_training_set
    from scaledec.store.cube import CubeStore
    from scaledec.synthetic.archive import write_synthetic_archive
    from scaledec.synthetic.settings import DEFAULT_STATIONS, SyntheticSettings

    with tempfile.TemporaryDirectory() as folder:
        settings = SyntheticSettings(hours=36.0, stations=DEFAULT_STATIONS[:3], faults=False)
        made = write_synthetic_archive(Path(folder) / "archive", settings, workers=1)
        overrides = ["compute.engine=serial", f"pretrain.windows={n}"]
        config = load_config(write_demo_config(Path(folder)), overrides)
        build_cube(config)
        places = Places.at(config.root)
        store = build_training_set(config, CubeStore.open(places.cube), places.training_set(run_name(config)))
        windows = np.concatenate([block for _, block in store.iter_blocks()]).astype(np.float32)
        family = windows_families(store, made.truth, config.window_grid)
    return windows, family, {"widths": (8, 16, 32, 64), "pretrain_epochs": 12, "epochs": 8}


def main() -> None:
    """Print a line a fit, then mean and spread of each method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=["digits", "archive"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    arguments = parser.parse_args()
    windows, truth, options = digits() if arguments.data == "digits" else archive()
    torch.set_num_threads(1)
    scores: dict[Any, list[tuple[float, float, float]]] = {name: [] for name in arguments.methods}
    for seed in arguments.seeds:
        for name, found in scores.items():
            started = time.perf_counter()
            model = DeepEmbeddedClustering(len(np.unique(truth)), method=name, random_state=seed, **options)
            labels = model.fit_predict(windows)
            found.append(
                (
                    hungarian_accuracy(truth, labels),
                    normalised_mutual_information(truth, labels),
                    adjusted_rand_index(truth, labels),
                )
            )
            seconds = time.perf_counter() - started
            print(
                f"{arguments.data} seed {seed} {name:7} {np.round(found[-1], 3)} {seconds:.0f} s", flush=True
            )
    for name, found in scores.items():
        cells = (
            f"{mean:.3f} ± {spread:.3f}"
            for mean, spread in zip(np.mean(found, axis=0), np.std(found, axis=0), strict=True)
        )
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
