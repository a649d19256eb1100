"""How far a stage has come, as one small object beside its ledger, kept by the coordinator.

``ROOT/_scaledec/progress/PRODUCT.json`` holds counts and sums, so that ``scaledec status`` answers at once
however many tasks there are, and while another process writes. It is an account, not the truth: what is
done is what the ledger says.
"""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from types import TracebackType

from scaledec.errors import StoreError, StoreNotFoundError
from scaledec.location import Location
from scaledec.pipeline.outcome import Failure, FailureGroups
from scaledec.vocabulary import Status, TaskResult

__all__ = ["Account", "Journal", "read_account"]

_WRITE_EVERY_S = 2.0
_WRITE_EVERY_REMOTE_S = 10.0
_RATE_OVER_S = 60.0
_MOST_FAILURES = 1000
"""Failures kept in memory to be told at the end; the ledger has them all."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a stage had done when it last said so. Instants are seconds since 1970."""

    began: float
    updated: float
    ended: str | None = None
    """finished, interrupted or failed; ``None``: at work, or killed."""
    planned: int = 0
    """Tasks this time."""
    before: int = 0
    """Tasks that were up to date before."""
    unreadable: int = 0
    """Inputs that were put aside before any task."""
    put_aside: Sequence[tuple[str, str]] = ()
    """The first of them, and why."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What else was found out before any task, by its subject."""
    counts: Mapping[Status, int] = field(default_factory=dict)
    """Tasks of this time by what came of them."""
    rate: float | None = None
    """Tasks a second, over the last minute."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Worker seconds by step, of this time and earlier ones."""
    timed: int = 0
    """Tasks that these seconds were spent on."""

    @property
    def left(self) -> int:
        """Tasks that are still to be done."""
        return max(0, self.planned - sum(self.counts.values()))

    @property
    def remaining_s(self) -> float | None:
        """Seconds that the rest takes at this rate."""
        return self.left / self.rate if self.rate else None

    @property
    def seconds_per_task(self) -> float | None:
        """Worker seconds of one task, over all its steps; ``None`` before the first."""
        return sum(self.seconds.values()) / self.timed if self.timed else None


def read_account(place: Location) -> Account | None:
    """The account that lies there; ``None`` if there is none (or none that can be read)."""
    try:
        return Account(**json.loads(place.read_bytes()))
    except (StoreNotFoundError, ValueError, TypeError):
        return None


class Journal:
    """Counts the results of a stage and writes the account now and then; memory does not grow.

    Examples
    --------
    >>> with Journal(place, planned=2) as journal:  # doctest: +SKIP
    ...     for result in results:
    ...         journal.add(result)
    """

    def __init__(
        self,
        place: Location,
        *,
        planned: int,
        before: int = 0,
        unreadable: Sequence[Failure] = (),
        notes: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.counts: Counter[Status] = Counter()
        self._failures = FailureGroups(_MOST_FAILURES)
        self._place = place
        self._clock = clock
        self._planned, self._before, self._unreadable = planned, before, unreadable
        self._notes = notes or {}
        self._began = self._written = clock()
        self._marks: deque[tuple[float, int]] = deque([(self._began, 0)])
        earlier = read_account(place)
        self._seconds: Counter[str] = Counter({} if earlier is None else dict(earlier.seconds))
        self._timed = 0 if earlier is None else earlier.timed

    def __enter__(self) -> Journal:
        self._write(None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._write("finished")
        else:
            # Why the stage ended matters more than that it cannot be noted.
            with suppress(StoreError):
                self._write("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")

    @property
    def failures(self) -> list[Failure]:
        """What failed, one entry for a channel and a reason."""
        return self._failures.listed()

    @property
    def n_unlisted_failures(self) -> int:
        """Failed tasks that are counted but not kept."""
        return self._failures.n_unlisted

    def add(self, result: TaskResult) -> None:
        """Count one result."""
        self.counts[result.status] += 1
        self._failures.add(result)
        seconds = result.details.get("seconds")
        if isinstance(seconds, Mapping):
            self._seconds.update({step: float(str(value)) for step, value in seconds.items()})
            self._timed += 1
        now = self._clock()
        if now - self._written >= (_WRITE_EVERY_S if self._place.is_local else _WRITE_EVERY_REMOTE_S):
            self._write(None)

    def _write(self, ended: str | None) -> None:
        now = self._written = self._clock()
        n = sum(self.counts.values())
        self._marks.append((now, n))
        while len(self._marks) > 2 and now - self._marks[1][0] > _RATE_OVER_S:
            self._marks.popleft()
        first, n_first = self._marks[0]
        account = Account(
            began=self._began,
            updated=now,
            ended=ended,
            planned=self._planned,
            before=self._before,
            unreadable=len(self._unreadable),
            put_aside=[(found.key, found.reason) for found in self._unreadable[:_MOST_FAILURES]],
            notes=self._notes,
            counts=dict(self.counts),
            rate=(n - n_first) / (now - first) if n > n_first and now > first else None,
            seconds={step: round(value, 3) for step, value in self._seconds.items()},
            timed=self._timed,
        )
        self._place.write_bytes(json.dumps(asdict(account)).encode())
