"""Bring the Parquet catalog of a run up to date with its labels: the end of the label stage."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from scaledec.pipeline.outcome import Failure
from scaledec.places import Places
from scaledec.progress import Show, track

__all__ = ["CatalogOutcome", "update_catalog"]


@dataclass(frozen=True, slots=True)
class CatalogOutcome:
    """What was written."""

    n_written: int
    n_before: int
    """Files that were up to date."""
    failures: tuple[Failure, ...]

    def __str__(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"catalog: {self.n_written} files written, {self.n_before} before{failed}"


def update_catalog(places: Places, run: str) -> CatalogOutcome:
    """Write the files of a run's catalog whose labels have changed; by the root's coordinator only.

    Killed in the middle, it goes on with the next call. Memory holds one file and two blocks of labels.

    Raises
    ------
    StoreNotFoundError
        If the run has no labels.
    StoreError
        If the catalog or its ledger cannot be written.
    """
    from scaledec.ledger.compact import compact
    from scaledec.ledger.ledger import Ledger
    from scaledec.stages.catalog import build_part, note_state, plan_catalog, state_of_labels
    from scaledec.store.catalog import list_parts, remove_part
    from scaledec.store.labels import LabelStore
    from scaledec.store.open import clean_partial_files

    store, catalog = LabelStore.open(places.labels(run)), places.catalog(run)
    ledger = Ledger(places.catalog_ledger(run))
    compact(ledger.location)
    clean_partial_files(catalog)
    state = state_of_labels(places, run)  # before the labels are looked at: what comes later is later
    labels = Ledger(places.label_ledger(run)).read(details=("checksum",))
    plan = plan_catalog(store, labels, ledger.read(details=()), list_parts(catalog))
    for key in plan.strays:
        remove_part(catalog, key)
    counts: Counter[str] = Counter()
    failures = []
    show: Show | None = None if plan.tasks else "none"
    with (
        track("catalog", total=len(plan.tasks), unit="files", show=show) as progress,
        ledger.writer() as writer,
    ):
        for task in plan.tasks:
            result = build_part(task, store, catalog)
            writer.write(result)
            counts[result.status] += 1
            if result.status == "failed":
                failures.append(Failure(f"catalog/{run}/{result.key}", result.reason or ""))
            progress.advance(failed=counts["failed"])
    if not failures:
        note_state(places, run, state)
    return CatalogOutcome(counts["done"] + counts["empty"], plan.n_done, tuple(failures))
