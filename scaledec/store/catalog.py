"""The labels of a run as Parquet: one row a labelled window, partitioned by network, year and month.

``ROOT/catalog/RUN/network=NET/year=YYYY/month=MM/part-NNNNN.parquet``. A part holds some channels of a
network over one month, sorted by channel and start, so that a reader finds a station by the statistics of
the row groups. Which channels share a part follows from the label store alone: their order there never
changes, and new ones come at the end. The same labels give the same bytes.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from scaledec.location import Location
from scaledec.store.event_variables import NOT_A_TIME
from scaledec.store.labels import LabelStore
from scaledec.store.open import delete_object, open_store, put_object
from scaledec.vocabulary import NANOSECONDS_PER_SECOND

__all__ = [
    "ROWS_PER_GROUP",
    "CatalogPart",
    "encode_part",
    "list_parts",
    "parts_of",
    "put_part",
    "read_part",
    "remove_part",
    "rows_of",
    "same_rows",
]

ROWS_PER_GROUP = 2**17
"""Rows of a row group, what a thread of a reader takes at once; a month at 25.6 s is 104,000 a channel."""

_ROWS_PER_PART = 2**22
"""Most rows of a part (one channel may have more): about 30 MB, made in memory in under a second."""

_VALUES = ("label", "confidence", "distance", "outlier")
_NO_NETWORK = "__HIVE_DEFAULT_PARTITION__"
_UNIT_NS = 1000


@dataclass(frozen=True, slots=True)
class CatalogPart:
    """One Parquet file: which channels of a label store over which of its segments."""

    network: str
    year: int
    month: int
    number: int
    """Among the network's parts of that month."""
    channels: tuple[int, ...]
    """Indices in the label store, in the order of the channels' names."""
    first_time_index: int
    stop_time_index: int

    @property
    def key(self) -> str:
        """Its path below the catalog, which is also its name in the ledger."""
        network = quote(self.network, safe="") or _NO_NETWORK
        return f"network={network}/year={self.year}/month={self.month:02}/part-{self.number:05}.parquet"


def parts_of(store: LabelStore) -> Iterator[CatalogPart]:
    """The parts that hold all windows of a label store, by month, network and number."""
    networks: dict[str, list[int]] = {}
    for index, channel in enumerate(store.extent.channels):
        networks.setdefault(channel.network, []).append(index)
    width = _channels_per_part(store)
    for year, month, first, stop in _months(store):
        for network, indices in sorted(networks.items()):
            for number, begin in enumerate(range(0, len(indices), width)):
                chosen = sorted(indices[begin : begin + width], key=lambda i: str(store.extent.channels[i]))
                yield CatalogPart(network, year, month, number, tuple(chosen), first, stop)


