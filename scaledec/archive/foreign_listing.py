"""What a foreign cube holds, in the terms of any archive: objects of channels and segments.

An object here is what one segment of one block of channels is read from: the stored chunks (or shards)
that it touches, as one name, their size together, and a version that changes when any of them does. So a
foreign cube that grows, or has a part rewritten, redoes just the segments concerned.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from scaledec.archive.folders import Entry, walk_files
from scaledec.archive.foreign import ForeignCube
from scaledec.archive.layouts.layout import matcher
from scaledec.archive.listing import Listing, Span
from scaledec.archive.time_runs import TimeRun, runs_in_segment
from scaledec.errors import ArchiveError, ConfigError
from scaledec.grid import ImportedGrid
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ArchiveObject, ChannelId, format_time

__all__ = ["check_against", "describe", "list_foreign", "stored_frequencies"]

_CHUNK_KEY = re.compile(r"(\d+)[./](\d+)[./](\d+)$")
# Relative: hops and frequencies are often stored in single precision.
_SAME = 1e-4
_NEAR = 0.01
"""Of the smallest step between frequencies: how far one may lie from what the configuration says."""


def describe(cube: ForeignCube) -> str:
    """The ``spectrogram.imported`` section that fits a foreign cube, as YAML to paste."""
    hop_s = cube.time.hop_s
    frequencies = cube.frequencies_hz
    hop = "..." if hop_s is None else f"{hop_s:.9g}"
    listed = "..." if frequencies is None else _frequency_yaml(np.sort(frequencies))
    return f"spectrogram:\n  imported: {{hop_s: {hop}, frequency_hz: {listed}}}"


def check_against(cube: ForeignCube, grid: ImportedGrid, told_hz: Sequence[float]) -> None:
    """Raise ``ConfigError`` if the cube's hop or frequencies are not those of the configuration.

    Parameters
    ----------
    told_hz
        All of ``spectrogram.imported.frequency_hz``; counted where the cube does not tell frequencies.
    """
    hop_s = cube.time.hop_s
    if hop_s is not None and abs(hop_s - grid.hop_s) > _SAME * grid.hop_s:
        raise ConfigError(
            f"{cube} has a frame every {hop_s:g} s, spectrogram.imported.hop_s is {grid.hop_s:g}; set\n"
            f"{describe(cube)}"
        )
    n = cube.length("frequency")
    if cube.frequencies_hz is None and len(told_hz) != n:
        raise ConfigError(
            f"{cube} has {n} frequencies, spectrogram.imported.frequency_hz tells {len(told_hz)}; the store "
            "names none (archive.cube.dims.frequency: null), so all must be told"
        )
    stored_frequencies(cube, grid, told_hz)


def stored_frequencies(cube: ForeignCube, grid: ImportedGrid, told_hz: Sequence[float]) -> list[int]:
    """Where each frequency of the grid lies in the foreign cube; ``ConfigError`` if one is not there."""
    there = np.asarray(told_hz) if cube.frequencies_hz is None else cube.frequencies_hz
    wanted = grid.frequency_hz
    nearest = np.abs(there[None, :] - wanted[:, None]).argmin(axis=1)
    away = np.abs(there[nearest] - wanted)
    if (away > _NEAR * float(np.diff(wanted).min())).any():
        first = float(wanted[int(away.argmax())])
        raise ConfigError(
            f"{cube} holds no frequency of {first:g} Hz (the nearest is "
            f"{there[nearest[away.argmax()]]:g} Hz); set\n"
            f"{describe(cube)}"
        )
    return [int(index) for index in nearest]


def list_foreign(
    cube: ForeignCube,
    grid: ImportedGrid,
    patterns: Sequence[str],
    start_ns: int | None = None,
    end_ns: int | None = None,
) -> tuple[Listing, tuple[TimeRun, ...]]:
    """The listing of a foreign cube, and the runs of its time axis; no power is read.

    Raises
    ------
    ArchiveError
        If it holds nothing of what is asked for, its time axis is not regular, or it cannot be listed.
    """
    runs = cube.time.runs(grid.hop_s * NANOSECONDS_PER_SECOND)
    matches = matcher(patterns)
    wanted = [(index, channel) for index, channel in enumerate(cube.channels) if matches(channel)]
    if not wanted:
        raise ArchiveError(
            f"{cube} holds no channel that matches {', '.join(patterns)}; it holds {len(cube.channels)}: "
            f"{cube.channels[0]} to {cube.channels[-1]}"
        )
    listing = Listing(
        _spans(cube, grid, runs, wanted, start_ns, end_ns), start_ns=start_ns, end_ns=end_ns, slack_ns=0
    )
    if not listing.channels:
        last = runs[-1]
        end = last.start_ns + round((last.stop - last.first) * grid.hop_s * NANOSECONDS_PER_SECOND)
        raise ArchiveError(
            f"{cube} holds no chunk of {', '.join(patterns)} in the time asked for; its time axis runs from "
            f"{format_time(runs[0].start_ns)} to {format_time(end)}"
        )
    return listing, runs


def _spans(
    cube: ForeignCube,
    grid: ImportedGrid,
    runs: Sequence[TimeRun],
    wanted: Sequence[tuple[int, ChannelId]],
    start_ns: int | None,
    end_ns: int | None,
) -> Iterator[tuple[ChannelId, Span]]:
    stored = _stored_chunks(cube)
    block, step = cube.stored_chunk("channel"), cube.stored_chunk("time")
    by_block: dict[int, list[ChannelId]] = {}
    for index, channel in wanted:
        by_block.setdefault(index // block, []).append(channel)
    for segment_ns in _segments(grid, runs, start_ns, end_ns):
        placed = list(runs_in_segment(runs, segment_ns, grid.segment_ns, grid.n_frames))
        chunks = sorted({n for p in placed for n in range(p.first // step, (p.stop - 1) // step + 1)})
        for number, channels in by_block.items():
            own = [stored[time, number] for time in chunks if (time, number) in stored]
            if not own:
                continue
            key = f"{cube.settings.power or '.'}/{format_time(segment_ns)}/channels-{number}"
            version = hashlib.sha256("\n".join(sorted(v for _, v in own)).encode()).hexdigest()[:16]
            found = ArchiveObject(key, sum(size for size, _ in own), version)
            for channel in channels:
                yield channel, Span(segment_ns, segment_ns + grid.segment_ns, found)


def _segments(
    grid: ImportedGrid, runs: Sequence[TimeRun], start_ns: int | None, end_ns: int | None
) -> Iterator[int]:
    """Starts of the segments that hold frames and touch the wanted time, ascending."""
    hop_ns = grid.hop_s * NANOSECONDS_PER_SECOND
    following = -(2**63)
    for run in runs:
        # The nearest frame of the first one may lie in the segment before, and of the last one in the next.
        first = (run.start_ns - round(hop_ns)) // grid.segment_ns * grid.segment_ns
        last_ns = run.start_ns + round((run.stop - run.first) * hop_ns)
        for begin in range(max(first, following), last_ns + 1, grid.segment_ns):
            following = begin + grid.segment_ns
            if (end_ns is None or begin < end_ns) and (start_ns is None or following > start_ns):
                yield begin


def _stored_chunks(cube: ForeignCube) -> dict[tuple[int, int], tuple[int, str]]:
    """Size and version of what is stored, by the chunk's number along time and channel."""
    power = cube.settings.power
    place = cube.location.child(*power.split("/")) if power else cube.location
    time, channel = cube.order.index("time"), cube.order.index("channel")
    found: dict[tuple[int, int], list[Entry]] = {}
    for entry in walk_files(place):
        key = _CHUNK_KEY.search(entry.name)
        if key is not None:
            numbers = [int(text) for text in key.groups()]
            found.setdefault((numbers[time], numbers[channel]), []).append(entry)
    if not found:
        raise ArchiveError(f"{cube} has no chunk stored, or its store cannot be listed")
    return {
        place: (sum(e.size for e in own), " ".join(f"{e.name}:{e.size}:{e.version}" for e in own))
        for place, own in found.items()
    }


def _frequency_yaml(frequencies: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    first, n = float(frequencies[0]), len(frequencies)
    step = float(f"{(frequencies[-1] - first) / max(1, n - 1):.7g}")
    if np.allclose(frequencies, first + step * np.arange(n), rtol=0, atol=_SAME * step):
        return f"{{first: {first:.7g}, step: {step:.7g}, count: {n}}}"
    return f"[{', '.join(f'{value:.7g}' for value in frequencies.tolist())}]"
