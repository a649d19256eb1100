"""What one thread keeps from task to task of a build, and what comes of a task before it is written."""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from scaledec.archive.archive import Archive, open_archive
from scaledec.archive.segment import MarginSamples, SegmentRead
from scaledec.config import Config, SpectrogramConfig, WindowsConfig, cube_fingerprint
from scaledec.grid import SpectrogramGrid, Windows
from scaledec.location import Location
from scaledec.numerics.signal.coverage import frame_coverage
from scaledec.numerics.signal.preprocess import Preprocessor
from scaledec.numerics.signal.stft import SpectrogramTransform
from scaledec.places import Places
from scaledec.stages.cube_response import FrameRun, ResponseRemover, frame_times_ns, no_response
from scaledec.stages.cube_settings import make_preprocessor, make_transform, native_margins
from scaledec.stages.planned_place import check_planned_for
from scaledec.store.cube import CubeStore, segment_checksum
from scaledec.store.event_cube import EventCubeStore
from scaledec.vocabulary import ArchiveObject, CubeTask, JsonValue

__all__ = ["CubeContext", "FrameWorkspace", "Product", "Workspace", "timed", "transform_to_motion"]

# Kernels that decimate are a little longer than those at the cube's own rate.
_LITTLE_MORE = 1.1

StoreT = TypeVar("StoreT", CubeStore, EventCubeStore)


@dataclass(frozen=True, slots=True)
class CubeContext:
    """What all tasks of one build share; small and picklable."""

    cube: Location
    archive: Archive
    spectrogram: SpectrogramConfig
    grid: SpectrogramGrid
    fingerprint: str
    windows: WindowsConfig
    window_grid: Windows
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
            windows=config.windows,
            window_grid=config.window_grid,
            responses=None if config.spectrogram.response is None else places.responses,
        )


@dataclass(frozen=True, slots=True)
class Product:
    """What was computed of a segment."""

    holds: bool
    """Whether there was a sample to make anything of."""
    write: Callable[[CubeTask], int]
    """Writes it to its place in the cube; returns its checksum."""
    checksum: Callable[[], int]
    """What :attr:`write` would return."""
    details: Mapping[str, JsonValue] = field(default_factory=dict)
    """What the ledger should know beside what reading has told."""
    unreadable: tuple[tuple[ArchiveObject, str], ...] = ()
    """Objects of other channels that were needed and could not be used, and why."""


class Workspace(ABC, Generic[StoreT]):
    """The open cube, filters and buffers of one build in one thread."""

    store_type: type[StoreT]

    def __init__(self, context: CubeContext) -> None:
        self.context = context
        self.transform: SpectrogramTransform = make_transform(context.spectrogram, context.grid)
        self.remover = None if context.responses is None else ResponseRemover(context.responses)
        self._preprocessors: dict[float, Preprocessor] = {}
        self._store: StoreT | None = None

    @abstractmethod
    def margins_of(self, task: CubeTask) -> MarginSamples:
        """What to read of the task's channel around its segment."""

    @abstractmethod
    def compute(self, task: CubeTask, read: SegmentRead, seconds: dict[str, float]) -> Product:
        """What comes of the samples of a segment; the time of each step is noted."""

    @abstractmethod
    def nothing(self) -> Product:
        """What comes of a segment without samples."""

    def expected_s(self, margins: MarginSamples) -> float:
        """About how long margins are in seconds, whatever the channel's rate: filters reach alike."""
        rate = self.context.grid.sampling_rate_hz
        return _LITTLE_MORE * max(margins(rate)) / rate

    def preprocessor(self, native_rate_hz: float) -> Preprocessor:
        """What is done to samples of this rate."""
        found = self._preprocessors.get(native_rate_hz)
        if found is None:
            found = make_preprocessor(self.context.spectrogram, native_rate_hz)
            self._preprocessors[native_rate_hz] = found
        return found

    def store_of(self, task: CubeTask) -> StoreT:
        """The cube, opened once, checked to be the one that the task was planned for."""
        if self._store is None:
            self._store = self.store_type.open(self.context.cube, "r+")
        check_planned_for(self._store, task, self.context.fingerprint)
        return self._store


