"""One task of the cube: read a segment of a channel, compute its power, write its shard.

What comes of a task:

``done``
    Written. A reason is given where a neighbour's file, needed for the edge alone, was unreadable; the
    task is tried again on each run all the same.
``empty``
    The archive holds no sample of the segment (or too few for one per cent of any frame). What an
    earlier run may have stored there is removed.
``failed``
    An object of the segment's own time is unreadable, or its samples cannot serve this cube (sampled
    too slowly, no response to remove, ...). Where other objects gave samples these are written all the
    same, and the details hold a checksum; otherwise what an earlier version of its objects gave is
    removed, so that the cube always is what the archive gave when it was last read. Failed tasks are
    tried again on each run.

The result depends on the task and the settings alone: not on the engine, the process or earlier tasks.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from scaledec.archive.archive import Archive, open_archive
from scaledec.archive.segment import SegmentRead, read_segment
from scaledec.config import Config, SpectrogramConfig, cube_fingerprint
from scaledec.errors import ArchiveError, StoreError, UnreadableInputError
from scaledec.grid import SpectrogramGrid
from scaledec.location import Location
from scaledec.numerics.signal.coverage import frame_coverage
from scaledec.numerics.signal.preprocess import Preprocessor
from scaledec.numerics.signal.stft import SpectrogramTransform
from scaledec.places import Places
from scaledec.stages.cube_response import ResponseRemover, check_responses, frame_times_ns, no_response
from scaledec.stages.cube_settings import make_preprocessor, make_transform, native_margins
from scaledec.stages.planned_place import check_planned_for
from scaledec.stages.segment_inputs import UNREAD, edges_detail
from scaledec.store.cube import CubeStore, segment_checksum
from scaledec.vocabulary import CubeTask, JsonValue, Status, TaskResult

__all__ = ["CubeContext", "compute_checksum", "lost_task", "run_task"]

_MOST_NOTES = 5


@dataclass(frozen=True, slots=True)
class CubeContext:
    """What all tasks of one build share; small and picklable."""

    cube: Location
    archive: Archive
    spectrogram: SpectrogramConfig
    grid: SpectrogramGrid
    fingerprint: str
    responses: Location | None = None
    """Where gains lie, if responses are removed."""
    build: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Names this build: what a process keeps open for one build is not used for another."""

    @classmethod
    def of(cls, config: Config, *, cube: Location | None = None) -> CubeContext:
        """The context of a configuration; ``cube`` defaults to the place below its root."""
        places = Places.at(config.root, config.storage_options)
        grid = config.spectrogram_grid
        assert isinstance(grid, SpectrogramGrid), "imported spectrograms have tasks of their own"
        return cls(
            cube=cube or places.cube,
            archive=open_archive(config.archive, places.index),
            spectrogram=config.spectrogram,
            grid=grid,
            fingerprint=cube_fingerprint(config),
            responses=None if config.spectrogram.response is None else places.responses,
        )


def run_task(task: CubeTask, context: CubeContext) -> TaskResult:
    """Compute one segment of one channel and write it.

    Parameters
    ----------
    task
        From :func:`scaledec.stages.cube_plan.plan_cube`.
    context
        Of the same configuration.

    Returns
    -------
    TaskResult
        Its details: ``checksum`` (if written), ``n_samples`` (real, native, of the segment itself),
        ``sampling_rate_hz`` (native), ``bytes_read``, ``seconds`` per step, and, where they are not
        zero, ``n_gaps``, ``n_duplicate``, ``n_conflicting``, ``n_not_finite``, ``n_frames_without_response``,
        ``offset_s``, ``notes``; ``open_edges`` where the segment's own objects left samples missing at an
        edge, and ``unread``, how many objects could not be used.

    Raises
    ------
    StoreError
        If the cube cannot be written: the run cannot go on. All that is wrong with the input is told by
        the result instead.
    """
    try:
        return _run(task, context)
    except UnreadableInputError as error:
        reason = str(error)
    except (StoreError, ArchiveError, ImportError, MemoryError):
        raise
    except ValueError as error:
        reason = f"{task.channel}: {error}"
    except Exception as error:  # noqa: BLE001  (years of other segments must not wait for this one)
        reason = f"{type(error).__name__}: {error}"
    workspace = _workspace_for(context)
    workspace.store_of(task).write_segment(task.channel_index, task.time_index, *workspace.nothing())
    return TaskResult(task.key, task.fingerprint, "failed", reason)


