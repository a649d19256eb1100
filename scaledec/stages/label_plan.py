"""What of the archive is left to label: one task a shard of the label store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scaledec.config import Config, hash_json, run_fingerprint
from scaledec.stages.sensors import Components, sensors_of
from scaledec.store.cube_base import Cube
from scaledec.vocabulary import LabelTask, TaskResult, format_time

__all__ = ["LABEL_ALGORITHM", "LabelPlan", "labelling_memory", "plan_labels"]

LABEL_ALGORITHM = 2
"""Raised whenever the code gives other labels for the same model and cube."""

_PROCESS_BYTES = 480 * 2**20
"""An actor with PyTorch, Ray (and its shared memory) and the stores open, and a model of the usual size, as
measured, and a little more."""


@dataclass(frozen=True, slots=True)
class LabelPlan:
    """The tasks that are left, and what they cost."""

    tasks: tuple[LabelTask, ...]
    n_done: int
    """Tasks whose labels are up to date."""
    n_segments: int
    """Segments with power among the tasks left."""
    bytes_to_read: int
    """Power and coverage before decompression."""
    bytes_to_write: int
    """Labels, confidences, distances and embeddings before compression."""
    memory_per_task: int
    """Bytes that one labelling process holds at most, its libraries included."""


def plan_labels(
    config: Config,
    cube: Cube,
    cube_ledger: Mapping[str, TaskResult],
    done: Mapping[str, TaskResult],
    *,
    model_checksum: str,
) -> LabelPlan:
    """Plan the labelling of every shard that holds power, leaving out what is up to date.

    A task's fingerprint covers the run's settings, the model, and the checksums of what the cube holds
    for its segments and for the one after them (whose first frames its last windows use): a segment
    with other power redoes the label shard it is in, and the one before where that reaches into it; one
    that was computed again with the same outcome redoes nothing. A shard that has lost all its power is
    done once more, which takes its labels away.

    Parameters
    ----------
    config
        The configuration of the run.
    cube
        The cube to label.
    cube_ledger, done
        Newest result of every task of the cube and of the labels of this run.
    model_checksum
        Of the trained model's files.
    """
    settings: list[object] = [
        LABEL_ALGORITHM,
        run_fingerprint(config),
        model_checksum,
        config.label.embedding,
        config.label.precision,
    ]
    tasks: list[LabelTask] = []
    n_done = n_segments = 0
    for task, n_filled in _shards(config, cube, cube_ledger, settings):
        result = done.get(task.key)
        if result is not None and result.status == "done" and result.fingerprint == task.fingerprint:
            n_done += 1
        elif n_filled or result is not None:
            tasks.append(task)
            n_segments += n_filled
    return LabelPlan(tuple(tasks), n_done, n_segments, **_costs(config, tasks, n_segments))


def _shards(
    config: Config, cube: Cube, cube_ledger: Mapping[str, TaskResult], settings: list[object]
) -> Iterator[tuple[LabelTask, int]]:
    """Every shard, with the number of its segments that hold power."""
    reach = 1 if config.window_grid.head_frames else 0
    step = config.label.segments_per_shard
    names = [format_time(cube.segment_start_ns(index)) for index in range(cube.n_segments)]
    for index, sensor in enumerate(sensors_of(cube.channels, Components.of(config.windows))):
        sources = [cube.channels[channel] for channel in sensor.sources]
        contents = [_content([cube_ledger.get(f"{source}/{name}") for source in sources]) for name in names]
        for first in range(0, cube.n_segments, step):
            stop = min(first + step, cube.n_segments)
            n_filled = sum(content is not None for content in contents[first:stop])
            fingerprint = hash_json([*settings, _up_to_the_last(contents[first : stop + reach])])
            key = f"{sensor.id}/{names[first]}"
            yield LabelTask(key, fingerprint, sensor.id, index, first, stop), n_filled


def _content(results: Sequence[TaskResult | None]) -> str | None:
    """What identifies the bytes of one segment of the channels read; ``None`` where it holds nothing.

    A task that failed for one of several objects has written what the others gave: it has a checksum.
    """
    checksums = [None if result is None else result.details.get("checksum") for result in results]
    if not any(checksum is not None for checksum in checksums):
        return None
    # One channel's is its checksum alone, as it was before there were sensors.
    return " ".join("-" if checksum is None else str(checksum) for checksum in checksums)


def _up_to_the_last(contents: list[str | None]) -> list[str | None]:
    """Without the empty segments at the end: a cube that grew by nothing redoes nothing."""
    while contents and contents[-1] is None:
        contents.pop()
    return contents


def _costs(config: Config, tasks: list[LabelTask], n_segments: int) -> dict[str, int]:
    n_written = sum(task.stop_time_index - task.first_time_index for task in tasks)
    return {
        "bytes_to_read": n_segments * _segment_bytes(config),
        "bytes_to_write": n_written * config.window_grid.n_windows * _window_bytes(config),
        "memory_per_task": labelling_memory(config),
    }


def labelling_memory(config: Config) -> int:
    """Bytes that one labelling process is projected to hold at most, its libraries included."""
    windows = config.window_grid
    cells = windows.length * config.windows.n_planes * config.spectrogram_grid.n_frequencies
    block = config.label.segments_per_shard * windows.n_windows * _window_bytes(config)
    # Two segments (one is read ahead), their decompressed chunks, one batch through the network's
    # widest layers (about eight times its input), and the block of results, packed to be sent.
    return _PROCESS_BYTES + 3 * _segment_bytes(config) + 8 * config.label.batch * cells * 4 + 3 * block


def _segment_bytes(config: Config) -> int:
    """Power and coverage of a segment and of the next one's frames that its windows need."""
    grid = config.spectrogram_grid
    item = 2 if config.spectrogram.dtype == "float16" else 4
    row = config.windows.n_planes * (grid.n_frequencies * item + 1)
    return (grid.n_frames + config.window_grid.head_frames) * row


def _window_bytes(config: Config) -> int:
    """Label, confidence, distance, outlier score, state and embedding of a window."""
    return 15 + (4 * config.model.latent if config.label.embedding else 0)
