"""Power spectral density of frames.

The same numbers as ``scipy.signal.spectrogram(scaling="density", detrend=False)``, in less time.
Computed in batches small enough to stay in a core's cache: whole-day arrays cost two to six times
as much in page faults. Two ways to the same numbers: a real FFT of each frame, or, where frames are
short and few frequencies are kept, a matrix product with the columns of the DFT matrix.

The FFT runs in float64. Real records are red: towards the Nyquist frequency power often lies 100 dB
below a frame's peak, and there the rounding of a float32 FFT alone reaches 0.1 dB (0.10 dB in 8.7
million cells of a random walk, 0.08 dB on broadband records). Float64 costs a tenth of what a segment
takes in all. Sums over short frames are good enough in float32: 0.04 dB for up to 32 samples.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["Dtype", "Method", "Scale", "SpectrogramTransform", "cheaper_method", "one_thread"]

Scale: TypeAlias = Literal["db", "linear"]
Dtype: TypeAlias = Literal["float16", "float32"]
Method: TypeAlias = Literal["fft", "product"]

# Power below this is raised to it before the logarithm: -300 dB.
_FLOOR_AMPLITUDE = 1e-15
_DB_PER_LOG2_AMPLITUDE = 20.0 * math.log10(2.0)
# Cells of the frames of one batch: 1-2 MB, which stays in a core's cache.
_BATCH_CELLS = 1 << 18
# Longer sums lose the 0.1 dB in float32.
_LONGEST_PRODUCT = 32


class SpectrogramTransform:
    """Turns samples into power on frames and frequencies; its buffers are reused from call to call.

    Parameters
    ----------
    nperseg, hop, nfft
        Samples of a frame, from frame to frame, and points of the transform (zero-padded at the end).
    first_bin, stop_bin
        Bins of the one-sided transform that are kept.
    taper
        Weights of shape (nperseg,).
    sampling_rate_hz
        Rate of the samples.
    scale
        ``db``: 10 log10 of power, nothing below -300 dB; ``linear``: power. Power has the square of the
        samples' unit (times that of a given ``factor``) per Hz; all bins but 0 Hz and the Nyquist frequency
        are doubled (one-sided).
    dtype
        Of the result.
    method
        ``fft`` or ``product``; by default the one that :func:`cheaper_method` names.

    Examples
    --------
    >>> taper = np.hanning(9)[:-1]
    >>> transform = SpectrogramTransform(8, 4, 8, 0, 5, taper, 100.0, scale="db", dtype="float32")
    >>> transform(np.zeros(16, dtype=np.float32)).shape
    (3, 5)
    """

    def __init__(
        self,
        nperseg: int,
        hop: int,
        nfft: int,
        first_bin: int,
        stop_bin: int,
        taper: npt.NDArray[np.floating[Any]],
        sampling_rate_hz: float,
        *,
        scale: Scale,
        dtype: Dtype,
        method: Method | None = None,
    ) -> None:
        if taper.shape != (nperseg,) or nfft < nperseg or not 0 <= first_bin < stop_bin <= nfft // 2 + 1:
            raise ValueError(
                f"taper of shape {taper.shape}, nfft {nfft}, bins [{first_bin}, {stop_bin}); expected a "
                f"taper of shape ({nperseg},), nfft of at least {nperseg}, bins inside [0, {nfft // 2 + 1})"
            )
        self.nperseg, self.hop, self.nfft = nperseg, hop, nfft
        self.first_bin, self.stop_bin = first_bin, stop_bin
        self.scale: Scale = scale
        self.dtype: torch.dtype = getattr(torch, dtype)
        self.method: Method = method or cheaper_method(nperseg, nfft, stop_bin - first_bin)
        weights = np.asarray(taper, dtype=np.float64)
        # With the density's factor inside the taper, |X|^2 is the one-sided power itself.
        scaled = weights * math.sqrt(2.0 / (sampling_rate_hz * np.sum(weights**2)))
        self.single_columns = _single_columns(nfft, first_bin, stop_bin)
        n_bins = stop_bin - first_bin
        self.batch = max(16, _BATCH_CELLS // max(nfft, 2 * n_bins))
        self._amplitude = torch.empty((self.batch, n_bins), dtype=torch.float32)
        self._spectrum = torch.empty((self.batch, n_bins), dtype=torch.complex64)
        if self.method == "fft":
            self._taper = torch.from_numpy(scaled)
            self._frames = torch.zeros((self.batch, nfft), dtype=torch.float64)
            self._bins = torch.empty((self.batch, nfft // 2 + 1), dtype=torch.complex128)
        else:
            self._matrix = _dft_columns(scaled, nfft, first_bin, stop_bin)
            self._frames = torch.zeros((self.batch, nperseg), dtype=torch.float32)

    def n_frames(self, n_samples: int) -> int:
        """Frames that fit into so many samples."""
        return max(0, (n_samples - self.nperseg) // self.hop + 1)

    def __call__(
        self,
        samples: npt.NDArray[np.float32],
        *,
        coverage: npt.NDArray[np.uint8] | None = None,
        out: npt.NDArray[Any] | None = None,
        factor: npt.NDArray[np.float32] | None = None,
    ) -> npt.NDArray[Any]:
        """Power of every frame.

        Parameters
        ----------
        samples
            Shape (n,), float32, writable and C-contiguous.
        coverage
            Per cent of real samples behind each frame, shape (frame,); frames with 0 become NaN.
        out
            Where to write, shape (frame, frequency) and the transform's dtype; by default a new array.
        factor
            Multiplies the amplitude at each kept frequency, shape (frequency,): the inverse of an
            instrument's gain. Applied in float32, before the floor of -300 dB and before rounding.

        Returns
        -------
        Power, shape (frame, frequency).
        """
        n_frames = self.n_frames(samples.size)
        result = torch.empty((n_frames, self.stop_bin - self.first_bin), dtype=self.dtype)
        if out is not None:
            result = torch.from_numpy(out).view(result.shape)
        signal = torch.from_numpy(samples)
        row = None if factor is None else torch.from_numpy(factor)
        with torch.inference_mode(), one_thread():
            for first in range(0, n_frames, self.batch):
                stop = min(first + self.batch, n_frames)
                if coverage is not None and not coverage[first:stop].any():
                    continue
                frames = signal.as_strided((stop - first, self.nperseg), (self.hop, 1), first * self.hop)
                result[first:stop].copy_(self._power(frames, row))
        power: npt.NDArray[Any] = result.numpy()
        if coverage is not None and not coverage.all():
            power[coverage == 0] = np.nan
        return power

    def _power(self, frames: torch.Tensor, factor: torch.Tensor | None) -> torch.Tensor:
        """Power of some frames in the wanted scale, float32; a view of a buffer of this object."""
        spectrum = self._transform(frames)
        amplitude = self._amplitude[: len(frames)]
        # numpy's modulus and logarithm are five times as fast as torch's here.
        np.abs(spectrum.numpy(), out=amplitude.numpy())
        for column in self.single_columns:
            amplitude[:, column].mul_(math.sqrt(0.5))
        if factor is not None:
            amplitude.mul_(factor)
        if self.scale == "linear":
            return amplitude.mul_(amplitude)
        amplitude.clamp_(min=_FLOOR_AMPLITUDE)
        np.log2(amplitude.numpy(), out=amplitude.numpy())
        return amplitude.mul_(_DB_PER_LOG2_AMPLITUDE)

    def _transform(self, frames: torch.Tensor) -> torch.Tensor:
        """Spectrum of some frames, complex64; a view of a buffer of this object."""
        spectrum = self._spectrum[: len(frames)]
        own = self._frames[: len(frames)]
        own[:, : self.nperseg].copy_(frames)
        if self.method == "product":
            torch.mm(own, self._matrix, out=torch.view_as_real(spectrum).view(len(frames), -1))
            return spectrum
        own[:, : self.nperseg].mul_(self._taper)
        bins = self._bins[: len(frames)]
        torch.fft.rfft(own, out=bins)
        return spectrum.copy_(bins[:, self.first_bin : self.stop_bin])


def cheaper_method(nperseg: int, nfft: int, n_bins: int) -> Method:
    """Whether an FFT or a matrix product with ``2 n_bins`` DFT columns takes less time a frame.

    A function of the settings alone, so that every worker computes the same bytes. The constants are
    ratios measured on an AVX-512 core: 12 flop of a float32 matrix product pass in the time of one unit
    of ``nfft log2 nfft`` of a float64 FFT; twice that for lengths with factors up to 11, eight times for
    larger primes.
    """
    if nperseg > _LONGEST_PRODUCT:
        return "fft"
    largest = _largest_prime_factor(nfft)
    penalty = 1.0 if largest == 2 else 2.0 if largest <= 11 else 8.0
    product = 4.0 * nperseg * n_bins
    return "product" if product < 12.0 * penalty * nfft * math.log2(nfft) else "fft"


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread inside, as before outside: tasks run side by side, one a core."""
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _single_columns(nfft: int, first_bin: int, stop_bin: int) -> tuple[int, ...]:
    """Kept columns that stand alone in the two-sided transform: 0 Hz and, for even nfft, Nyquist."""
    alone = {0, nfft // 2} if nfft % 2 == 0 else {0}
    return tuple(sorted(b - first_bin for b in alone if first_bin <= b < stop_bin))


def _dft_columns(taper: npt.NDArray[np.float64], nfft: int, first_bin: int, stop_bin: int) -> torch.Tensor:
    """Tapered cosine and minus sine of each kept bin side by side, shape (nperseg, 2 frequency)."""
    # The product of indices is reduced modulo nfft in integers, so the angle is exact for any length.
    turns = np.outer(np.arange(taper.size), np.arange(first_bin, stop_bin)) % nfft / nfft
    columns = np.empty((*turns.shape, 2))
    columns[..., 0] = np.cos(2 * np.pi * turns)
    columns[..., 1] = -np.sin(2 * np.pi * turns)
    columns *= taper[:, None, None]
    return torch.from_numpy(columns.reshape(taper.size, -1).astype(np.float32))


def _largest_prime_factor(n: int) -> int:
    largest, factor = 1, 2
    while factor * factor <= n:
        while n % factor == 0:
            largest, n = factor, n // factor
        factor += 1
    return max(largest, n)
