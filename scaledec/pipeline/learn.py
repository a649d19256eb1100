"""The stages of one run's model: sample the training set, pretrain, cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from scaledec.config import Config, dump_config, parse_config, pretrain_fingerprint, run_fingerprint, run_name
from scaledec.errors import StoreConflictError, StoreNotFoundError
from scaledec.location import Location
from scaledec.pipeline.adopt import adopt_pretrained, adopt_training_set
from scaledec.pipeline.outcome import Outcome
from scaledec.pipeline.watch import watched
from scaledec.places import Places
from scaledec.progress import Progress, track
from scaledec.transport.redact import url_without_secrets
from scaledec.vocabulary import parse_task_key

if TYPE_CHECKING:
    from scaledec.pipeline.resources import Resources
    from scaledec.store.training import TrainingStore
    from scaledec.training.session import Metrics, OnReport

__all__ = ["check_run", "cluster", "pretrain", "sample_training_set", "training_progress", "training_set_at"]


def sample_training_set(config: Config, resources: Resources) -> Outcome:
    """Sample windows of the whole cube into the run's training set, unless they lie there.

    Raises
    ------
    StoreNotFoundError
        If there is no cube.
    StoreConflictError
        If the run's folder belongs to other settings.
    TrainingError
        If the cube holds too few usable windows.
    """
    started = time.perf_counter()
    places, run = _claim_run(config)
    store, how = training_set_at(config, places, places.training_set(run))
    held_out = int(store.split.sum())
    message = f"{store.n} windows, {held_out} of them held out, {how}; {store.location}"
    return Outcome("training set", message, seconds=time.perf_counter() - started)


def training_set_at(config: Config, places: Places, place: Location) -> tuple[TrainingStore, str]:
    """The training set at ``place``, sampled or copied from a run if it is not there, and how it came there.

    Raises
    ------
    StoreNotFoundError
        If there is no cube.
    StoreConflictError
        If what lies there was sampled with other settings.
    TrainingError
        If the cube holds too few usable windows.
    """
    from scaledec.stages.training_set import build_training_set, training_fingerprint
    from scaledec.store.cubes import open_cube
    from scaledec.store.training import TrainingStore

    wanted = training_fingerprint(config)
    try:
        store = TrainingStore.open(place)
        how = "done before"
    except StoreNotFoundError:
        other = adopt_training_set(places, place, wanted)
        if other is None:
            store = build_training_set(config, open_cube(places.cube), place, segments=_with_power(places))
            how = "sampled"
        else:
            store = TrainingStore.open(place)
            how = f"taken over from run {other}"
    if store.fingerprint != wanted:
        raise StoreConflictError(
            f"{place} was sampled with other settings; choose another run name (run: ...) or delete it"
        )
    return store, how


def pretrain(config: Config, resources: Resources) -> Outcome:
    """Train the run's autoencoder, from its last checkpoint if there is one.

    Raises
    ------
    StoreNotFoundError
        If the run has no training set.
    TrainingError
        If training cannot go on.
    """
    from scaledec.stages.pretrain import PretrainJob, pretrain_loop
    from scaledec.store.training import TrainingStore
    from scaledec.training.sources import StoredWindows

    started = time.perf_counter()
    places, run = _claim_run(config)
    TrainingStore.open(places.training_set(run))
    how = "done before"
    if _pretrained(places, run) is None:
        other = adopt_pretrained(places, run, pretrain_fingerprint(config))
        how = "trained" if other is None else f"taken over from run {other}"
    if _pretrained(places, run) is None:
        job = PretrainJob.from_config(config, places.run(run), StoredWindows(places.training_set(run)))
        shown = ("validation_loss", "windows_per_s")
        with (
            track("pretrain", total=config.pretrain.epochs, unit="epochs") as progress,
            _hearing(config, places.run(run), "pretrain", progress, shown) as on_report,
        ):
            resources.train(
                pretrain_loop,
                job,
                storage=places.run(run).child("checkpoints"),
                name="pretrain",
                on_report=on_report,
            )
    facts = _pretrained(places, run)
    assert facts is not None
    message = (
        f"{how}, {facts['epochs']} epochs, best {facts['best_epoch']} with validation loss "
        f"{facts['validation_loss']:.4g}{_embedding_told(facts)}; {places.run(run)}"
    )
    return Outcome("pretrain", message, seconds=time.perf_counter() - started)


def cluster(config: Config, resources: Resources) -> Outcome:
    """Cluster the embeddings of the run's training set, from the last checkpoint if there is one.

    Raises
    ------
    StoreNotFoundError
        If the run is not pretrained.
    TrainingError
        If clustering cannot go on.
    """
    from scaledec.stages.cluster import cluster_loop
    from scaledec.stages.cluster_job import ClusterJob

    started = time.perf_counter()
    places, run = _claim_run(config)
    if _pretrained(places, run) is None:
        raise StoreNotFoundError(
            f"run {run!r} at {places.run(run)} is not pretrained: run `scaledec pretrain` first"
        )
    how = "done before"
    if _clustered(places, run) is None:
        how = "clustered"
        job = ClusterJob.from_config(config, places.run(run), places.training_set(run))
        with (
            track("cluster", total=config.cluster.epochs, unit="epochs") as progress,
            _hearing(config, places.run(run), "cluster", progress, ("loss", "label_change")) as on_report,
        ):
            resources.train(
                cluster_loop,
                job,
                storage=places.run(run).child("checkpoints"),
                name="cluster",
                on_report=on_report,
            )
    facts = _clustered(places, run)
    assert facts is not None
    return Outcome(
        "cluster", f"{how}, {_told(facts)}; {places.run(run)}", seconds=time.perf_counter() - started
    )


def training_progress(config: Config) -> list[tuple[str, str, str]]:
    """How far the run's model has come: (stage, state, detail) of each stage. Writes nothing."""
    from scaledec.store.training import TrainingStore

    places, run = Places.at(config.root, config.storage_options), run_name(config)
    try:
        n = TrainingStore.open(places.training_set(run)).n
        lines = [("training set", "done", f"{n} windows")]
    except StoreNotFoundError:
        lines = [("training set", "waiting", f"{config.pretrain.windows} windows wanted")]
    pretrained, clustered = _pretrained(places, run), _clustered(places, run)
    if pretrained is None:
        epochs = _epochs_begun(places, run)
        state = "begun" if epochs else "waiting"
        lines.append(("pretrain", state, f"{epochs} of at most {config.pretrain.epochs} epochs"))
    else:
        lines.append(("pretrain", "done", f"{pretrained['epochs']} epochs"))
    lines.append(("cluster", "waiting", "") if clustered is None else ("cluster", "done", _told(clustered)))
    return lines


