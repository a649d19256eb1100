"""Compare what the ledgers say was done with the bytes that lie in the stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol, TypeAlias

from scaledec.errors import StoreError, StoreNotFoundError
from scaledec.ledger.index import LedgerIndex
from scaledec.ledger.ledger import Ledger
from scaledec.location import Location
from scaledec.places import Places
from scaledec.stages.catalog import find_fault
from scaledec.store.catalog import CatalogPart, list_parts, parts_of
from scaledec.store.cube_base import Cube
from scaledec.store.cubes import open_cube
from scaledec.store.labels import LabelStore
from scaledec.vocabulary import ChannelId, TaskResult, format_time, parse_time

__all__ = ["Finding", "VerifyReport", "mark_damaged", "verify"]

_NOTHING = TaskResult("", "", "empty")

Kind: TypeAlias = Literal["missing", "mismatched", "damaged", "differing", "unlisted", "foreign"]
"""missing: in the ledger, not stored. mismatched: other bytes than were written. damaged: cannot be read.
differing: the archive gives something else when it is computed again.
unlisted: stored, but not in the ledger as written (left by a killed process; harmless, written again).
foreign: among the shards, but none of the store's (harmless, nobody reads it; its key is the file's)."""


_ALWAYS_TOLD: tuple[Kind, ...] = ("missing", "mismatched", "damaged", "unlisted")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as the ledger says."""

    product: str
    """``cube``, ``labels/RUN`` or ``catalog/RUN``."""
    key: str
    """Of the task in the product's ledger."""
    kind: Kind
    reason: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was checked, and what was found."""

    checked: Mapping[str, int]
    """Finished tasks compared with the store, by product."""
    findings: tuple[Finding, ...]
    recomputed: int = 0
    """Segments of the cube that were computed again from the archive."""

    @property
    def sound(self) -> bool:
        """Whether everything the ledgers call done is there, byte for byte."""
        return not self.unsound

    @property
    def unsound(self) -> tuple[Finding, ...]:
        """Findings that concern finished tasks: all but ``unlisted`` and ``foreign``."""
        return tuple(finding for finding in self.findings if finding.kind not in ("unlisted", "foreign"))

    def of_kind(self, kind: Kind) -> tuple[Finding, ...]:
        """The findings of one kind."""
        return tuple(finding for finding in self.findings if finding.kind == kind)

    def table(self) -> str:
        """One line a product, then one line a finding."""
        counts = Counter((finding.product, finding.kind) for finding in self.findings)
        lines = []
        for product, n in self.checked.items():
            kinds = [f"{counts[product, kind]} {kind}" for kind in _ALWAYS_TOLD]
            kinds += [f"{counts[product, k]} {k}" for k in ("differing", "foreign") if counts[product, k]]
            again = f", {self.recomputed} computed again" if product == "cube" and self.recomputed else ""
            lines.append(f"{product}: {n} checked{again}, {', '.join(kinds)}")
        lines += [f"{f.kind:<10}  {f.product}  {f.key}  {f.reason}" for f in self.findings]
        return "\n".join(lines)


class Run(Protocol):
    """How checks are run: the builtin ``map``, or the ``run`` of an engine."""

    def __call__(
        self, function: Callable[[TaskResult], Finding | None], tasks: Iterable[TaskResult], /
    ) -> Iterable[Finding | None]: ...


def verify(places: Places, *, runs: Sequence[str] | None = None, run: Run = map) -> VerifyReport:
    """Read every segment and label region that a ledger calls done, and compare checksums.

    Of a catalog every file is read, and its rows are held against the labels.

    Parameters
    ----------
    places
        The root to verify.
    runs
        Runs whose labels and catalogs are verified; ``None``: all that have a ledger.
    run
        Where the reading is done: ``map`` (here, one by one) or an entered engine's ``run``.

    Raises
    ------
    StoreError
        If a ledger cannot be read.
    """
    checked: dict[str, int] = {}
    findings: list[Finding] = []
    for product in ("cube", *_run_products(places, "labels", runs), *_run_products(places, "catalog", runs)):
        ledger = Ledger(places.ledger(product)).read(details=("checksum", "labelled", "unlabelled"))
        checked[product] = sum(1 for _ in _written(ledger))
        check = _verify_catalog if product.startswith("catalog/") else _verify_product
        findings += check(places, product, ledger, run)
    return VerifyReport(checked, tuple(sorted(findings, key=lambda f: (f.product, f.key))))


def _verify_product(places: Places, product: str, ledger: LedgerIndex, run: Run) -> Iterator[Finding]:
    location = places.cube if product == "cube" else places.labels(product.removeprefix("labels/"))
    try:
        store = open_cube(location) if product == "cube" else LabelStore.open(location)
    except StoreNotFoundError as error:
        yield from (Finding(product, result.key, "missing", str(error)) for result in _written(ledger))
        return
    found = run(partial(_check, product, store), _written(ledger))
    yield from (finding for finding in found if finding is not None)
    for name in store.foreign_names():
        yield Finding(product, name, "foreign", f"no channel or segment of {location} lies there")
    for key in _stored_keys(store):
        result = ledger.get(key)
        if result is None or "checksum" not in result.details:
            yield Finding(product, key, "unlisted", "stored, but the ledger does not call it written")


def _verify_catalog(places: Places, product: str, ledger: LedgerIndex, run: Run) -> Iterator[Finding]:
    name = product.removeprefix("catalog/")
    catalog = places.catalog(name)
    try:
        store = LabelStore.open(places.labels(name))
    except StoreNotFoundError as error:
        yield from (Finding(product, result.key, "missing", str(error)) for result in _written(ledger))
        return
    labels = Ledger(places.label_ledger(name)).read(details=("checksum",))
    parts = {part.key: part for part in parts_of(store)}
    check = partial(_check_part, product, parts, store, labels, catalog)
    yield from (finding for finding in run(check, _written(ledger)) if finding is not None)
    for key in list_parts(catalog):
        if key not in parts:
            yield Finding(product, key, "foreign", f"no file of {catalog}")
        elif "checksum" not in ledger.get(key, _NOTHING).details:
            yield Finding(product, key, "unlisted", "stored, but the ledger does not call it written")


def _check_part(
    product: str,
    parts: Mapping[str, CatalogPart],
    store: LabelStore,
    labels: LedgerIndex,
    catalog: Location,
    result: TaskResult,
) -> Finding | None:
    """What is wrong with one file of a catalog, if anything is."""
    part = parts.get(result.key)
    if part is None:
        return Finding(product, result.key, "missing", f"{store.location} has no such channels or month")
    fault = find_fault(result, part, store, labels, catalog)
    return None if fault is None else Finding(product, result.key, *fault)


def _written(ledger: LedgerIndex) -> Iterator[TaskResult]:
    """Results that have bytes in the store; a failed task may have written what samples there were."""
    return (result for result in ledger.results() if "checksum" in result.details)


def mark_damaged(places: Places, report: VerifyReport) -> int:
    """Enter what is unsound as failed in the ledgers, so that the next run does it again; return how many."""
    for product in report.checked:
        Ledger(places.ledger(product)).append(
            TaskResult(finding.key, "", "failed", f"verify found it {finding.kind}: {finding.reason}")
            for finding in report.unsound
            if finding.product == product
        )
    return len(report.unsound)


def _run_products(places: Places, kind: str, runs: Sequence[str] | None) -> list[str]:
    names = places.ledger(kind).list_names()
    return [f"{kind}/{name}" for name in names if runs is None or name in runs]


def _check(product: str, store: Cube | LabelStore, result: TaskResult) -> Finding | None:
    """What is wrong with what one task has written, if anything is."""
    try:
        place = _place(store, result)
        found = store.checksum(*place)
    except KeyError:
        return Finding(product, result.key, "missing", f"{store.location} has no such channel or time")
    except StoreError as error:
        return Finding(product, result.key, "damaged", str(error))
    expected = result.details["checksum"]
    if found == expected:
        return None
    if place[1] not in _stored(store, place[0]):
        return Finding(product, result.key, "missing", f"nothing is stored for it in {store.location}")
    return Finding(product, result.key, "mismatched", f"checksum {found}, the ledger has {expected}")


def _place(store: Cube | LabelStore, result: TaskResult) -> tuple[int, ...]:
    """The indices that a task wrote to; ``KeyError`` where the store does not reach."""
    channel, _, start = result.key.partition("/")
    extent = store.extent
    time_index = (parse_time(start) - extent.start_ns) // store.grid.segment_ns
    try:
        channel_index = extent.channels.index(ChannelId.parse(channel))
    except ValueError as error:
        raise KeyError(channel) from error
    if not 0 <= time_index < extent.n_segments:
        raise KeyError(start)
    if isinstance(store, Cube):
        return channel_index, time_index
    # The store may have grown since: the region is as long as it was when it was written.
    counts = (result.details.get("labelled"), result.details.get("unlabelled"))
    n_windows = sum(count for count in counts if isinstance(count, int))
    return channel_index, time_index, time_index + n_windows // store.windows.n_windows


def _stored(store: Cube | LabelStore, channel_index: int) -> set[int]:
    if isinstance(store, Cube):
        return store.stored_segments(channel_index)
    return store.stored_regions(channel_index)


def _stored_keys(store: Cube | LabelStore) -> Iterator[str]:
    extent = store.extent
    for channel_index, channel in enumerate(extent.channels):
        for time_index in sorted(_stored(store, channel_index)):
            start_ns = extent.start_ns + time_index * store.grid.segment_ns
            yield f"{channel}/{format_time(start_ns)}"
