"""The verb `verify`: hold the ledgers against the bytes in the stores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from scaledec.config import Config
from scaledec.places import Places
from scaledec.progress import track
from scaledec.vocabulary import TaskResult

if TYPE_CHECKING:
    from scaledec.stages.verify import Finding, VerifyReport

__all__ = ["verify"]


def verify(config: Config) -> VerifyReport:
    """Read every finished region of the cube and of all label stores, and compare checksums.

    What is missing or damaged is marked in the ledger, so that the next run does it again.
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
    mark_damaged(places, report)
    return report
