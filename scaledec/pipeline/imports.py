"""The cube stage where spectrograms are imported: its plan, and its tasks in blocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from scaledec.config import Config
from scaledec.errors import ConfigError
from scaledec.grid import ImportedGrid
from scaledec.location import Location
from scaledec.vocabulary import CubeTask, TaskResult, parse_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scaledec.archive.foreign import ForeignCube
    from scaledec.archive.listing import Listing
    from scaledec.archive.time_runs import TimeRun
    from scaledec.engines import Engine
    from scaledec.stages.cube_plan import CubePlan

__all__ = ["import_checksums", "import_tasks", "list_foreign_cube", "plan_import"]

# Interpreter and libraries of one worker.
_PROCESS_BYTES = 340 * 2**20


def list_foreign_cube(config: Config) -> tuple[ForeignCube, Listing, tuple[TimeRun, ...]]:
    """The foreign cube of a configuration, what it holds of what is asked for, and its runs in time.

    Raises
    ------
    ArchiveError
        If there is no such cube, or nothing in it of what is asked for.
    ConfigError
        If its hop or its frequencies are not those of the configuration; the message holds what to write.
    """
    from scaledec.archive.foreign import open_foreign
    from scaledec.archive.foreign_listing import check_against, describe, list_foreign

    archive, imported = config.archive, config.spectrogram.imported
    assert archive.cube is not None
    foreign = open_foreign(archive.location, archive.cube)
    if imported is None:
        raise ConfigError(f"spectrogram.imported is missing; by {foreign} it is\n{describe(foreign)}")
    grid = config.spectrogram_grid
    assert isinstance(grid, ImportedGrid)
    check_against(foreign, grid, imported.frequencies_hz)
    start_ns = None if archive.start is None else parse_time(archive.start)
    end_ns = None if archive.end is None else parse_time(archive.end)
    listing, runs = list_foreign(foreign, grid, archive.channels, start_ns, end_ns)
    return foreign, listing, runs


def plan_import(config: Config, done: Mapping[str, TaskResult]) -> tuple[CubePlan, Listing]:
    """The tasks that are left, as :func:`scaledec.stages.cube_plan.plan_cube` gives them."""
    from scaledec.stages.cube_plan import plan_cube
    from scaledec.stages.import_cube import block_shape

    foreign, listing, _ = list_foreign_cube(config)
    plan = plan_cube(config, listing, done)
    grid = config.spectrogram_grid
    assert isinstance(grid, ImportedGrid)
    shape = block_shape(foreign, grid, config.spectrogram.dtype)
    return dataclasses.replace(plan, memory_per_task=_PROCESS_BYTES + shape.n_bytes), listing


def import_checksums(config: Config, cube: Location) -> Callable[[CubeTask], int | None]:
    """What computes the checksum of one task's segment again, from the foreign cube as it is now."""
    from scaledec.stages.import_cube import ImportContext, import_checksum

    _, _, runs = list_foreign_cube(config)
    return partial(import_checksum, context=ImportContext.of(config, runs, cube=cube))


def import_tasks(config: Config, plan: CubePlan, cube: Location, engine: Engine) -> Iterator[TaskResult]:
    """Import what is planned, block by block; one result a task.

    The tasks of a block that ends its workers are done one by one.
    """
    from scaledec.stages.import_cube import ImportContext, block_shape, import_block, import_blocks
    from scaledec.stages.lost import lost_tasks
    from scaledec.stages.time_limit import TimeLimit, run_within

    foreign, _, runs = list_foreign_cube(config)
    context = ImportContext.of(config, runs, cube=cube)
    blocks = import_blocks(plan, foreign, block_shape(foreign, context.grid, context.dtype))
    alone: list[tuple[CubeTask, ...]] = []

    def set_aside(block: tuple[CubeTask, ...], _: str) -> tuple[TaskResult, ...]:
        alone.extend((task,) for task in block)
        return ()

    give_up = partial(lost_tasks, cube=cube)
    work = partial(import_block, context=context)
    run = partial(run_within, run=work, lost=give_up, limit=TimeLimit.of(config))
    for results in engine.run(run, blocks, lost=set_aside):
        yield from results
    for results in engine.run(run, alone, lost=give_up):
        yield from results
