"""``labels.scaledec``: everyday questions to a dataset of labels, or to any selection of one.

:func:`scaledec.open_labels` brings it; for a dataset opened otherwise, import this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, cast

import numpy as np
import xarray as xr

from scaledec.errors import ConfigError, StoreNotFoundError
from scaledec.places import Places
from scaledec.queries.counts import counts_of, time_counts_of
from scaledec.queries.dataset_source import DatasetLabels
from scaledec.queries.episodes import episodes_of
from scaledec.queries.rows import rows_of
from scaledec.queries.selection import Filters, Instant, chosen_instant
from scaledec.queries.source import length_ns
from scaledec.queries.spectrogram import window_spectrogram
from scaledec.store.datasets import ROOT_ENCODING, open_labels
from scaledec.vocabulary import ChannelId

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LabelAccessor", "open_labels"]


class _Rest(TypedDict, total=False):
    """The filters that :meth:`LabelAccessor.episodes` does not name itself."""

    channel: str | Sequence[str] | None
    start: Instant | None
    end: Instant | None
    hours: str | tuple[int, int] | None
    min_outlier: float | None


@xr.register_dataset_accessor("scaledec")  # type: ignore[no-untyped-call]
class LabelAccessor:
    """Questions to labels. Nothing is loaded but what an answer needs, piece by piece.

    Examples
    --------
    >>> labels = open_labels("demo").sel(time="2024-03-05")  # doctest: +SKIP
    >>> labels.scaledec.counts("1h").plot.line(x="time")  # doctest: +SKIP
    """

    def __init__(self, dataset: xr.Dataset) -> None:
        self._dataset = dataset

    def _source(self, filters: Filters) -> DatasetLabels:
        elsewhere = {"run", "storage_options"} & filters.keys()
        if elsewhere:
            raise ConfigError(f"{', '.join(sorted(elsewhere))}: a dataset has been opened already")
        return DatasetLabels(self._dataset)

    def counts(self, freq: str = "1h", **filters: Unpack[Filters]) -> xr.DataArray:
        """How many windows of each class start in each stretch of time, shape (time, cluster).

        Parameters
        ----------
        freq
            As for :func:`~scaledec.queries.counts.counts_in_time`.
        filters
            ``channel``, ``label``, ``start``, ``end``, ``hours``, ``min_confidence``, ``min_outlier``.
        """
        source = self._source(filters)
        table = time_counts_of(source, freq, filters)
        names = np.array(source.names, dtype=object)[table.columns.to_numpy()]
        return xr.DataArray(
            table.to_numpy(),
            dims=("time", "cluster"),
            coords={
                "time": table.index.to_numpy(),
                "cluster": table.columns.to_numpy(),
                "cluster_name": ("cluster", names),
            },
            name="windows",
            attrs={"long_name": f"windows in {freq}", "units": "1"},
        )

    def count_by(self, by: Sequence[str], **filters: Unpack[Filters]) -> pd.DataFrame:
        """As :func:`~scaledec.queries.counts.count_by`, of this dataset."""
        return counts_of(self._source(filters), by, filters)

    def episodes(
        self,
        label: int | str | Sequence[int | str] | None = None,
        min_confidence: float | None = None,
        max_gap_s: float | None = None,
        min_windows: int = 1,
        **filters: Unpack[_Rest],
    ) -> pd.DataFrame:
        """As :func:`~scaledec.queries.episodes.episodes`, of this dataset."""
        asked = cast("Filters", {"label": label, "min_confidence": min_confidence, **filters})
        return episodes_of(self._source(asked), asked, max_gap_s=max_gap_s, min_windows=min_windows)

    def table(self, limit: int | None = None, **filters: Unpack[Filters]) -> pd.DataFrame:
        """As :func:`~scaledec.queries.rows.query`, of this dataset."""
        return rows_of(self._source(filters), filters, limit)

    def spectrogram(
        self,
        channel: str,
        time: Instant,
        *,
        root: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> xr.DataArray:
        """The power of the window that holds an instant, from the cube: ([plane,] frame, frequency).

        Parameters
        ----------
        channel
            NET.STA.LOC.CHA, or the sensor where windows have several components.
        time
            Any instant of the window (ISO 8601 or datetime, UTC); of several the one that starts last.
        root, storage_options
            Where the cube lies; needed only where the dataset was not opened by
            :func:`scaledec.open_labels`.

        Raises
        ------
        ConfigError
            If there is no such channel, or no window holds that time.
        StoreNotFoundError
            If the cube is not there.
        """
        source = self._source(Filters())
        time_ns = chosen_instant("time", time)
        assert time_ns is not None
        places = (
            self._dataset.encoding.get(ROOT_ENCODING) if root is None else Places.at(root, storage_options)
        )
        if places is None:
            raise StoreNotFoundError("nothing says where this dataset's cube lies: give root=")
        return window_spectrogram(
            places,
            str(self._dataset.attrs["scaledec_run"]),
            ChannelId.parse(channel),
            time_ns,
            length_ns(source.windows),
        )
