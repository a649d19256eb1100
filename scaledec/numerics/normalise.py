"""What is done to a window before a network sees it.

A cell without signal (missing, not finite, or at the floor of the transform, 1e-30 counts^2/Hz)
takes no part in any statistic and becomes 0. A window without contrast (silent, constant or empty)
becomes all zeros. Each window's result depends on that window alone, bit by bit.

Components that are stacked as planes are one window: its maximum, norm, mean and deviation are those of
all planes together, so the ratio of amplitudes between them stays. Only whitening looks at each frequency
of each plane by itself. A plane that is missing is all NaN and becomes zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from scaledec.errors import TrainingError

__all__ = ["Kind", "Normaliser", "Scale"]

Kind: TypeAlias = Literal["whiten", "zscore", "max", "centred_max", "l2"]
Scale: TypeAlias = Literal["db", "linear"]
Float32: TypeAlias = npt.NDArray[np.float32]
Float64: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]
Bounds: TypeAlias = tuple[float, float]

# Spectrogram power is clipped at 1e-30 (-300 dB); what lies there, rounding of float16 included, is silence.
_FLOOR_DB = -299.5
_FLOOR_POWER = 1.1e-30
# Windows worked on at once: about 1 MB, so that a pass over them stays in the cache.
_BLOCK = 32
_CELLS = (1, 2)


def _no_statistics() -> Float32:
    return np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True)
class Normaliser:
    """One way of normalising, with the statistics it needs.

    Parameters
    ----------
    kind
        ``whiten``: dB, each frequency centred and scaled by its mean and standard deviation over the
        training set; ``zscore``: dB, centred and scaled by the window's own; ``max`` and ``l2``: linear
        power of a window divided by its maximum or its Euclidean norm; ``centred_max``: linear power less
        its mean, divided by its maximum.
    scale
        How windows come: ``db`` (10 log10 of counts^2/Hz) or ``linear``.
    mean_db, deviation_db
        Of each frequency, shape (frequency,), or (plane * frequency,) one plane after the other; only for
        ``whiten``.
    clip_db
        Bounds that power in dB is clipped to before anything else; ``None``: none.

    Examples
    --------
    >>> windows = np.float32([[[1, 2], [4, 4]]])
    >>> Normaliser("max", "linear").apply(windows).round(3).tolist()
    [[[0.25, 0.5], [1.0, 1.0]]]
    """

    kind: Kind
    scale: Scale = "db"
    mean_db: Float32 = field(default_factory=_no_statistics)
    deviation_db: Float32 = field(default_factory=_no_statistics)
    clip_db: Bounds | None = None

    @classmethod
    def fit(
        cls,
        kind: Kind,
        batches: Iterable[npt.NDArray[np.floating]],
        *,
        scale: Scale = "db",
        clip_db: Bounds | None = None,
    ) -> Normaliser:
        """Learn from training windows: batches (window, [plane,] frame, frequency) in the stored scale.

        The batches are read once and only for ``whiten``; how the windows are cut into batches does
        not change a bit of the result.

        Raises
        ------
        TrainingError
            If no window has contrast.
        """
        if kind != "whiten":
            return cls(kind, scale, clip_db=clip_db)
        mean, deviation = _frequency_statistics(map(_side_by_side, batches), scale, clip_db)
        return cls(kind, scale, mean.astype(np.float32), deviation.astype(np.float32), clip_db)

    def apply(self, windows: npt.NDArray[np.floating]) -> Float32:
        """Normalise windows (window, [plane,] frame, frequency) of the stored scale; all come out finite."""
        if windows.ndim == 4:
            return self._apply_to_stacks(windows)
        out = np.empty(windows.shape, np.float32)
        for start in range(0, len(windows), _BLOCK):
            x = out[start : start + _BLOCK]
            _copy_in_decibels(windows[start : start + _BLOCK], x, self.scale)
            low, high = _contrast(x, None)
            whole = ((low > _FLOOR_DB) & (high < np.inf)).ravel()  # NaN fails both
            if whole.all():
                self._normalise(x, None, low, high)
                continue
            # Apart, so that a window's roundings do not depend on its neighbours' gaps.
            full, gappy = x[whole], x[~whole]
            x[whole] = self._normalise(full, None, low[whole], high[whole])
            signal = _signal(gappy)
            x[~whole] = self._normalise(gappy, signal, *_contrast(gappy, signal))
        return out

    def _apply_to_stacks(self, windows: npt.NDArray[np.floating]) -> Float32:
        n, planes, frames, frequencies = windows.shape
        if self.kind == "whiten":
            turned = self.apply(_side_by_side(windows)).reshape(n, frames, planes, frequencies)
            return np.ascontiguousarray(turned.transpose(0, 2, 1, 3))
        return self.apply(windows.reshape(n, planes * frames, frequencies)).reshape(windows.shape)

    def _normalise(self, x: Float32, signal: Mask | None, low: Float32, high: Float32) -> Float32:
        """Normalise windows in dB in place.

        ``signal`` marks the cells that count (``None``: all); ``low`` and ``high`` are their extremes.
        """
        for values in (x, low, high):
            _clip(values, self.clip_db)
        # A window without contrast divides by zero or subtracts infinities here and is cleared below.
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.kind == "whiten":
                x -= self.mean_db
                x *= _inverse(self.deviation_db)
            elif self.kind == "zscore":
                x -= _mean(x, signal)
                x /= np.sqrt(_mean(np.square(x), signal))
            else:
                # Relative to the window's maximum nothing can overflow; the norms are indifferent to it.
                x -= high
                x *= np.float32(np.log(10) / 10)
                np.exp(x, out=x)
                if self.kind == "l2":
                    x /= np.sqrt(_sum(np.square(x), signal))
                if self.kind == "centred_max":
                    x -= _mean(x, signal)
        if signal is not None:
            x[~signal] = 0
        x[(low >= high).ravel()] = 0
        return x

    def to_json(self) -> dict[str, Any]:
        """Kind, scale and bounds, if there are any, as JSON values; the statistics are in :meth:`arrays`."""
        values: dict[str, Any] = {"kind": self.kind, "scale": self.scale}
        return values if self.clip_db is None else {**values, "clip_db": list(self.clip_db)}

    def arrays(self) -> dict[str, Float32]:
        """The statistics by name."""
        return {"mean_db": self.mean_db, "deviation_db": self.deviation_db}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], arrays: Mapping[str, Float32]) -> Normaliser:
        """Back from :meth:`to_json` and :meth:`arrays`."""
        low_high = values.get("clip_db")
        clip_db = None if low_high is None else (low_high[0], low_high[1])
        return cls(values["kind"], values["scale"], arrays["mean_db"], arrays["deviation_db"], clip_db)


def _side_by_side(windows: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Stacks (window, plane, frame, frequency) as (window, frame, plane * frequency)."""
    if windows.ndim == 3:
        return windows
    n, planes, frames, frequencies = windows.shape
    return windows.transpose(0, 2, 1, 3).reshape(n, frames, planes * frequencies)


