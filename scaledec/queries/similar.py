"""The windows whose embeddings lie nearest to a cluster's centroid or to a given window."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from scaledec.errors import ConfigError
from scaledec.numerics.nearest import nearest_rows
from scaledec.places import Places
from scaledec.queries.selection import Instant, Selection, chosen_channels, chosen_instant, chosen_labels
from scaledec.stages.readahead import read_ahead
from scaledec.store.datasets import newest_run
from scaledec.store.labels import LabelStore
from scaledec.store.names import default_name, names_of
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId, WindowState, format_time

__all__ = ["similar"]

_READERS = 4
# Embeddings read at once by one reader.
_BLOCK_BYTES = 16 * 2**20

Place = tuple[int, int, int]
"""Channel, segment and window of a window, as indices."""


def similar(
    root: str,
    *,
    nearest_to: int | str | None = None,
    like: tuple[str, Instant] | None = None,
    limit: int = 20,
    apart_s: float = 0.0,
    run: str | None = None,
    channel: str | Sequence[str] | None = None,
    start: Instant | None = None,
    end: Instant | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """The windows nearest to a centroid or to a given window by their embeddings, nearest first.

    Every embedding that is asked for is looked at, block by block: the answer is exact, and memory holds a
    few blocks whatever the archive's length.

    Parameters
    ----------
    root, storage_options
        As in the configuration.
    nearest_to
        A cluster, by number or name: windows nearest to its centroid.
    like
        Channel and time: windows nearest to the one that holds this time. Itself is left out.
    limit
        How many.
    apart_s
        Leave out windows of the same channel that start within this many seconds of the one given, which
        share samples with it or go on with the same signal.
    run, channel, start, end
        As for :func:`~scaledec.queries.rows.query`: where to look.

    Returns
    -------
    pandas.DataFrame
        ``channel``, ``start``, ``end``, ``label``, ``confidence``, ``distance`` (to the own centroid),
        ``outlier``, ``embedding_distance`` (to what was asked for), and ``name`` where clusters have names.

    Raises
    ------
    StoreNotFoundError
        If there are no labels, or none of that run.
    ConfigError
        If the run stores no embeddings, or what is asked for is not there.

    Examples
    --------
    >>> similar("demo", like=("SY.CRAT.00.HHZ", "2024-03-04T13:05:10"), limit=50)  # doctest: +SKIP
    """
    if (nearest_to is None) == (like is None):
        raise ConfigError("give either a cluster (nearest_to) or a window (like) to be near to")
    places = Places.at(root, storage_options)
    run = run or newest_run(root, storage_options)
    store = LabelStore.open(places.labels(run))
    if not store.has_embedding:
        raise ConfigError(
            f"run {run!r} stores no embeddings, which similarity is measured in (label.embedding: false); "
            "label with label.embedding: true under another run name"
        )
    wanted = Selection(
        channels=chosen_channels(channel, store.extent.channels),
        labels=None,
        start_ns=chosen_instant("start", start),
        end_ns=chosen_instant("end", end),
        min_confidence=None,
        limit=limit,
    )
    names = names_of(places.run(run), len(store.centroid))
    if like is not None:
        query = _window_query(store, *like, apart_s)
    else:
        assert nearest_to is not None
        query = _Query(_centroid(store, nearest_to, names))
    return _table(store, _search(store, wanted, query, limit), names)


@dataclass(frozen=True, slots=True)
class _Query:
    """The point to be near to, and which windows are too near in time to count."""

    target: npt.NDArray[np.floating]
    """Shape (latent,)."""
    channel_index: int = -1
    from_ns: int = 0
    to_ns: int = 0
    """Windows of that channel that start in [from_ns, to_ns] are left out."""


@dataclass(frozen=True, slots=True)
class _Found:
    """Windows and their distances to the point, nearest first."""

    place: npt.NDArray[np.int64]
    """Shape (window, 3), see :data:`Place`."""
    start_ns: npt.NDArray[np.int64]
    distance: npt.NDArray[np.float64]

    def first(self, rows: npt.NDArray[np.int64]) -> _Found:
        """Those at some rows."""
        return _Found(self.place[rows], self.start_ns[rows], self.distance[rows])


def _centroid(store: LabelStore, cluster: int | str, names: Sequence[str]) -> npt.NDArray[np.floating]:
    numbers = chosen_labels(cluster, names)
    assert numbers is not None
    if len(numbers) > 1:
        raise ConfigError(f"several clusters are named {cluster!r}: {numbers}; give one by its number")
    return np.asarray(store.centroid[numbers[0]])


def _window_query(store: LabelStore, channel: str, moment: Instant, apart_s: float) -> _Query:
    """The labelled window of a channel that holds a time, the last one to start where several do."""
    known = [str(name) for name in store.extent.channels]
    if channel not in known:
        near = difflib.get_close_matches(channel, known, n=3, cutoff=0.0)
        raise ConfigError(f"no channel is named {channel!r}; nearest: {', '.join(near)}")
    index, extent, grid = known.index(channel), store.extent, store.grid
    moment_ns = chosen_instant("like", moment)
    assert moment_ns is not None
    inside = (moment_ns - extent.start_ns) // grid.segment_ns
    # The last windows of a segment reach into the next one.
    times = [time for time in (inside, inside - 1) if 0 <= time < extent.n_segments]
    length_ns = round(store.windows.length_s * NANOSECONDS_PER_SECOND)
    states: list[int] = []
    for time in times:
        start_ns = store.start_ns(index, time, time + 1)[0]
        state = store.read("state", index, time, time + 1)[0]
        holding = np.flatnonzero((start_ns <= moment_ns) & (moment_ns < start_ns + length_ns))
        states += state[holding].tolist()
        labelled = holding[state[holding] == WindowState.LABELLED]
        if len(labelled):
            window = labelled[np.argmax(start_ns[labelled])]
            z = store.read("embedding", index, time, time + 1)[0, window]
            apart_ns = round(apart_s * NANOSECONDS_PER_SECOND)
            return _Query(z, index, int(start_ns[window]) - apart_ns, int(start_ns[window]) + apart_ns)
    why = (
        f"it is {WindowState(states[0]).name.lower().replace('_', ' ')}" if states else "no window lies there"
    )
    raise ConfigError(f"{channel} has no labelled window at {format_time(moment_ns)}: {why}")


def _search(store: LabelStore, wanted: Selection, query: _Query, limit: int) -> _Found:
    best = _Found(np.empty((0, 3), np.int64), np.empty(0, np.int64), np.empty(0))
    nearest = partial(_nearest_of_block, store, wanted, query, limit)
    for found in read_ahead(nearest, _blocks(store, wanted), ahead=_READERS):
        if len(found.distance):
            joined = _Found(
                np.concatenate([best.place, found.place]),
                np.concatenate([best.start_ns, found.start_ns]),
                np.concatenate([best.distance, found.distance]),
            )
            best = joined.first(np.argsort(joined.distance, kind="stable")[:limit])
    return best


def _blocks(store: LabelStore, wanted: Selection) -> Iterator[tuple[int, int, int]]:
    """Channel and segments of one piece of work after another, of a bounded size."""
    extent, segment_ns = store.extent, store.grid.segment_ns
    first, stop = 0, extent.n_segments
    if wanted.start_ns is not None:
        first = max(first, (wanted.start_ns - extent.start_ns) // segment_ns)
    if wanted.end_ns is not None:
        stop = min(stop, -((extent.start_ns - wanted.end_ns) // segment_ns))
    row_bytes = store.windows.n_windows * store.centroid.shape[1] * 4
    step = max(1, min(store.segments_per_shard, _BLOCK_BYTES // row_bytes))
    for channel in wanted.channels:
        index = extent.channels.index(channel)
        for time in range(first, stop, step):
            yield index, time, min(stop, time + step)


def _nearest_of_block(
    store: LabelStore, wanted: Selection, query: _Query, limit: int, block: tuple[int, int, int]
) -> _Found:
    channel_index, first, _ = block
    z = store.read("embedding", *block)
    start_ns = store.start_ns(*block)
    kept = np.ones(start_ns.shape, bool)
    if wanted.start_ns is not None:
        kept &= start_ns >= wanted.start_ns
    if wanted.end_ns is not None:
        kept &= start_ns < wanted.end_ns
    if channel_index == query.channel_index:
        kept &= (start_ns < query.from_ns) | (start_ns > query.to_ns)
    time, window = np.nonzero(kept)
    whole = kept.all()
    rows, distance = nearest_rows(z.reshape(-1, z.shape[2]) if whole else z[kept], query.target, limit)
    place = np.stack([np.full(len(rows), channel_index), first + time[rows], window[rows]], axis=1)
    return _Found(place, start_ns[kept][rows], distance)


def _table(store: LabelStore, found: _Found, names: Sequence[str]) -> pd.DataFrame:
    length_ns = round(store.windows.length_s * NANOSECONDS_PER_SECOND)
    channels: Sequence[ChannelId] = store.extent.channels
    table = pd.DataFrame(
        {
            "channel": pd.Categorical([str(channels[index]) for index in found.place[:, 0]]),
            "start": found.start_ns.view("datetime64[ns]"),
            "end": (found.start_ns + length_ns).view("datetime64[ns]"),
            **{name: _values(store, name, found) for name in ("label", "confidence", "distance", "outlier")},
            "embedding_distance": found.distance,
        }
    )
    if any(name != default_name(k) for k, name in enumerate(names)):
        table["name"] = pd.Categorical(np.array(names, dtype=object)[table["label"].to_numpy()])
    return table


def _values(store: LabelStore, name: str, found: _Found) -> npt.NDArray[Any]:
    """One array of the store at the windows found; a segment is read once."""
    segments = {
        (c, t): store.read(name, c, t, t + 1)[0] for c, t in {(c, t) for c, t, _ in found.place.tolist()}
    }
    values = [segments[c, t][window] for c, t, window in found.place.tolist()]
    return np.array(values, np.int16 if name == "label" else np.float32)
