"""Tallies of a label store by month, brought up to date where labels have changed, and what they say."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from scaledec.config import hash_json
from scaledec.numerics.drift import FAR, Departure, Tally, departure, reasons
from scaledec.stages.readahead import read_ahead
from scaledec.store.labels import LabelStore
from scaledec.vocabulary import TaskResult, format_time, parse_time

__all__ = ["DriftBlock", "Tallies", "judge", "update_tallies"]

_READERS = 4
_READ = "label", "confidence", "outlier"

Month = tuple[str, bool]
"""``2024-03``, and whether these segments lie in the training period."""


@dataclass(frozen=True, slots=True)
class Tallies:
    """What a run's labels are like by month, in pieces that are counted again only where labels changed."""

    training: tuple[int, int]
    """First and last segment start of the training windows, nanoseconds of UTC."""
    columns: Mapping[str, Mapping[str, Any]]
    """By the start of each row of shards: ``fingerprint`` of its labels and ``months``, JSON values."""

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"training": list(map(format_time, self.training)), "columns": dict(self.columns)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Tallies:
        """The reverse of :meth:`to_json`."""
        first, last = map(parse_time, values["training"])
        return cls((first, last), values["columns"])

    def by_month(self, n_clusters: int) -> dict[Month, Tally]:
        """Every month, in order; one that the training period ends in comes in two parts, that one first."""
        months: dict[Month, Tally] = defaultdict(partial(Tally.empty, n_clusters))
        for column in self.columns.values():
            for part in column["months"]:
                months[part["month"], part["training"]] += Tally.from_json(part["tally"])
        return dict(sorted(months.items(), key=lambda item: (item[0][0], not item[0][1])))


@dataclass(frozen=True, slots=True)
class DriftBlock:
    """A month's labels beside those of the training period."""

    month: str
    training: bool
    """Whether it is part of the training period."""
    windows: int
    """With a label."""
    shares: tuple[float, ...]
    """Of each cluster."""
    median_confidence: float
    beyond_far: float
    """Share of windows farther from their cluster than 99 % of the training windows."""
    beyond_all: float
    """Share of windows farther than any training window of their cluster."""
    departure: Departure
    reasons: tuple[str, ...]
    """Why it does not look like the training period; empty: it does."""

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def update_tallies(
    store: LabelStore, ledger: Iterable[TaskResult], training: tuple[int, int], before: Tallies | None
) -> Tallies:
    """Count what has changed since ``before``; memory holds a few shards.

    Parameters
    ----------
    ledger
        Newest results of the labels: what has the same fingerprint has the same labels.
    training
        First and last segment start of the training windows.

    Raises
    ------
    StoreError
        If labels cannot be read.
    """
    written: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for result in ledger:
        written[result.key.partition("/")[2]].append((result.key, result.fingerprint, result.status))
    old = before.columns if before is not None and before.training == training else {}
    columns: dict[str, Mapping[str, Any]] = {}
    for start in sorted(written):
        fingerprint = hash_json(sorted(written[start]))
        if start in old and old[start]["fingerprint"] == fingerprint:
            columns[start] = old[start]
        else:
            columns[start] = {"fingerprint": fingerprint, "months": _count(store, start, training)}
    return Tallies(training, columns)


def _count(store: LabelStore, start: str, training: tuple[int, int]) -> list[dict[str, Any]]:
    """The months of one row of shards over all channels."""
    extent, segment_ns = store.extent, store.grid.segment_ns
    first = (parse_time(start) - extent.start_ns) // segment_ns
    stop = min(first + store.segments_per_shard, extent.n_segments)
    starts = extent.start_ns + np.arange(first, stop) * segment_ns
    parts = _parts(starts.tolist(), training)
    n_clusters = len(store.centroid)
    months: dict[Month, Tally] = defaultdict(partial(Tally.empty, n_clusters))

    def read(channel_index: int) -> list[tuple[Month, Tally]]:
        place = channel_index, first, stop
        label, confidence, outlier = (store.read(name, *place) for name in _READ)
        return [
            (month, Tally.of(label[rows], confidence[rows], outlier[rows], n_clusters))
            for month, rows in parts
        ]

    for found in read_ahead(read, range(len(extent.channels)), ahead=_READERS):
        for month, tally in found:
            months[month] += tally
    return [
        {"month": month, "training": is_training, "tally": tally.to_json()}
        for (month, is_training), tally in sorted(months.items())
    ]


def _parts(starts_ns: Sequence[int], training: tuple[int, int]) -> list[tuple[Month, list[int]]]:
    """Rows of a shard by month, and by whether the training period holds them."""
    parts: dict[Month, list[int]] = defaultdict(list)
    for row, start_ns in enumerate(starts_ns):
        moment = dt.datetime.fromtimestamp(start_ns // 10**9, dt.UTC)
        parts[f"{moment:%Y-%m}", training[0] <= start_ns <= training[1]].append(row)
    return list(parts.items())


def judge(tallies: Tallies, names: Sequence[str]) -> list[DriftBlock]:
    """Every month with a label beside the training period, in order.

    Parameters
    ----------
    names
        What the clusters are called, for reasons.
    """
    months = {month: tally for month, tally in tallies.by_month(len(names)).items() if tally.n}
    reference = sum((t for (_, is_training), t in months.items() if is_training), Tally.empty(len(names)))
    if not reference.n:
        return []
    usual = [departure(tally, reference) for (_, is_training), tally in months.items() if is_training]
    return list(_blocks(months, reference, usual, names))


def _blocks(
    months: Mapping[Month, Tally], reference: Tally, usual: Sequence[Departure], names: Sequence[str]
) -> Iterator[DriftBlock]:
    for (month, is_training), tally in months.items():
        yield DriftBlock(
            month=month,
            training=is_training,
            windows=tally.n,
            shares=tuple((tally.labels / tally.n).tolist()),
            median_confidence=tally.median_confidence,
            beyond_far=tally.share_beyond(FAR),
            beyond_all=tally.share_beyond(1.0),
            departure=departure(tally, reference),
            reasons=() if is_training else reasons(tally, reference, usual, names),
        )
