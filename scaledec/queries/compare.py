"""Two runs against each other, window by window: one pass over both label stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from scaledec.errors import ConfigError, StoreNotFoundError
from scaledec.numerics.metrics.tables import adjusted_rand_index_of, matched_clusters, mutual_information_of
from scaledec.places import Places
from scaledec.queries.selection import Instant, chosen_channels, chosen_instant
from scaledec.stages.readahead import read_ahead
from scaledec.store.datasets import run_names
from scaledec.store.labels import LabelStore
from scaledec.store.names import names_of

__all__ = ["RunComparison", "compare"]

_READERS = 4


@dataclass(frozen=True, slots=True)
class RunComparison:
    """How the labels of two runs stand to each other."""

    runs: tuple[str, str]
    names: tuple[tuple[str, ...], tuple[str, ...]]
    """Of the clusters of each."""
    table: npt.NDArray[np.int64]
    """Windows with a label of both, shape (cluster of the first, cluster of the second)."""
    labelled_once: tuple[int, int]
    """Windows with a label of the first alone, and of the second alone."""

    @property
    def n_windows(self) -> int:
        """Windows with a label of both."""
        return int(self.table.sum())

    @property
    def matches(self) -> list[tuple[int, int]]:
        """Clusters matched one to one, so that most windows stay in theirs."""
        return matched_clusters(self.table)

    @property
    def changed(self) -> float:
        """Share of windows that lie in two clusters that are not matched; NaN without any."""
        kept = sum(int(self.table[a, b]) for a, b in self.matches)
        return 1 - kept / self.n_windows if self.n_windows else float("nan")

    @property
    def adjusted_rand_index(self) -> float:
        """0 as by chance, 1 equal up to numbering."""
        return adjusted_rand_index_of(self.table)

    @property
    def normalised_mutual_information(self) -> float:
        """0 independent, 1 equal up to numbering."""
        return mutual_information_of(self.table)

    def rows(self) -> pd.DataFrame:
        """One row a pair of clusters that share windows."""
        a, b = np.nonzero(self.table)
        matched = set(self.matches)
        return pd.DataFrame(
            {
                "label_a": a,
                "name_a": [self.names[0][k] for k in a],
                "label_b": b,
                "name_b": [self.names[1][k] for k in b],
                "windows": self.table[a, b],
                "share_of_a": self.table[a, b] / self.table.sum(axis=1)[a],
                "share_of_b": self.table[a, b] / self.table.sum(axis=0)[b],
                "matched": [pair in matched for pair in zip(a.tolist(), b.tolist(), strict=True)],
            }
        )

    def summary(self) -> dict[str, Any]:
        """The numbers, for JSON."""
        return {
            "run_a": self.runs[0],
            "run_b": self.runs[1],
            "windows": self.n_windows,
            "labelled_by_a_alone": self.labelled_once[0],
            "labelled_by_b_alone": self.labelled_once[1],
            "share_changed": self.changed,
            "adjusted_rand_index": self.adjusted_rand_index,
            "normalised_mutual_information": self.normalised_mutual_information,
            "matches": [{"label_a": a, "label_b": b} for a, b in self.matches],
        }


def compare(
    root: str,
    run_a: str,
    run_b: str,
    *,
    channel: str | Sequence[str] | None = None,
    start: Instant | None = None,
    end: Instant | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> RunComparison:
    """Count how the labels of one run stand to those of another of the same cube.

    Memory holds a few shards of labels, however many there are.

    Parameters
    ----------
    root, storage_options
        As in the configuration.
    run_a, run_b
        The runs.
    channel
        Glob over NET.STA.LOC.CHA, or several; channels that only one run has are left out.
    start, end
        Segments that begin at or after ``start`` and before ``end`` (UTC).

    Raises
    ------
    StoreNotFoundError
        If a run has no labels.
    ConfigError
        If their windows are not the same, or they share no channel or time.
    """
    places = Places.at(root, storage_options)
    stores = (_open(places, run_a, root, storage_options), _open(places, run_b, root, storage_options))
    _check_same_windows(*stores)
    names = (_names(places, stores[0]), _names(places, stores[1]))
    table = np.zeros((len(names[0]), len(names[1])), np.int64)
    alone = np.zeros(2, np.int64)
    blocks = _blocks(*stores, channel, chosen_instant("start", start), chosen_instant("end", end))
    for a, b in read_ahead(lambda block: block.labels(*stores), blocks, ahead=_READERS):
        both = (a >= 0) & (b >= 0)
        table += np.bincount(a[both] * np.int64(table.shape[1]) + b[both], minlength=table.size).reshape(
            table.shape
        )
        alone += [np.count_nonzero((a >= 0) & (b < 0)), np.count_nonzero((a < 0) & (b >= 0))]
    return RunComparison((run_a, run_b), names, table, (int(alone[0]), int(alone[1])))


@dataclass(frozen=True, slots=True)
class _Block:
    """The same segments of a channel in two stores."""

    channels: tuple[int, int]
    firsts: tuple[int, int]
    n: int

    def labels(
        self, store_a: LabelStore, store_b: LabelStore
    ) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]:
        found, onsets = [], []
        for store, channel, first in zip((store_a, store_b), self.channels, self.firsts, strict=True):
            found.append(store.read("label", channel, first, first + self.n))
            onsets.append(store.start_ns(channel, first, first + self.n))
        both = (found[0] >= 0) & (found[1] >= 0)
        if (onsets[0][both] != onsets[1][both]).any():
            raise ConfigError(
                f"events of {store_a.extent.channels[self.channels[0]]} have other times in run "
                f"{store_a.run!r} than in {store_b.run!r}: they were found anew in between; label both again"
            )
        return found[0], found[1]


def _blocks(
    store_a: LabelStore,
    store_b: LabelStore,
    channel: str | Sequence[str] | None,
    start_ns: int | None,
    end_ns: int | None,
) -> Iterator[_Block]:
    """Shards of the first store, clipped to what both have and to what is asked for."""
    one, other, segment_ns = store_a.extent, store_b.extent, store_a.grid.segment_ns
    offset = (one.start_ns - other.start_ns) // segment_ns
    first, stop = max(0, -offset), min(one.n_segments, other.n_segments - offset)
    if start_ns is not None:
        first = max(first, -((one.start_ns - start_ns) // segment_ns))
    if end_ns is not None:
        stop = min(stop, -((one.start_ns - end_ns) // segment_ns))
    shared = set(one.channels) & set(other.channels)
    if not shared or first >= stop:
        what = "channel" if not shared else "time asked for"
        raise ConfigError(f"runs {store_a.run!r} and {store_b.run!r} share no {what}")
    step = store_a.segments_per_shard
    for name in chosen_channels(channel, sorted(shared, key=str)):
        indices = one.channels.index(name), other.channels.index(name)
        for shard in range(first - first % step, stop, step):
            begin, end = max(first, shard), min(stop, shard + step)
            yield _Block(indices, (begin, begin + offset), end - begin)


def _check_same_windows(store_a: LabelStore, store_b: LabelStore) -> None:
    names = {"scaledec_grid": "spectrogram", "scaledec_windows": "windows"}
    for name, section in names.items():
        one, other = store_a.attributes[name], store_b.attributes[name]
        if one != other:
            raise ConfigError(
                f"runs {store_a.run!r} and {store_b.run!r} have other windows, so no window of one is one of "
                f"the other ({section}: {one} and {other}); compare runs of the same {section} section"
            )
    if (store_a.extent.start_ns - store_b.extent.start_ns) % store_a.grid.segment_ns:
        raise ConfigError(f"segments of runs {store_a.run!r} and {store_b.run!r} begin at other times of day")


def _open(places: Places, run: str, root: str, options: Mapping[str, Any] | None) -> LabelStore:
    known = run_names(root, options)
    if run not in known:
        raise StoreNotFoundError(
            f"no labels of run {run!r} below {places.root}; runs there: {', '.join(known) or 'none'}"
        )
    return LabelStore.open(places.labels(run))


def _names(places: Places, store: LabelStore) -> tuple[str, ...]:
    return names_of(places.run(store.run), int(store.attributes["scaledec_n_clusters"]))
