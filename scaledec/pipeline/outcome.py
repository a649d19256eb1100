"""What came of a stage or a whole run, and the exit code that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["EXIT_DONE", "EXIT_INTERRUPTED", "EXIT_REFUSED", "EXIT_WITH_FAILURES", "Failure", "Outcome"]

EXIT_DONE = 0
EXIT_REFUSED = 1
"""Nothing could be run: a wrong configuration, address or store."""
EXIT_WITH_FAILURES = 3
"""Finished, but some input could not be used; each is listed."""
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Failure:
    """One task that could not be done, and why."""

    key: str
    reason: str


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
