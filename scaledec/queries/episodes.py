"""Episodes: windows of one class on one channel that follow one another closely.

Found piece by piece: of each class the last episode stays open until the next window comes too late.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
import pandas as pd

from scaledec.errors import ConfigError
from scaledec.queries.scan import Found, scan
from scaledec.queries.selection import Filters, Selection, chosen
from scaledec.queries.source import Source, StoredLabels, has_names, length_ns, step_ns
from scaledec.vocabulary import NANOSECONDS_PER_SECOND

__all__ = ["Runs", "closed_runs", "episodes", "episodes_of", "join_runs", "joining_ns", "single_windows"]


@dataclass(frozen=True, slots=True)
class Runs:
    """Windows of a label that follow one another closely, by label and then by time."""

    label: npt.NDArray[np.int16]
    first_ns: npt.NDArray[np.int64]
    """Start of the first window, nanoseconds of UTC."""
    last_ns: npt.NDArray[np.int64]
    """Start of the last window."""
    windows: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    """Of all windows together."""

    def __len__(self) -> int:
        return len(self.label)

    @property
    def columns(self) -> tuple[npt.NDArray[Any], ...]:
        """All of them, in the order in which they are made from."""
        return self.label, self.first_ns, self.last_ns, self.windows, self.confidence

    def take(self, chosen: npt.NDArray[np.bool_]) -> Runs:
        """Some of them."""
        return Runs(*(column[chosen] for column in self.columns))

    def and_then(self, later: Runs) -> Runs:
        """These and later ones."""
        return Runs(*map(np.concatenate, zip(self.columns, later.columns, strict=True)))


def episodes(
    root: str,
    *,
    max_gap_s: float | None = None,
    min_windows: int = 1,
    **filters: Unpack[Filters],
) -> pd.DataFrame:
    """Stretches of time over which a class lasts on a channel.

    Windows of the same label belong to one episode while the next starts at most ``max_gap_s`` after the end
    of the last; what lies between may have another label or none. Classes do not end one another's episodes.

    Parameters
    ----------
    root
        As in the configuration.
    max_gap_s
        ``None``: windows that follow directly, at the stride of the run.
    min_windows
        Episodes of fewer windows are left out.
    filters
        As in :func:`~scaledec.queries.rows.query`: which windows count at all.

    Returns
    -------
    pandas.DataFrame
        ``channel`` (categorical), ``start`` of the first window and ``end`` of the last (datetime64[ns],
        UTC), ``label``, ``windows``, ``confidence`` (their mean), and ``name`` where clusters were given
        names; by channel and start.

    Raises
    ------
    ConfigError
        If ``max_gap_s`` is negative, ``min_windows`` is not at least 1, or a filter can fit nothing.

    Examples
    --------
    >>> episodes("demo", label=2, min_confidence=0.9, max_gap_s=60, min_windows=3)  # doctest: +SKIP
    """
    source = StoredLabels.open(root, filters.get("run"), filters.get("storage_options"))
    return episodes_of(source, filters, max_gap_s=max_gap_s, min_windows=min_windows)


def episodes_of(
    source: Source, filters: Filters, *, max_gap_s: float | None = None, min_windows: int = 1
) -> pd.DataFrame:
    """As :func:`episodes`, of labels that are open."""
    if min_windows < 1:
        raise ConfigError(f"min_windows is {min_windows}; expected at least 1")
    wanted = chosen(source.channels, source.names, filters)
    parts = []
    for channel_index, runs in closed_runs(source, wanted, joining_ns(source, max_gap_s)):
        kept = runs.take(runs.windows >= min_windows)
        if len(kept):
            parts.append(_frame(channel_index, kept))
    return _table(source, parts)


def joining_ns(source: Source, max_gap_s: float | None) -> int:
    """The longest time from one window's start to the next one's within an episode."""
    if max_gap_s is None:
        return step_ns(source.windows)
    if not max_gap_s >= 0:
        raise ConfigError(f"max_gap_s is {max_gap_s:g}; expected at least 0")
    return length_ns(source.windows) + round(max_gap_s * NANOSECONDS_PER_SECOND)


def closed_runs(source: Source, wanted: Selection, joining_ns: int) -> Iterator[tuple[int, Runs]]:
    """Index of a channel and runs of it that nothing can be added to, channel after channel."""

    def make(found: Found) -> tuple[int, Runs]:
        return found.piece.channel_index, join_runs(single_windows(found), joining_ns)

    channel_index, open_runs = -1, _NONE
    for index, found in scan(source, wanted, make, needs=("confidence",)):
        if index != channel_index:
            if len(open_runs):
                yield channel_index, open_runs
            channel_index, open_runs = index, _NONE
        runs = join_runs(open_runs.and_then(found), joining_ns)
        # By label and time: where the label changes, the last run of one has been met.
        is_last = np.append(runs.label[1:] != runs.label[:-1], True)
        yield channel_index, runs.take(~is_last)
        open_runs = runs.take(is_last)
    if len(open_runs):
        yield channel_index, open_runs


def single_windows(found: Found) -> Runs:
    """Each window as a run of its own."""
    confidence = found.values["confidence"].astype(np.float64)
    return Runs(found.label, found.start_ns, found.start_ns, np.ones(len(found), np.int64), confidence)


def join_runs(runs: Runs, joining_ns: int) -> Runs:
    """Join runs of a label where the next begins at most ``joining_ns`` after the last began to end.

    Runs of one label must come by time; those of several may be mixed.
    """
    if not len(runs):
        return runs
    order = np.argsort(runs.label, kind="stable")
    label, first_ns, last_ns = runs.label[order], runs.first_ns[order], runs.last_ns[order]
    is_new = (label[1:] != label[:-1]) | (first_ns[1:] - last_ns[:-1] > joining_ns)
    begin = np.flatnonzero(np.append(True, is_new))
    end = np.append(begin[1:], len(order)) - 1
    return Runs(
        label[begin],
        first_ns[begin],
        last_ns[end],
        np.add.reduceat(runs.windows[order], begin),
        np.add.reduceat(runs.confidence[order], begin),
    )


_NONE = Runs(
    np.empty(0, np.int16), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
)


def _frame(channel_index: int, runs: Runs) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "channel": channel_index,
            "start": runs.first_ns,
            "end": runs.last_ns,
            "label": runs.label,
            "windows": runs.windows,
            "confidence": (runs.confidence / runs.windows).astype(np.float32),
        }
    )


def _table(source: Source, parts: list[pd.DataFrame]) -> pd.DataFrame:
    table = pd.concat(parts, ignore_index=True) if parts else _frame(0, _NONE)
    names = [str(channel) for channel in source.channels]
    rank = np.argsort(np.argsort(names))
    by_place = np.lexsort((table["label"], table["start"], rank[table["channel"].to_numpy()]))
    table = table.take(by_place).reset_index(drop=True)
    channel = pd.Categorical.from_codes(table["channel"].to_numpy(), pd.Index(names))
    table["channel"] = channel.remove_unused_categories()
    end_ns = table["end"].to_numpy() + length_ns(source.windows)
    table["start"] = table["start"].to_numpy().view("datetime64[ns]")
    table["end"] = end_ns.view("datetime64[ns]")
    if has_names(source.names):
        table["name"] = pd.Categorical(np.array(source.names, dtype=object)[table["label"].to_numpy()])
    return table
