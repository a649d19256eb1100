"""Instrument responses on the frequencies of a cube: evaluated by ObsPy once, kept as small objects.

A response is named by a hash of its numbers, so the same instrument at a hundred stations is one object, a
corrected one is another, and what was written once never changes.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scaledec.errors import StoreNotFoundError, UnreadableInputError
from scaledec.location import Location
from scaledec.numerics.signal.response import response_gain_db

__all__ = [
    "ResponseRequest",
    "is_gain_only",
    "load_gain_db",
    "power_response",
    "response_name",
    "save_gain_db",
]

Float64 = npt.NDArray[np.float64]

_OUTPUT = {"displacement": "DISP", "velocity": "VEL", "acceleration": "ACC"}
_ORDER = {"displacement": 0, "velocity": 1, "acceleration": 2}
# Times differentiated, and units in one SI unit, of every input that ObsPy converts correctly.
_LENGTHS = {"M": 1.0, "CM": 1e2, "MM": 1e3, "NM": 1e9}
_UNITS: dict[str, tuple[int, float]] = {
    **{name: (0, size) for name, size in _LENGTHS.items()},
    **{f"{name}/{s}": (1, size) for name, size in _LENGTHS.items() for s in ("S", "SEC")},
    **{f"{name}/S**2": (2, size) for name, size in _LENGTHS.items()},
    **dict.fromkeys(("M/(S**2)", "M/SEC**2", "M/(SEC**2)", "M/S/S"), (2, 1.0)),
}
# A hundredth of what is asked of the stored power; finer differences are rounding of another machine.
_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """What gains are wanted: of which ground motion, on which frequencies."""

    quantity: str
    """``displacement``, ``velocity`` or ``acceleration``."""
    water_level_db: float
    sampling_rate_hz: float
    nfft: int
    first_bin: int
    stop_bin: int
    """End of the stored bins of the one-sided transform, exclusive."""

    @property
    def frequency_hz(self) -> Float64:
        """Every frequency from 0 Hz to the Nyquist frequency."""
        return np.arange(self.nfft // 2 + 1, dtype=np.float64) * (self.sampling_rate_hz / self.nfft)

    def gain_db(self, response: Any) -> Float64:
        """Gain on the stored bins of an ObsPy ``Response``, water level applied, rounded to 0.0001 dB.

        Raises
        ------
        ValueError
            If the response tells nothing of ground motion.
        """
        power = power_response(response, self.frequency_hz, self.quantity)
        gain = response_gain_db(power, self.water_level_db)[self.first_bin : self.stop_bin]
        return np.add(np.round(gain, _DECIMALS), 0.0, dtype=np.float64)  # no negative zero


def is_gain_only(response: Any) -> bool:
    """Whether an ObsPy ``Response`` is a sensitivity without stages."""
    return not response.response_stages


def power_response(response: Any, frequency_hz: Float64, quantity: str) -> Float64:
    """|H|^2 of an ObsPy ``Response`` in (counts per SI unit)^2, shape (frequency,).

    Stages are evaluated by ObsPy (evalresp). A response that is a sensitivity alone is flat in the
    quantity its instrument records.

    Raises
    ------
    ValueError
        If there is neither, or its input is no ground motion.
    """
    order, size = _input_units(response)
    if is_gain_only(response):
        with np.errstate(divide="ignore"):
            # Each differentiation multiplies by 2 pi f; what an integration does at 0 Hz is infinite.
            differentiated = (2 * np.pi * frequency_hz) ** (order - _ORDER[quantity])
        return np.square(float(response.instrument_sensitivity.value) * size * differentiated)
    with warnings.catch_warnings():
        # What ObsPy doubts in a response (a sensitivity that differs, odd stages) does not stop its use.
        warnings.simplefilter("ignore")
        try:
            found = response.get_evalresp_response_for_frequencies(
                frequency_hz, output=_OUTPUT[quantity], hide_sensitivity_mismatch_warning=True
            )
        except Exception as error:  # evalresp and its wrapper raise whatever they meet
            raise ValueError(f"ObsPy cannot evaluate it: {type(error).__name__}: {error}") from error
    return np.asarray(np.square(np.abs(found)), dtype=np.float64)


def _input_units(response: Any) -> tuple[int, float]:
    sensitivity = response.instrument_sensitivity
    stages = response.response_stages
    if not stages and (sensitivity is None or not sensitivity.value):
        raise ValueError("it has neither stages nor a sensitivity")
    units = stages[0].input_units if stages and stages[0].input_units else None
    units = units or (sensitivity.input_units if sensitivity is not None else None)
    known = _UNITS.get(str(units).strip().upper())
    if known is None:
        raise ValueError(f"its input is in {units!r}, which is no ground motion (m, m/s, m/s**2)")
    return known


def response_name(gain_db: Float64) -> str:
    """The name of a gain: a hash of its numbers."""
    return hashlib.sha256(np.ascontiguousarray(gain_db, dtype="<f8").tobytes()).hexdigest()[:16]


def save_gain_db(place: Location, gain_db: Float64) -> str:
    """Write a gain below ``place``; return its name."""
    name = response_name(gain_db)
    text = json.dumps({"gain_db": gain_db.tolist()})
    place.child(f"{name}.json").write_bytes(text.encode())
    return name


def load_gain_db(place: Location, name: str) -> Float64:
    """Read a gain back, shape (frequency,).

    Raises
    ------
    UnreadableInputError
        If it is not there or damaged; planning again writes it.
    """
    own = place.child(f"{name}.json")
    try:
        gain = np.array(json.loads(own.read_bytes())["gain_db"], dtype=np.float64)
    except (StoreNotFoundError, ValueError, KeyError, TypeError) as error:
        raise UnreadableInputError(
            f"the response {own} is missing or damaged ({error}); remove it and run again: planning writes it"
        ) from error
    if response_name(gain) != name:
        raise UnreadableInputError(
            f"the response {own} holds other numbers than were written; remove it and run again: planning "
            "writes it"
        )
    return gain
