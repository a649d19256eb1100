"""The verb `verify`: hold the ledgers against the bytes in the stores, and a sample against the archive."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from scaledec.config import Config
from scaledec.ledger.lock import RootLock
from scaledec.places import Places
from scaledec.progress import track
from scaledec.vocabulary import CubeTask, TaskResult

if TYPE_CHECKING:
    from scaledec.stages.cube_plan import CubeTasks
    from scaledec.stages.verify import Finding, VerifyReport

__all__ = ["verify"]


def verify(config: Config, *, recompute: int = 0, seed: int = 0) -> VerifyReport:
    """Read every finished region of the cube and of all label stores, and compare checksums.

    What is missing, damaged or gives other power when it is computed again is marked in the ledger, so
    that the next run does it again. The root is locked only for marking.

    Parameters
    ----------
    recompute
        Segments of the cube, chosen at random, to compute again from the archive.
    seed
        Of that choice.

    Raises
    ------
    RootLockedError
        If something is to be marked while a run is at work.
    """
    from scaledec.stages.verify import mark_damaged
    from scaledec.stages.verify import verify as compare

    places = Places.at(config.root, config.storage_options)
    with track("verify", total=None, unit="regions") as progress:

        def one_by_one(
            check: Callable[[TaskResult], Finding | None], written: Iterable[TaskResult]
        ) -> Iterator[Finding | None]:
            for result in written:
                yield check(result)
                progress.advance()

        report = compare(places, run=one_by_one)
    if recompute:
        report = _with_recomputed(report, config, recompute, seed)
    if report.unsound:
        with RootLock(places.bookkeeping, "verify"):
            mark_damaged(places, report)
    return report


def _with_recomputed(report: VerifyReport, config: Config, number: int, seed: int) -> VerifyReport:
    from scaledec.ledger.ledger import Ledger
    from scaledec.stages.cube_plan import LEDGER_DETAILS
    from scaledec.stages.recompute import find_difference, sample_tasks

    ledger = Ledger(Places.at(config.root, config.storage_options).ledger("cube"))
    done = ledger.read(details=("checksum", *LEDGER_DETAILS))
    tasks, compute = _anew(config)
    known = {(finding.product, finding.key) for finding in report.unsound}
    findings, n = [], 0
    with track("recompute", total=min(number, len(done)), unit="segments") as progress:
        for task, result in sample_tasks(tasks, done, number, seed=seed):
            found = find_difference(task, result, compute)
            if found is not None and (found.product, found.key) not in known:
                findings.append(found)
            n += 1
            progress.advance()
    return dataclasses.replace(report, findings=(*report.findings, *findings), recomputed=n)


def _anew(config: Config) -> tuple[CubeTasks, Callable[[CubeTask], int | None]]:
    """Every task of the archive as it is now, and what computes the checksum of one."""
    from scaledec.pipeline.cube import list_archive
    from scaledec.pipeline.imports import import_checksums, plan_import
    from scaledec.pipeline.stations import stations_of
    from scaledec.stages.cube import CubeContext, compute_checksum
    from scaledec.stages.cube_plan import plan_cube

    if config.archive.layout == "cube":
        place = Places.at(config.root, config.storage_options).cube
        return plan_import(config, {})[0].tasks, import_checksums(config, place)
    listing = list_archive(config)
    tasks = plan_cube(config, listing, {}, stations_of(config, listing)).tasks
    return tasks, partial(compute_checksum, context=CubeContext.of(config))
