"""Spectrogram cubes as other programs write them, made with zarr-python alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import zarr

HOP_S = 0.5


def decibels(n_frames: int, n_channels: int, n_frequencies: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Distinct values like those of spectrograms, shape (time, channel, frequency)."""
    rng = np.random.default_rng(seed)
    slope = -np.linspace(0, 30, n_frequencies)
    noise = rng.normal(0, 3, (n_frames, n_channels, n_frequencies))
    return np.asarray(noise + slope + 2 * np.arange(n_channels)[:, None], np.float32)


def times(n: int, start: str, hop_s: float = HOP_S) -> npt.NDArray[np.datetime64]:
    """Regular times from a start on."""
    return np.datetime64(start, "ns") + np.round(np.arange(n) * hop_s * 1e9).astype("timedelta64[ns]")


def write_foreign(
    path: Path,
    values: npt.NDArray[Any],
    time: npt.NDArray[Any] | None,
    frequency: npt.NDArray[Any] | None,
    *,
    zarr_format: Literal[2, 3] = 3,
    order: Sequence[str] = ("time", "channel", "frequency"),
    chunks: Mapping[str, int] | None = None,
    shards: Mapping[str, int] | None = None,
    named: bool = True,
    power: str = "power",
    channel: npt.NDArray[Any] | None = None,
    time_attributes: Mapping[str, Any] | None = None,
    attributes: Mapping[str, Any] | None = None,
    fill: Any = np.nan,
) -> None:
    """Write values (time, channel, frequency) with their dimensions in another order."""
    axes = ("time", "channel", "frequency")
    turned = np.ascontiguousarray(values.transpose([axes.index(name) for name in order]))
    lengths = dict(zip(axes, values.shape, strict=True))
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    sizes = tuple((chunks or lengths)[name] for name in order)
    array = group.create_array(
        power,
        shape=turned.shape,
        dtype=turned.dtype,
        chunks=sizes,
        shards=None if shards is None else tuple(shards[name] for name in order),
        fill_value=fill,
        dimension_names=tuple(order) if named and zarr_format == 3 else None,
        attributes={
            **(attributes or {}),
            **({"_ARRAY_DIMENSIONS": list(order)} if named and zarr_format == 2 else {}),
        },
    )
    array[...] = turned
    small = {"time": time, "frequency": frequency, "channel": channel}
    for name, coordinate in small.items():
        if coordinate is not None:
            made = group.create_array(name, data=coordinate, chunks=(min(len(coordinate), 777),))
            if name == "time":
                made.attrs.update(dict(time_attributes or {}))