def check_run(config: Config) -> bool:
    """Whether the run's folder is there; ``StoreConflictError`` if it was made with other settings."""
    places, run = Places.at(config.root, config.storage_options), run_name(config)
    place = places.run(run).child("config.yaml")
    try:
        there = parse_config(place.read_bytes().decode(), source=str(place))
    except StoreNotFoundError:
        return False
    if run_fingerprint(there) != run_fingerprint(config):
        raise StoreConflictError(
            f"run {run!r} at {places.run(run)} was made with other settings (see its config.yaml): give "
            "this one another name (run: ...), or none, so that its settings name it"
        )
    return True


def _claim_run(config: Config) -> tuple[Places, str]:
    """The run's name; its folder gets the configuration, or must have been made with the same."""
    places, run = Places.at(config.root, config.storage_options), run_name(config)
    if not check_run(config):
        text = dump_config(_without_storage_options(config))
        places.run(run).child("config.yaml").write_bytes(text.encode())
    return places, run


def _without_storage_options(config: Config) -> Config:
    """The same settings without what may hold credentials: a run's folder is for sharing."""
    url = url_without_secrets(config.archive.url)
    archive = config.archive.model_copy(update={"storage_options": {}, "url": url})
    catalog = config.windows.catalog
    if catalog.url is not None:
        catalog = catalog.model_copy(update={"storage_options": {}, "url": url_without_secrets(catalog.url)})
    windows = config.windows.model_copy(update={"catalog": catalog})
    root = url_without_secrets(config.root)
    return config.model_copy(
        update={"root": root, "storage_options": {}, "archive": archive, "windows": windows}
    )


def _with_power(places: Places) -> set[tuple[int, int]]:
    """Indices (channel, time) of the segments of the cube that hold anything."""
    from scaledec.ledger.ledger import Ledger
    from scaledec.store.cubes import open_cube

    cube = open_cube(places.cube)
    written = Ledger(places.ledger("cube")).read(details=("checksum",))
    starts = {cube.segment_start_ns(index): index for index in range(cube.n_segments)}
    return {
        (cube.channel_index(channel), starts[start_ns])
        for channel, start_ns in (
            parse_task_key(key) for key, result in written.items() if "checksum" in result.details
        )
    }


def _hearing(
    config: Config, run: Location, stage: str, progress: Progress, shown: Sequence[str]
) -> AbstractContextManager[OnReport]:
    """The bar and whatever else the configuration wants to hear of a stage's reports."""
    return watched(config.compute, run, stage, partial(_advance, progress, shown=shown))


def _advance(progress: Progress, metrics: Metrics, *, shown: Sequence[str]) -> None:
    """Bring the bar to the epoch reported; a resumed run starts where it was."""
    epoch = int(str(metrics["epoch"]))
    # Before the first step there is no loss to tell.
    told = {name: metrics[name] for name in shown if metrics.get(name) is not None}
    progress.advance(max(0, epoch - progress.done), **told)


def _pretrained(places: Places, run: str) -> Mapping[str, Any] | None:
    """Facts of the run's pretrained network, if there is one."""
    return _facts(places.pretrained(run))


def _clustered(places: Places, run: str) -> Mapping[str, Any] | None:
    """Facts of the run's clustered model, if there is one."""
    return _facts(places.run(run))


def _facts(place: Location) -> Mapping[str, Any] | None:
    """What a model says of itself; read without loading torch, because `status` and `plan` ask too."""
    try:
        found = json.loads(place.child("model.json").read_bytes())
    except StoreNotFoundError:
        return None
    return cast("Mapping[str, Any]", found["facts"])


def _embedding_told(facts: Mapping[str, Any]) -> str:
    """What a network with skip connections makes of its embedding alone, which is what is clustered."""
    loss = facts.get("embedding_loss")
    return "" if loss is None else f" ({loss:.4g} from the embedding alone, without skip connections)"


def _told(facts: Mapping[str, Any]) -> str:
    counts = facts["counts"]
    sizes = ", ".join(map(str, counts))
    end = f"{facts['epochs']} epochs (stop: {facts['stop_reason']})"
    return f"{len(counts)} clusters of {sizes} training windows, {end}"


def _epochs_begun(places: Places, run: str) -> int:
    try:
        return len(places.run(run).child("metrics.jsonl").read_bytes().splitlines())
    except StoreNotFoundError:
        return 0
