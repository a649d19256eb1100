"""What a run would do, in numbers, before it does anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaledec.config import Config, run_name
from scaledec.pipeline.cube import plan_of_cube
from scaledec.pipeline.learn import training_progress
from scaledec.places import Places
from scaledec.transport.redact import url_without_secrets
from scaledec.vocabulary import format_time

if TYPE_CHECKING:
    from scaledec.archive.archive import Listing
    from scaledec.stages.cube_plan import CubePlan

__all__ = ["RunPlan", "plan"]


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run would do; printing it tells a person."""

    config: Config
    cube: CubePlan
    listing: Listing

    def __str__(self) -> str:
        cube, grid, windows = self.cube, self.config.spectrogram_grid, self.config.window_grid
        end_ns = cube.start_ns + cube.n_segments * grid.segment_ns
        places = Places.at(self.config.root, self.config.storage_options)
        kind = "the foreign cube" if self.config.archive.layout == "cube" else "miniSEED"
        rows = [
            ("archive", f"{url_without_secrets(self.config.archive.url)} ({self.config.archive.layout})"),
            ("channels", f"{len(cube.channels)}: {_shortened([str(channel) for channel in cube.channels])}"),
            ("time", f"{format_time(cube.start_ns)} to {format_time(end_ns)}, {cube.n_segments} segments"),
            (
                "spectrogram",
                f"{grid.n_frames} frames x {grid.n_frequencies} frequencies a segment, hop {grid.hop_s:g} s",
            ),
            ("window", f"{windows.length} frames ({windows.length_s:g} s), {windows.n_windows} a segment"),
            ("cube tasks", f"{len(cube.tasks)} to do, {cube.n_done} done"),
            ("to read", f"{_bytes(cube.bytes_to_read)} of {kind}"),
            ("to write", f"up to {_bytes(cube.bytes_to_write)} before compression, into {places.cube}"),
            ("memory", f"about {_bytes(cube.memory_per_task)} a cube worker"),
            ("run", run_name(self.config)),
            *((stage, f"{state}: {detail}") for stage, state, detail in training_progress(self.config)),
        ]
        rows += [("not usable", f"{found.key}: {reason}") for found, reason in self.listing.unreadable]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)


def plan(config: Config) -> RunPlan:
    """Look at the archive's listing, the ledger and the run; write nothing.

    Raises
    ------
    ArchiveError
        If the archive cannot be listed or holds nothing of what is asked for.
    """
    cube, listing = plan_of_cube(config)
    return RunPlan(config, cube, listing)


def _shortened(names: list[str], most: int = 4) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown}, ..."


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} PB"
