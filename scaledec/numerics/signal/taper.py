"""Tapers: the weights of the samples of one frame."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["TaperKind", "make_taper"]

# Hann's and Hamming's tapers are a - (1 - a) cos(2 pi n / N).
_COSINE = {"hann": 0.5, "hamming": 0.54}

TaperKind: TypeAlias = Literal["hann", "hamming", "boxcar", "kaiser", "tukey"]


def make_taper(kind: TaperKind, nperseg: int, parameter: float | None = None) -> npt.NDArray[np.float64]:
    """The periodic taper that spectral analysis wants (its last sample is the one before the first).

    Parameters
    ----------
    kind
        Name of the taper.
    nperseg
        Samples of a frame.
    parameter
        Beta of a Kaiser taper, cosine fraction of a Tukey taper; none for the others.

    Returns
    -------
    Weights of shape (nperseg,).

    Raises
    ------
    ValueError
        If the parameter is missing, or given to a taper that has none.

    Examples
    --------
    >>> make_taper("hann", 4)
    array([0. , 0.5, 1. , 0.5])
    """
    if (parameter is None) == (kind in ("kaiser", "tukey")):
        raise ValueError(
            f"taper {kind!r} with parameter {parameter!r}; expected one for kaiser (beta) and tukey "
            "(fraction), none for the others"
        )
    if kind == "boxcar":
        return np.ones(nperseg)
    if parameter is None:
        return _COSINE[kind] + (1.0 - _COSINE[kind]) * np.cos(np.linspace(-np.pi, np.pi, nperseg + 1))[:-1]
    # Imported here, and not at all for the tapers above: scipy.signal takes 70 MB of each worker.
    from scipy.signal import get_window

    return np.asarray(get_window((kind, parameter), nperseg, fftbins=True), dtype=np.float64)
