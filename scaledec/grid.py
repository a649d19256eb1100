"""Integer geometry: how a segment divides into samples, frames, frequencies and windows.

All checks that need more than one number live here, so a bad combination is refused before any
work, whichever way the numbers came.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from scaledec.errors import ConfigError
from scaledec.vocabulary import NANOSECONDS_PER_SECOND

__all__ = [
    "EventGrid",
    "Grid",
    "ImportedGrid",
    "SpectrogramGrid",
    "WindowGrid",
    "Windows",
    "grid_from_json",
    "grid_to_json",
]

_DAY_S = 86_400
# Relative distance from a whole number below which a product such as 2.56 s x 100 Hz is taken as whole.
_WHOLE = 1e-9


def _whole(value: float) -> int | None:
    """The integer that ``value`` is up to rounding error, or ``None``."""
    nearest = round(value)
    return nearest if abs(value - nearest) <= _WHOLE * max(1.0, abs(value)) else None


@dataclass(frozen=True, slots=True)
class SpectrogramGrid:
    """Samples, frames and frequencies of one segment.

    Frame ``m`` covers samples ``[m * hop, m * hop + nperseg)`` counted from the segment's start; the
    last frames of a segment reach ``tail_samples`` into the next one.
    """

    sampling_rate_hz: float
    samples_per_segment: int
    nperseg: int
    """Samples of one frame."""
    hop: int
    """Samples from one frame's start to the next."""
    nfft: int
    first_bin: int
    """First stored bin of the one-sided transform."""
    stop_bin: int
    """End of the stored bins, exclusive."""

    @classmethod
    def from_lengths(
        cls,
        *,
        sampling_rate_hz: float,
        segment_s: float,
        window_s: float,
        overlap: float,
        nfft: int | None = None,
        band_hz: tuple[float, float] | None = None,
    ) -> SpectrogramGrid:
        """Build from lengths in seconds, refusing what does not fit with the nearest thing that does.

        Raises
        ------
        ConfigError
            If the segment does not divide a UTC day or is no whole number of samples or hops, a frame
            is no whole number of samples, ``nfft`` is shorter than a frame, or the band is empty.
        """
        samples = _whole(segment_s * sampling_rate_hz)
        if _whole(segment_s) is None or _DAY_S % round(segment_s) or samples is None:
            raise ConfigError(
                f"spectrogram.segment_s is {segment_s:g}; expected whole seconds that divide a UTC day "
                f"(86400, 43200, 21600, 7200, 3600, ...) and hold a whole number of samples at "
                f"{sampling_rate_hz:g} Hz"
            )
        nperseg = _whole(window_s * sampling_rate_hz)
        if nperseg is None or nperseg < 2:
            nearest = max(2, round(window_s * sampling_rate_hz))
            raise ConfigError(
                f"spectrogram.window_s is {window_s:g}: {window_s * sampling_rate_hz:g} samples at "
                f"{sampling_rate_hz:g} Hz; expected a whole number of at least 2: "
                f"use {nearest / sampling_rate_hz:.10g}"
            )
        hop = nperseg - round(overlap * nperseg)
        _check_hop(samples, nperseg, hop, overlap)
        if nfft is not None and nfft < nperseg:
            raise ConfigError(f"spectrogram.nfft is {nfft}, shorter than a frame of {nperseg} samples")
        nfft = nperseg if nfft is None else nfft
        first_bin, stop_bin = _stored_bins(sampling_rate_hz, nfft, band_hz)
        return cls(sampling_rate_hz, samples, nperseg, hop, nfft, first_bin, stop_bin)

    @property
    def segment_ns(self) -> int:
        """Length of a segment in nanoseconds."""
        return round(self.samples_per_segment / self.sampling_rate_hz) * NANOSECONDS_PER_SECOND

    @property
    def n_frames(self) -> int:
        """Frames that start in a segment."""
        return self.samples_per_segment // self.hop

    @property
    def n_frequencies(self) -> int:
        """Frequencies that are stored."""
        return self.stop_bin - self.first_bin

    @property
    def tail_samples(self) -> int:
        """Samples of the next segment that the last frames use."""
        return max(0, self.nperseg - self.hop)

    @property
    def closed_frames(self) -> int:
        """How many frames, from the first on, use no sample of the next segment."""
        return (self.samples_per_segment - self.nperseg) // self.hop + 1

    @property
    def hop_s(self) -> float:
        """Seconds from one frame's start to the next."""
        return self.hop / self.sampling_rate_hz

    @property
    def frame_s(self) -> npt.NDArray[np.float64]:
        """Start of each frame, seconds after the segment's start, shape (frame,)."""
        return np.divide(np.arange(self.n_frames) * self.hop, self.sampling_rate_hz, dtype=np.float64)

    @property
    def frequency_hz(self) -> npt.NDArray[np.float64]:
        """Stored frequencies in Hz, shape (frequency,)."""
        bins = np.arange(self.first_bin, self.stop_bin, dtype=np.float64)
        return bins * self.sampling_rate_hz / self.nfft