def lost_task(task: CubeTask, reason: str) -> TaskResult:
    """The result of a task that ended the process it ran in."""
    names = ", ".join(item.key for item in task.objects)
    return TaskResult(task.key, task.fingerprint, "failed", f"{names}: reading or computing it {reason}")


def compute_checksum(task: CubeTask, context: CubeContext) -> int | None:
    """The checksum of what a task would write, computed from the archive; ``None`` for nothing.

    Raises
    ------
    UnreadableInputError, ValueError
        Where :func:`run_task` would fail.
    """
    workspace = _workspace_for(context)
    read = _read(task, context, workspace)
    if not _details(read)["n_samples"]:
        return None
    power, coverage, _ = workspace.compute(task, read, {})
    return segment_checksum(power, coverage) if coverage.any() else None


def _read(task: CubeTask, context: CubeContext, workspace: _Workspace) -> SegmentRead:
    if context.responses is not None and len(task.objects) > sum(task.neighbours):
        # Before anything is read. Where only a neighbour may have run over, there is likely no sample at all.
        check_responses(task.channel, task.start_ns, task.responses)
    return read_segment(
        context.archive,
        task.channel,
        task.objects,
        start_ns=task.start_ns,
        end_ns=task.start_ns + context.grid.segment_ns,
        margin_samples=workspace.margins,
        neighbours=task.neighbours,
    )


def _run(task: CubeTask, context: CubeContext) -> TaskResult:
    workspace = _workspace_for(context)
    read = _read(task, context, workspace)
    details = _details(read)
    seconds = {"read": read.read_s, "decode": read.decode_s}
    if details["n_samples"]:
        power, coverage, n_lost = workspace.compute(task, read, seconds)
        details |= {"n_frames_without_response": n_lost} if n_lost else {}
    else:
        power, coverage = workspace.nothing()
    status, reason = _verdict(task, context, read, details, coverage)
    with _timed(seconds, "write"):
        # Also where nothing came: what an earlier version of the objects gave must not stay.
        store = workspace.store_of(task)
        checksum = store.write_segment(task.channel_index, task.time_index, power, coverage)
    if coverage.any():
        details["checksum"] = checksum
    details["seconds"] = {step: round(value, 4) for step, value in seconds.items()}
    return TaskResult(task.key, task.fingerprint, status, reason, details)


def _verdict(
    task: CubeTask,
    context: CubeContext,
    read: SegmentRead,
    details: Mapping[str, JsonValue],
    coverage: npt.NDArray[np.uint8],
) -> tuple[Status, str | None]:
    """Status and reason of a task that came to its end."""
    left_out = "; ".join(reason for _, reason in read.unreadable)
    end_ns = task.start_ns + context.grid.segment_ns
    for item, _ in read.unreadable:
        span = context.archive.nominal_span_ns(item)
        is_own = span is None or (span[0] < end_ns and span[1] > task.start_ns)
        if is_own or item in read.unreachable:  # a neighbour that may come another time is tried again
            kept = "the samples of other objects are written" if coverage.any() else "nothing else is there"
            return "failed", f"{left_out}; {kept}"
    if coverage.any():
        return "done", left_out or None
    if details["n_samples"]:
        return "empty", f"{details['n_samples']} samples fill less than one per cent of any frame"
    return "empty", left_out or None


def _details(read: SegmentRead) -> dict[str, JsonValue]:
    details: dict[str, JsonValue] = {"n_samples": 0, "bytes_read": read.bytes_read}
    details |= edges_detail(read.open_edges)
    if read.unreadable:
        details[UNREAD] = len(read.unreadable)
    if read.segment is not None:
        details["n_samples"], n_gaps = _count_inside(read.segment.runs, *_own_samples(read))
        details["sampling_rate_hz"] = read.native_rate_hz
        report = read.segment.report
        counts = {
            "n_gaps": n_gaps,
            "n_duplicate": report.n_duplicate,
            "n_conflicting": report.n_conflicting,
            "n_not_finite": report.n_not_finite,
        }
        details |= {name: count for name, count in counts.items() if count}
        if report.offset_s:
            details["offset_s"] = round(report.offset_s, 9)
    if read.notes:
        more = len(read.notes) - _MOST_NOTES
        details["notes"] = [*read.notes[:_MOST_NOTES], *([f"and {more} more"] if more > 0 else [])]
    return details


