"""One channel-day to measure with: a real one or a synthetic one, and the cube task that computes it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from scaledec.archive.write import write_miniseed
from scaledec.config import Config, parse_config
from scaledec.pipeline.cube import make_room, plan_of_cube
from scaledec.stages.cube import CubeContext
from scaledec.vocabulary import ChannelId, CubeTask

__all__ = ["REAL_DAY", "data_and_rounds", "day_task", "find_day", "one_core", "write_synthetic_day"]

REAL_DAY = "sds/2020/CM/BAR2/HHZ.D/CM.BAR2.00.HHZ.D.2020.266"
"""Below the folder of real recordings: 8.64 million samples at 100 Hz, Steim2, 512-byte records."""


def data_and_rounds(doc: str | None, arguments: Sequence[str] | None, rounds: int) -> tuple[Path | None, int]:
    """The options of a benchmark of one day; by default the recordings lie beside the checkout."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=default if default.is_dir() else None)
    parser.add_argument("--rounds", type=int, default=rounds)
    given = parser.parse_args(arguments)
    return given.data, given.rounds


def find_day(data: Path | None, folder: Path) -> tuple[Path, str]:
    """The archive that holds the day and what it is; a synthetic one is written where ``data`` is None."""
    if data is not None:
        return data / "sds", "CM.BAR2 HHZ"
    write_synthetic_day(folder / REAL_DAY)
    return folder / "sds", "a synthetic day"


@contextmanager
def one_core() -> Iterator[None]:
    """Pin this process to one core inside, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def write_synthetic_day(path: Path) -> None:
    """A day at 100 Hz that packs like a broadband record."""
    noise = np.random.default_rng(0).standard_normal(8_640_000)
    # Red enough that Steim2 packs it as a broadband record: about 1.3 bytes a sample.
    samples = np.cumsum(noise * 60 - 0.002 * np.cumsum(noise)).astype(np.int32)
    path.parent.mkdir(parents=True, exist_ok=True)
    start_ns = 1_600_732_800_000_000_000
    path.write_bytes(write_miniseed(ChannelId("CM", "BAR2", "00", "HHZ"), start_ns, 100.0, samples))


def day_task(archive: Path, root: Path, settings: Sequence[str] = ()) -> tuple[CubeTask, CubeContext]:
    """The only task of a cube of the day, with the cube made ready; ``settings`` as ``--set`` takes them."""
    config = day_config(archive, root, settings)
    plan = plan_of_cube(config).plan
    make_room(config, plan)
    return plan.tasks[0], CubeContext.of(config)


def day_config(archive: Path, root: Path, settings: Sequence[str] = ()) -> Config:
    """The configuration of a cube of the day."""
    text = f"root: {root}\narchive: {{url: {archive}, channels: [CM.BAR2.00.HHZ]}}"
    return parse_config(text, settings, source="the benchmark")
