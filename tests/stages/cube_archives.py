"""Small real archives and cubes for the tests of the cube stage."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scaledec.archive.archive import open_archive
from scaledec.archive.write import Encoding, write_miniseed
from scaledec.config import Config, cube_fingerprint, parse_config
from scaledec.location import Location
from scaledec.stages.cube import CubeContext
from scaledec.stages.cube_plan import CubePlan, plan_cube
from scaledec.store.cube import CubeStore, CubeTemplate
from scaledec.vocabulary import ChannelId, TaskResult, parse_time

CHANNEL = ChannelId("XX", "AAA", "00", "BHZ")
START_NS = parse_time("2021-03-01")
DAY_NS = 86_400 * 10**9


def red_noise(n: int, seed: int = 0) -> npt.NDArray[np.int32]:
    """Integer samples with a red spectrum, an offset and a slow drift."""
    steps = np.random.default_rng(seed).standard_normal(n)
    slow = 500 * np.sin(np.arange(n) / 9000)
    red = np.convolve(steps, np.exp(-np.arange(40) / 8), "same")
    return np.asarray(np.rint(4000 + slow + 20 * red), dtype=np.int32)


def write_sds(
    folder: Path,
    samples: npt.NDArray[Any],
    *,
    start_ns: int = START_NS,
    rate_hz: float = 10.0,
    channel: ChannelId = CHANNEL,
    encoding: Encoding = "steim2",
) -> list[Path]:
    """Write samples as SDS day files, cut at midnight; the paths in order of time."""
    paths = []
    step_ns = round(1e9 / rate_hz)
    position = 0
    while position < len(samples):
        begin_ns = start_ns + position * step_ns
        count = min(len(samples) - position, -(-(DAY_NS - begin_ns % DAY_NS) // step_ns))
        data = write_miniseed(
            channel, begin_ns, rate_hz, samples[position : position + count], encoding=encoding
        )
        path = sds_path(folder, begin_ns, channel)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(data)
        paths += [] if path in paths else [path]
        position += count
    return paths


def sds_path(folder: Path, time_ns: int, channel: ChannelId = CHANNEL) -> Path:
    """Where SDS keeps the day of an instant."""
    day = dt.datetime.fromtimestamp(time_ns // 10**9, dt.UTC)
    return (
        folder
        / f"{day:%Y}/{channel.network}/{channel.station}/{channel.channel}.D"
        / f"{channel}.D.{day:%Y}.{day:%j}"
    )


def configure(folder: Path, *overrides: str, layout: str = "sds") -> Config:
    """The archive ``folder/sds`` and the root ``folder/root``, at 10 Hz in 2 h segments."""
    text = f"""
        root: {folder / "root"}
        archive: {{layout: {layout}, url: {folder / "sds"}}}
        spectrogram: {{sampling_rate_hz: 10, segment_s: 7200, window_s: 6.4, dtype: float32, detrend: none}}
        windows: {{length_s: 64}}
        """
    return parse_config(text, overrides)


def make_plan(config: Config, done: dict[str, TaskResult] | None = None) -> CubePlan:
    """List the archive and plan."""
    archive = open_archive(config.archive, Location(str(Path(config.root) / "index")))
    return plan_cube(config, archive.listing(config.archive.channels), done or {})


def make_ready(config: Config) -> tuple[CubePlan, CubeContext, CubeStore]:
    """Plan, and make or extend the cube for it."""
    plan = make_plan(config)
    context = CubeContext.of(config)
    settings = config.spectrogram
    template = CubeTemplate(
        grid=config.spectrogram_grid,
        scale=settings.scale,
        dtype=settings.dtype,
        fingerprint=cube_fingerprint(config),
        settings=settings.model_dump(mode="json"),
    )
    store = CubeStore.create_or_extend(context.cube, template, plan.channels, plan.start_ns, plan.n_segments)
    return plan, context, store
