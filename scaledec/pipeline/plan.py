"""What a run would do, in numbers, before it does anything."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaledec.config import Config, run_name
from scaledec.pipeline.cube import plan_of_cube
from scaledec.pipeline.estimate import Estimate, estimate
from scaledec.pipeline.journal import read_account
from scaledec.pipeline.learn import training_progress
from scaledec.pipeline.stations import stations_sentence, unusable_metadata
from scaledec.places import Places
from scaledec.stages.label_plan import labelling_memory
from scaledec.transport.redact import url_without_secrets
from scaledec.vocabulary import format_time

if TYPE_CHECKING:
    from scaledec.archive.archive import Listing
    from scaledec.archive.stations import Stations
    from scaledec.stages.cube_plan import CubePlan

__all__ = ["RunPlan", "plan"]


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run would do; printing it tells a person."""

    config: Config
    cube: CubePlan
    listing: Listing
    estimate: Estimate
    """What the cube stage will take."""
    stations: Stations | None = None

    def __str__(self) -> str:
        cube, grid, windows = self.cube, self.config.spectrogram_grid, self.config.window_grid
        end_ns = cube.start_ns + cube.n_segments * grid.segment_ns
        places = Places.at(self.config.root, self.config.storage_options)
        kind = "the foreign cube" if self.config.archive.layout == "cube" else "miniSEED"
        kept = f" ({cube.n_kept} of them kept although their files are gone)" if cube.n_kept else ""
        labelling = _bytes(labelling_memory(self.config))
        n_written = 2 * len(cube.tasks)  # power and coverage
        rows = [
            ("archive", f"{url_without_secrets(self.config.archive.url)} ({self.config.archive.layout})"),
            ("channels", f"{len(cube.channels)}: {_shortened([str(channel) for channel in cube.channels])}"),
            ("span", f"{format_time(cube.start_ns)} to {format_time(end_ns)}, {cube.n_segments} segments"),
            (
                "spectrogram",
                f"{grid.n_frames} frames x {grid.n_frequencies} frequencies a segment, hop {grid.hop_s:g} s",
            ),
            ("window", f"{windows.length} frames ({windows.length_s:g} s), {windows.n_windows} a segment"),
            ("cube tasks", f"{len(cube.tasks)} to do, {cube.n_done} done{kept}"),
            ("to read", f"{_bytes(cube.bytes_to_read)} of {kind} in {cube.objects_to_read} objects"),
            (
                "to write",
                f"up to {_bytes(cube.bytes_to_write)} uncompressed, {n_written} objects of {places.cube}",
            ),
            ("memory", f"about {_bytes(cube.memory_per_task)} a cube worker, {labelling} a labelling one"),
            ("time", str(self.estimate)),
            ("run", run_name(self.config)),
            *((stage, f"{state}: {detail}") for stage, state, detail in training_progress(self.config)),
        ]
        rows[2:2] = self._station_rows()
        rows += [("not usable", f"{found.key}: {reason}") for found, reason in self.listing.unreadable]
        unusable = unusable_metadata(cube, self.stations)
        rows += [("not usable", f"{found.key}: {found.reason}") for found in unusable]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)

    def _station_rows(self) -> list[tuple[str, str]]:
        if self.stations is None:
            return []
        known = stations_sentence(self.config, self.stations, self.cube, self.listing)
        notes = self.stations.notes(self.listing.channels)
        return [("stations", known), *(("note", note) for note in notes)]


def plan(config: Config) -> RunPlan:
    """Look at the archive's listing, the ledger and the run; write nothing.

    File headers and station metadata that no run has read yet are read, and read again by the run.

    Raises
    ------
    ArchiveError
        If the archive cannot be listed or holds nothing of what is asked for.
    """
    places = Places.at(config.root, config.storage_options)
    with tempfile.TemporaryDirectory(prefix="scaledec-plan-") as folder:
        work = plan_of_cube(config, _copied_notes(places, Places.at(folder)))
    account = read_account(places.progress("cube"))
    expected = estimate(len(work.plan.tasks), config.spectrogram_grid, config.compute, account)
    return RunPlan(config, work.plan, work.listing, expected, work.stations)


def _copied_notes(places: Places, scratch: Places) -> Places:
    """What earlier runs learned of headers and stations, where it may be added to."""
    for source, target in ((places.index, scratch.index), (places.stations, scratch.stations)):
        for name in source.list_names():
            target.child(name).write_bytes(source.child(name).read_bytes())
    return scratch


def _shortened(names: list[str], most: int = 4) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown}, ..."


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} PB"
