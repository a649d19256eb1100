"""Small real stores for the tests of this area."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scaledec.grid import SpectrogramGrid, WindowGrid
from scaledec.location import Location
from scaledec.store.cube import CubeStore, CubeTemplate
from scaledec.store.labels import LabelBlock, LabelTemplate
from scaledec.vocabulary import ChannelId, WindowState, parse_time

START_NS = parse_time("2020-01-01")
HHZ = ChannelId.parse("CM.BAR2.00.HHZ")
HHN = ChannelId.parse("CM.BAR2.00.HHN")
LHZ = ChannelId.parse("CI.WBM..LHZ")

# An hour at 10 Hz: 3000 frames of 13 frequencies.
GRID = SpectrogramGrid.from_lengths(sampling_rate_hz=10, segment_s=3600, window_s=2.4, overlap=0.5)
WINDOWS = WindowGrid.from_lengths(GRID, length_s=60, stride_s=30, min_coverage=1)


def cube_template(**changes: Any) -> CubeTemplate:
    values: dict[str, Any] = {
        "grid": GRID,
        "scale": "db",
        "dtype": "float16",
        "fingerprint": "0123456789abcdef",
        "settings": {"window_s": 2.4, "overlap": 0.5, "taper": "hann"},
    }
    return CubeTemplate(**{**values, **changes})


def make_cube(location: Location, n_channels: int = 2, n_segments: int = 3, **changes: Any) -> CubeStore:
    channels = [HHZ, HHN, LHZ][:n_channels]
    return CubeStore.create_or_extend(location, cube_template(**changes), channels, START_NS, n_segments)


def power(seed: int, grid: SpectrogramGrid = GRID, dtype: str = "float16") -> npt.NDArray[Any]:
    rng = np.random.default_rng(seed)
    return (10 * np.log10(rng.exponential(size=(grid.n_frames, grid.n_frequencies)))).astype(dtype)


def full(grid: SpectrogramGrid = GRID) -> npt.NDArray[np.uint8]:
    return np.full(grid.n_frames, 100, np.uint8)


def label_template(**changes: Any) -> LabelTemplate:
    values: dict[str, Any] = {
        "run": "idec-3",
        "fingerprint": "fedcba9876543210",
        "method": "idec",
        "grid": GRID,
        "windows": WINDOWS,
        "segments_per_shard": 4,
        "centroid": np.arange(15, dtype=np.float32).reshape(3, 5),
        "prototype": np.ones((3, WINDOWS.length, GRID.n_frequencies), np.float32),
        "prototype_units": "dB",
        "embedding": True,
        "confidence": "largest soft assignment",
    }
    return LabelTemplate(**{**values, **changes})


def label_block(first: int, n: int, *, channel_index: int = 0, embedding: bool = True) -> LabelBlock:
    rng = np.random.default_rng(first)
    shape = n, WINDOWS.n_windows
    return LabelBlock(
        channel_index=channel_index,
        first_time_index=first,
        label=rng.integers(0, 3, shape).astype(np.int16),
        confidence=rng.random(shape, dtype=np.float32),
        distance=rng.random(shape, dtype=np.float32),
        outlier=rng.random(shape, dtype=np.float32),
        state=np.full(shape, WindowState.LABELLED, np.uint8),
        embedding=rng.random((*shape, 5), dtype=np.float32) if embedding else None,
    )


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
