"""Clustering: from a pretrained autoencoder to a model that labels, and labels of the sampled windows.

k-means and a Gaussian mixture are always fitted to the pretrained embeddings, so that every run holds
its own baselines; DEC and IDEC start from one of them. The run's model is written last: where it lies,
the stage is finished.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from scaledec.errors import StoreNotFoundError
from scaledec.numerics.clusters import Assignment
from scaledec.numerics.dec.loss import LossWeights, loss_weights
from scaledec.numerics.dec.sphere import sphere_network
from scaledec.numerics.metrics import effective_clusters
from scaledec.numerics.nets.base import Autoencoder
from scaledec.stages.cluster_dec import DecOutcome, DecSettings, DecTraining, Record, SavedState
from scaledec.stages.cluster_job import ClusterJob, ClusterOutcome
from scaledec.stages.cluster_results import (
    Baseline,
    Labelled,
    baseline_models,
    embed_all,
    finite_windows,
    largest_first,
    load_split,
    separation,
    write_assignments,
    write_metrics,
)
from scaledec.stages.cluster_start import Starts, find_starts
from scaledec.stages.cluster_target import cell_variance
from scaledec.stages.pretrain import PRETRAINED
from scaledec.stages.run_folder import check_fingerprint, finished_facts
from scaledec.training.arithmetic import arithmetic
from scaledec.training.checkpoint import load_state
from scaledec.training.data import TrainingData
from scaledec.training.saved_model import SavedModel
from scaledec.training.session import TrainingSession

__all__ = ["cluster_loop"]

TAUGHT_GAMMA = 1.0
"""Weight of the clustering loss while the network learns the manifold's clusters."""


def cluster_loop(session: TrainingSession, job: ClusterJob) -> ClusterOutcome:
    """Find first clusters, train DEC or IDEC if asked for, and write model, metrics and assignments.

    Cluster 0 is the one with the most training windows, cluster 1 the next, and so on.

    Parameters
    ----------
    session
        The engine, as a loop sees it.
    job
        What to cluster and how.

    Raises
    ------
    TrainingError
        If the embedding collapsed, a cluster stays empty, a loss is not finite, or there are too few windows;
        the message says what to change.
    StoreNotFoundError
        If there is no pretrained model.
    StoreConflictError
        If the run's folder holds a model or checkpoint of other settings.
    """
    finished = _finished_outcome(job)
    if finished is not None:
        return finished
    with arithmetic(job.precision):
        return _cluster(session, job)


def _cluster(session: TrainingSession, job: ClusterJob) -> ClusterOutcome:
    pretrained = _pretrained_model(session, job)
    training = finite_windows(load_split(session, job, pretrained, validation=False))
    z_pretrained = embed_all(session, pretrained, training)

    with session.latest_checkpoint() as folder:
        saved = None if folder is None else load_state(folder)
    if saved is not None:
        check_fingerprint(job.run, job.fingerprint, saved[1]["fingerprint"], "checkpoints")
        starts = Starts.from_tensors(saved[0], job.n_clusters, pretrained.spec.latent)
    else:
        k, is_manifold = job.n_clusters, job.starts_on_manifold
        starts = find_starts(
            session, z_pretrained, k, restarts=job.restarts, seed=job.seed, manifold=is_manifold
        )
    baselines = baseline_models(pretrained, starts, z_pretrained, alpha=job.alpha)

    history: tuple[Record, ...] = ()
    if job.method in ("kmeans", "gmm"):
        model, z_final = baselines[job.method], z_pretrained
    else:
        model, history = _train(session, job, pretrained, baselines, starts, training, saved)
        z_final = embed_all(session, model, training)
        model = largest_first(model, z_final)
    model = model.referring_to(z_final)

    outcome = _outcome(job, model.assign(z_final), history)
    if not history:
        record = _record_of_start(outcome)
        write_metrics(session, job.run, [record])
        session.report(record)
    if job.training_set is not None:
        labelled = Labelled(pretrained, baselines, model, training, z_pretrained, z_final)
        write_assignments(session, job, labelled)
    if session.rank == 0:
        facts = _facts(job, outcome, starts, pretrained)
        facts["separation"] = {n: separation(m, z_pretrained) for n, m in baselines.items()}
        facts["separation"][job.method] = separation(model, z_final)
        replace(model, facts=facts).save(job.run)
    session.barrier()
    return outcome


def _train(
    session: TrainingSession,
    job: ClusterJob,
    pretrained: SavedModel,
    baselines: Mapping[Baseline, SavedModel],
    starts: Starts,
    training: TrainingData,
    saved: SavedState | None,
) -> tuple[SavedModel, tuple[Record, ...]]:
    """DEC, IDEC or N2D from their first centroids, or from a checkpoint."""
    network, centroids = _first_network(session, job, pretrained, baselines, starts)
    dec = DecTraining(
        session,
        network,
        torch.from_numpy(centroids),
        training,
        _settings(job, cell_variance(session, training), len(training)),
        teacher=None if starts.manifold is None else starts.manifold.log_posterior,
        carried=(starts.tensors, {"fingerprint": job.fingerprint}),
        on_refresh=lambda history: write_metrics(session, job.run, history),
    )
    if saved is not None:
        dec.restore(saved)
    outcome: DecOutcome = dec.run()
    model = SavedModel(
        network.eval(),
        pretrained.spec,
        pretrained.normaliser,
        job.method,
        outcome.centroids.double().numpy(),
        job.alpha,
    )
    return model, outcome.history


