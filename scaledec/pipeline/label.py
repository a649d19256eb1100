"""The label stage: plan, make room in the label store, label what is left."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaledec.config import Config, run_fingerprint, run_name
from scaledec.errors import StoreNotFoundError
from scaledec.location import Location
from scaledec.pipeline.journal import Journal
from scaledec.pipeline.outcome import Outcome
from scaledec.places import Places
from scaledec.progress import track
from scaledec.vocabulary import TaskResult

if TYPE_CHECKING:
    from scaledec.pipeline.resources import Resources
    from scaledec.stages.label_plan import LabelPlan
    from scaledec.store.cube_base import Cube
    from scaledec.store.labels import LabelTemplate
    from scaledec.training.saved_model import SavedModel

__all__ = ["LabelWork", "label_archive", "plan_of_labels", "publish_label_store"]

_CONFIDENCE = {
    "gmm": "posterior probability of the cluster",
    "kmeans": "posterior probability of the cluster (equal spherical Gaussians of the training variance)",
    "other": "soft assignment to the cluster (Student's t)",
}


def label_archive(config: Config, resources: Resources) -> Outcome:
    """Label every window of the cube that is not labelled yet by this run's model.

    Raises
    ------
    StoreNotFoundError
        If there is no cube or no clustered model.
    StoreError
        If the labels cannot be written.
    """
    from scaledec.ledger.compact import compact
    from scaledec.pipeline.catalog import update_catalog
    from scaledec.stages.label import LabelContext
    from scaledec.stages.sensors import Components
    from scaledec.training.saved_model import SavedModel

    started = time.perf_counter()
    run = run_name(config)
    places = Places.at(config.root, config.storage_options)
    compact(places.label_ledger(run))
    work = plan_of_labels(config)
    plan = work.plan
    if SavedModel.load(places.run(run)).reference is None:
        work.model.save(places.run(run))
    store = _make_room(config, work.cube, work.model)
    context = LabelContext(
        cube=places.cube,
        model=places.run(run),
        labels=store,
        windows=config.window_grid,
        batch=config.label.batch,
        precision=config.label.precision,
        embedding=config.label.embedding,
        components=Components.of(config.windows),
    )
    place = places.progress(f"labels/{run}")
    with Journal(place, planned=len(plan.tasks), before=plan.n_done) as journal:
        if plan.tasks:
            with track("label", total=len(plan.tasks), unit="shards") as progress:

                def on_result(result: TaskResult) -> None:
                    journal.add(result)
                    progress.advance(failed=journal.counts["failed"])

                resources.label(
                    plan.tasks, context, places.label_ledger(run), on_result, memory=plan.memory_per_task
                )
    catalog = update_catalog(places, run)
    counts = journal.counts
    message = (
        f"{counts['done']} shards labelled, {counts['failed']} failed, {plan.n_done} done before; run {run} "
        f"in {places.labels(run)}; {catalog}{_told_incomplete(config, work.cube)}{_told_drift(config)}"
    )
    seconds = time.perf_counter() - started
    return Outcome(
        "label",
        message,
        counts["done"],
        plan.n_done,
        (*journal.failures, *catalog.failures),
        journal.n_unlisted_failures,
        seconds,
    )


@dataclass(frozen=True, slots=True)
class LabelWork:
    """What labelling needs: the tasks left, the cube they read, the model they use."""

    plan: LabelPlan
    cube: Cube
    model: SavedModel


def plan_of_labels(config: Config) -> LabelWork:
    """The label tasks that are left; writes nothing.

    Raises
    ------
    StoreNotFoundError
        If there is no cube or no clustered model.
    """
    from scaledec.ledger.ledger import Ledger
    from scaledec.stages.label_plan import plan_labels

    places = Places.at(config.root, config.storage_options)
    run = run_name(config)
    cube, model = _open_inputs(config)
    plan = plan_labels(
        config,
        cube,
        Ledger(places.ledger("cube")).read(details=("checksum",)),
        Ledger(places.label_ledger(run)).read(details=()),
        model_checksum=model.checksum,
    )
    return LabelWork(plan, cube, model)


def _open_inputs(config: Config) -> tuple[Cube, SavedModel]:
    """The cube and the clustered model."""
    from scaledec.stages.label_reference import referring
    from scaledec.store.cubes import open_cube
    from scaledec.training.saved_model import SavedModel

    places = Places.at(config.root, config.storage_options)
    run = run_name(config)
    cube = open_cube(places.cube)
    model = SavedModel.load(places.run(run))
    if not model.n_clusters:
        raise StoreNotFoundError(
            f"run {run!r} at {places.run(run)} is pretrained but not clustered: run `scaledec cluster` first"
        )
    if model.reference is None:
        model = referring(model, places.training_set(run))
    return cube, model


def publish_label_store(config: Config) -> None:
    """Bring what describes the labels that are there (cluster names, coordinates) up to date.

    Labels of an earlier version are left as they are: labelling, which they need anyway, does it for them.
    """
    from scaledec.store.labels import LabelStore

    if LabelStore.is_current(Places.at(config.root, config.storage_options).labels(run_name(config))):
        _make_room(config, *_open_inputs(config))


def _make_room(config: Config, cube: Cube, model: SavedModel) -> Location:
    from scaledec.stages.sensors import Components, sensors_of
    from scaledec.store.labels import LabelStore

    sensors = sensors_of(cube.channels, Components.of(config.windows))
    # What is known of a sensor is what is known of its first channel.
    firsts = {sensor.id: cube.channels[sensor.sources[0]] for sensor in sensors}
    store = LabelStore.create_or_extend(
        Places.at(config.root, config.storage_options).labels(run_name(config)),
        _template(config, model),
        tuple(firsts),
        cube.start_ns,
        cube.n_segments,
        {
            name: {sensor: values[first] for sensor, first in firsts.items()}
            for name, values in cube.channel_coordinates().items()
        },
    )
    return store.location


def _told_incomplete(config: Config, cube: Cube) -> str:
    """What is said of sensors whose windows cannot all have a label."""
    from scaledec.stages.sensors import Components, sensors_of

    components = Components.of(config.windows)
    lacking = [str(sensor.id) for sensor in sensors_of(cube.channels, components) if not sensor.is_complete]
    if not lacking:
        return ""
    shown = ", ".join(lacking[:3]) + (", ..." if len(lacking) > 3 else "")
    what = (
        "are labelled with planes of zeros"
        if config.windows.missing_components == "zero"
        else "have no label"
    )
    return (
        f"; {len(lacking)} sensors lack a component of {config.windows.components} and {what} "
        f"(windows.missing_components: {config.windows.missing_components}): {shown}"
    )


def _told_drift(config: Config) -> str:
    """What is said of months whose labels do not look like those of the training period."""
    from scaledec.pipeline.drift import drift

    if not Places.at(config.root, config.storage_options).training_set(run_name(config)).exists():
        return ""  # Removed by someone: there is nothing to hold labels against.
    report = drift(config)
    return f"; drift in {report.line()} (`scaledec drift`)" if report.flagged else ""


def _template(config: Config, model: SavedModel) -> LabelTemplate:
    from scaledec.stages.sensors import Components
    from scaledec.store.labels import LabelTemplate
    from scaledec.store.names import names_of

    components = Components.of(config.windows)
    run = Places.at(config.root, config.storage_options).run(run_name(config))
    return LabelTemplate(
        run=run_name(config),
        fingerprint=run_fingerprint(config),
        method=model.method,
        grid=config.spectrogram_grid,
        windows=config.window_grid,
        segments_per_shard=config.label.segments_per_shard,
        centroid=model.centroids,
        prototype=model.prototypes(),
        prototype_units=f"normalised power ({config.model.normalise})",
        embedding=config.label.embedding,
        confidence=_CONFIDENCE.get(model.method, _CONFIDENCE["other"]),
        cluster_names=names_of(run, model.n_clusters),
        planes=() if components is None else components.planes,
        components=None if components is None else components.to_json(),
    )
