"""Trials of a search for training settings: what each tries, what one gives, and which is best.

A trial is plain data drawn from a seed, so it is the same for any engine, and for any number of trials. It
keeps its result in a folder of its own: what is there need not be done again.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from scaledec.config import Config, hash_json, pretrain_fingerprint, run_fingerprint
from scaledec.errors import ScaledecError, StoreNotFoundError
from scaledec.location import Location
from scaledec.numerics.metrics import sampled_silhouette
from scaledec.stages.cluster import cluster_loop
from scaledec.stages.cluster_job import ClusterJob
from scaledec.stages.cluster_target import embed_share
from scaledec.stages.pretrain import PRETRAINED, PretrainJob, pretrain_loop
from scaledec.training.placement import load_windows
from scaledec.training.saved_model import SavedModel
from scaledec.training.session import LocalSession
from scaledec.training.sources import StoredWindows

__all__ = [
    "Trial",
    "TrialContext",
    "TrialResult",
    "best_gamma",
    "best_pretraining",
    "draw_pretrainings",
    "gamma_trials",
    "lost_trial",
    "read_result",
    "run_trial",
]

_RESULT = "result.json"
_JUDGED_WINDOWS = 4000


@dataclass(frozen=True, slots=True)
class Trial:
    """One set of values; a pretraining where ``gamma`` is ``None``, else a clustering on its network."""

    number: int
    """From 0, which is the configuration's own values."""
    batch: int
    learning_rate: float
    latent: int
    gamma: float | None = None

    @property
    def stage(self) -> Literal["pretrain", "cluster"]:
        """What the trial runs."""
        return "pretrain" if self.gamma is None else "cluster"

    @property
    def key(self) -> str:
        """Its name in tables and on disk."""
        return f"{self.stage}-{self.number:03d}"

    def apply(self, config: Config) -> Config:
        """The configuration with this trial's values."""
        model = config.model.model_copy(update={"latent": self.latent})
        update: dict[str, Any] = {"batch": self.batch, "learning_rate": self.learning_rate}
        cluster = config.cluster
        if self.gamma is not None:
            cluster = cluster.model_copy(update={"gamma": self.gamma})
        pretrain = config.pretrain.model_copy(update=update)
        return config.model_copy(update={"model": model, "pretrain": pretrain, "cluster": cluster})


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What came of a trial."""

    trial: Trial
    status: Literal["done", "failed"]
    reason: str | None = None
    """Why it failed."""
    validation_loss: float | None = None
    """Of a pretraining: mean squared error of held-out windows, the least over its epochs."""
    silhouette: float | None = None
    """Of a clustering: see :func:`run_trial`."""
    epochs: int = 0
    seconds: float = 0.0

    def row(self) -> dict[str, Any]:
        """One line of the table."""
        values = asdict(self)
        trial = values.pop("trial")
        return {"trial": self.trial.key, **{k: v for k, v in trial.items() if k != "number"}, **values}


@dataclass(frozen=True, slots=True)
class TrialContext:
    """What all trials of a search share; picklable."""

    config: Config
    """The configuration that the search started from."""
    folder: Location
    """One folder a trial lies below it."""
    training_set: Location
    gpu: bool | Literal["auto"] = "auto"

    def place(self, trial: Trial) -> Location:
        """The trial's folder; one of other settings has another name."""
        config = trial.apply(self.config)
        decisive = [self.config.tune.epochs, pretrain_fingerprint(config)]
        if trial.stage == "cluster":
            decisive.append(run_fingerprint(config))
        return self.folder.child(f"{trial.key}-{hash_json(decisive)[:8]}")


def draw_pretrainings(config: Config) -> list[Trial]:
    """``tune.trials`` pretrainings; each is drawn from the seed and its own number alone."""
    tune = config.tune
    trials = [Trial(0, config.pretrain.batch, config.pretrain.learning_rate, config.model.latent)]
    low, high = (math.log(value) for value in tune.learning_rate)
    for number in range(1, tune.trials):
        rng = np.random.default_rng([tune.seed & 0xFFFF_FFFF_FFFF_FFFF, number])
        batch = tune.batch[int(rng.integers(len(tune.batch)))]
        latent = tune.latent[int(rng.integers(len(tune.latent)))]
        # Four digits are what a person would write.
        rate = float(f"{math.exp(rng.uniform(low, high)):.3e}")
        trials.append(Trial(number, batch, rate, latent))
    return trials


def gamma_trials(config: Config, best: Trial) -> list[Trial]:
    """A clustering for each ``tune.gamma``, the configuration's own first, on the network of ``best``."""
    if config.cluster.method != "idec" or not config.tune.gamma:
        return []
    gammas = dict.fromkeys((config.cluster.gamma, *config.tune.gamma))
    return [replace(best, number=number, gamma=gamma) for number, gamma in enumerate(gammas)]


