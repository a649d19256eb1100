"""What is done, what failed and what is left; reads only, and works while a run is going on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scaledec.config import Config, run_name
from scaledec.errors import StoreNotFoundError
from scaledec.pipeline.cube import plan_of_cube
from scaledec.pipeline.learn import training_progress
from scaledec.pipeline.outcome import Failure
from scaledec.places import Places
from scaledec.vocabulary import TaskResult

__all__ = ["Status", "StatusLine", "status"]


@dataclass(frozen=True, slots=True)
class StatusLine:
    """One stage in numbers."""

    stage: str
    state: str
    detail: str


@dataclass(frozen=True, slots=True)
class Status:
    """Every stage, and every input that could not be used."""

    lines: Sequence[StatusLine]
    failures: Sequence[Failure]

    def table(self) -> str:
        """The stages as lines of aligned columns."""
        widths = [max(len(line.stage) for line in self.lines), max(len(line.state) for line in self.lines)]
        rows = [f"{line.stage:<{widths[0]}}  {line.state:<{widths[1]}}  {line.detail}" for line in self.lines]
        if self.failures:
            rows.append(f"{len(self.failures)} inputs could not be used; --failures lists them")
        return "\n".join(rows)


def status(config: Config) -> Status:
    """How far the configuration's run has come.

    Raises
    ------
    ArchiveError
        If the archive cannot be listed (what is left is unknown then).
    """
    from scaledec.ledger.ledger import Ledger

    places = Places.at(config.root, config.storage_options)
    run = run_name(config)
    cube = Ledger(places.ledger("cube")).read(details=())
    labels = Ledger(places.label_ledger(run)).read(details=())
    lines = [
        _cube_line(config, cube),
        *(StatusLine(*line) for line in training_progress(config)),
        _label_line(config, labels),
    ]
    failed = [result for result in (*cube.values(), *labels.values()) if result.status == "failed"]
    failures = [Failure(result.key, result.reason or "no reason given") for result in failed]
    return Status(lines, sorted(failures, key=lambda failure: failure.key))


def _cube_line(config: Config, results: Mapping[str, TaskResult]) -> StatusLine:
    plan, _ = plan_of_cube(config)
    counts = Counter(result.status for result in results.values())
    detail = (
        f"{counts['done']} segments written, {counts['empty']} without samples, {counts['failed']} failed; "
        f"{len(plan.tasks)} left of {len(plan.tasks) + plan.n_done}"
    )
    return StatusLine("cube", _state(len(plan.tasks) - counts["failed"], bool(results)), detail)


def _label_line(config: Config, results: Mapping[str, TaskResult]) -> StatusLine:
    from scaledec.pipeline.label import plan_of_labels

    try:
        plan = plan_of_labels(config).plan
    except StoreNotFoundError:
        return StatusLine("label", "waiting", "needs a cube and a clustered model")
    counts = Counter(result.status for result in results.values())
    detail = (
        f"{plan.n_done} shards up to date, {counts['failed']} failed; "
        f"{len(plan.tasks)} left of {len(plan.tasks) + plan.n_done}"
    )
    return StatusLine("label", _state(len(plan.tasks), bool(results)), detail)


def _state(left: int, begun: bool) -> str:
    if left <= 0 and begun:
        return "done"
    return "begun" if begun else "waiting"
