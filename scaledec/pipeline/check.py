"""The verb `verify`: hold the ledgers against the bytes in the stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaledec.config import Config
from scaledec.places import Places

if TYPE_CHECKING:
    from scaledec.stages.verify import VerifyReport

__all__ = ["verify"]


def verify(config: Config) -> VerifyReport:
    """Read every finished region of the cube and of all label stores, and compare checksums.

    What is missing or damaged is marked in the ledger, so that the next run does it again.
    """
    from scaledec.progress import track
    from scaledec.stages.verify import mark_damaged
    from scaledec.stages.verify import verify as compare

    places = Places.at(config.root, config.storage_options)
    with track("verify", total=None, unit="regions") as progress:

        def run(function, tasks):
            for result in map(function, tasks):
                progress.advance()
                yield result

        report = compare(places, run=run)
    mark_damaged(places, report)
    return report
