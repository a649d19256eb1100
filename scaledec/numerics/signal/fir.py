"""Zero-phase FIR filters: their design, and their application with a change of rate by overlap-save.

A symmetric kernel of odd length, centred on the output sample, shifts no phase, and its reach is
known: half its length. That makes a segment computable from itself and that much of its neighbours.
Design: Kaiser's window method (Kaiser & Schafer 1980; Oppenheim & Schafer, Discrete-Time Signal
Processing, section 7.5), ripple and stop band alike 85 dB below unity before rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

__all__ = ["ZeroPhaseFilter", "design_kernel"]

# Kaiser's estimate of the length falls short by up to a few dB; 85 keeps the promise of 80.
_ATTENUATION_DB = 85.0
# Share of the target's Nyquist frequency that decimation leaves untouched; the rest is the transition.
_PASS_SHARE = 0.9
# A band's corner passes unharmed; the stop band begins at half (low) or 1.25 times (high) of it.
_LOW_TRANSITION = 0.5
_HIGH_TRANSITION = 0.25
# What must be read around a segment, and what every gap costs on both its sides.
_LONGEST_REACH_S = 3600.0
# Samples of one block: long enough to waste little on the overlap, short enough to stay in cache.
_BLOCK = 16_384
_BATCH_SAMPLES = 131_072
# The transform takes so many blocks at once through the processor's vectors, and what is left over one by
# one, each of which takes as long: the results are the same to the bit.
_LANES = 4


def design_kernel(
    rate_hz: float, *, keep_below_hz: float | None, band_hz: tuple[float, float] | None
) -> npt.NDArray[np.float64]:
    """Symmetric kernel for an optional band-pass and an optional limit against aliasing, in one.

    Parameters
    ----------
    rate_hz
        Rate at which the kernel runs.
    keep_below_hz
        Nyquist frequency of a slower target rate: from there on nothing passes; up to 0.9 of it all does.
    band_hz
        Corners of the band that passes; the stop bands begin at half the low corner and at 1.25 times
        the high one (or at the Nyquist frequency, if that is nearer).

    Returns
    -------
    Kernel of odd length, unit gain in its pass band (ripple and leakage below 1e-4, that is 80 dB).

    Raises
    ------
    ValueError
        If the band is empty, lies above what the rate can carry, or begins so low that the kernel
        would reach more than an hour.
    """
    nyquist = rate_hz / 2
    limit = nyquist if keep_below_hz is None else keep_below_hz
    low, high = band_hz if band_hz is not None else (0.0, limit)
    if not 0 <= low < high or high > limit * (1 + 1e-9):
        raise ValueError(
            f"band-pass [{low:g}, {high:g}] Hz; expected low < high <= {limit:g} Hz, half the target rate"
        )
    edges, widths = [], []
    if low > 0:
        edges.append(low * (1 - _LOW_TRANSITION / 2))
        widths.append(low * _LOW_TRANSITION)
    if band_hz is not None or keep_below_hz is not None:
        top = min(high, _PASS_SHARE * limit) if high < limit or keep_below_hz is not None else nyquist
        if top < nyquist:
            width = min(_HIGH_TRANSITION * top, limit - top)
            edges.append(top + width / 2)
            widths.append(width)
    if not edges:
        return np.ones(1)
    # Imported here: it takes 70 MB of each worker, and only those that filter need it.
    from scipy.signal import firwin, kaiserord

    length, beta = kaiserord(_ATTENUATION_DB, min(widths) / nyquist)
    if length / rate_hz > 2 * _LONGEST_REACH_S:
        raise ValueError(
            f"a band-pass from {low:g} Hz reaches {length / rate_hz / 2:.0f} s to each side; expected at most"
            f" {_LONGEST_REACH_S:g} s: raise the low corner (the reach in seconds is five over it) or set 0"
        )
    # pass_zero: whether the first of the alternating bands, the one that holds 0 Hz, passes.
    kernel = firwin(length | 1, edges, window=("kaiser", beta), pass_zero=not low > 0, fs=rate_hz)
    return np.asarray(kernel, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class ZeroPhaseFilter:
    """Filter with a symmetric kernel at ``up`` times the input's rate, keeping every ``down``-th sample."""

    kernel: npt.NDArray[np.float64]
    """Odd length, at ``up`` times the input's rate."""
    up: int = 1
    down: int = 1

    @property
    def reach(self) -> int:
        """Input samples that one output sample uses on each side of itself."""
        return -(-(self.kernel.size // 2) // self.up)

    @property
    def margin(self) -> int:
        """The reach, rounded up so that the output's grid starts on an input sample after it."""
        return -(-self.reach // self.down) * self.down

    def __call__(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Filter; output sample ``k`` lies at input position ``margin + k * down / up``.

        Parameters
        ----------
        samples
            Shape (n,), a margin on each side included.

        Returns
        -------
        Shape (ceil((n - 2 margin) * up / down),): as many as lie before the far margin.
        """
        inner = samples.size - 2 * self.margin
        n_out = max(0, -(-inner * self.up // self.down))
        out = np.empty(n_out, dtype=np.float32)
        if n_out == 0:
            return out
        block, step = self._block_lengths(inner)
        response = fft.rfft(self._centred_kernel(block), workers=1).real.astype(np.float32)
        per_block = step * self.up // self.down
        n_blocks = -(-n_out // per_block)
        batch = _batch_of_blocks(block * self.up)
        buffer = np.zeros((batch, block * self.up), dtype=np.float32)
        for first in range(0, n_blocks, batch):
            count = min(batch, n_blocks - first)
            for i in range(count):
                start = self.margin - self.reach + (first + i) * step
                _copy_padded(samples[start : start + block], buffer[i, :: self.up])
            # Blocks of the batch before fill up the last one.
            spectrum = fft.rfft(buffer[: min(batch, -(-count // _LANES) * _LANES)], workers=1)
            spectrum *= response
            filtered = fft.irfft(spectrum, n=block * self.up, overwrite_x=True, workers=1)
            begin = self.reach * self.up
            kept = filtered[:count, begin : begin + step * self.up : self.down]
            part = out[first * per_block : (first + count) * per_block]
            part[:] = kept.reshape(-1)[: part.size]
        return out

    def _block_lengths(self, inner: int) -> tuple[int, int]:
        """Input samples of a block, and how many of them give output (a multiple of ``down``)."""
        overlap = 2 * self.reach
        wanted = min(max(_BLOCK, 4 * overlap), inner) + overlap + self.down
        block = int(fft.next_fast_len(wanted, real=True))
        return block, (block - overlap) // self.down * self.down

    def _centred_kernel(self, block: int) -> npt.NDArray[np.float64]:
        """The kernel around index 0 of a block, its end wrapped: its transform is real. Gain ``up``."""
        padded = np.zeros(block * self.up)
        padded[: self.kernel.size] = self.kernel * self.up
        return np.roll(padded, -(self.kernel.size // 2))


def _batch_of_blocks(length: int) -> int:
    """How many blocks of a length to transform at once: whole sets of lanes, but one of very long ones."""
    if length > _BATCH_SAMPLES:
        return 1
    return -(-_BATCH_SAMPLES // length // _LANES) * _LANES


def _copy_padded(source: npt.NDArray[np.float32], target: npt.NDArray[np.float32]) -> None:
    target[: source.size] = source
    target[source.size :] = 0.0
