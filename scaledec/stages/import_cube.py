"""Tasks of the cube whose spectrograms are read from a foreign cube instead of computed.

A task is one segment of one channel, as for miniSEED: one shard, one line of the ledger. But a chunk of a
foreign cube spans many channels, so tasks that lie in the same chunks are done together: each chunk is read
and decoded once.
"""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from scaledec.archive.foreign import ForeignCube, open_foreign
from scaledec.archive.foreign_listing import stored_frequencies
from scaledec.archive.time_runs import PlacedRun, TimeRun, runs_in_segment
from scaledec.config import Config, cube_fingerprint
from scaledec.config.imported import ForeignCubeConfig
from scaledec.errors import UnreadableInputError
from scaledec.grid import ImportedGrid
from scaledec.location import Location
from scaledec.numerics.imported import convert_power, covered_percent
from scaledec.stages.cube_plan import CubePlan
from scaledec.stages.planned_place import check_planned_for
from scaledec.store.cube import CubeStore, segment_checksum
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, CubeTask, JsonValue, Status, TaskResult

__all__ = [
    "BlockShape",
    "ImportContext",
    "block_shape",
    "import_block",
    "import_blocks",
    "import_checksum",
]

# Of spectrograms held until their segments are whole; half a gigabyte a worker with what is read beside it.
_BLOCK_BYTES = 192 * 2**20
_READ_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True)
class ImportContext:
    """What all tasks of one import share; small and picklable."""

    cube: Location
    source: Location
    settings: ForeignCubeConfig
    grid: ImportedGrid
    told_hz: tuple[float, ...]
    """``spectrogram.imported.frequency_hz``."""
    scale: Literal["db", "linear"]
    dtype: Literal["float16", "float32"]
    fingerprint: str
    runs: tuple[TimeRun, ...]
    """Of the foreign cube's time axis."""
    build: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Names this build: what a process keeps open for one build is not used for another."""

    @classmethod
    def of(cls, config: Config, runs: Sequence[TimeRun], *, cube: Location) -> ImportContext:
        """The context of a configuration with ``archive.layout: cube``."""
        archive, spectrogram, grid = config.archive, config.spectrogram, config.spectrogram_grid
        assert archive.cube is not None
        assert spectrogram.imported is not None
        assert isinstance(grid, ImportedGrid)
        return cls(
            cube=cube,
            source=archive.location,
            settings=archive.cube,
            grid=grid,
            told_hz=spectrogram.imported.frequencies_hz,
            scale=spectrogram.scale,
            dtype=spectrogram.dtype,
            fingerprint=cube_fingerprint(config),
            runs=tuple(runs),
        )


@dataclass(frozen=True, slots=True)
class BlockShape:
    """How many channels and segments are imported together."""

    channels: int
    segments: int
    n_bytes: int
    """Held by one worker at most: the block, a piece of the foreign cube, and what decoding it needs."""


def block_shape(foreign: ForeignCube, grid: ImportedGrid, dtype: str) -> BlockShape:
    """The block that reads each foreign chunk once, or as often as memory's bound makes necessary."""
    shard = grid.n_frames * grid.n_frequencies * np.dtype(dtype).itemsize
    segments = min(max(1, -(-foreign.chunk("time") // grid.n_frames)), max(1, _BLOCK_BYTES // shard))
    channels = min(foreign.chunk("channel"), max(1, _BLOCK_BYTES // (shard * segments)))
    chunk = int(np.prod([foreign.chunk(axis) for axis in foreign.order])) * foreign.power.dtype.itemsize
    # What is read lies there compressed, decoded chunk by chunk and joined, and the allocator keeps some of
    # it: seven times as much as is read was measured. Beside it the block, and shards on their way out.
    return BlockShape(channels, segments, (channels * segments + 4) * shard + 8 * max(chunk, _READ_BYTES))


def import_blocks(plan: CubePlan, foreign: ForeignCube, shape: BlockShape) -> Iterator[tuple[CubeTask, ...]]:
    """A plan's tasks in groups that share chunks, each group for one call of :func:`import_block`."""
    known = {channel: index for index, channel in enumerate(foreign.channels)}
    # Channels that the foreign cube holds no more have no task.
    place = np.array([known.get(channel, -1) for channel in plan.channels], np.int64)
    indices, times = place[plan.tasks.places[:, 0]], plan.tasks.places[:, 1]
    step = foreign.chunk("channel")
    groups = np.stack([indices // step, indices % step // shape.channels, times // shape.segments], axis=1)
    order = np.lexsort((times, indices, *groups.T[::-1]))
    groups = groups[order]
    ends = np.flatnonzero((np.diff(groups, axis=0) != 0).any(axis=1)) + 1
    tasks = iter(plan.tasks.in_order(order))
    for n in np.diff([0, *ends.tolist(), len(order)]).tolist():
        if n:
            yield tuple(itertools.islice(tasks, n))


def import_block(tasks: Sequence[CubeTask], context: ImportContext) -> tuple[TaskResult, ...]:
    """Read, convert and write the segments of a block of channels; one result a task.

    Parameters
    ----------
    tasks
        Of channels in one block, from :func:`import_blocks`.
    context
        Of the same configuration.

    Returns
    -------
    tuple of TaskResult
        ``done`` if any frame has a value, ``empty`` if none, ``failed`` if a part of the foreign cube cannot
        be read or its time axis is not regular there; frames read from other parts are written all the
        same. Details: ``checksum`` (if written), ``n_frames``, ``offset_s`` (if a frame was moved to the
        grid), ``seconds``.

    Raises
    ------
    StoreError
        If the cube cannot be written: the run cannot go on.
    """
    workspace = _workspace_for(context)
    block = _Block(workspace, tasks)
    block.read()
    return tuple(block.write(task) for task in tasks)


def import_checksum(task: CubeTask, context: ImportContext) -> int | None:
    """The checksum of what a task would write; ``None`` for nothing.

    Raises
    ------
    UnreadableInputError
        If a part of the foreign cube cannot be read.
    """
    block = _Block(_workspace_for(context), (task,))
    block.read()
    return block.checksum(task)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Frames of one segment that follow one another in the foreign cube."""

    row: int
    """Of the segment in the block."""
    placed: PlacedRun

    def within(self, first: int, stop: int) -> _Piece:
        """The part of it inside a range of foreign frames."""
        placed = self.placed
        begin = max(placed.first, first)
        cut = placed._replace(
            first=begin, stop=min(placed.stop, stop), position=placed.position + begin - placed.first
        )
        return _Piece(self.row, cut)


class _Block:
    """Power of some channels and segments, filled piece by piece."""

    def __init__(self, workspace: _Workspace, tasks: Sequence[CubeTask]) -> None:
        self._workspace, self._context = workspace, workspace.context
        grid = self._context.grid
        self._first = min(workspace.place[task.channel] for task in tasks)
        self._stop = max(workspace.place[task.channel] for task in tasks) + 1
        self._starts = sorted({task.start_ns for task in tasks})
        shape = (len(self._starts), self._stop - self._first, grid.n_frames, grid.n_frequencies)
        self._power: npt.NDArray[Any] = np.full(shape, np.nan, dtype=self._context.dtype)
        self._coverage = np.zeros(shape[:3], np.uint8)
        self._offset_s = [0.0] * len(self._starts)
        self._faults: defaultdict[int, list[str]] = defaultdict(list)
        self._seconds = {"read": 0.0, "convert": 0.0}
        self._n_tasks = len(tasks)

    def read(self) -> None:
        """Read every piece; what cannot be read is noted for the segments it belongs to."""
        grid = self._context.grid
        pieces = [
            _Piece(row, placed)
            for row, start_ns in enumerate(self._starts)
            for placed in runs_in_segment(self._context.runs, start_ns, grid.segment_ns, grid.n_frames)
        ]
        self._read_by(self._workspace.window, [piece for piece in pieces if self._is_regular(piece)])

    def _is_regular(self, piece: _Piece) -> bool:
        hop_ns = self._context.grid.hop_s * NANOSECONDS_PER_SECOND
        placed = piece.placed
        try:
            self._workspace.foreign.time.check(placed.run, placed.first, placed.stop, hop_ns)
        except UnreadableInputError as error:
            self._faults[piece.row].append(str(error))
            return False
        return True

    def _read_by(self, window: int, pieces: Sequence[_Piece]) -> None:
        """Read stretches of the foreign time axis in order; one that fails, chunk by chunk."""
        by_window: defaultdict[int, list[_Piece]] = defaultdict(list)
        for piece in pieces:
            first, last = piece.placed.first // window, (piece.placed.stop - 1) // window
            for number in range(first, last + 1):
                by_window[number].append(piece)
        chunk = self._workspace.foreign.chunk("time")
        for number, inside in sorted(by_window.items()):
            begin, end = number * window, (number + 1) * window
            try:
                self._read_window(begin, end, inside)
            except UnreadableInputError as error:
                if window > chunk:
                    self._read_by(chunk, [piece.within(begin, end) for piece in inside])
                    continue
                for row in {piece.row for piece in inside}:
                    self._faults[row].append(str(error))

    def checksum(self, task: CubeTask) -> int | None:
        """Of what would be written; ``None`` for nothing."""
        row, power, coverage = self._of(task)
        if self._faults[row]:
            raise UnreadableInputError("; ".join(self._faults[row]))
        return segment_checksum(power, coverage) if coverage.any() else None

    def _of(self, task: CubeTask) -> tuple[int, npt.NDArray[Any], npt.NDArray[np.uint8]]:
        """Row, power and coverage of one segment."""
        row = self._starts.index(task.start_ns)
        channel = self._workspace.place[task.channel] - self._first
        return row, self._power[row, channel], self._coverage[row, channel]

    def write(self, task: CubeTask) -> TaskResult:
        """Write one shard and say what came of it."""
        row, power, coverage = self._of(task)
        details: dict[str, JsonValue] = {"n_frames": int(np.count_nonzero(coverage))}
        if self._offset_s[row]:
            details["offset_s"] = round(self._offset_s[row], 9)
        began = time.perf_counter()
        reason = "; ".join(self._faults[row]) or None
        status: Status = "failed" if reason else "done" if coverage.any() else "empty"
        # Also where there is nothing: what an earlier version of the foreign cube gave must not stay.
        checksum = self._workspace.store_of(task).write_segment(
            task.channel_index, task.time_index, power, coverage
        )
        if coverage.any():
            details["checksum"] = checksum
        # What was read for all is shared by all.
        seconds = {step: value / self._n_tasks for step, value in self._seconds.items()}
        seconds["write"] = time.perf_counter() - began
        details["seconds"] = {step: round(value, 4) for step, value in seconds.items()}
        return TaskResult(task.key, task.fingerprint, status, reason, details)

    def _read_window(self, begin: int, end: int, pieces: Sequence[_Piece]) -> None:
        """Read what the pieces need of one stretch of the foreign time axis, and put it in its places."""
        workspace, context = self._workspace, self._context
        parts = [piece.within(begin, end) for piece in pieces]
        first, stop = min(part.placed.first for part in parts), max(part.placed.stop for part in parts)
        began = time.perf_counter()
        values = workspace.foreign.read(
            slice(first, stop), slice(self._first, self._stop), workspace.frequencies
        )
        self._seconds["read"] += time.perf_counter() - began
        began = time.perf_counter()
        for channel, own in enumerate(values):
            # A channel at a time stays in the cache, and needs no second copy of what was read.
            power = convert_power(workspace.foreign.unpacked(own), context.settings.scale, context.scale)
            coverage = covered_percent(power)
            power[coverage == 0] = np.nan
            for row, placed in ((part.row, part.placed) for part in parts):
                taken = slice(placed.first - first, placed.stop - first)
                frames = slice(placed.position, placed.position + placed.stop - placed.first)
                self._power[row, channel, frames] = power[taken]
                self._coverage[row, channel, frames] = coverage[taken]
        for part in parts:
            self._offset_s[part.row] = max(self._offset_s[part.row], part.placed.offset_s, key=abs)
        self._seconds["convert"] += time.perf_counter() - began


class _Workspace:
    """What one thread keeps from block to block: both cubes open, and what lies where in the foreign one."""

    def __init__(self, context: ImportContext) -> None:
        self.context = context
        self.foreign = open_foreign(context.source, context.settings)
        self.place = {channel: index for index, channel in enumerate(self.foreign.channels)}
        self.frequencies = stored_frequencies(self.foreign, context.grid, context.told_hz)
        chunk = self.foreign.chunk("time")
        row = self.foreign.chunk("channel") * self.foreign.length("frequency")
        in_memory = max(1, _READ_BYTES // (row * self.foreign.power.dtype.itemsize * chunk))
        self.window = chunk * in_memory
        """Foreign frames that are read at once: whole chunks."""
        self._store: CubeStore | None = None

    def store_of(self, task: CubeTask) -> CubeStore:
        """The cube, opened once, checked to be the one that the task was planned for."""
        if self._store is None:
            self._store = CubeStore.open(self.context.cube, "r+")
        check_planned_for(self._store, task, self.context.fingerprint)
        return self._store


_kept = threading.local()


def _workspace_for(context: ImportContext) -> _Workspace:
    kept: _Workspace | None = getattr(_kept, "workspace", None)
    if kept is None or kept.context.build != context.build:
        kept = _kept.workspace = _Workspace(context)
    return kept