@dataclass(frozen=True, slots=True)
class ImportedGrid:
    """Frames and frequencies of one segment of spectrograms that were computed elsewhere.

    Nothing is known of the samples behind them: each frame is taken to belong to its own segment alone.
    """

    segment_ns: int
    """Length of a segment in nanoseconds."""
    n_frames: int
    """Frames that start in a segment."""
    frequencies_hz: tuple[float, ...]
    """Stored frequencies, ascending."""

    @classmethod
    def from_lengths(
        cls,
        *,
        segment_s: float,
        hop_s: float,
        frequencies_hz: Sequence[float],
        band_hz: tuple[float, float] | None = None,
    ) -> ImportedGrid:
        """Build from lengths in seconds and the frequencies there are, of which the band's are stored.

        Raises
        ------
        ConfigError
            If a segment is no whole number of seconds or of frames, or fewer than two frequencies are left.
        """
        n_frames = _whole(segment_s / hop_s)
        if _whole(segment_s) is None or n_frames is None:
            raise ConfigError(
                f"spectrogram.segment_s is {segment_s:g}: {segment_s / hop_s:g} frames of {hop_s:g} s; "
                f"expected whole seconds and whole frames{_nearest_segment(segment_s, hop_s)}"
            )
        low, high = band_hz or (-math.inf, math.inf)
        inside = tuple(sorted(f for f in frequencies_hz if _at_most(low, f) and _at_most(f, high)))
        if len(inside) < 2:
            raise ConfigError(
                f"spectrogram.band_hz is [{low:g}, {high:g}], which holds {len(inside)} of the cube's "
                f"{len(frequencies_hz)} frequencies; expected at least 2"
            )
        return cls(round(segment_s) * NANOSECONDS_PER_SECOND, n_frames, inside)

    @property
    def n_frequencies(self) -> int:
        """Frequencies that are stored."""
        return len(self.frequencies_hz)

    @property
    def closed_frames(self) -> int:
        """How many frames, from the first on, use nothing of the next segment: all."""
        return self.n_frames

    @property
    def hop_s(self) -> float:
        """Seconds from one frame's start to the next."""
        return self.segment_ns / NANOSECONDS_PER_SECOND / self.n_frames

    @property
    def frame_s(self) -> npt.NDArray[np.float64]:
        """Start of each frame, seconds after the segment's start, shape (frame,)."""
        return np.arange(self.n_frames, dtype=np.float64) * self.hop_s

    @property
    def frequency_hz(self) -> npt.NDArray[np.float64]:
        """Stored frequencies in Hz, shape (frequency,)."""
        return np.array(self.frequencies_hz, dtype=np.float64)


Grid: TypeAlias = SpectrogramGrid | ImportedGrid
"""The grid of a cube: of spectrograms computed here, or elsewhere."""


def grid_to_json(grid: Grid) -> dict[str, Any]:
    """The grid's numbers as JSON values, under a name that tells its kind."""
    kind = "imported_grid" if isinstance(grid, ImportedGrid) else "grid"
    return {kind: dataclasses.asdict(grid)}


def grid_from_json(values: Mapping[str, Any]) -> Grid:
    """Read back what :func:`grid_to_json` gave."""
    if "imported_grid" not in values:
        return SpectrogramGrid(**values["grid"])
    own = dict(values["imported_grid"])
    return ImportedGrid(**(own | {"frequencies_hz": tuple(own["frequencies_hz"])}))


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Windows that start in a segment: window ``w`` covers frames ``[w * stride, w * stride + length)``.

    The last windows may reach into the next segment's frames, so nothing is lost at midnight.
    """

    n_frames: int
    """Frames of one segment."""
    length: int
    """Frames of one window."""
    stride: int
    """Frames from one window's start to the next."""
    hop_s: float
    min_coverage: float

    @classmethod
    def from_lengths(
        cls, grid: Grid, *, length_s: float, stride_s: float | None, min_coverage: float
    ) -> WindowGrid:
        """Build from lengths in seconds, rounded to whole frames.

        Raises
        ------
        ConfigError
            If a window is shorter than two frames or longer than a segment, or the stride rounds to nothing.
        """
        length = _window_frames(grid, length_s)
        stride = length if stride_s is None else round(stride_s / grid.hop_s)
        if stride < 1:
            raise ConfigError(
                f"windows.stride_s is {stride_s:g}, under half a frame step; expected at least {grid.hop_s:g}"
            )
        return cls(grid.n_frames, length, stride, grid.hop_s, min_coverage)

    @property
    def n_windows(self) -> int:
        """Windows that start in one segment."""
        return math.ceil(self.n_frames / self.stride)

    @property
    def head_frames(self) -> int:
        """Frames of the next segment that the last window uses."""
        return max(0, (self.n_windows - 1) * self.stride + self.length - self.n_frames)

    @property
    def window_s(self) -> npt.NDArray[np.float64]:
        """Start of each window, seconds after the segment's start, shape (window,)."""
        return np.arange(self.n_windows, dtype=np.float64) * (self.stride * self.hop_s)

    @property
    def length_s(self) -> float:
        """Length of a window in seconds: its frames times the hop."""
        return self.length * self.hop_s


