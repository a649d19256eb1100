"""What is done, what failed and what is left; reads only, and works while a run is going on.

The counts come from the account that the coordinator of each stage keeps (:mod:`.journal`): neither the
archive is listed nor a ledger read, so the answer takes no longer for a million tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from scaledec.config import Config, run_name
from scaledec.ledger.ledger import Ledger
from scaledec.ledger.lock import STALE_S, Holder, read_holder
from scaledec.location import Location
from scaledec.pipeline.drift import read_drift_line
from scaledec.pipeline.journal import Account, read_account
from scaledec.pipeline.learn import training_progress
from scaledec.pipeline.outcome import Failure, FailureGroups
from scaledec.places import Places
from scaledec.progress import duration

__all__ = ["Status", "StatusLine", "status"]

_WORDS: Mapping[str, Mapping[str, str]] = {
    "cube": {"done": "written", "empty": "without samples"},
    "label": {"done": "labelled"},
}
_UNITS = {"cube": "segments", "label": "shards"}


@dataclass(frozen=True, slots=True)
class StatusLine:
    """One stage in numbers."""

    stage: str
    state: str
    """waiting, running, stopped (killed or interrupted), begun or done; known for a note; drifting."""
    detail: str


@dataclass(frozen=True)
class Status:
    """Every stage, who works on it, and every input that could not be used."""

    lines: Sequence[StatusLine]
    coordinator: str | None
    """Who works on the root now; ``None`` for nobody."""
    n_failures: int
    """Inputs that could not be used."""
    ledgers: Sequence[Location]
    put_aside: Sequence[Failure] = ()
    """Those of them that no task came to: documents, files, channels outside their epochs."""

    @cached_property
    def failures(self) -> Sequence[Failure]:
        """What was put aside before any task, then what failed, by its first task.

        Reads the ledgers, which takes a while where they are large.
        """
        found = FailureGroups()
        for place in self.ledgers:
            for result in Ledger(place).read(details=()).of_status("failed"):
                found.add(result)
        return [*self.put_aside, *found.listed()]

    def table(self) -> str:
        """The stages as lines of aligned columns."""
        widths = [max(len(line.stage) for line in self.lines), max(len(line.state) for line in self.lines)]
        rows = [f"{line.stage:<{widths[0]}}  {line.state:<{widths[1]}}  {line.detail}" for line in self.lines]
        if self.coordinator:
            rows.append(f"at work: {self.coordinator}")
        if self.n_failures:
            rows.append(f"{self.n_failures} inputs could not be used; --failures lists them")
        return "\n".join(rows)


def status(config: Config) -> Status:
    """How far the configuration's run has come, by the last that its coordinator said."""
    places = Places.at(config.root, config.storage_options)
    products = {"cube": "cube", "label": f"labels/{run_name(config)}"}
    holder = read_holder(places.bookkeeping)
    at_work = holder if holder is not None and _is_alive(holder) else None
    accounts = {stage: read_account(places.progress(product)) for stage, product in products.items()}
    counted = {
        stage: _line(stage, account, at_work, Ledger(places.ledger(products[stage])))
        for stage, account in accounts.items()
    }
    notes = [
        StatusLine(subject, "known", text)
        for account in accounts.values()
        if account is not None
        for subject, text in account.notes.items()
    ]
    told = read_drift_line(places.run(run_name(config)))
    drift = [] if told is None else [StatusLine("drift", *told)]
    training = [StatusLine(*line) for line in training_progress(config)]
    return Status(
        [*notes, counted["cube"], *training, counted["label"], *drift],
        None if at_work is None else at_work.told(),
        sum(a.counts.get("failed", 0) + a.unreadable for a in accounts.values() if a is not None),
        [places.ledger(product) for product in products.values()],
        [
            Failure(*found)
            for account in accounts.values()
            if account is not None
            for found in account.put_aside
        ],
    )


def _is_alive(holder: Holder) -> bool:
    gone = holder.is_gone()
    return holder.age_s <= STALE_S if gone is None else not gone


def _line(stage: str, account: Account | None, at_work: Holder | None, ledger: Ledger) -> StatusLine:
    if account is None:
        return _from_ledger(stage, ledger)
    # What ended before the coordinator of now began was ended by another one.
    is_running = account.ended is None and at_work is not None and account.began >= at_work.since - 1
    new = [f"{account.counts.get(name, 0)} {word}" for name, word in _WORDS[stage].items()]  # type: ignore[call-overload]
    n_failed = account.counts.get("failed", 0)
    up_to_date = account.before + sum(account.counts.values()) - n_failed
    detail = (
        f"{up_to_date} of {account.before + account.planned} {_UNITS[stage]} up to date "
        f"({', '.join(new)} this time), {n_failed} failed, {account.left} left"
    )
    if is_running and account.rate and account.remaining_s is not None:
        detail += f", {account.rate:.3g} {_UNITS[stage]}/s, about {duration(account.remaining_s)} to go"
    if account.seconds and sum(account.seconds.values()):
        detail += f"; time: {_shares(account.seconds)}"
    if is_running:
        return StatusLine(stage, "running", detail)
    if account.ended == "finished":
        return StatusLine(stage, "done", detail)
    return StatusLine(stage, "stopped", f"{detail}; the same command goes on from there")


def _from_ledger(stage: str, ledger: Ledger) -> StatusLine:
    """For a root that a version without accounts has worked on."""
    counts = ledger.read(details=()).counts()
    if not counts:
        needs = (
            "needs a cube and a clustered model" if stage == "label" else "`scaledec plan` says what to do"
        )
        return StatusLine(stage, "waiting", needs)
    parts = [f"{counts[name]} {_UNITS[stage]} {word}" for name, word in _WORDS[stage].items()]  # type: ignore[index]
    detail = f"{', '.join(parts)}, {counts['failed']} failed; `scaledec plan` says what is left"
    return StatusLine(stage, "begun", detail)


def _shares(seconds: Mapping[str, float]) -> str:
    """Where the workers' time went, e.g. ``read 12 %, decode 25 %``."""
    total = sum(seconds.values())
    return ", ".join(f"{step} {100 * value / total:.0f} %" for step, value in seconds.items())
