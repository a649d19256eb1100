"""Small archives with bursts at known samples, for the tests of event cubes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scaledec.config import Config, parse_config
from scaledec.stages.cube import CubeContext, run_task
from scaledec.stages.cube_settings import make_template
from scaledec.store.cubes import create_or_extend_cube
from scaledec.store.event_cube import EventCubeStore
from scaledec.vocabulary import ChannelId, TaskResult
from tests.stages.cube_archives import START_NS, make_plan, write_sds

RATE_HZ = 20.0
HHZ, HHN = ChannelId.parse("XX.AAA..HHZ"), ChannelId.parse("XX.AAA..HHN")
DAY = int(86_400 * RATE_HZ)


def noise_with_bursts(n: int, bursts: Sequence[tuple[int, float]], seed: int = 0) -> npt.NDArray[np.int32]:
    """Noise of 100 counts; each burst begins at a sample, with an amplitude in counts, and lasts 2 s."""
    rng = np.random.default_rng(seed)
    samples = 100 * rng.standard_normal(n)
    time = np.arange(100) / RATE_HZ
    shape = np.sin(2 * np.pi * 4 * time) * np.exp(-time / 0.7)
    for first, size in bursts:
        samples[first : first + 100] += size * shape[: max(0, n - first)]
    return samples.astype(np.int32)


def write_day(folder: Path, samples: npt.NDArray[Any], channel: ChannelId = HHZ, day: int = 0) -> None:
    """Add samples from the start of a day to the archive of a test."""
    start_ns = START_NS + day * 86_400 * 10**9
    write_sds(folder / "sds", samples, start_ns=start_ns, rate_hz=RATE_HZ, channel=channel)


def event_config(folder: Path, *overrides: str) -> Config:
    """20 Hz, windows of 8 s with 32 frames of 1 s, recursive STA/LTA, no filter."""
    text = f"""
        root: {folder / "root"}
        archive: {{url: {folder / "sds"}}}
        spectrogram: {{sampling_rate_hz: 20, window_s: 1, overlap: 0.75, dtype: float32, band_hz: [1, 9]}}
        windows:
          mode: triggered
          length_s: 8
          detector: {{sta_s: 0.5, lta_s: 20, on: 8, off: 3}}
          max_events: 40
        """
    return parse_config(text, overrides)


def build(config: Config) -> tuple[EventCubeStore, list[TaskResult]]:
    """Plan, make the cube and run every task in this process."""
    plan = make_plan(config)
    context = CubeContext.of(config)
    place = context.cube
    store = create_or_extend_cube(place, make_template(config), plan.channels, plan.start_ns, plan.n_segments)
    assert isinstance(store, EventCubeStore)
    return store, [run_task(task, context) for task in plan.tasks]