def run_trial(trial: Trial, context: TrialContext) -> TrialResult:
    """Train what a trial asks for, from its last checkpoint if it has one, and keep the result.

    A pretraining is judged by its validation loss. A clustering is judged without labels, by the silhouette
    of its clusters among the pretrained embeddings, which are the same for every gamma. Among its own
    embeddings, which the loss has pulled apart, clusters look the better the worse they are: on the
    synthetic archive gamma 0.01, 0.03, 0.1, 0.3 and 1 have accuracy 0.918, 0.918, 0.915, 0.905 and 0.844,
    silhouette 0.553, 0.549, 0.547, 0.503 and 0.328 among the pretrained embeddings, and 0.536, 0.540, 0.562,
    0.557 and 0.509 among their own. It tells gammas apart, not methods: k-means beats a mixture in it there,
    which has more windows right.

    A trial whose settings cannot be trained with has failed and says why; any other error is raised.
    """
    began = time.perf_counter()
    place = context.place(trial)
    config = trial.apply(context.config)
    session = LocalSession(place.child("checkpoints"), device=_device(context.gpu))
    try:
        work = _pretrain if trial.stage == "pretrain" else _cluster
        result = work(trial, config, context, place, session)
    except ScaledecError as error:
        result = TrialResult(trial, "failed", str(error))
    result = replace(result, seconds=round(time.perf_counter() - began, 2))
    if result.status == "done":
        place.child(_RESULT).write_bytes(json.dumps(asdict(result)).encode())
        place.child("checkpoints").remove()
    return result


def lost_trial(trial: Trial, reason: str) -> TrialResult:
    """The result of a trial whose worker died."""
    return TrialResult(trial, "failed", reason)


def read_result(trial: Trial, context: TrialContext) -> TrialResult | None:
    """What an earlier search wrote down of this trial, if it finished it."""
    try:
        values = json.loads(context.place(trial).child(_RESULT).read_bytes())
    except StoreNotFoundError:
        return None
    return TrialResult(**{**values, "trial": trial})


def best_pretraining(results: Sequence[TrialResult], slack: float) -> TrialResult | None:
    """Of the embeddings' sizes that lose no more than ``slack`` the smallest, and its best trial."""
    losses = {r.trial.number: r.validation_loss for r in results if r.validation_loss is not None}
    if not losses:
        return None
    enough = min(losses.values()) * (1 + slack)
    good = [r for r in results if losses.get(r.trial.number, math.inf) <= enough]
    return min(good, key=lambda r: (r.trial.latent, losses[r.trial.number], r.trial.number))


def best_gamma(results: Sequence[TrialResult]) -> TrialResult | None:
    """The clustering of greatest silhouette, the first of equals."""
    found = {r.trial.number: r.silhouette for r in results if r.silhouette is not None}
    judged = [r for r in results if r.trial.number in found]
    return max(judged, key=lambda r: (found[r.trial.number], -r.trial.number), default=None)


def _pretrain(
    trial: Trial, config: Config, context: TrialContext, place: Location, session: LocalSession
) -> TrialResult:
    job = PretrainJob.from_config(config, place, StoredWindows(context.training_set))
    outcome = pretrain_loop(session, replace(job, epochs=context.config.tune.epochs))
    return TrialResult(trial, "done", validation_loss=outcome.validation_loss, epochs=outcome.epochs)


def _cluster(
    trial: Trial, config: Config, context: TrialContext, place: Location, session: LocalSession
) -> TrialResult:
    job = ClusterJob.from_config(config, place, context.training_set)
    # Trials must not write their labels into the training set that they share.
    outcome = cluster_loop(session, replace(job, training_set=None))
    pretrained = SavedModel.load(place.child(PRETRAINED), device=session.device)
    model = SavedModel.load(place, device=session.device)
    data = load_windows(job.source, model.normaliser, validation=False, placement=job.placement)
    data = data.subset(_judged(len(data), context.config.tune.seed))
    z_before, z_after = (embed_share(session, m.network, data).numpy() for m in (pretrained, model))
    labels = model.assign(z_after).label
    found = sampled_silhouette(z_before, labels) if len(np.unique(labels)) > 1 else None
    return TrialResult(trial, "done", silhouette=found, epochs=outcome.epochs)


def _judged(n: int, seed: int) -> torch.Tensor:
    """Which of ``n`` windows a clustering is judged by, the same for all."""
    rng = np.random.default_rng(seed & 0xFFFF_FFFF_FFFF_FFFF)
    kept = torch.zeros(n, dtype=torch.bool)
    kept[torch.from_numpy(rng.permutation(n)[:_JUDGED_WINDOWS])] = True
    return kept


def _device(gpu: bool | Literal["auto"]) -> torch.device:
    use = torch.cuda.is_available() if gpu == "auto" else gpu
    return torch.device("cuda" if use else "cpu")
