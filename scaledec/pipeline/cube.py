"""The cube stage: plan, make room in the store, run the tasks that are left, keep the ledger."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from scaledec.config import Config
from scaledec.pipeline.estimate import check_memory
from scaledec.pipeline.imports import import_tasks, plan_import
from scaledec.pipeline.journal import Journal, read_account
from scaledec.pipeline.outcome import Failure, Outcome
from scaledec.pipeline.stations import outside_words, stations_of, stations_sentence, unusable_metadata
from scaledec.places import Places
from scaledec.progress import track
from scaledec.vocabulary import ChannelId, CubeTask, TaskResult, parse_task_key, parse_time

if TYPE_CHECKING:
    from scaledec.archive.archive import Listing
    from scaledec.archive.stations import Stations
    from scaledec.engines import Engine
    from scaledec.ledger.ledger import Ledger
    from scaledec.pipeline.resources import Resources
    from scaledec.stages.cube import CubeContext
    from scaledec.stages.cube_plan import CubePlan
    from scaledec.store.cube_base import Cube

__all__ = ["CubeWork", "build_cube", "keep_results", "list_archive", "make_room", "plan_of_cube"]


class CubeWork(NamedTuple):
    """What is left of the cube, and what it was planned from."""

    plan: CubePlan
    listing: Listing
    stations: Stations | None
    """Metadata of the channels, where the configuration names any."""


def list_archive(config: Config, notes: Places | None = None) -> Listing:
    """What the archive holds of the channels and times asked for, from listing alone.

    What had to be read of headers is kept below the root, or below ``notes``.
    """
    from scaledec.archive.archive import open_archive

    settings = config.archive
    archive = open_archive(settings, (notes or Places.at(config.root, config.storage_options)).index)
    start_ns = None if settings.start is None else parse_time(settings.start)
    end_ns = None if settings.end is None else parse_time(settings.end)
    return archive.listing(settings.channels, start_ns, end_ns)


def plan_of_cube(config: Config, notes: Places | None = None) -> CubeWork:
    """The cube tasks that are left, and the listing and station metadata they come from.

    What had to be read of headers and metadata is kept below the root, or below ``notes``.
    """
    from scaledec.ledger.ledger import Ledger
    from scaledec.stages.cube_plan import LEDGER_DETAILS, plan_cube

    ledger = Ledger(Places.at(config.root, config.storage_options).ledger("cube"))
    done = ledger.read(details=LEDGER_DETAILS)
    if config.archive.layout == "cube":
        plan, listing = plan_import(config, done)
        return CubeWork(plan, listing, stations_of(config, listing, notes))
    listing = list_archive(config, notes)
    stations = stations_of(config, listing, notes)
    return CubeWork(plan_cube(config, listing, done, stations), listing, stations)


def build_cube(config: Config, resources: Resources) -> Outcome:
    """Compute every segment of the cube that is not up to date.

    Raises
    ------
    ArchiveError
        If the archive cannot be listed or holds nothing of what is asked for.
    StoreError
        If the cube cannot be written, or was made with other settings.
    """
    from scaledec.ledger.compact import compact
    from scaledec.ledger.ledger import Ledger
    from scaledec.stages.cube_stations import channel_coordinates

    started = time.perf_counter()
    places = Places.at(config.root, config.storage_options)
    compact(places.ledger("cube"))
    plan, listing, stations = plan_of_cube(config)
    store = make_room(config, plan)
    if stations is not None:
        store.set_channel_coordinates(channel_coordinates(stations, store.channels, listing.span[1] - 1))
    unreadable = [Failure(found.key, reason) for found, reason in listing.unreadable]
    unreadable += unusable_metadata(plan, stations)
    ledger = Ledger(places.ledger("cube"))
    earlier = read_account(places.progress("cube"))
    journal = Journal(
        places.progress("cube"),
        planned=len(plan.tasks),
        before=plan.n_done,
        unreadable=unreadable,
        notes={} if stations is None else {"stations": stations_sentence(config, stations, plan, listing)},
    )
    with journal:
        if len(plan.tasks):
            # Before the engine starts: this loads torch, and nodes of a cluster that share a folder may lay
            # the job's working directory anew when their workers come, which loading does not survive.
            results_of = _work(config, plan, store)
            with resources.cube_engine() as engine:
                check_memory(plan.memory_per_task, engine.memory_per_worker(), config)
                keep_results(results_of(engine), len(plan.tasks), ledger, journal)
        # Also where nothing was left to do, if an earlier run was killed just before this.
        if journal.counts or earlier is None or earlier.ended != "finished":
            _note_sampling_rates(store, ledger)
    counts = journal.counts
    seconds = time.perf_counter() - started
    message = (
        f"{counts['done']} segments written, {counts['empty']} without samples, {counts['failed']} failed, "
        f"{plan.n_done} done before{outside_words(plan)}; {len(plan.channels)} channels x {plan.n_segments} "
        f"segments in {store.location}"
    )
    return Outcome(
        "cube",
        message,
        sum(counts.values()),
        plan.n_done,
        (*unreadable, *journal.failures),
        journal.n_unlisted_failures,
        seconds,
    )


def keep_results(results: Iterable[TaskResult], total: int, ledger: Ledger, journal: Journal) -> None:
    """Take the results of an engine as they come; each is in the ledger before it is counted.

    What this process holds does not grow with their number.
    """
    with ledger.writer() as writer, track("cube", total=total, unit="segments") as progress:
        for result in results:
            writer.write(result)
            journal.add(result)
            progress.advance(failed=journal.counts["failed"])


def _work(config: Config, plan: CubePlan, store: Cube) -> Callable[[Engine], Iterator[TaskResult]]:
    """What runs the tasks of a plan on an engine."""
    from scaledec.stages.cube import CubeContext, run_task
    from scaledec.stages.lost import lost_task
    from scaledec.stages.time_limit import TimeLimit, run_within

    if config.archive.layout == "cube":
        return lambda engine: import_tasks(config, plan, store.location, engine)
    context = CubeContext.of(config, cube=store.location)
    lost = partial(lost_task, cube=context.cube)
    run = partial(run_within, run=partial(run_task, context=context), lost=lost, limit=TimeLimit.of(config))
    return lambda engine: _in_batches(run, context, config, plan, engine)


def _in_batches(
    run: Callable[[CubeTask], TaskResult],
    context: CubeContext,
    config: Config,
    plan: CubePlan,
    engine: Engine,
) -> Iterator[TaskResult]:
    """Results of tasks that are handed over together; those of a batch that ends its workers run alone."""
    from scaledec.stages import cube_batches as together
    from scaledec.stages.lost import lost_task

    alone: list[CubeTask] = []

    def set_aside(batch: together.Batch, _: str) -> tuple[TaskResult, ...]:
        alone.extend(batch.tasks)
        return ()

    run_batch: Callable[[together.Batch], tuple[TaskResult, ...]]
    if context.archive.location.is_local:
        batches, run_batch = together.batches, partial(together.run_batch, run=run)
    else:
        batches = together.batches_of_sharers
        run_batch = partial(
            together.run_batch_of_sharers,
            run=run,
            archive=context.archive,
            read_ahead_bytes=config.archive.access.read_ahead_bytes,
        )
    for results in engine.run(run_batch, batches(plan.tasks, len(plan.tasks)), lost=set_aside):
        yield from results
    yield from engine.run(run, alone, lost=partial(lost_task, cube=context.cube))


def _note_sampling_rates(store: Cube, ledger: Ledger) -> None:
    """Write each channel's native rate beside it: that of most of its segments, by the whole ledger."""
    rates: defaultdict[ChannelId, Counter[float]] = defaultdict(Counter)
    for key, result in ledger.read(details=("sampling_rate_hz",)).items():
        rate = result.details.get("sampling_rate_hz")
        if isinstance(rate, float):
            rates[parse_task_key(key)[0]][rate] += 1
    known = set(store.channels)
    # Ties go to the higher rate, so that the order of the ledger's lines decides nothing.
    most = {c: max(found, key=lambda r: (found[r], r)) for c, found in rates.items() if c in known}
    store.set_channel_coordinates({"sampling_rate_hz": most})


def make_room(config: Config, plan: CubePlan) -> Cube:
    """The cube, created or extended for the tasks of a plan."""
    from scaledec.stages.cube_settings import make_template
    from scaledec.store.cubes import create_or_extend_cube

    place = Places.at(config.root, config.storage_options).cube
    template = make_template(config)
    return create_or_extend_cube(place, template, plan.channels, plan.start_ns, plan.n_segments)
