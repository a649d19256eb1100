"""What the rest of the cube stage will take: worker seconds, hours, money."""

from __future__ import annotations

import os
from dataclasses import dataclass

from scaledec.config import ComputeConfig, Config
from scaledec.errors import ConfigError
from scaledec.grid import Grid, SpectrogramGrid
from scaledec.pipeline.journal import Account

__all__ = ["Estimate", "check_memory", "estimate", "seconds_text"]

# A 100 Hz channel-day (8.64 million samples to 67,500 frames of 129 frequencies) takes 0.100 s on one quiet
# core: 0.029 s for its samples, 0.071 s for its power, half of it compression (benchmarks/RESULTS.md).
_S_PER_SAMPLE = 0.029 / 8_640_000
_S_PER_CELL = 0.071 / (67_500 * 129)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the tasks that are left will take."""

    core_s: float
    """Seconds of one core."""
    workers: int
    price: float | None
    """In the currency of ``compute.price_per_core_hour``; ``None`` where that is not given."""
    source: str
    """Where the time of a task is known from."""

    @property
    def wall_s(self) -> float:
        """Seconds with all workers busy."""
        return self.core_s / self.workers

    def __str__(self) -> str:
        told = (
            f"{self.core_s / 3600:.3g} core-hours, {seconds_text(self.wall_s)} with {self.workers} "
            f"worker{'s' * (self.workers > 1)} ({self.source})"
        )
        return told if self.price is None else f"{told}; cost {self.price:,.2f}"


def estimate(n_tasks: int, grid: Grid, compute: ComputeConfig, account: Account | None) -> Estimate:
    """What ``n_tasks`` segments will take, by what this root's own took, else by a measured rate.

    The time of reading is that of a local file where nothing has been measured yet: an archive on an
    object store takes longer at first sight.

    Parameters
    ----------
    account
        Of the cube stage of this root, if it has begun.
    """
    own = None if account is None else account.seconds_per_task
    if account is not None and own is not None:
        a_task, source = own, f"{own:.3g} s a segment, measured on {account.timed} of this root"
    else:
        cells = grid.n_frames * grid.n_frequencies
        n_samples = grid.samples_per_segment if isinstance(grid, SpectrogramGrid) else 0
        a_task = _S_PER_SAMPLE * n_samples + _S_PER_CELL * cells
        source = f"{a_task:.3g} s a segment, scaled from 0.1 s measured for a 100 Hz day on one core"
    core_s = n_tasks * a_task
    rate = compute.price_per_core_hour
    return Estimate(core_s, _workers(compute), None if rate is None else core_s / 3600 * rate, source)


def _workers(compute: ComputeConfig) -> int:
    if compute.engine == "serial":
        return 1
    return (os.cpu_count() or 1) if compute.dask.workers == "auto" else compute.dask.workers


def seconds_text(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3.4 h`` or ``12 days``."""
    for unit, length in (("s", 60.0), ("min", 60.0), ("h", 48.0)):
        if seconds < length:
            return f"{seconds:.3g} {unit}"
        seconds /= 24.0 if unit == "h" else 60.0
    return f"{seconds:.3g} days"


def check_memory(needed: int, there: int | None, config: Config) -> None:
    """Refuse to begin what would end workers for their memory.

    Parameters
    ----------
    needed
        Bytes that a worker is projected to hold at most.
    there
        Bytes that it may hold; ``None`` where that is not known, and nothing can be checked.

    Raises
    ------
    ConfigError
        If it needs more; the message holds both numbers and what to change.
    """
    if there is None or needed <= there:
        return
    dask = config.compute.dask
    remedies = ["shorten spectrogram.segment_s"]
    if config.compute.engine != "serial":
        workers = _workers(config.compute)
        if dask.address is None and dask.memory_limit == "auto" and workers * there // needed:
            remedies.insert(0, f"set compute.dask.workers to at most {workers * there // needed}")
        elif dask.memory_limit != "auto":
            remedies.insert(0, "raise compute.dask.memory_limit")
        else:
            remedies.insert(0, "use workers with more memory")
    raise ConfigError(
        f"a cube worker needs about {needed / 1e6:,.0f} MB for a segment of "
        f"{config.spectrogram.segment_s:g} s at {config.spectrogram.sampling_rate_hz:g} Hz, and may hold "
        f"{there / 1e6:,.0f} MB: {' or '.join(remedies)}"
    )