def _copy_in_decibels(windows: npt.NDArray[np.floating], out: Float32, scale: Scale) -> None:
    """Copy stored power to float32 dB; what lies at or below the floor comes out at or below the floor."""
    if windows.dtype == np.float16:
        # Ten times as fast as numpy, but torch takes neither read-only memory nor any odd layout.
        torch.from_numpy(out).copy_(torch.from_numpy(np.require(windows, requirements=("C", "W"))))
    else:
        np.copyto(out, windows, casting="same_kind")
    if scale == "linear":
        out[~(out > _FLOOR_POWER)] = 1e-30
        np.log10(out, out=out)
        out *= 10


def _signal(x: Float32) -> Mask:
    return (x > _FLOOR_DB) & (x < np.inf)


def _clip(x: Float32, bounds: Bounds | None) -> None:
    """Clip power in dB in place; cells without signal are told apart before this."""
    if bounds is not None:
        np.clip(x, np.float32(bounds[0]), np.float32(bounds[1]), out=x)


def _contrast(x: Float32, signal: Mask | None) -> tuple[Float32, Float32]:
    """Least and greatest signal of each window, shape (window, 1, 1); crossed infinities where none is."""
    if signal is None:
        return x.min(_CELLS, keepdims=True), x.max(_CELLS, keepdims=True)
    low = np.where(signal, x, np.float32(np.inf)).min(_CELLS, keepdims=True)
    return low, np.where(signal, x, np.float32(-np.inf)).max(_CELLS, keepdims=True)


def _sum(x: Float32, signal: Mask | None) -> Float32:
    """Sum of each window's signal, shape (window, 1, 1)."""
    filled = x if signal is None else np.where(signal, x, np.float32(0))
    # One row a window: numpy then adds each row's cells in the same order, however many rows there are.
    total: Float32 = filled.reshape(len(x), x.shape[1] * x.shape[2]).sum(1)
    return total[:, None, None]


def _mean(x: Float32, signal: Mask | None) -> Float32:
    n_cells = (
        x.shape[1] * x.shape[2] if signal is None else signal.sum(_CELLS, dtype=np.float32)[:, None, None]
    )
    mean: Float32 = _sum(x, signal) / n_cells
    return mean


def _inverse(deviation: Float32) -> Float32:
    """1 / deviation, and 0 for a frequency that never varies."""
    inverse = np.zeros_like(deviation)
    np.divide(1, deviation, out=inverse, where=deviation > 0)
    return inverse


def _frequency_statistics(
    batches: Iterable[npt.NDArray[np.floating]], scale: Scale, clip_db: Bounds | None
) -> tuple[Float64, Float64]:
    """Mean and standard deviation of each frequency in dB over all frames with signal, in float64."""
    totals: Float64 | None = None
    for part in (batch[i : i + _BLOCK] for batch in batches for i in range(0, len(batch), _BLOCK)):
        x = np.empty(part.shape, np.float32)
        _copy_in_decibels(part, x, scale)
        signal = _signal(x)
        _clip(x, clip_db)
        low, high = _contrast(x, signal)
        signal &= low < high
        values = np.where(signal, x, 0).astype(np.float64)
        # Each window's own sums (window, 3, frequency) first, then one window after the other, so that
        # the order of additions is the same for every way of batching.
        sums = np.stack([signal.sum(1), values.sum(1), np.square(values).sum(1)], axis=1)
        totals = np.add.reduce(sums if totals is None else np.concatenate([totals[None], sums]), axis=0)
    if totals is None or not totals[0].any():
        raise TrainingError(
            "no training window holds a signal with contrast: every one is silent, constant or missing; "
            "check the archive's channels and spectrogram.band_hz"
        )
    count = np.maximum(totals[0], 1)
    mean = totals[1] / count
    return mean, np.sqrt(np.maximum(totals[2] / count - mean**2, 0))
