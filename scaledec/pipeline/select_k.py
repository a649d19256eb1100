"""How many clusters a set of embeddings, or the training set of a run, holds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scaledec.config import Config, run_name
from scaledec.errors import ConfigError, StoreNotFoundError
from scaledec.places import Places
from scaledec.progress import Show, track

if TYPE_CHECKING:
    from scaledec.stages.select_k import KSelection

__all__ = ["keep_table", "select_k", "training_embeddings"]

LARGEST_SAMPLE = 10_000
"""Windows looked at: the table is a matter of minutes, and no criterion needs more to tell K from K + 1."""


def select_k(
    embeddings: npt.ArrayLike,
    n_clusters: Sequence[int] = range(1, 21),
    *,
    draws: int = 10,
    seeds: int = 5,
    restarts: int = 3,
    sample: int = LARGEST_SAMPLE,
    seed: int = 0,
    workers: int | None = None,
    progress: Show | None = None,
) -> KSelection:
    """Hold numbers of clusters against each other: inertia, silhouette, gap, BIC, stability.

    Parameters
    ----------
    embeddings
        (N, D); rows of any shape are flattened.
    n_clusters
        Numbers of clusters, each at least 1.
    draws
        Reference sets of each kind for the gap statistic.
    seeds
        Seeds, and bootstrap samples, that stability is judged over.
    restarts
        Starts of each fit.
    sample
        Look at so many embeddings at most, drawn at random.
    seed
        That everything is drawn from: the same table for any number of workers.
    workers
        Processes; ``None``: one a core.
    progress
        How progress is shown on stderr; ``None``: as everywhere else.

    Raises
    ------
    ConfigError
        If a number of clusters cannot be had.
    TrainingError
        If the embeddings cannot be clustered: collapsed or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(3, 1, 2)) * 30 + rng.normal(size=(3, 40, 2))
    >>> found = select_k(z.reshape(-1, 2), range(1, 6), draws=5, workers=1, progress="none")
    >>> found.choices()["silhouette"]
    3
    """
    from scaledec.engines.processes import ProcessEngine
    from scaledec.numerics.dec.health import check_embedding
    from scaledec.stages.select_k import run_k_task, select_k_tasks, selection

    z = np.asarray(embeddings, dtype=np.float64)
    z = z.reshape(len(z), -1)
    if len(z) > sample:
        z = z[np.sort(np.random.default_rng(seed).choice(len(z), sample, replace=False))]
    ks = sorted(set(n_clusters))
    if not ks or ks[0] < 1 or ks[-1] >= len(z) or min(draws, seeds, restarts) < 1:
        raise ConfigError(
            f"cannot hold {ks} clusters, {draws} draws, {seeds} seeds and {restarts} restarts against "
            f"{len(z)} windows; expected at least one of each, and fewer clusters than windows"
        )
    check_embedding(z, ks[-1])
    tasks = select_k_tasks(ks, draws=draws, seeds=seeds, restarts=restarts, seed=seed)
    results = []
    with (
        track("select-k", total=len(tasks), unit="fits", show=progress) as shown,
        ProcessEngine(workers) as engine,
    ):
        for result in engine.run(partial(run_k_task, z), tasks):
            results.append(result)
            shown.advance()
    return selection(results, len(z))


def training_embeddings(config: Config) -> npt.NDArray[np.float32]:
    """Embeddings (window, latent), by the run's pretrained network, of the windows it was trained on.

    Raises
    ------
    StoreNotFoundError
        If the run is not pretrained.
    """
    from scaledec.store.training import VALIDATION, TrainingStore
    from scaledec.training.saved_model import SavedModel

    places, run = Places.at(config.root, config.storage_options), run_name(config)
    try:
        store = TrainingStore.open(places.training_set(run))
        model = SavedModel.load(places.pretrained(run))
    except StoreNotFoundError as error:
        raise StoreNotFoundError(
            f"run {run!r} at {places.run(run)} is not pretrained, so it has no embeddings to count clusters "
            "in: run `scaledec pretrain` first"
        ) from error
    parts = [model.embed(windows) for _, windows in store.iter_blocks()]
    z: npt.NDArray[np.float32] = np.concatenate(parts)[store.split != VALIDATION]
    return z[np.isfinite(z).all(axis=1)]


def keep_table(config: Config, found: KSelection) -> None:
    """Keep the table beside the configuration's run, where its report finds it."""
    from scaledec.stages.select_k import keep_selection

    keep_selection(Places.at(config.root, config.storage_options).run(run_name(config)), found)
