"""How many clusters: k-means and mixtures over a range of K, as tasks that any engine may run.

A task is plain data and depends on nothing but the embeddings and itself, so the table is the same
for any number of processes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from scaledec.errors import StoreNotFoundError, TrainingError
from scaledec.location import Location
from scaledec.numerics.dec.initialise import (
    GAUSSIAN_STARTS,
    KMeansFit,
    fit_gaussian,
    fit_kmeans,
    restart_seeds,
)
from scaledec.numerics.metrics import sampled_silhouette
from scaledec.numerics.selection import (
    Reference,
    draw_reference,
    first_within_one_error,
    gap_statistic,
    mean_agreement,
    mixture_bic,
    nearest_centroid,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "KResult",
    "KRow",
    "KSelection",
    "KTask",
    "keep_selection",
    "kept_selection",
    "run_k_task",
    "select_k_tasks",
    "selection",
]

Kind: TypeAlias = Literal["data", "uniform", "pca", "bootstrap", "mixture"]
Criterion: TypeAlias = Literal["silhouette", "gap_uniform", "gap_pca", "bic", "stability_bootstrap"]

_FILE = "select-k.json"
_NUMBER: dict[Kind, int] = {"data": 0, "uniform": 1, "pca": 2, "bootstrap": 3, "mixture": 4}


@dataclass(frozen=True, slots=True)
class KTask:
    """One fit: what to fit, with how many clusters."""

    n_clusters: int
    kind: Kind
    """``data``: k-means of the data; ``uniform``, ``pca``: of a reference without clusters; ``bootstrap``:
    of windows drawn with repetition; ``mixture``: a Gaussian mixture of the data."""
    draw: int
    """Which of several: a seed, a reference, a bootstrap. The same draw is the same points for every K."""
    seed: int
    restarts: int


@dataclass(frozen=True, slots=True)
class KResult:
    """What a fit is good for."""

    task: KTask
    inertia: float = math.nan
    silhouette: float = math.nan
    bic: float = math.nan
    labels: npt.NDArray[np.int16] | None = None
    """(window,), of all windows; only for ``data`` and ``bootstrap``."""


@dataclass(frozen=True, slots=True)
class KRow:
    """All criteria for one number of clusters."""

    n_clusters: int
    inertia: float
    """Sum of squared distances to the nearest centroid: falls with every cluster."""
    silhouette: float
    """Mean silhouette: larger is better."""
    gap_uniform: float
    gap_uniform_error: float
    gap_pca: float
    gap_pca_error: float
    bic: float
    """Of a full-covariance mixture: smaller is better."""
    stability_seeds: float
    """Mean adjusted Rand index between k-means of several seeds."""
    stability_bootstrap: float
    """The same between k-means of several bootstrap samples, which all windows are labelled with."""


@dataclass(frozen=True, slots=True)
class KSelection:
    """The table over K, and what each criterion makes of it."""

    rows: tuple[KRow, ...]
    n_windows: int

    def choices(self) -> dict[Criterion, int | None]:
        """The number of clusters that each criterion prefers; ``None`` where it cannot tell.

        The gap takes the smallest K within one standard error of the next one (Tibshirani et al. 2001);
        stability the largest of the most stable.
        """
        ks = [row.n_clusters for row in self.rows]

        def by_gap(gap: Sequence[float], error: Sequence[float]) -> int | None:
            position = first_within_one_error(gap, error)
            return None if position is None else ks[position]

        return {
            "silhouette": _best(ks, [row.silhouette for row in self.rows]),
            "gap_uniform": by_gap(
                [r.gap_uniform for r in self.rows], [r.gap_uniform_error for r in self.rows]
            ),
            "gap_pca": by_gap([r.gap_pca for r in self.rows], [r.gap_pca_error for r in self.rows]),
            "bic": _best(ks, [-row.bic for row in self.rows]),
            "stability_bootstrap": _best(ks[::-1], [row.stability_bootstrap for row in self.rows[::-1]]),
        }

    def to_frame(self) -> pd.DataFrame:
        """One line a number of clusters."""
        import pandas as pd

        return pd.DataFrame(
            [asdict(row) for row in self.rows], columns=[field.name for field in fields(KRow)]
        ).set_index("n_clusters")


def keep_selection(run: Location, found: KSelection) -> None:
    """Keep a table beside the run in this folder, in place of an older one."""
    text = json.dumps({"n_windows": found.n_windows, "rows": [_told(row) for row in found.rows]}, indent=1)
    run.child(_FILE).write_bytes((text + "\n").encode())


def kept_selection(run: Location) -> KSelection | None:
    """The table that is kept beside a run; ``None`` if there is none."""
    try:
        values = json.loads(run.child(_FILE).read_bytes())
    except StoreNotFoundError:
        return None
    filled: list[dict[str, Any]] = [
        {name: math.nan if value is None else value for name, value in row.items()} for row in values["rows"]
    ]
    return KSelection(tuple(KRow(**row) for row in filled), values["n_windows"])


def _told(row: KRow) -> dict[str, float | None]:
    """A row for JSON, which has no number for "undefined"."""
    return {name: None if math.isnan(value) else value for name, value in asdict(row).items()}


def select_k_tasks(
    n_clusters: Sequence[int], *, draws: int, seeds: int, restarts: int, seed: int
) -> list[KTask]:
    """Every fit that the table needs, the largest K first, because those take longest.

    Parameters
    ----------
    n_clusters
        Numbers of clusters.
    draws
        References of each kind.
    seeds
        Seeds, and bootstrap samples, that stability is judged over.
    restarts
        Starts of each fit; the best is kept.
    seed
        That everything is drawn from.
    """
    times: dict[Kind, int] = {"mixture": 1, "data": seeds, "bootstrap": seeds, "uniform": draws, "pca": draws}
    return [
        KTask(k, kind, draw, seed, restarts)
        for k in sorted(set(n_clusters), reverse=True)
        for kind, n in times.items()
        for draw in range(n)
    ]


def run_k_task(z_ND: npt.NDArray[np.floating], task: KTask) -> KResult:
    """Do one fit.

    Parameters
    ----------
    z_ND
        Embeddings (window, latent), finite, at least as many distinct ones as clusters.
    task
        What to fit.
    """
    z = np.asarray(z_ND, dtype=np.float64)
    k, source = task.n_clusters, (task.seed, _NUMBER[task.kind], task.draw)
    if task.kind == "mixture":
        seeds = restart_seeds(task.seed, task.restarts)
        fits = [
            fit_gaussian(z, k, s, start=GAUSSIAN_STARTS[i % len(GAUSSIAN_STARTS)])
            for i, s in enumerate(seeds)
        ]
        best = max(fits, key=lambda fit: fit.quality)
        return KResult(task, bic=mixture_bic(best.lower_bound, len(z), k, z.shape[1]))
    if task.kind in ("uniform", "pca"):
        kind: Reference = "uniform" if task.kind == "uniform" else "pca"
        return KResult(task, inertia=_fit(draw_reference(z, kind, source), task).inertia)
    if task.kind == "bootstrap":
        rows = np.random.default_rng(list(source)).integers(0, len(z), len(z))
        return KResult(task, labels=nearest_centroid(z, _fit(z[rows], task).centroids))
    fit = _fit(z, task)
    labels = nearest_centroid(z, fit.centroids)
    judged = task.draw == 0 and len(np.unique(labels)) > 1
    silhouette = sampled_silhouette(z, labels, seed=task.seed) if judged else math.nan
    return KResult(task, inertia=fit.inertia, silhouette=silhouette, labels=labels)


def selection(results: Iterable[KResult], n_windows: int) -> KSelection:
    """The table, from the results of all tasks in any order."""
    by_task = {(r.task.n_clusters, r.task.kind, r.task.draw): r for r in results}
    rows = [_row(k, by_task) for k in sorted({k for k, _, _ in by_task})]
    return KSelection(tuple(rows), n_windows)


def _row(k: int, by_task: dict[tuple[int, Kind, int], KResult]) -> KRow:
    def draws(kind: Kind) -> list[KResult]:
        keys = sorted(key for key in by_task if key[:2] == (k, kind))
        return [by_task[key] for key in keys]

    data = draws("data")
    inertia = min(result.inertia for result in data)

    def gap(kind: Kind) -> tuple[float, float]:
        found, error = gap_statistic([inertia], [[result.inertia] for result in draws(kind)])
        return float(found[0]), float(error[0])

    several = k > 1  # any two labellings with one cluster agree
    return KRow(
        k,
        inertia,
        data[0].silhouette,
        *gap("uniform"),
        *gap("pca"),
        draws("mixture")[0].bic,
        mean_agreement([_labels(r) for r in data]) if several else math.nan,
        mean_agreement([_labels(r) for r in draws("bootstrap")]) if several else math.nan,
    )


def _fit(z: npt.NDArray[np.float64], task: KTask) -> KMeansFit:
    """The best of a task's starts."""
    source = np.random.SeedSequence([task.seed, _NUMBER[task.kind], task.draw, task.n_clusters])
    fits = [fit_kmeans(z, task.n_clusters, int(s)) for s in source.generate_state(task.restarts)]
    return max(fits, key=lambda fit: fit.quality)


def _labels(result: KResult) -> npt.NDArray[np.int16]:
    if result.labels is None:
        raise TrainingError(f"{result.task} came back without labels")
    return result.labels


def _best(ks: Sequence[int], values: Sequence[float]) -> int | None:
    """The K of the greatest value, the first of equals; ``None`` where no value is a number."""
    finite = [(value, -i) for i, value in enumerate(values) if math.isfinite(value)]
    return ks[-max(finite)[1]] if finite else None
