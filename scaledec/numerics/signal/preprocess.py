"""What is done to samples before they are transformed: detrend, band-pass, decimate; all of it zero phase.

The steps are one: the mean or line of each unbroken run is subtracted, then a single symmetric FIR
kernel does band-pass and anti-aliasing together. Such a kernel maps a straight line onto itself
times its gain at 0 Hz, so detrending before it or after it is the same, and a run that goes on into
the margins is detrended as one piece with them: no step appears at a segment's border.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from scaledec.numerics.signal.detrend import DetrendKind, detrend
from scaledec.numerics.signal.fir import ZeroPhaseFilter, design_kernel

__all__ = ["Preprocessor", "Runs"]

Runs = tuple[tuple[int, int], ...]

# Half a sample of drift in a day of 100 Hz: rates nearer than this are the same rate.
_SAME_RATE = 5e-8
# Above this the intermediate rate of a rational change would need days of memory; real pairs stay below 50.
_MAX_UP = 64


class Preprocessor:
    """Detrend, band-pass and decimate one channel's samples.

    Parameters
    ----------
    native_rate_hz
        Rate of the samples that go in.
    target_rate_hz
        Rate of the samples that come out: the same, or slower by a ratio of small whole numbers.
    detrend
        What is subtracted from each unbroken run.
    bandpass_hz
        Corners of the pass band, or ``None``. Leakage outside is 80 dB down, ripple inside 1e-4.

    Raises
    ------
    ValueError
        If the target is faster than the samples, the ratio is no ratio of small numbers, or the band
        does not fit the target rate.

    Examples
    --------
    >>> halve = Preprocessor(100.0, 50.0, detrend="constant")
    >>> halve.margin_samples
    108
    """

    def __init__(
        self,
        native_rate_hz: float,
        target_rate_hz: float,
        *,
        detrend: DetrendKind = "constant",
        bandpass_hz: tuple[float, float] | None = None,
    ) -> None:
        self.detrend: DetrendKind = detrend
        self.up, self.down = _rate_ratio(native_rate_hz, target_rate_hz)
        limit = target_rate_hz / 2 if self.down > 1 else None
        kernel = design_kernel(native_rate_hz * self.up, keep_below_hz=limit, band_hz=bandpass_hz)
        self.filter = ZeroPhaseFilter(kernel, self.up, self.down) if kernel.size > 1 else None

    @property
    def margin_samples(self) -> int:
        """Samples at the native rate that are needed before and after the wanted ones."""
        return 0 if self.filter is None else self.filter.margin

    def native_length(self, n_target: int) -> int:
        """Native samples to read for ``n_target`` samples at the target rate, both margins included."""
        return -(-n_target * self.down // self.up) + 2 * self.margin_samples

    def apply(
        self, samples: npt.NDArray[np.float32], runs: Sequence[tuple[int, int]]
    ) -> tuple[npt.NDArray[np.float32], Runs]:
        """Samples at the target rate, and which of them are real.

        Parameters
        ----------
        samples
            Shape (n,) at the native rate, ``margin_samples`` on each side included, 0 where nothing was
            recorded. Overwritten.
        runs
            Unbroken pieces of real samples as (start, stop), ascending.

        Returns
        -------
        Samples of shape (ceil((n - 2 margin) * up / down),), the first one at native index
        ``margin_samples``; and their runs. A filtered sample counts as real only if every sample
        under the kernel was: at a gap a run loses half the kernel's length. All others are 0.
        """
        detrend(samples, runs, self.detrend)
        if self.filter is None:
            return samples, tuple(runs)
        filtered = self.filter(samples)
        kept = tuple(self._runs_out(runs, filtered.size))
        _clear_outside(filtered, kept)
        return filtered, kept

    def _runs_out(self, runs: Sequence[tuple[int, int]], n_out: int) -> list[tuple[int, int]]:
        assert self.filter is not None
        margin, half = self.filter.margin, self.filter.kernel.size // 2
        kept = []
        for start, stop in runs:
            # On the kernel's grid output k lies at k * down and reaches half a kernel to each side; it must
            # stay between the missing samples start - 1 and stop.
            first = -(-((start - 1 - margin) * self.up + 1 + half) // self.down)
            last = ((stop - margin) * self.up - 1 - half) // self.down
            first, end = max(0, first), min(n_out, last + 1)
            if first < end:
                kept.append((first, end))
        return kept


def _rate_ratio(native_rate_hz: float, target_rate_hz: float) -> tuple[int, int]:
    if target_rate_hz > native_rate_hz * (1 + _SAME_RATE):
        raise ValueError(
            f"the channel is sampled at {native_rate_hz:g} Hz, slower than the {target_rate_hz:g} Hz of the "
            "cube; upsampling would invent what was not recorded: lower spectrogram.sampling_rate_hz or "
            "leave the channel out"
        )
    exact = Fraction(target_rate_hz) / Fraction(native_rate_hz)
    ratio = exact.limit_denominator(1000)
    if abs(float(ratio / exact) - 1) > _SAME_RATE or ratio.numerator > _MAX_UP:
        raise ValueError(
            f"the channel is sampled at {native_rate_hz:.9g} Hz, which is no ratio of small whole numbers to "
            f"the {target_rate_hz:g} Hz of the cube; choose a spectrogram.sampling_rate_hz that divides it"
        )
    return ratio.numerator, ratio.denominator


def _clear_outside(samples: npt.NDArray[np.float32], runs: Sequence[tuple[int, int]]) -> None:
    here = 0
    for start, stop in runs:
        samples[here:start] = 0.0
        here = stop
    samples[here:] = 0.0
