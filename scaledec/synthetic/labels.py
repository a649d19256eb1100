"""Label stores of any length without a cube behind them: to try questions, and to measure them.

What is simulated is what questions meet: classes that last a while, that prefer hours of the day and
stations, windows without a label, confidence and distance that do not compress.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scaledec.grid import SpectrogramGrid, WindowGrid
from scaledec.ledger.ledger import Ledger
from scaledec.places import Places
from scaledec.store.labels import UNLABELLED, LabelBlock, LabelStore, LabelTemplate
from scaledec.vocabulary import ChannelId, TaskResult, WindowState, parse_time, task_key

__all__ = ["SimulatedLabels", "write_simulated_labels"]

_RATE_HZ, _FRAME_S, _OVERLAP = 100.0, 2.56, 0.75
_LATENT = 9
_THREADS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedLabels:
    """What is simulated; equal settings give equal labels."""

    run: str = "simulated"
    stations: int = 50
    channels_per_station: int = 2
    """Up to 3: HHZ, HHN, HHE."""
    segments: int = 365
    segment_s: float = 86_400.0
    window_s: float = 25.6
    """Of a window, and from one to the next: 3,375 a day."""
    classes: int = 8
    start: str = "2021-01-01"
    mean_stay: float = 5.0
    """Windows that a class lasts on average before one is drawn anew."""
    unlabelled: float = 0.01
    """Share of windows without a label."""
    segments_per_shard: int = 32
    seed: int = 0

    @property
    def channels(self) -> tuple[ChannelId, ...]:
        """``ZS.S000..HHZ``, ``ZS.S000..HHN``, ``ZS.S001..HHZ``, ..."""
        codes = ("HHZ", "HHN", "HHE")[: self.channels_per_station]
        return tuple(ChannelId("ZS", f"S{n:03}", "", code) for n in range(self.stations) for code in codes)

    @property
    def template(self) -> LabelTemplate:
        """The structure of the store; prototypes are flat."""
        grid = SpectrogramGrid.from_lengths(
            sampling_rate_hz=_RATE_HZ,
            segment_s=self.segment_s,
            window_s=_FRAME_S,
            overlap=_OVERLAP,
            band_hz=(1.0, 20.0),
        )
        windows = WindowGrid.from_lengths(grid, length_s=self.window_s, stride_s=None, min_coverage=1.0)
        return LabelTemplate(
            run=self.run,
            fingerprint="simulated",
            method="simulated",
            grid=grid,
            windows=windows,
            segments_per_shard=self.segments_per_shard,
            centroid=np.eye(self.classes, _LATENT),
            prototype=np.zeros((self.classes, windows.length, grid.n_frequencies)),
            prototype_units="1",
            embedding=False,
            confidence="simulated confidence",
        )


def write_simulated_labels(
    root: str, settings: SimulatedLabels, *, storage_options: Mapping[str, Any] | None = None
) -> LabelStore:
    """Write the labels of a run below ``root``, as the label stage would; the newest run from then on.

    Raises
    ------
    StoreError
        If they cannot be written, or other labels of that run lie there.

    Examples
    --------
    >>> year = SimulatedLabels(stations=50, segments=365)  # 1.2e8 windows
    >>> store = write_simulated_labels("year", year)  # doctest: +SKIP
    """
    places, channels = Places.at(root, storage_options), settings.channels
    template, start_ns = settings.template, parse_time(settings.start)
    store = LabelStore.create_or_extend(
        places.labels(settings.run), template, channels, start_ns, settings.segments, _coordinates(settings)
    )
    step = settings.segments_per_shard
    regions = [(c, first) for c in range(len(channels)) for first in range(0, settings.segments, step)]

    def write(region: tuple[int, int]) -> TaskResult:
        channel, first = region
        checksum = store.write_region(_block(settings, channel, first, template.windows.n_windows))
        key = task_key(channels[channel], start_ns + first * template.grid.segment_ns)
        return TaskResult(key, "simulated", "done", details={"checksum": checksum})

    with (
        ThreadPoolExecutor(_THREADS) as pool,
        Ledger(places.label_ledger(settings.run)).writer() as writer,
    ):
        for result in pool.map(write, regions):
            writer.write(result)
    return store


def _coordinates(settings: SimulatedLabels) -> dict[str, dict[ChannelId, float]]:
    """Stations on a spiral around a place in the south."""
    channels = settings.channels
    turn = {c: 2.4 * int(c.station[1:]) for c in channels}
    reach = {c: 0.05 * np.sqrt(int(c.station[1:])) for c in channels}
    return {
        "latitude": {c: float(-77.5 + reach[c] * np.cos(turn[c])) for c in channels},
        "longitude": {c: float(167.0 + reach[c] * np.sin(turn[c])) for c in channels},
        "elevation_m": dict.fromkeys(channels, 100.0),
        "sampling_rate_hz": dict.fromkeys(channels, _RATE_HZ),
    }


def _block(settings: SimulatedLabels, channel_index: int, first: int, n_windows: int) -> LabelBlock:
    n_segments = min(settings.segments_per_shard, settings.segments - first)
    rng = np.random.default_rng([settings.seed, channel_index, first])
    shape = n_segments, n_windows
    label = _labels(rng, settings, channel_index, shape)
    there = label != UNLABELLED
    confidence = np.float32(1.0) - np.float32(0.6) * rng.random(shape, dtype=np.float32) ** 2
    distance = rng.random(shape, dtype=np.float32)
    distance[~there] = confidence[~there] = np.nan
    return LabelBlock(
        channel_index,
        first,
        label,
        confidence,
        distance,
        # Distances are uniform, and training windows came a little less far.
        outlier=distance * np.float32(1.02),
        state=np.where(there, WindowState.LABELLED, WindowState.NO_DATA).astype(np.uint8),
    )


def _labels(
    rng: np.random.Generator, settings: SimulatedLabels, channel_index: int, shape: tuple[int, int]
) -> npt.NDArray[np.int16]:
    """A class is drawn at random times and stays until the next draw; rarer ones have higher numbers."""
    n = shape[0] * shape[1]
    hour = np.arange(n) % shape[1] * 24 // shape[1]
    weight = 0.7 ** np.arange(settings.classes)
    by_hour = weight * (1.2 + np.cos(np.arange(settings.classes) - np.arange(24)[:, None] * np.pi / 12))
    by_hour *= 1.0 + 0.5 * np.sin(np.arange(settings.classes) + channel_index)
    edges = np.cumsum(by_hour / by_hour.sum(axis=1, keepdims=True), axis=1)
    drawn = rng.random(n, dtype=np.float32) < 1.0 / settings.mean_stay
    drawn[0] = True
    at = np.flatnonzero(drawn)
    drawn_class = (rng.random(len(at))[:, None] > edges[hour[at], :-1]).sum(axis=1).astype(np.int16)
    label = np.repeat(drawn_class, np.diff(at, append=n))
    label[rng.random(n, dtype=np.float32) < settings.unlabelled] = UNLABELLED
    return label.reshape(shape)
