"""A search for training settings: trials on one training set, and the best of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from scaledec.config import Config, hash_json, pretrain_fingerprint
from scaledec.errors import TrainingError
from scaledec.ledger.lock import RootLock
from scaledec.pipeline.learn import training_set_at
from scaledec.pipeline.outcome import Failure, Outcome
from scaledec.pipeline.record import recorded
from scaledec.pipeline.resources import Resources
from scaledec.places import Places
from scaledec.progress import track

if TYPE_CHECKING:
    import pandas as pd

    from scaledec.stages.tune import Trial, TrialContext, TrialResult

__all__ = ["Search", "tune"]


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found."""

    results: Sequence[TrialResult]
    """Of all trials, those of earlier searches included, pretrainings first."""
    pretraining: TrialResult
    """The chosen one."""
    clustering: TrialResult | None
    """The chosen one; ``None`` where gamma was not searched."""
    outcome: Outcome

    @property
    def values(self) -> dict[str, Any]:
        """The chosen values by their configuration keys."""
        trial = self.pretraining.trial
        values: dict[str, Any] = {
            "model.latent": trial.latent,
            "pretrain.batch": trial.batch,
            "pretrain.learning_rate": trial.learning_rate,
        }
        if self.clustering is not None:
            values["cluster.gamma"] = self.clustering.trial.gamma
        return values

    def to_frame(self) -> pd.DataFrame:
        """One line a trial; ``chosen`` marks the best."""
        import pandas as pd

        chosen = [r.trial.key for r in (self.pretraining, self.clustering) if r is not None]
        frame = pd.DataFrame([result.row() for result in self.results])
        frame.insert(1, "chosen", frame["trial"].isin(chosen))
        return frame.set_index("trial")


def tune(config: Config) -> Search:
    """Search batch, learning rate and embedding size, then gamma; what was tried before is not tried again.

    Pretrainings are judged by their validation loss, of embedding sizes the smallest that is nearly as good
    as the best (``tune.latent_slack``). Clusterings with different gamma start from the chosen network and
    are judged by the silhouette of their labels among its embeddings: a criterion without labels, which
    tells compact clusters from scattered ones and not whether they mean anything.

    Raises
    ------
    StoreNotFoundError
        If there is no cube.
    TrainingError
        If no trial could be trained; the message has the first reason.
    """
    places = Places.at(config.root, config.storage_options)
    with (
        RootLock(places.bookkeeping, "tune") as lock,
        recorded(config, "tune") as outcomes,
        Resources(config.compute) as resources,
    ):
        found = _search(config, places, resources)
        outcomes.append(found.outcome)
        lock.check()
    return found


def _search(config: Config, places: Places, resources: Resources) -> Search:
    from scaledec.stages.tune import (
        TrialContext,
        best_gamma,
        best_pretraining,
        draw_pretrainings,
        gamma_trials,
    )

    started = time.perf_counter()
    folder = places.search(_name(config))
    training_set_at(config, places, folder.child("training.zarr"))
    context = TrialContext(config, folder, folder.child("training.zarr"), config.compute.ray.gpu)
    pretrainings, n_before = _results(draw_pretrainings(config), context, resources)
    best = best_pretraining(pretrainings, config.tune.latent_slack)
    if best is None:
        raise TrainingError(
            f"none of {len(pretrainings)} trials could be trained; the first: {pretrainings[0].reason}"
        )
    trials = gamma_trials(config, best.trial)
    _hand_on(context, best.trial, trials)
    clusterings, n_more = _results(trials, context, resources)
    results = [*pretrainings, *clusterings]
    failures = [Failure(r.trial.key, r.reason or "") for r in results if r.status == "failed"]
    gamma = best_gamma(clusterings)
    before = n_before + n_more
    told = f"{len(results)} trials, {before} done before, {len(failures)} failed; {folder}"
    done = len(results) - len(failures) - before
    outcome = Outcome("tune", told, done, before, failures, seconds=time.perf_counter() - started)
    return Search(results, best, gamma, outcome)


def _name(config: Config) -> str:
    """Of the search: by what decides a trial, so that more trials or gammas go on in the same folder."""
    tuning = config.tune.model_dump(
        mode="json", include={"epochs", "batch", "learning_rate", "latent", "seed"}
    )
    clustering = config.cluster.model_dump(mode="json", exclude={"gamma"})
    return hash_json([pretrain_fingerprint(config), clustering, tuning])


def _results(
    trials: Sequence[Trial], context: TrialContext, resources: Resources
) -> tuple[list[TrialResult], int]:
    """Results of all trials in their order, and how many were there before."""
    from scaledec.stages.tune import lost_trial, read_result, run_trial

    found = {trial: read_result(trial, context) for trial in trials}
    results = {trial: result for trial, result in found.items() if result is not None}
    waiting = [trial for trial in trials if trial not in results]
    n_before = len(results)
    if waiting:
        with (
            track(f"tune {waiting[0].stage}", total=len(waiting), unit="trials") as progress,
            resources.trial_engine(context.config.tune.parallel) as engine,
        ):
            for result in engine.run(partial(run_trial, context=context), waiting, lost=lost_trial):
                results[result.trial] = result
                progress.advance(failed=sum(r.status == "failed" for r in results.values()))
    return [results[trial] for trial in trials], n_before


def _hand_on(context: TrialContext, best: Trial, trials: Sequence[Trial]) -> None:
    """Give every clustering its copy of the chosen network."""
    from scaledec.pipeline.adopt import copy_folder
    from scaledec.stages.pretrain import PRETRAINED

    source = context.place(best).child(PRETRAINED)
    for trial in trials:
        target = context.place(trial).child(PRETRAINED)
        if not target.child("model.json").exists():
            copy_folder(source, target, last="model.json")