def _channels_per_part(store: LabelStore) -> int:
    segments = 31 * 86_400 * NANOSECONDS_PER_SECOND // store.grid.segment_ns
    return max(1, _ROWS_PER_PART // (segments * store.windows.n_windows))


def _months(store: LabelStore) -> Iterator[tuple[int, int, int, int]]:
    """(year, month, first segment, end): segments divide a day, so each lies in one month."""
    extent, segment_ns = store.extent, store.grid.segment_ns
    first = 0
    while first < extent.n_segments:
        start = dt.datetime.fromtimestamp(
            (extent.start_ns + first * segment_ns) // NANOSECONDS_PER_SECOND, dt.UTC
        )
        days = calendar.monthrange(start.year, start.month)[1]
        end = dt.datetime(start.year, start.month, 1, tzinfo=dt.UTC) + dt.timedelta(days=days)
        end_ns = int(end.timestamp()) * NANOSECONDS_PER_SECOND
        stop = min(extent.n_segments, -((extent.start_ns - end_ns) // segment_ns))
        yield start.year, start.month, first, stop
        first = stop


def encode_part(store: LabelStore, part: CatalogPart) -> tuple[bytes, int]:
    """The bytes of a part's file and its number of rows; memory holds the file and two row groups.

    Raises
    ------
    StoreError
        If labels cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    schema = _schema(store, part)
    n_rows = 0
    with pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=["channel", "station", "location", "label"],
        # Instants at a stride become one byte in a hundred rows. Floats stay plain: Spark reads no other.
        column_encoding=dict.fromkeys(("start", "end"), "DELTA_BINARY_PACKED"),
    ) as writer:
        for group in _groups(rows_of(store, part)):
            writer.write_table(group)
            n_rows += group.num_rows
    return sink.getvalue().to_pybytes(), n_rows


def _schema(store: LabelStore, part: CatalogPart) -> Any:
    import pyarrow as pa

    text, instant = pa.dictionary(pa.int32(), pa.string()), pa.timestamp("us")
    named = {"channel": text, "station": text, "location": text, "start": instant, "end": instant}
    types = {"label": pa.int16(), **dict.fromkeys(_VALUES[1:], pa.float32())}
    fields = {**named, **{name: types[name] for name in _VALUES if name in store.variables}}
    about = {"scaledec_run": store.run, "scaledec_fingerprint": str(store.attributes["scaledec_fingerprint"])}
    return pa.schema(list(fields.items()), metadata=about)


def rows_of(store: LabelStore, part: CatalogPart) -> Iterator[Any]:
    """The rows of a part, by channel and start: an Arrow table for each channel and shard that has any.

    Instants are rounded to microseconds, which every reader of Parquet knows.
    """
    import pyarrow as pa

    schema = _schema(store, part)
    channels = [store.extent.channels[index] for index in part.channels]
    texts = {
        "channel": [str(channel) for channel in channels],
        "station": [channel.station for channel in channels],
        "location": [channel.location for channel in channels],
    }
    # Parquet's dictionaries must hold each value once.
    dictionaries = {name: sorted(set(values)) for name, values in texts.items()}
    step = store.segments_per_shard
    for rank, channel_index in enumerate(part.channels):
        for shard in range(part.first_time_index - part.first_time_index % step, part.stop_time_index, step):
            span = max(shard, part.first_time_index), min(shard + step, part.stop_time_index)
            values = _labelled(store, channel_index, *span)
            n = len(values["label"])
            if not n:
                continue
            named = {
                name: pa.DictionaryArray.from_arrays(
                    np.full(n, dictionary.index(texts[name][rank]), np.int32), dictionary
                )
                for name, dictionary in dictionaries.items()
            }
            columns = {**named, **values}
            yield pa.table([columns[name] for name in schema.names], schema=schema)


def _labelled(store: LabelStore, channel_index: int, first: int, stop: int) -> dict[str, npt.NDArray[Any]]:
    """The windows of some segments that have a label, by start."""
    names = [name for name in _VALUES if name in store.variables]
    values = {name: store.read(name, channel_index, first, stop) for name in names}
    start_ns = store.start_ns(channel_index, first, stop)
    chosen = (values["label"] >= 0) & (start_ns != NOT_A_TIME)
    start_ns = start_ns[chosen]
    order = np.argsort(start_ns, kind="stable")
    start_ns = start_ns[order]
    length_ns = round(store.windows.length_s * NANOSECONDS_PER_SECOND)
    return {
        "start": _microseconds(start_ns),
        "end": _microseconds(start_ns + length_ns),
        **{name: values[name][chosen][order] for name in names},
    }


def _microseconds(time_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.datetime64]:
    return ((time_ns + _UNIT_NS // 2) // _UNIT_NS).view("datetime64[us]")


def _groups(tables: Iterable[Any]) -> Iterator[Any]:
    """The same rows in tables of :data:`ROWS_PER_GROUP`, but for the last one."""
    import pyarrow as pa

    waiting: list[Any] = []
    n = 0
    for table in tables:
        waiting.append(table)
        n += table.num_rows
        if n < ROWS_PER_GROUP:
            continue
        joined = pa.concat_tables(waiting)
        whole = n - n % ROWS_PER_GROUP
        for begin in range(0, whole, ROWS_PER_GROUP):
            yield joined.slice(begin, ROWS_PER_GROUP)
        waiting, n = [joined.slice(whole)], n - whole
    if n:
        yield pa.concat_tables(waiting)


def same_rows(found: Any, expected: Sequence[Any]) -> bool:
    """Whether an Arrow table has the columns and rows of others one after another; NaN equals NaN."""
    import pyarrow as pa

    wanted = pa.concat_tables(expected)
    if found.column_names != wanted.column_names or found.num_rows != wanted.num_rows:
        return False
    return all(_same_column(found[name], wanted[name]) for name in wanted.column_names)


def _same_column(found: Any, wanted: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(wanted.type):
        # Readers make dictionaries of their own.
        return bool(found.cast(pa.string()).equals(wanted.cast(pa.string())))
    if found.type != wanted.type:
        return False
    one, other = found.to_numpy(), wanted.to_numpy()
    return bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))


def list_parts(catalog: Location) -> list[str]:
    """Sorted keys of everything that lies in a catalog."""
    return catalog.list_tree()


def put_part(catalog: Location, key: str, data: bytes) -> None:
    """Write one file whole; a reader sees the old one or the new one."""
    put_object(open_store(catalog, read_only=False), key, [data])


def remove_part(catalog: Location, key: str) -> None:
    """Remove one file if it is there."""
    delete_object(open_store(catalog, read_only=False), key)


def read_part(data: bytes) -> Any:
    """The rows of a part's bytes as an Arrow table; ``ValueError`` if they are no Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_table(pa.BufferReader(data))
