"""Label the windows of one shard of the archive with a trained model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from scaledec.errors import StoreError
from scaledec.grid import EventGrid
from scaledec.stages.label_region import LabelContext, failed, write_block
from scaledec.stages.readahead import read_ahead
from scaledec.stages.sensors import sensors_of
from scaledec.stages.window_reader import SegmentWindows, open_windows
from scaledec.store.cubes import open_cube
from scaledec.store.event_variables import NOT_A_TIME
from scaledec.store.labels import LabelBlock, LabelStore
from scaledec.store.open import decode_in_one_thread
from scaledec.training.saved_model import SavedModel
from scaledec.vocabulary import LabelTask, TaskResult, WindowState

__all__ = ["LabelContext", "Labeller", "label_task"]


@dataclass(frozen=True, slots=True)
class _Part:
    """Some windows of one segment."""

    row: int
    """Of the segment in its task."""
    chosen: npt.NDArray[np.int64]
    """Numbers of the windows."""
    windows: npt.NDArray[Any]
    """Their power, shape (chosen, [plane,] frame, frequency)."""

    @classmethod
    def of(cls, row: int, segment: SegmentWindows, chosen: npt.NDArray[np.int64]) -> _Part:
        return cls(row, chosen, segment.gather(chosen))

    def alone(self) -> _Part:
        """The same without the segment behind it, to wait until other segments' windows fill a batch."""
        return _Part(self.row, self.chosen, self.windows.copy())


class Labeller:
    """Labels tasks one after another with a model that is loaded once.

    Memory holds two segments (one is read ahead), a batch of windows and the labels of a shard.
    """

    def __init__(self, context: LabelContext, *, threads: int | None = None, gpu: bool = False) -> None:
        """Open the cube and load the model.

        Parameters
        ----------
        context
            The cube, the model and how windows are cut.
        threads
            Threads that compute in this whole process, beside one that reads; ``None`` leaves them as
            they are.
        gpu
            Whether the network works on this process's first GPU.
        """
        if threads is not None:
            torch.set_num_threads(threads)
            decode_in_one_thread()
        self.context = context
        self._cube = open_cube(context.cube)
        self._windows = open_windows(self._cube, context.windows, context.components)
        sensors = sensors_of(self._cube.channels, context.components)
        self._sources = [sensor.sources for sensor in sensors]
        # Decoding in a second thread would only take the first one's core and its caches.
        self._in_place = context.cube.is_local and not gpu
        self._model = SavedModel.load(context.model, device=torch.device("cuda" if gpu else "cpu"))

    def label(self, task: LabelTask) -> LabelBlock:
        """Label every window that starts in the task's segments.

        Windows with too few real samples, or with a value that is not finite, are left unlabelled:
        label -1, ``state`` with what they lack, everything else NaN.

        Raises
        ------
        StoreError
            If a segment of the cube cannot be read.
        """
        block, step = self._unlabelled(task), self.context.batch
        waiting: list[_Part] = []
        for row, segment in self._segments(task):
            block.state[row] = segment.state
            chosen = np.flatnonzero(block.state[row] == WindowState.LABELLED)
            if block.onset is not None and segment.onset_ns is not None:
                block.onset[row] = segment.onset_ns
            for start in range(0, len(chosen), step):
                part = _Part.of(row, segment, chosen[start : start + step])
                if len(part.chosen) == step:
                    self._label(block, [part])
                    continue
                waiting.append(part.alone())
                if sum(len(part.chosen) for part in waiting) >= step:
                    self._label(block, waiting)
                    waiting = []
        self._label(block, waiting)
        return block

    def run(self, task: LabelTask) -> TaskResult:
        """Label a task and write its region; a part of the cube that cannot be read is a failed result.

        Raises
        ------
        StoreError
            If the labels cannot be written.
        """
        started = time.perf_counter()
        try:
            block = self.label(task)
        except StoreError as error:
            return failed(task, str(error))
        labels = LabelStore.open(self.context.labels, "r+")
        return write_block(labels, task, block, label_s=time.perf_counter() - started)

    def _segments(self, task: LabelTask) -> Iterator[tuple[int, SegmentWindows]]:
        """The task's segments, the last one first, each with its row.

        Backwards, because the last windows of a segment need the next one's first frames. One is read ahead:
        by a thread, or, from a local cube without a GPU, by the operating system alone.
        """
        following: SegmentWindows | None = None

        def read(time_index: int) -> SegmentWindows:
            nonlocal following
            following = self._windows.read_segment(task.channel_index, time_index, following)
            return following

        times = range(task.first_time_index, task.stop_time_index)[::-1]
        segments = self._in_turn(task, times, read) if self._in_place else read_ahead(read, times)
        for time_index, segment in zip(times, segments, strict=True):
            yield time_index - task.first_time_index, segment

    def _in_turn(
        self, task: LabelTask, times: Sequence[int], read: Callable[[int], SegmentWindows]
    ) -> Iterator[SegmentWindows]:
        for time_index in times:
            segment = read(time_index)
            if time_index > task.first_time_index:
                for channel_index in self._sources[task.channel_index]:
                    self._cube.ask_ahead(channel_index, time_index - 1)
            yield segment

    def _label(self, block: LabelBlock, parts: Sequence[_Part]) -> None:
        """Enter what the model says of some windows."""
        if not parts:
            return
        windows = parts[0].windows if len(parts) == 1 else np.concatenate([part.windows for part in parts])
        z_ND = self._model.embed(windows, precision=self.context.precision)
        found = self._model.assign(z_ND)
        rows = np.repeat([part.row for part in parts], [len(part.chosen) for part in parts])
        at = rows, np.concatenate([part.chosen for part in parts])
        block.label[at] = found.label
        block.confidence[at] = found.confidence
        block.distance[at] = found.distance
        block.outlier[at] = found.outlier
        if block.embedding is not None:
            block.embedding[at] = z_ND

    def _unlabelled(self, task: LabelTask) -> LabelBlock:
        shape = task.stop_time_index - task.first_time_index, self._windows.n_windows
        latent = self._model.spec.latent
        return LabelBlock(
            channel_index=task.channel_index,
            first_time_index=task.first_time_index,
            label=np.full(shape, -1, np.int16),
            confidence=np.full(shape, np.nan, np.float32),
            distance=np.full(shape, np.nan, np.float32),
            outlier=np.full(shape, np.nan, np.float32),
            state=np.full(shape, WindowState.NOT_LABELLED, np.uint8),
            embedding=np.full((*shape, latent), np.nan, np.float32) if self.context.embedding else None,
            onset=np.full(shape, NOT_A_TIME) if isinstance(self.context.windows, EventGrid) else None,
        )


def label_task(task: LabelTask, context: LabelContext) -> TaskResult:
    """Label one task and write its region, with a model loaded for it alone.

    For many tasks make one :class:`Labeller` and call its :meth:`~Labeller.run`.
    """
    return Labeller(context).run(task)
