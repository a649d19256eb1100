"""Label the windows of one shard of the archive with a trained model."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from scaledec.errors import StoreError
from scaledec.numerics.windows import finite_frames, finite_windows, gather_windows, usable_windows
from scaledec.stages.label_region import LabelContext, failed, write_block
from scaledec.stages.readahead import read_ahead
from scaledec.store.cube import CubeStore
from scaledec.store.labels import LabelBlock, LabelStore
from scaledec.store.open import decode_in_one_thread
from scaledec.training.saved_model import SavedModel
from scaledec.vocabulary import LabelTask, TaskResult

__all__ = ["LabelContext", "Labeller", "label_task"]


@dataclass(frozen=True, slots=True)
class _Segment:
    """What a segment's windows are cut from; kept apart because joining them would copy a day."""

    power: npt.NDArray[Any]
    """Shape (frame, frequency)."""
    head: npt.NDArray[Any]
    """The next segment's first frames, shape (head frame, frequency)."""
    coverage: npt.NDArray[np.uint8]
    """Of both, shape (frame + head frame,)."""


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
        self._cube = CubeStore.open(context.cube)
        self._model = SavedModel.load(context.model, device=torch.device("cuda" if gpu else "cpu"))

    def label(self, task: LabelTask) -> LabelBlock:
        """Label every window that starts in the task's segments.

        Windows with too few real samples, or with a value that is not finite, are left unlabelled:
        label -1, everything else NaN.

        Raises
        ------
        StoreError
            If a segment of the cube cannot be read.
        """
        times = range(task.first_time_index, task.stop_time_index)
        block = self._unlabelled(task)
        segments = read_ahead(lambda time_index: self._read(task.channel_index, time_index), times)
        for row, segment in enumerate(segments):
            chosen = self._usable(segment)
            if not len(chosen):
                continue
            z_ND = self._embed(segment, chosen)
            found = self._model.assign(z_ND)
            block.label[row, chosen] = found.label
            block.confidence[row, chosen] = found.confidence
            block.distance[row, chosen] = found.distance
            if block.embedding is not None:
                block.embedding[row, chosen] = z_ND
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

    def _read(self, channel_index: int, time_index: int) -> _Segment:
        n_frames, n_head = self.context.windows.n_frames, self.context.windows.head_frames
        power, coverage = self._cube.read_frames(channel_index, time_index)
        if not n_head:
            return _Segment(power, power[:0], coverage)
        head, head_coverage = self._cube.read_frames(
            channel_index, time_index, first=n_frames, stop=n_frames + n_head
        )
        return _Segment(power, head, np.concatenate([coverage, head_coverage]))

    def _usable(self, segment: _Segment) -> npt.NDArray[np.int64]:
        """Numbers of the windows that can be labelled, ascending."""
        windows = self.context.windows
        cut = {"length": windows.length, "stride": windows.stride, "n_windows": windows.n_windows}
        usable = usable_windows(segment.coverage, min_coverage=windows.min_coverage, **cut)
        if usable.any():
            finite = np.concatenate([finite_frames(segment.power), finite_frames(segment.head)])
            usable &= finite_windows(finite, **cut)
        return np.flatnonzero(usable)

    def _embed(self, segment: _Segment, chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Embedding of the chosen windows, shape (chosen, latent)."""
        step, cut = self.context.batch, self.context.windows
        parts = []
        for i in range(0, len(chosen), step):
            windows = gather_windows(
                segment.power, segment.head, chosen[i : i + step], length=cut.length, stride=cut.stride
            )
            parts.append(self._model.embed(windows))
        return np.concatenate(parts)

    def _unlabelled(self, task: LabelTask) -> LabelBlock:
        shape = task.stop_time_index - task.first_time_index, self.context.windows.n_windows
        latent = self._model.spec.latent
        return LabelBlock(
            channel_index=task.channel_index,
            first_time_index=task.first_time_index,
            label=np.full(shape, -1, np.int16),
            confidence=np.full(shape, np.nan, np.float32),
            distance=np.full(shape, np.nan, np.float32),
            embedding=np.full((*shape, latent), np.nan, np.float32) if self.context.embedding else None,
        )


def label_task(task: LabelTask, context: LabelContext) -> TaskResult:
    """Label one task and write its region, with a model loaded for it alone.

    For many tasks make one :class:`Labeller` and call its :meth:`~Labeller.run`.
    """
    return Labeller(context).run(task)