def _own_samples(read: SegmentRead) -> tuple[int, int]:
    """Where the segment itself begins and ends among the samples read."""
    assert read.segment is not None
    return read.margin[0], len(read.segment.samples) - read.margin[1]


def _count_inside(runs: Sequence[tuple[int, int]], first: int, stop: int) -> tuple[int, int]:
    """Real samples, and stretches without any, inside ``[first, stop)``."""
    n_real = n_gaps = 0
    here = first
    for begin, end in [*runs, (stop, stop)]:
        n_gaps += here < min(begin, stop)
        n_real += max(0, min(end, stop) - max(begin, first))
        here = max(here, end)
    return n_real, n_gaps


class _Workspace:
    """What one thread keeps from task to task of a build: the open cube, the transform, large buffers."""

    def __init__(self, context: CubeContext) -> None:
        self.context = context
        self.transform: SpectrogramTransform = make_transform(context.spectrogram, context.grid)
        shape = (context.grid.n_frames, context.grid.n_frequencies)
        self.power: npt.NDArray[Any] = np.empty(shape, dtype=context.spectrogram.dtype)
        self.remover = None if context.responses is None else ResponseRemover(context.responses)
        self._preprocessors: dict[float, Preprocessor] = {}
        self._store: CubeStore | None = None

    def preprocessor(self, native_rate_hz: float) -> Preprocessor:
        found = self._preprocessors.get(native_rate_hz)
        if found is None:
            found = make_preprocessor(self.context.spectrogram, native_rate_hz)
            self._preprocessors[native_rate_hz] = found
        return found

    def margins(self, native_rate_hz: float) -> tuple[int, int]:
        return native_margins(self.preprocessor(native_rate_hz), self.context.grid)

    def compute(
        self, task: CubeTask, read: SegmentRead, seconds: dict[str, float]
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8], int]:
        """Power (a buffer of this object) and coverage of a segment; the time of each step is noted.

        Last comes how many frames with samples had no response to remove.
        """
        assert read.segment is not None
        grid = self.context.grid
        with _timed(seconds, "preprocess"):
            preprocessor = self.preprocessor(read.native_rate_hz)
            samples, runs = preprocessor.apply(read.segment.samples, read.segment.runs)
            coverage = frame_coverage(runs, grid.n_frames, grid.nperseg, grid.hop)
        with _timed(seconds, "transform"):
            samples = samples[: grid.samples_per_segment + grid.tail_samples]
            if self.remover is None:
                self.transform(samples, coverage=coverage, out=self.power)
                return self.power, coverage, 0
            n_lost = self._transform_to_motion(self.remover, task, samples, coverage)
        return self.power, coverage, n_lost

    def _transform_to_motion(
        self,
        remover: ResponseRemover,
        task: CubeTask,
        samples: npt.NDArray[np.float32],
        coverage: npt.NDArray[np.uint8],
    ) -> int:
        """Power of ground motion into the buffer; coverage becomes 0 where no response holds."""
        grid = self.context.grid
        covered = np.count_nonzero(coverage)
        starts, length_ns = frame_times_ns(grid, task.start_ns)
        for first, stop, factor in remover.runs(task.responses, starts, length_ns):
            if factor is None:
                coverage[first:stop] = 0
            self.transform(
                samples[first * grid.hop : (stop - 1) * grid.hop + grid.nperseg],
                coverage=coverage[first:stop],
                out=self.power[first:stop],
                factor=factor,
            )
        if covered and not coverage.any():
            raise no_response(task.channel, task.start_ns, task.responses)
        return int(covered - np.count_nonzero(coverage))

    def nothing(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
        """Power and coverage of a segment without samples."""
        self.power.fill(np.nan)
        return self.power, np.zeros(self.context.grid.n_frames, dtype=np.uint8)

    def store_of(self, task: CubeTask) -> CubeStore:
        """The cube, opened once, checked to be the one that the task was planned for."""
        if self._store is None:
            self._store = CubeStore.open(self.context.cube, "r+")
        check_planned_for(self._store, task, self.context.fingerprint)
        return self._store


_kept = threading.local()


def _workspace_for(context: CubeContext) -> _Workspace:
    kept: _Workspace | None = getattr(_kept, "workspace", None)
    if kept is None or kept.context.build != context.build:
        _kept.workspace = None  # let the old buffers go before the new ones come
        kept = _kept.workspace = _Workspace(context)
    return kept


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - began
