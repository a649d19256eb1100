"""Labels of an xarray dataset, or of any selection of one, as something that can be asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from scaledec.errors import ConfigError
from scaledec.grid import EventGrid, WindowGrid, Windows, grid_from_json
from scaledec.queries.selection import Selection
from scaledec.queries.source import Piece, length_ns
from scaledec.store.labels import UNLABELLED
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId

__all__ = ["DatasetLabels"]

_SEGMENTS_OF_A_PIECE = 32


class DatasetLabels:
    """The labels of a dataset from :func:`~scaledec.store.datasets.open_labels`; read piece by piece.

    Dimensions may have been cut, put in another order, or selected away; times may be flat.

    Raises
    ------
    ConfigError
        If the dataset holds no labels, or nothing says where their windows lie.
    """

    def __init__(self, dataset: xr.Dataset) -> None:
        attributes = dataset.attrs
        if "label" not in dataset or "scaledec_windows" not in attributes:
            raise ConfigError(
                f"the dataset holds {', '.join(map(str, dataset.data_vars)) or 'nothing'}; "
                "expected labels opened by scaledec.open_labels, with the attributes it gives them"
            )
        self._dataset = dataset
        values = json.loads(attributes["scaledec_windows"])["windows"]
        self.windows: Windows = EventGrid(**values) if "max_events" in values else WindowGrid(**values)
        self.segment_ns = grid_from_json(json.loads(attributes["scaledec_grid"])).segment_ns
        names = np.atleast_1d(dataset["channel"].to_numpy())
        self.channels = tuple(ChannelId.parse(str(name)) for name in names)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of all clusters, whatever was selected of the axis that counts them."""
        names = tuple(str(self._dataset["label"].attrs["flag_meanings"]).split())
        known = self._dataset.get("cluster_name")
        if known is None or known.shape != (len(names),):
            return names
        return tuple(map(str, known.to_numpy()))

    @cached_property
    def _stored_time_ns(self) -> npt.NDArray[np.int64]:
        return _nanoseconds(np.atleast_1d(self._dataset["time"].to_numpy()))

    @cached_property
    def _order(self) -> npt.NDArray[np.int64] | None:
        """Indices along time in the order of time; ``None`` where that is the order they have."""
        order = np.argsort(self._stored_time_ns, kind="stable")
        return None if (order[1:] > order[:-1]).all() else order

    @cached_property
    def _time_ns(self) -> npt.NDArray[np.int64]:
        return self._stored_time_ns if self._order is None else self._stored_time_ns[self._order]

    @cached_property
    def _after_ns(self) -> npt.NDArray[np.int64]:
        """Start of each window after its segment's; of a flat axis of time, which tells itself, one zero."""
        if "window" not in self._dataset.coords:
            return np.zeros(1, np.int64)
        seconds = np.atleast_1d(self._dataset["window"].to_numpy())
        return np.round(seconds * NANOSECONDS_PER_SECOND).astype(np.int64)

    @property
    def span_ns(self) -> tuple[int, int]:
        """Start of the first segment and end of the last."""
        is_flat = "window" not in self._dataset.coords
        after = length_ns(self.windows) if is_flat else self.segment_ns
        if not len(self._time_ns):
            return 0, 0
        return int(self._time_ns[0]), int(self._time_ns[-1]) + after

    def has(self, name: str) -> bool:
        """Whether the dataset has this of each window."""
        return name in self._dataset

    def pieces(self, wanted: Selection) -> Iterator[Piece]:
        """Some segments of a channel after others, where any can hold a window asked for."""
        index = {channel: number for number, channel in enumerate(self.channels)}
        can = np.ones(len(self._time_ns), bool)
        if wanted.start_ns is not None:
            can &= self._time_ns + self.segment_ns > wanted.start_ns
        if wanted.end_ns is not None:
            can &= self._time_ns < wanted.end_ns
        # A flat axis has a window where others have a segment.
        step = _SEGMENTS_OF_A_PIECE * (self.windows.n_windows if len(self._after_ns) == 1 else 1)
        for channel in wanted.channels:
            for first in range(0, len(can), step):
                if can[first : first + step].any():
                    yield Piece(index[channel], first, min(first + step, len(can)))

    def read(self, name: str, piece: Piece) -> npt.NDArray[Any]:
        """Values of every window of a piece, shape (window,)."""
        values = self._selected(name, piece)
        if name == "label" and values.dtype.kind == "f":  # made so by `where`
            return np.where(np.isnan(values), UNLABELLED, values).astype(np.int16)
        return values

    def start_ns(self, piece: Piece) -> npt.NDArray[np.int64]:
        """Start of every window of a piece, shape (window,)."""
        if "onset" in self._dataset:
            return _nanoseconds(self._selected("onset", piece))
        return (self._time_ns[piece.first : piece.stop, None] + self._after_ns).reshape(-1)

    def _selected(self, name: str, piece: Piece) -> npt.NDArray[Any]:
        times = slice(piece.first, piece.stop)
        places = {
            "channel": piece.channel_index,
            "time": times if self._order is None else self._order[times],
        }
        variable = self._dataset[name]
        part = variable.isel({dim: place for dim, place in places.items() if dim in variable.dims})
        return np.asarray(part.transpose("time", "window", missing_dims="ignore").to_numpy()).reshape(-1)


def _nanoseconds(instants: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return instants.astype("datetime64[ns]").astype(np.int64)
