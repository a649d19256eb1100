"""The catalog of a run's labels: which of its Parquet files are to be written, and writing one."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import google_crc32c

from scaledec.config import hash_json
from scaledec.errors import StoreError, StoreNotFoundError
from scaledec.ledger.ledger import Ledger
from scaledec.location import Location
from scaledec.places import Places
from scaledec.store.catalog import (
    CatalogPart,
    encode_part,
    parts_of,
    put_part,
    read_part,
    remove_part,
    rows_of,
    same_rows,
)
from scaledec.store.labels import LabelStore
from scaledec.vocabulary import JsonValue, TaskResult, task_key

__all__ = [
    "CATALOG_ALGORITHM",
    "CatalogPlan",
    "CatalogTask",
    "build_part",
    "checksum_of",
    "find_fault",
    "is_current",
    "note_state",
    "plan_catalog",
    "state_of_labels",
]

CATALOG_ALGORITHM = 1
"""Raised whenever the code writes other rows or columns for the same labels."""

FaultKind: TypeAlias = Literal["missing", "mismatched", "damaged"]
"""As a verification calls them."""

_STATE = "labels"
"""Key of the ledger's entry that says which labels the catalog was made from."""


@dataclass(frozen=True, slots=True)
class CatalogTask:
    """Write one file of a catalog."""

    part: CatalogPart
    fingerprint: str
    """Changes when the labels that it holds do."""


@dataclass(frozen=True, slots=True)
class CatalogPlan:
    """The files that are left to write, and those that are none."""

    tasks: tuple[CatalogTask, ...]
    n_done: int
    """Files that are up to date."""
    strays: tuple[str, ...]
    """Keys of what lies in the catalog and is no file of it."""


def plan_catalog(
    store: LabelStore,
    labels: Mapping[str, TaskResult],
    done: Mapping[str, TaskResult],
    present: Collection[str],
) -> CatalogPlan:
    """Plan the files whose labels have changed since they were written, or that are gone.

    Parameters
    ----------
    store
        The labels.
    labels, done
        Newest result of every task of the labels and of the catalog.
    present
        Keys of what lies in the catalog now.
    """
    tasks: list[CatalogTask] = []
    known: set[str] = set()
    for part in parts_of(store):
        fingerprint = _fingerprint(store, part, labels)
        if fingerprint is None:
            continue
        known.add(part.key)
        result = done.get(part.key)
        if result is None or result.fingerprint != fingerprint or not _is_there(result, present):
            tasks.append(CatalogTask(part, fingerprint))
    return CatalogPlan(tuple(tasks), len(known) - len(tasks), tuple(sorted(set(present) - known)))


def _is_there(result: TaskResult, present: Collection[str]) -> bool:
    return result.status == "empty" or (result.status == "done" and result.key in present)


def _fingerprint(store: LabelStore, part: CatalogPart, labels: Mapping[str, TaskResult]) -> str | None:
    """What decides a part's rows: the checksums of its label shards; ``None`` where none was ever made."""
    extent, step = store.extent, store.segments_per_shard
    first = part.first_time_index - part.first_time_index % step
    shards: list[list[JsonValue]] = []
    for channel_index in part.channels:
        channel = extent.channels[channel_index]
        for shard in range(first, part.stop_time_index, step):
            result = labels.get(task_key(channel, extent.start_ns + shard * store.grid.segment_ns))
            if result is not None:
                shards.append([str(channel), shard, result.details.get("checksum")])
    return hash_json([CATALOG_ALGORITHM, list(store.variables), shards]) if shards else None


def build_part(task: CatalogTask, store: LabelStore, catalog: Location) -> TaskResult:
    """Write one file, or remove it where no window has a label; unreadable labels are a failed result.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    started = time.perf_counter()
    key = task.part.key
    try:
        data, n_rows = encode_part(store, task.part)
    except StoreError as error:
        return TaskResult(key, task.fingerprint, "failed", str(error))
    if not n_rows:
        remove_part(catalog, key)
        return TaskResult(key, task.fingerprint, "empty", details={"rows": 0})
    put_part(catalog, key, data)
    details: dict[str, JsonValue] = {
        "checksum": checksum_of(data),
        "rows": n_rows,
        "bytes": len(data),
        "seconds": {"catalog": round(time.perf_counter() - started, 3)},
    }
    return TaskResult(key, task.fingerprint, "done", details=details)


def find_fault(
    result: TaskResult,
    part: CatalogPart,
    store: LabelStore,
    labels: Mapping[str, TaskResult],
    catalog: Location,
) -> tuple[FaultKind, str] | None:
    """How a written file differs from what was written, or its rows from the labels; ``None``: it does not.

    Rows are compared where the labels are still those that the file was made from.

    Parameters
    ----------
    result
        Of writing it.
    part
        What it holds.
    store, labels
        The labels, and the newest result of every task of theirs.
    catalog
        Where it lies.
    """
    try:
        data = catalog.child(part.key).read_bytes()
        checksum = checksum_of(data)
        if checksum != result.details["checksum"]:
            return "mismatched", f"checksum {checksum}, the ledger has {result.details['checksum']}"
        if result.fingerprint == _fingerprint(store, part, labels) and not _same_rows(data, store, part):
            return "mismatched", f"its rows are not those of the labels in {store.location}"
    except StoreNotFoundError:
        return "missing", f"nothing lies at {catalog.child(part.key)}"
    except StoreError as error:
        return "damaged", str(error)
    return None


def _same_rows(data: bytes, store: LabelStore, part: CatalogPart) -> bool:
    expected = list(rows_of(store, part))
    return same_rows(read_part(data), expected)


def state_of_labels(places: Places, run: str) -> str:
    """What changes whenever labels of a run are written: the newest part of their ledger."""
    return max(places.label_ledger(run).list_names(), default="")


def note_state(places: Places, run: str, state: str) -> None:
    """Note in the ledger from which labels the catalog was made, if that has changed."""
    ledger = Ledger(places.catalog_ledger(run))
    noted = ledger.read(details=()).get(_STATE)
    if noted is None or noted.fingerprint != state:
        ledger.append([TaskResult(_STATE, state, "done")])


def is_current(places: Places, run: str) -> bool:
    """Whether no label was written since the catalog was made."""
    noted = Ledger(places.catalog_ledger(run)).read(details=()).get(_STATE)
    return noted is not None and noted.fingerprint == state_of_labels(places, run)


def checksum_of(data: bytes) -> int:
    """CRC-32C of a file."""
    return int(google_crc32c.value(data))
