"""What came of a stage or a whole run, and the exit code that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from scaledec.vocabulary import TaskResult

__all__ = [
    "EXIT_DONE",
    "EXIT_INTERRUPTED",
    "EXIT_REFUSED",
    "EXIT_WITH_FAILURES",
    "Failure",
    "FailureGroups",
    "Outcome",
]

EXIT_DONE = 0
EXIT_REFUSED = 1
"""Nothing could be run: a wrong configuration, address or store."""
EXIT_WITH_FAILURES = 3
"""Finished, but some input could not be used; each is listed."""
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Failure:
    """An input that could not be used, and why."""

    key: str
    """Of the first task that it failed, or of the object itself where it is in no task."""
    reason: str
    n_tasks: int = 1
    """Tasks that it failed."""

    @property
    def where(self) -> str:
        """The key and how many more."""
        return self.key if self.n_tasks == 1 else f"{self.key} and {self.n_tasks - 1} more"


class FailureGroups:
    """Failed results, one entry for a channel and a reason: a broken file fails each of its segments.

    Parameters
    ----------
    most
        Entries kept; further ones are counted in ``n_unlisted`` by their tasks.
    """

    def __init__(self, most: int | None = None) -> None:
        self.n_unlisted = 0
        self._most = most
        self._groups: dict[tuple[str, str], tuple[str, int]] = {}

    def add(self, result: TaskResult) -> None:
        """Count one result; those that did not fail are nothing to this."""
        if result.status != "failed":
            return
        group = result.key.partition("/")[0], result.reason or "no reason given"
        if group not in self._groups and self._most is not None and len(self._groups) >= self._most:
            self.n_unlisted += 1
            return
        first, number = self._groups.get(group, (result.key, 0))
        self._groups[group] = min(first, result.key), number + 1

    def listed(self) -> list[Failure]:
        """The entries, by their first task."""
        found = [Failure(first, reason, number) for (_, reason), (first, number) in self._groups.items()]
        return sorted(found, key=lambda failure: (failure.key, failure.reason))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one stage."""

    stage: str
    message: str
    """One line for a person."""
    done: int = 0
    """Tasks done now."""
    skipped: int = 0
    """Tasks that were done before."""
    failures: Sequence[Failure] = field(default=())
    """Inputs that could not be used, this time or before."""
    n_unlisted_failures: int = 0
    """Further ones: where there are thousands, the ledger alone lists them all."""
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 all done, 3 finished with failures."""
        return EXIT_WITH_FAILURES if self.failures or self.n_unlisted_failures else EXIT_DONE
