"""Removing the instrument response from the power of frames, each by the epoch that holds it.

A frame is corrected by the response that holds over all of its samples. A frame that two different
responses share, or that reaches outside every epoch, stands for no ground motion: it gets no coverage.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scaledec.archive.responses import load_gain_db
from scaledec.errors import UnreadableInputError
from scaledec.grid import SpectrogramGrid
from scaledec.location import Location
from scaledec.numerics.signal.response import amplitude_factor, frames_of_spans
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId, ResponseSpan, format_time

__all__ = ["FrameRun", "ResponseRemover", "check_responses", "frame_times_ns", "no_response"]


class FrameRun(NamedTuple):
    """Successive frames under one response."""

    first: int
    stop: int
    """Exclusive."""
    factor: npt.NDArray[np.float32] | None
    """For :class:`~scaledec.numerics.signal.stft.SpectrogramTransform`; ``None`` where no response holds."""


class ResponseRemover:
    """Tells what to multiply amplitudes by; keeps what it has read, for one thread.

    Parameters
    ----------
    place
        Where planning has stored the gains.
    """

    def __init__(self, place: Location) -> None:
        self._place = place
        self._factors: dict[str, npt.NDArray[np.float32]] = {}

    def runs(
        self, spans: Sequence[ResponseSpan], frame_start_ns: npt.NDArray[np.int64], frame_ns: int
    ) -> list[FrameRun]:
        """All frames in order, cut where the response changes.

        Parameters
        ----------
        spans
            ``CubeTask.responses``.
        frame_start_ns, frame_ns
            Start of each frame, ascending, shape (frame,), and the time from its first to its last sample.

        Raises
        ------
        UnreadableInputError
            If a gain is missing from its place.
        """
        known = [span for span in spans if span.response is not None]
        found = frames_of_spans(
            np.array([span.start_ns for span in known], dtype=np.int64),
            np.array([span.end_ns for span in known], dtype=np.int64),
            frame_start_ns,
            frame_ns,
        )
        borders = [0, *(np.flatnonzero(np.diff(found)) + 1).tolist(), len(found)]
        return [
            FrameRun(first, stop, None if found[first] < 0 else self._factor(known[found[first]]))
            for first, stop in itertools.pairwise(borders)
            if first < stop
        ]

    def _factor(self, span: ResponseSpan) -> npt.NDArray[np.float32]:
        assert span.response is not None
        factor = self._factors.get(span.response)
        if factor is None:
            factor = amplitude_factor(load_gain_db(self._place, span.response))
            self._factors[span.response] = factor
        return factor


def frame_times_ns(grid: SpectrogramGrid, start_ns: int) -> tuple[npt.NDArray[np.int64], int]:
    """Start of each frame of a segment, shape (frame,), and the time from its first to its last sample."""
    offsets = np.rint(grid.frame_s * NANOSECONDS_PER_SECOND).astype(np.int64)
    length_s = (grid.nperseg - 1) / grid.sampling_rate_hz
    return start_ns + offsets, round(length_s * NANOSECONDS_PER_SECOND)


def check_responses(channel: ChannelId, start_ns: int, spans: Sequence[ResponseSpan]) -> None:
    """Raise ``UnreadableInputError`` if no response at all is known of a segment."""
    if not any(span.response is not None for span in spans):
        raise no_response(channel, start_ns, spans)


def no_response(channel: ChannelId, start_ns: int, spans: Sequence[ResponseSpan]) -> UnreadableInputError:
    """The error that says why no response can be removed."""
    reasons = "; ".join(dict.fromkeys(span.reason for span in spans if span.reason)) or (
        "no epoch with a response holds over its samples"
    )
    return UnreadableInputError(
        f"{channel} has no response at {format_time(start_ns)}: {reasons}; add it to the StationXML, or "
        "leave the channel out of archive.channels"
    )
