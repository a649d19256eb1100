"""One task of an event cube: find events on the channel that detects, cut the windows of the task's own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from scaledec.archive.segment import MarginSamples, SegmentRead, read_segment
from scaledec.grid import EventGrid
from scaledec.numerics.signal.preprocess import Runs
from scaledec.stages.cube_response import frame_times_ns
from scaledec.stages.cube_settings import event_margins, make_finder
from scaledec.stages.cube_workspace import CubeContext, Product, Workspace, timed, transform_to_motion
from scaledec.stages.event_finder import FoundEvents
from scaledec.stages.event_segment import cut_events
from scaledec.stages.segment_inputs import CHANGED
from scaledec.store.event_cube import EventCubeStore, SegmentEvents
from scaledec.vocabulary import ArchiveObject, CubeTask, JsonValue

__all__ = ["EventWorkspace"]

_Record: TypeAlias = "tuple[npt.NDArray[np.float32], Runs, int]"
"""Samples at the cube's rate, which of them are real, and how many lie before the segment."""


class EventWorkspace(Workspace[EventCubeStore]):
    """For cubes of events."""

    store_type = EventCubeStore

    def __init__(self, context: CubeContext) -> None:
        super().__init__(context)
        assert isinstance(context.window_grid, EventGrid)
        self._windows: EventGrid = context.window_grid
        self._finder = make_finder(context.windows, self._windows, context.spectrogram, context.grid)

    def margins_of(self, task: CubeTask) -> MarginSamples:
        """What searching needs where the channel detects for itself; otherwise what its windows reach."""
        lead = 0 if self._detects_elsewhere(task) else self._finder.lead
        return lambda rate: self._margins(rate, lead)

    def compute(self, task: CubeTask, read: SegmentRead, seconds: dict[str, float]) -> Product:
        """Windows at the events of the segment."""
        unreadable: tuple[tuple[ArchiveObject, str], ...] = ()
        changed = 0
        record = self._record(read, seconds)
        if self._detects_elsewhere(task):
            detecting = self._read_detecting(task, seconds)
            unreadable, changed = detecting.unreadable, len(detecting.changed)
            found = self._find(task, self._record(detecting, seconds), seconds)
        else:
            found = self._find(task, record, seconds)
        with timed(seconds, "transform"):
            samples, runs, lead = record
            events = cut_events(
                found,
                samples,
                runs,
                lead=lead,
                start_ns=task.start_ns,
                windows=self._windows,
                grid=self.context.grid,
                transform=partial(self._transform, task),
                dtype=self.context.spectrogram.dtype,
            )
        details: dict[str, JsonValue] = {"n_events": len(events)}
        if found.n_dropped:
            details["n_dropped"] = found.n_dropped
        if self._detects_elsewhere(task):
            details["detected_on"] = str(task.detect_on)
        if changed:
            details[CHANGED] = changed + len(read.changed)
        return self._product(events, holds=True, details=details, unreadable=unreadable)

    def nothing(self) -> Product:
        """No events."""
        return self._product(None, holds=False)

    def _detects_elsewhere(self, task: CubeTask) -> bool:
        return task.detect_on not in (None, task.channel)

    def _read_detecting(self, task: CubeTask, seconds: dict[str, float]) -> SegmentRead:
        """The channel of the same station whose events the task's channel gets windows at."""
        assert task.detect_on is not None
        margins = partial(self._margins, lead=self._finder.lead)
        read = read_segment(
            self.context.archive,
            task.detect_on,
            task.detect_objects,
            start_ns=task.start_ns,
            end_ns=task.start_ns + self.context.grid.segment_ns,
            margin_samples=margins,
            expected_s=self.expected_s(margins),
            neighbours=task.detect_neighbours,
        )
        for step, taken in (("read", read.read_s), ("decode", read.decode_s)):
            seconds[step] = seconds.get(step, 0.0) + taken
        return read

    def _margins(self, rate: float, lead: int) -> tuple[int, int]:
        return event_margins(self.preprocessor(rate), self.context.grid, lead, self._finder.tail)

    def _record(self, read: SegmentRead, seconds: dict[str, float]) -> _Record:
        """What was read at the cube's rate, and how many samples of it lie before the segment."""
        if read.segment is None:
            return np.zeros(0, np.float32), (), 0
        with timed(seconds, "preprocess"):
            preprocessor = self.preprocessor(read.native_rate_hz)
            samples, runs = preprocessor.apply(read.segment.samples, read.segment.runs)
        before = read.margin[0] - preprocessor.margin_samples
        return samples, tuple(runs), before * preprocessor.up // preprocessor.down

    def _find(self, task: CubeTask, record: _Record, seconds: dict[str, float]) -> FoundEvents:
        samples, runs, lead = record
        with timed(seconds, "detect"):
            if self.context.windows.mode == "catalog":
                return self._finder.at(task.times_ns, task.start_ns, samples, lead)
            return self._finder.search(samples, runs, lead)

    def _transform(
        self,
        task: CubeTask,
        samples: npt.NDArray[np.float32],
        starts_ns: npt.NDArray[np.int64],
        coverage: npt.NDArray[np.uint8],
        out: npt.NDArray[Any],
    ) -> None:
        """Power of one window; of ground motion, where responses are removed."""
        if self.remover is None:
            self.transform(samples, coverage=coverage, out=out)
            return
        _, length_ns = frame_times_ns(self.context.grid, task.start_ns)
        spans = self.remover.runs(task.responses, starts_ns, length_ns)
        transform_to_motion(self.transform, spans, samples, coverage, out)

    def _product(
        self,
        events: SegmentEvents | None,
        *,
        holds: bool,
        details: Mapping[str, JsonValue] | None = None,
        unreadable: tuple[tuple[ArchiveObject, str], ...] = (),
    ) -> Product:
        def write(task: CubeTask) -> int:
            store = self.store_of(task)
            return store.write_segment(task.channel_index, task.time_index, events or store.none())

        def checksum() -> int:
            return 0 if events is None else events.checksum

        return Product(holds, write, checksum, details or {}, unreadable)