def _at_most(low: float, high: float) -> bool:
    """Whether ``low <= high`` up to rounding error: a band's ends are inside it."""
    return low <= high + _WHOLE * max(1.0, abs(high))


def _nearest_segment(segment_s: float, hop_s: float) -> str:
    """Advice: the length next to the one asked for that is whole seconds and whole frames."""
    asked = max(1, round(segment_s))
    tried = sorted(range(max(1, asked - 3600), asked + 3601), key=lambda seconds: abs(seconds - asked))
    fits = next((seconds for seconds in tried if _whole(seconds / hop_s) is not None), None)
    return "" if fits is None else f": use {fits}"


@dataclass(frozen=True, slots=True)
class EventGrid:
    """Windows at events: their frames begin at an event's own first sample, wherever that lies.

    A segment has room for ``max_events`` windows, numbered in the order of time.
    """

    length: int
    """Frames of one window."""
    max_events: int
    hop_s: float
    min_coverage: float

    @classmethod
    def from_lengths(
        cls, grid: SpectrogramGrid, *, length_s: float, max_events: int, min_coverage: float
    ) -> EventGrid:
        """Build from a length in seconds, rounded to whole frames.

        Raises
        ------
        ConfigError
            If a window is shorter than two frames or longer than a segment.
        """
        return cls(_window_frames(grid, length_s), max_events, grid.hop_s, min_coverage)

    @property
    def n_windows(self) -> int:
        """The most windows that start in one segment."""
        return self.max_events

    @property
    def length_s(self) -> float:
        """Length of a window in seconds: its frames times the hop."""
        return self.length * self.hop_s

    @property
    def head_frames(self) -> int:
        """Frames of the next segment that windows use: none, an event's frames are stored with it."""
        return 0

    def n_samples(self, grid: SpectrogramGrid) -> int:
        """Samples that a window's frames use; the last frames reach beyond :attr:`length_s`."""
        return (self.length - 1) * grid.hop + grid.nperseg


Windows: TypeAlias = WindowGrid | EventGrid
"""Where the windows of a segment lie: at a stride, or at events."""


def _window_frames(grid: Grid, length_s: float) -> int:
    length = round(length_s / grid.hop_s)
    if not 2 <= length <= grid.n_frames:
        raise ConfigError(
            f"windows.length_s is {length_s:g}: {length} frames of {grid.hop_s:g} s; expected from "
            f"{2 * grid.hop_s:g} s (two frames) to {grid.n_frames * grid.hop_s:g} s (one segment)"
        )
    return length


def _check_hop(samples: int, nperseg: int, hop: int, overlap: float) -> None:
    if hop < 1:
        raise ConfigError(
            f"spectrogram.overlap is {overlap:g}: frames of {nperseg} samples would not advance"
        )
    if samples % hop == 0:
        return
    nearest = min((d for d in range(1, nperseg + 1) if samples % d == 0), key=lambda d: abs(d - hop))
    raise ConfigError(
        f"spectrogram.overlap is {overlap:g}: a hop of {hop} samples, and a segment of {samples} samples "
        f"is no whole number of hops; the nearest hop that fits is {nearest}: "
        f"use overlap: {1 - nearest / nperseg:.10g}"
    )


def _stored_bins(sampling_rate_hz: float, nfft: int, band_hz: tuple[float, float] | None) -> tuple[int, int]:
    n_bins = nfft // 2 + 1
    if band_hz is None:
        return 0, n_bins
    low, high = band_hz
    step = sampling_rate_hz / nfft
    first = math.ceil(low / step - _WHOLE)
    stop = min(n_bins, math.floor(high / step + _WHOLE) + 1)
    if low >= high or stop - first < 2:
        raise ConfigError(
            f"spectrogram.band_hz is [{low:g}, {high:g}], which holds {max(0, stop - first)} frequencies at "
            f"steps of {step:g} Hz; expected at least 2 and low < high <= {sampling_rate_hz / 2:g} Hz "
            "(half the sampling rate)"
        )
    if high > sampling_rate_hz / 2 * (1 + _WHOLE):
        raise ConfigError(
            f"spectrogram.band_hz ends at {high:g} Hz, above half the sampling rate "
            f"({sampling_rate_hz / 2:g} Hz); raise sampling_rate_hz or lower the band"
        )
    return first, stop
