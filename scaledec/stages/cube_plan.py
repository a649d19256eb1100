"""What of the archive is left to compute: one task a segment of a channel. Reads listings only, no data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scaledec.archive.listing import Listing
from scaledec.config import Config, cube_fingerprint, hash_json
from scaledec.errors import ConfigError, StoreNotFoundError
from scaledec.grid import SpectrogramGrid
from scaledec.places import Places
from scaledec.stages.cube_settings import make_preprocessor
from scaledec.store.cube import CubeStore
from scaledec.vocabulary import (
    ArchiveObject,
    ChannelId,
    CubeTask,
    TaskResult,
    format_time,
)

__all__ = ["CubePlan", "plan_cube"]

# Interpreter and libraries of one worker: 300 MB measured with torch, zarr and pymseed loaded.
_PROCESS_BYTES = 340 * 2**20
# Decoded samples (int32) for one byte of miniSEED: Steim2 packs quiet days to about a byte a sample.
_DECODED_PER_BYTE = 4
# A filter holds its input and its output, and blocks in between.
_FILTER_BYTES = 16 * 2**20
_TRANSFORM_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class CubePlan:
    """The tasks that are left, where they lie in the cube, and what they cost."""

    channels: tuple[ChannelId, ...]
    """The cube's channel axis: the channels that are there in their order, then the new ones, sorted."""
    start_ns: int
    """Start of the cube's first segment."""
    n_segments: int
    tasks: tuple[CubeTask, ...]
    """Left to do; by channel, then time."""
    n_done: int
    """Tasks whose segments are up to date, those without samples included."""
    bytes_to_read: int
    """Of the distinct objects that the tasks left may read."""
    bytes_to_write: int
    """Power and coverage before compression."""
    memory_per_task: int
    """Bytes that one worker process holds at most while it computes the largest task, libraries included."""


def plan_cube(config: Config, listing: Listing, done: Mapping[str, TaskResult]) -> CubePlan:
    """Plan every segment for which the archive lists an object, leaving out what is up to date.

    A task is up to date if its newest result is ``done`` or ``empty`` and has its fingerprint, which
    covers the settings and the name, size and version of every object that may hold samples of it. A
    failed task is always tried again. The time axis begins where the cube there begins, or, for a new
    one, with the segment that holds the first instant listed.

    Parameters
    ----------
    config
        The configuration.
    listing
        Of its archive.
    done
        Newest result of every task of the cube's ledger.

    Raises
    ------
    ConfigError
        If ``spectrogram.bandpass_hz`` does not fit, whatever the channels' rates.
    """
    grid = config.spectrogram_grid
    fingerprint = cube_fingerprint(config)
    _check_filters(config)
    channels, start_ns, n_segments = _axes(config, listing, grid)
    tasks: list[CubeTask] = []
    n_done = 0
    for task in _all_tasks(listing, channels, start_ns, n_segments, grid.segment_ns, fingerprint):
        if _is_up_to_date(task, done.get(task.key)):
            n_done += 1
        else:
            tasks.append(task)
    item_bytes = 2 if config.spectrogram.dtype == "float16" else 4
    segment_bytes = grid.n_frames * (grid.n_frequencies * item_bytes + 1)
    return CubePlan(
        channels=channels,
        start_ns=start_ns,
        n_segments=n_segments,
        tasks=tuple(tasks),
        n_done=n_done,
        bytes_to_read=sum({item.key: item.size for task in tasks for item in task.objects}.values()),
        bytes_to_write=len(tasks) * segment_bytes,
        memory_per_task=_memory(tasks, grid, segment_bytes),
    )


def _axes(config: Config, listing: Listing, grid: SpectrogramGrid) -> tuple[tuple[ChannelId, ...], int, int]:
    """Channels, start and length of the cube with what the archive lists now."""
    first_ns, end_ns = listing.span
    start_ns = first_ns // grid.segment_ns * grid.segment_ns
    channels = listing.channels
    try:
        there = CubeStore.open(Places.at(config.root, config.storage_options).cube)
    except StoreNotFoundError:
        there = None
    if there is not None and there.fingerprint == cube_fingerprint(config):
        known = set(there.channels)
        channels = (*there.channels, *(channel for channel in channels if channel not in known))
        # A listing that begins before the cube is refused, with the remedy, where the cube is extended.
        start_ns = min(start_ns, there.start_ns)
    n_segments = max(1, -(-(end_ns - start_ns) // grid.segment_ns))
    if there is not None and there.start_ns == start_ns:
        n_segments = max(n_segments, there.n_segments)
    return channels, start_ns, n_segments


def _all_tasks(
    listing: Listing,
    channels: tuple[ChannelId, ...],
    start_ns: int,
    n_segments: int,
    segment_ns: int,
    fingerprint: str,
) -> Iterator[CubeTask]:
    listed = set(listing.channels)
    names = [format_time(start_ns + index * segment_ns) for index in range(n_segments)]
    first_listed = max(0, (listing.span[0] - start_ns) // segment_ns)
    stop_listed = min(n_segments, -(-(listing.span[1] - start_ns) // segment_ns))
    for channel_index, channel in enumerate(channels):
        if channel not in listed:
            continue
        for time_index in range(first_listed, stop_listed):
            begin = start_ns + time_index * segment_ns
            objects = listing.objects_for(channel, begin, begin + segment_ns)
            if objects:
                yield CubeTask(
                    key=f"{channel}/{names[time_index]}",
                    fingerprint=_task_fingerprint(fingerprint, objects),
                    channel=channel,
                    channel_index=channel_index,
                    time_index=time_index,
                    start_ns=begin,
                    objects=objects,
                )


def _task_fingerprint(cube: str, objects: tuple[ArchiveObject, ...]) -> str:
    return hash_json([cube, [[item.key, item.size, item.version] for item in objects]])


def _is_up_to_date(task: CubeTask, result: TaskResult | None) -> bool:
    return result is not None and result.status != "failed" and result.fingerprint == task.fingerprint


def _check_filters(config: Config) -> None:
    """Refuse now what every task would refuse, whatever its channel's rate."""
    try:
        make_preprocessor(config.spectrogram, config.spectrogram.sampling_rate_hz)
    except ValueError as error:
        raise ConfigError(f"spectrogram.bandpass_hz: {error}") from error


def _memory(tasks: list[CubeTask], grid: SpectrogramGrid, segment_bytes: int) -> int:
    """Bytes of a worker at its largest task: file and decoded samples, float32 samples, power, shard."""
    # Of the segment's own file and its two neighbours at most two are held decoded at any time.
    files = max((sum(sorted(item.size for item in task.objects)[-2:]) for task in tasks), default=0)
    at_target = 4 * (grid.samples_per_segment + grid.tail_samples)
    decoded = max(_DECODED_PER_BYTE * files, at_target)
    samples = decoded + at_target
    return _PROCESS_BYTES + files + decoded + samples + 2 * segment_bytes + _FILTER_BYTES + _TRANSFORM_BYTES