class FrameWorkspace(Workspace[CubeStore]):
    """For continuous cubes."""

    store_type = CubeStore

    def __init__(self, context: CubeContext) -> None:
        super().__init__(context)
        shape = (context.grid.n_frames, context.grid.n_frequencies)
        self.power: npt.NDArray[Any] = np.empty(shape, dtype=context.spectrogram.dtype)

    def margins_of(self, task: CubeTask) -> MarginSamples:
        """What the filter reaches, and what the last frames use."""
        return lambda rate: native_margins(self.preprocessor(rate), self.context.grid)

    def compute(self, task: CubeTask, read: SegmentRead, seconds: dict[str, float]) -> Product:
        """Power (a buffer of this object) and coverage of every frame."""
        assert read.segment is not None
        grid = self.context.grid
        with timed(seconds, "preprocess"):
            preprocessor = self.preprocessor(read.native_rate_hz)
            samples, runs = preprocessor.apply(read.segment.samples, read.segment.runs)
            coverage = frame_coverage(runs, grid.n_frames, grid.nperseg, grid.hop)
        with timed(seconds, "transform"):
            samples = samples[: grid.samples_per_segment + grid.tail_samples]
            if self.remover is None:
                self.transform(samples, coverage=coverage, out=self.power)
                return self._product(coverage)
            n_lost = self._transform_to_motion(self.remover, task, samples, coverage)
        return self._product(coverage, {"n_frames_without_response": n_lost} if n_lost else {})

    def _transform_to_motion(
        self,
        remover: ResponseRemover,
        task: CubeTask,
        samples: npt.NDArray[np.float32],
        coverage: npt.NDArray[np.uint8],
    ) -> int:
        """Power of ground motion into the buffer; coverage becomes 0 where no response holds."""
        covered = np.count_nonzero(coverage)
        starts, length_ns = frame_times_ns(self.context.grid, task.start_ns)
        spans = remover.runs(task.responses, starts, length_ns)
        transform_to_motion(self.transform, spans, samples, coverage, self.power)
        if covered and not coverage.any():
            raise no_response(task.channel, task.start_ns, task.responses)
        return int(covered - np.count_nonzero(coverage))

    def nothing(self) -> Product:
        """Power that is not there."""
        self.power.fill(np.nan)
        return self._product(np.zeros(self.context.grid.n_frames, dtype=np.uint8))

    def _product(
        self, coverage: npt.NDArray[np.uint8], details: Mapping[str, JsonValue] | None = None
    ) -> Product:
        """Of the power in the buffer."""

        def write(task: CubeTask) -> int:
            store = self.store_of(task)
            return store.write_segment(task.channel_index, task.time_index, self.power, coverage)

        checksum = partial(segment_checksum, self.power, coverage)
        return Product(bool(coverage.any()), write, checksum, details or {})


def transform_to_motion(
    transform: SpectrogramTransform,
    runs: Sequence[FrameRun],
    samples: npt.NDArray[np.float32],
    coverage: npt.NDArray[np.uint8],
    out: npt.NDArray[Any],
) -> None:
    """Power of frames with the response that holds for each removed; no coverage where none holds.

    Parameters
    ----------
    runs
        From :meth:`~scaledec.stages.cube_response.ResponseRemover.runs`.
    samples, coverage
        Of the frames; coverage is overwritten.
    out
        Where power goes, shape (frame, frequency).
    """
    for first, stop, factor in runs:
        if factor is None:
            coverage[first:stop] = 0
        transform(
            samples[first * transform.hop : (stop - 1) * transform.hop + transform.nperseg],
            coverage=coverage[first:stop],
            out=out[first:stop],
            factor=factor,
        )


@contextmanager
def timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    """Add what the block takes to the seconds of a step."""
    began = time.perf_counter()
    yield
    seconds[step] = seconds.get(step, 0.0) + time.perf_counter() - began
