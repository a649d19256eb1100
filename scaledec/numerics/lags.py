"""Correlation of two series at many lags, and what chance would give at the best of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d
from scipy.stats import rankdata

__all__ = ["LagScan", "circular_correlations", "scan_lags"]

Series = npt.NDArray[np.float64]

_FEWEST_PAIRS = 8
_FEWEST_SHIFTS = 19


@dataclass(frozen=True, slots=True)
class LagScan:
    """Correlations at lags ``-max_lag`` to ``max_lag``, and how much of the best is chance's."""

    pearson: Series
    """Shape (2 max_lag + 1,); NaN where too few pairs are known or a side does not vary."""
    spearman: Series
    """Of ranks; shape (2 max_lag + 1,)."""
    p_pearson: float
    """Chance of a best correlation as strong anywhere among the lags; NaN if it cannot be told."""
    p_spearman: float
    chance_pearson: float
    """Strength that the best of all lags exceeds by chance in 5 % of cases."""
    chance_spearman: float

    def best(self, correlations: Series) -> int | None:
        """Lag of the strongest correlation, counted in bins; ``None`` where there is none."""
        if not np.isfinite(correlations).any():
            return None
        return int(np.nanargmax(np.abs(correlations))) - len(correlations) // 2


def scan_lags(follows: Series, leads: Series, max_lag: int) -> LagScan:
    """Correlate ``follows[t]`` with ``leads[t - lag]`` at every lag; a positive lag is a delay.

    Chance is asked by turning one series round against the other: at every circular shift the best of as
    many lags is looked for again, so that p minds both how many lags were tried and how each series clusters
    in time. Shifts whose lags overlap those of the question are left out.

    Parameters
    ----------
    follows, leads
        Values of the same bins, NaN where one is not known, shape (bin,).
    max_lag
        In bins.
    """
    lags = range(-max_lag, max_lag + 1)
    pairs = [_pairs(follows, leads, lag) for lag in lags]
    pearson = np.array([_pearson(a, b) for a, b in pairs])
    spearman = np.array([_pearson(rankdata(a), rankdata(b)) for a, b in pairs])
    p_pearson, chance_pearson = _chance(follows, leads, max_lag)
    p_spearman, chance_spearman = _chance(_ranked(follows), _ranked(leads), max_lag)
    return LagScan(pearson, spearman, p_pearson, p_spearman, chance_pearson, chance_spearman)


def _pairs(follows: Series, leads: Series, lag: int) -> tuple[Series, Series]:
    """Both where both are known."""
    n = len(follows)
    a = follows[max(0, lag) : n + min(0, lag)]
    b = leads[max(0, -lag) : n + min(0, -lag)]
    known = np.isfinite(a) & np.isfinite(b)
    return a[known], b[known]


def _pearson(a: Series, b: Series) -> float:
    if len(a) < _FEWEST_PAIRS or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1, 1))


def _ranked(values: Series) -> Series:
    ranks = np.full(len(values), np.nan)
    known = np.isfinite(values)
    ranks[known] = rankdata(values[known])
    return ranks


def circular_correlations(follows: Series, leads: Series) -> Series:
    """Pearson's correlation of ``follows[t]`` with ``leads[(t - shift) mod n]`` at every shift, by FFT.

    Bins that are NaN on either side are left out of each. Shape (bin,); NaN where too few pairs are known.
    """
    known = [np.isfinite(values).astype(np.float64) for values in (follows, leads)]
    centred = [_standardised(values) for values in (follows, leads)]

    def turned(a: Series, b: Series) -> Series:
        """Sum over t of a[t] b[t - shift]."""
        product = np.fft.rfft(a) * np.conj(np.fft.rfft(b))
        return np.asarray(np.fft.irfft(product, n=len(a)))

    (x, y), (in_x, in_y) = centred, known
    n = np.rint(turned(in_x, in_y))
    sum_x, sum_y = turned(x, in_y), turned(in_x, y)
    with np.errstate(invalid="ignore", divide="ignore"):
        covariance = turned(x, y) - sum_x * sum_y / n
        of_x = turned(x * x, in_y) - sum_x**2 / n
        of_y = turned(in_x, y * y) - sum_y**2 / n
        correlation = covariance / np.sqrt(of_x * of_y)
    enough = (n >= _FEWEST_PAIRS) & (of_x > 1e-9 * n) & (of_y > 1e-9 * n)
    return np.where(enough, np.clip(correlation, -1, 1), np.nan)


def _standardised(values: Series) -> Series:
    """Mean 0 and deviation 1 where known, 0 elsewhere: sums of squares keep their digits."""
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values))
    deviation = float(values[known].std()) or 1.0
    return np.where(known, (values - values[known].mean()) / deviation, 0.0)


def _chance(follows: Series, leads: Series, max_lag: int) -> tuple[float, float]:
    """p of the best lag, and the 95th percentile of the best that chance gives."""
    correlations = np.abs(circular_correlations(follows, leads))
    if not np.isfinite(correlations).any():
        return float("nan"), float("nan")
    best = maximum_filter1d(np.nan_to_num(correlations), 2 * max_lag + 1, mode="wrap")
    apart = best[2 * max_lag + 1 : len(best) - 2 * max_lag]
    if len(apart) < _FEWEST_SHIFTS:
        return float("nan"), float("nan")
    # The question counts as one of the shifts, so that p is never 0; rounding of the FFT makes no tie.
    p = (1 + np.count_nonzero(apart >= best[0] - 1e-9)) / (1 + len(apart))
    return float(p), float(np.quantile(apart, 0.95))