def _first_network(
    session: TrainingSession,
    job: ClusterJob,
    pretrained: SavedModel,
    baselines: Mapping[Baseline, SavedModel],
    starts: Starts,
) -> tuple[Autoencoder, npt.NDArray[np.float64]]:
    """A copy of the pretrained network, and the centroids (cluster, latent) that it begins with."""
    network = copy.deepcopy(pretrained.network)
    if job.compiled:
        network.compile(dynamic=True)
    if starts.manifold is None:
        centroids = baselines["kmeans" if job.init == "kmeans" else "gmm"].centroids
    else:
        centroids = starts.manifold.fit.means
    if _is_sphered(job, pretrained):
        matrix = starts.sphering(session)
        sphere_network(network, matrix)
        centroids = centroids @ matrix.T
    return network, centroids


def _settings(job: ClusterJob, variance: float, n_windows: int) -> DecSettings:
    """Settings of the training, with losses in proportion to the windows' variance."""
    assert job.method in ("dec", "idec", "n2d")

    def weights(gamma: float) -> LossWeights:
        return loss_weights(
            method="dec" if job.method == "dec" else "idec",
            form=job.loss,
            gamma=gamma,
            n_clusters=job.n_clusters,
            variance=variance,
        )

    return DecSettings(
        method=job.method,
        weights=weights(job.gamma),
        alpha=job.alpha,
        epochs=job.epochs,
        batch=job.batch,
        optimiser=job.optimiser,
        learning_rate=job.learning_rate,
        updates_per_epoch=job.updates_per_epoch,
        refresh_steps=job.refresh_steps,
        tolerance=job.tolerance,
        seed=job.seed,
        table_bytes=job.table_bytes,
        augmentation=job.augmentation,
        precision=job.precision,
        taught_steps=_taught_steps(job, n_windows),
        taught_weights=weights(TAUGHT_GAMMA),
    )


def _taught_steps(job: ClusterJob, n: int) -> int:
    """Steps that follow the manifold: all of them for ``n2d``, which has no target of its own."""
    if not job.starts_on_manifold:
        return 0
    return -(-n // job.batch) * (job.epochs if job.method == "n2d" else job.taught_epochs)


def _is_sphered(job: ClusterJob, pretrained: SavedModel) -> bool:
    """Whether DEC works in units in which the mixture's clusters are round; published recipes do not."""
    return job.loss == "scaled" and pretrained.network.embeds_linearly


def _pretrained_model(session: TrainingSession, job: ClusterJob) -> SavedModel:
    try:
        model = SavedModel.load(job.run.child(PRETRAINED), device=session.device)
    except StoreNotFoundError as error:
        raise StoreNotFoundError(
            f"{job.run} holds no pretrained model to cluster with: run `scaledec pretrain` first"
        ) from error
    check_fingerprint(job.run, job.pretrain_fingerprint, model.facts["fingerprint"], "a pretrained model")
    return model


def _finished_outcome(job: ClusterJob) -> ClusterOutcome | None:
    """How an earlier session ended this job, if one did."""
    facts = finished_facts(job.run, job.run, job.fingerprint, "a clustered model")
    if facts is None:
        return None
    return ClusterOutcome(
        job.method,
        facts["stop_reason"],
        facts["epochs"],
        facts["steps"],
        tuple(facts["counts"]),
        already_finished=True,
    )


def _outcome(job: ClusterJob, found: Assignment, history: Sequence[Record]) -> ClusterOutcome:
    counts = np.bincount(found.label, minlength=job.n_clusters).tolist()
    last: Record = history[-1] if history else {"stop_reason": "start", "epoch": 0, "step": 0}
    return ClusterOutcome(job.method, last["stop_reason"], last["epoch"], last["step"], tuple(counts))


def _record_of_start(outcome: ClusterOutcome) -> Record:
    return {
        "epoch": 0,
        "step": 0,
        "update": 0,
        "counts": list(outcome.counts),
        "effective_clusters": effective_clusters(outcome.counts),
        "stop_reason": outcome.stop_reason,
    }


def _facts(job: ClusterJob, outcome: ClusterOutcome, starts: Starts, pretrained: SavedModel) -> Record:
    """What is kept beside the model: how it came about, and both baselines in full."""
    return {
        "fingerprint": job.fingerprint,
        "stop_reason": outcome.stop_reason,
        "epochs": outcome.epochs,
        "steps": outcome.steps,
        "counts": list(outcome.counts),
        "init": job.init,
        "sphered": job.method in ("dec", "idec", "n2d") and _is_sphered(job, pretrained),
        "restarts": job.restarts,
        "seed": job.seed,
        "pretrained": {"checksum": pretrained.checksum, **pretrained.facts},
        "starts": starts.facts(),
    }
