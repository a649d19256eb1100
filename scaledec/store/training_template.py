"""The structure of a training set on disk: its arrays, their chunks and what they mean."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from scaledec.store.template import Variable, plane_variables, time_attributes
from scaledec.vocabulary import JsonValue

__all__ = ["ORIGIN", "TRAIN", "VALIDATION", "TrainingTemplate", "assigned_variables", "origin_variables"]

TRAIN = 0
"""Split of windows whose loss is minimised."""
VALIDATION = 1
"""Split of windows held out."""

FORMAT = 1
"""Raised when the layout on disk changes."""

_INNER_BYTES = 1.5 * 2**20
_INNER_PER_SHARD = 16

ORIGIN: Mapping[str, Mapping[str, JsonValue]] = {
    "channel": {"long_name": "FDSN source, NET.STA.LOC.CHA"},
    "time": time_attributes("start of the segment the window starts in (UTC)"),
    "window": {"long_name": "index of the window in its segment"},
    "onset": time_attributes("first sample of the event's window (UTC)"),
    "split": {
        "long_name": "use in training",
        "flag_values": [TRAIN, VALIDATION],
        "flag_meanings": "train validation",
    },
}
"""What is known of where a window came from."""


@dataclass(frozen=True, slots=True)
class TrainingTemplate:
    """The structure of a training set without its windows."""

    frames: int
    """Frames of one window."""
    hop_s: float
    """Seconds from one frame's start to the next."""
    frequency_hz: tuple[float, ...]
    scale: Literal["db", "linear"]
    dtype: Literal["float16", "float32"]
    fingerprint: str
    """Of everything that decides which windows are in it, and their values."""
    planes: tuple[str, ...] = ()
    """Components stacked in a window; none where windows are those of single channels."""
    onset: bool = False
    """Whether windows lie at events, whose onsets are kept beside them."""

    @property
    def origin(self) -> tuple[str, ...]:
        """Names of what is known of where each window came from."""
        return tuple(name for name in ORIGIN if name != "onset" or self.onset)

    @property
    def n_frequencies(self) -> int:
        """Frequencies of one window."""
        return len(self.frequency_hz)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one window: ([plane,] frame, frequency)."""
        planes = (len(self.planes),) if self.planes else ()
        return *planes, self.frames, self.n_frequencies

    @property
    def _inner(self) -> int:
        size = math.prod(self.shape) * np.dtype(self.dtype).itemsize
        return max(1, round(_INNER_BYTES / size))

    @property
    def samples_per_shard(self) -> int:
        """Windows of one shard."""
        return self._inner * _INNER_PER_SHARD

    def attributes(self, *, complete: bool) -> dict[str, JsonValue]:
        """Root attributes."""
        return {
            "Conventions": "CF-1.11",
            "title": "Windows of spectrograms sampled for training",
            "scaledec_kind": "training set",
            "scaledec_format": FORMAT,
            "scaledec_fingerprint": self.fingerprint,
            "scaledec_scale": self.scale,
            "scaledec_dtype": self.dtype,
            "scaledec_window": json.dumps({"frames": self.frames, "hop_s": self.hop_s}),
            "scaledec_complete": complete,
        }

    def variables(self, n: int, samples: Mapping[str, Variable]) -> list[Variable]:
        """All arrays of a training set of ``n`` windows."""
        shape = self.shape
        frame_s = np.arange(self.frames) * self.hop_s
        units = "dB" if self.scale == "db" else "counts2 Hz-1"
        return [
            Variable(
                "windows",
                ("sample", *(["plane"] if self.planes else []), "frame", "frequency"),
                {
                    "long_name": "power spectral density",
                    "units": units,
                    "coordinates": "channel time window split",
                },
                shape=(n, *shape),
                shard=(self.samples_per_shard, *shape),
                chunk=(self._inner, *shape),
                dtype=self.dtype,
                fill=np.nan,
            ),
            Variable(
                "frame",
                ("frame",),
                {"long_name": "start of the frame after the window's start", "units": "s"},
                frame_s,
            ),
            Variable(
                "frequency",
                ("frequency",),
                {"long_name": "frequency", "units": "Hz"},
                np.asarray(self.frequency_hz, np.float64),
            ),
            *plane_variables(self.planes),
            *samples.values(),
        ]


def origin_variables(origin: Mapping[str, npt.NDArray[Any]]) -> dict[str, Variable]:
    """What is known of where each window came from, as arrays."""
    return {name: Variable(name, ("sample",), ORIGIN[name], values) for name, values in origin.items()}


def assigned_variables(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Variable]:
    """What was found out about each window later, as arrays."""
    return {
        name: Variable(name, _assigned_dimensions(name, values), {}, np.asarray(values))
        for name, values in arrays.items()
    }


def _assigned_dimensions(name: str, values: npt.NDArray[Any]) -> tuple[str, ...]:
    if values.ndim == 1:
        return ("sample",)
    return ("sample", "latent" if name.startswith("embedding") else "cluster")
