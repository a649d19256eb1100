"""Spectrograms of another program in the cube's terms: scale, gaps, place on the grid of frames."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["FLOOR_DB", "convert_power", "covered_percent"]

FLOOR_DB = -300.0
"""Nothing lies below, as in spectrograms computed here: the logarithm of no power at all is no gap."""


def convert_power(
    values: npt.NDArray[Any],
    source: Literal["db", "linear", "amplitude"],
    target: Literal["db", "linear"],
) -> npt.NDArray[np.float32]:
    """Power in the wanted scale; NaN where a value is NaN, infinite or (not being logarithmic) negative.

    Parameters
    ----------
    values
        Any shape.
    source
        ``db``: 10 log10 of power; ``linear``: power; ``amplitude``: the square root of power.
    target
        ``db`` or ``linear``; nothing lies below :data:`FLOOR_DB` or the power of that.

    Examples
    --------
    >>> convert_power(np.array([0.0, 10.0, np.nan]), "amplitude", "db")
    array([-300.,   20.,   nan], dtype=float32)
    """
    given: npt.NDArray[Any] = values.astype(np.float32 if values.dtype.itemsize <= 4 else np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # A negative power has no logarithm: NaN says so.
        db = given if source == "db" else np.log10(given) * (20.0 if source == "amplitude" else 10.0)
        usable = db < np.inf
        db = np.where(usable, np.maximum(db, FLOOR_DB), np.nan)
        result = db if target == "db" else 10.0 ** (db.astype(np.float64) / 10)
    return np.asarray(result, dtype=np.float32)


def covered_percent(power: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Share of the frequencies that have a value, rounded down to per cent: a frame's coverage.

    Parameters
    ----------
    power
        Shape (..., frequency); NaN where there is none.
    """
    n_values = np.isfinite(power).sum(axis=-1)
    return np.asarray(n_values * 100 // power.shape[-1], dtype=np.uint8)
