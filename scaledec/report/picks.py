"""How well clusters tell windows that hold a picked arrival from windows that hold none."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scaledec.numerics.metrics import roc_auc
from scaledec.vocabulary import ChannelId

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PickSeparation", "holds_pick", "pick_separation"]


@dataclass(frozen=True, slots=True)
class PickSeparation:
    """Pick shares of clusters learned at some stations and tried at others."""

    shares: pd.DataFrame
    """A row a cluster: label, windows, windows with a pick, share; over all stations."""
    auc: float
    """ROC AUC at the held-out stations: score of a window is its cluster's share at the other stations."""
    n_held_out: int
    """Windows at the held-out stations."""
    base_rate: float
    """Share of windows with a pick at the held-out stations."""


def holds_pick(windows: pd.DataFrame, picks: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether a pick of the window's own station lies in each window.

    Parameters
    ----------
    windows
        Columns channel (NET.STA.LOC.CHA), start and end (UTC, end exclusive).
    picks
        Columns station (NET.STA) and time (UTC).

    Returns
    -------
    numpy.ndarray
        bool, shape (window,).
    """
    station = np.array([ChannelId.parse(name).station_key for name in windows["channel"]], dtype=object)
    start = windows["start"].to_numpy("datetime64[ns]")
    end = windows["end"].to_numpy("datetime64[ns]")
    holds = np.zeros(len(windows), bool)
    for name in np.unique(station.astype(str)):
        times = np.sort(picks.loc[picks["station"] == name, "time"].to_numpy("datetime64[ns]"))
        here = station == name
        holds[here] = np.searchsorted(times, start[here]) < np.searchsorted(times, end[here])
    return holds


def pick_separation(windows: pd.DataFrame, picks: pd.DataFrame, held_out: Collection[str]) -> PickSeparation:
    """Pick share of each cluster, and how well the shares of some stations sort the windows of others.

    Parameters
    ----------
    windows
        Labelled windows: columns channel, start, end, label.
    picks
        Columns station (NET.STA) and time.
    held_out
        Stations (NET.STA) that give no share, only windows to score; best left out of the training
        set too (``pretrain.exclude``).

    Raises
    ------
    ValueError
        If a station is held out that has no window, or no other station is left.
    """
    holds = holds_pick(windows, picks)
    label = windows["label"].to_numpy()
    station = np.array([ChannelId.parse(name).station_key for name in windows["channel"]])
    scored = np.isin(station, list(held_out))
    if not scored.any() or scored.all():
        raise ValueError(
            f"held out {sorted(held_out)} of stations {sorted(set(station))}: no windows on one side"
        )
    clusters = np.unique(label)
    learned = {k: _share(holds[~scored & (label == k)]) for k in clusters}
    scores = np.array([learned[k] for k in label[scored]])
    return PickSeparation(
        shares=_table(label, holds, clusters),
        auc=roc_auc(holds[scored], scores),
        n_held_out=int(scored.sum()),
        base_rate=_share(holds[scored]),
    )


def _share(holds: npt.NDArray[np.bool_]) -> float:
    # A cluster never seen at the learning stations says nothing: no windows, share 0.
    return float(holds.mean()) if holds.size else 0.0


def _table(
    label: npt.NDArray[np.integer], holds: npt.NDArray[np.bool_], clusters: npt.NDArray[np.integer]
) -> pd.DataFrame:
    import pandas as pd

    rows = [(int(k), int((label == k).sum()), int(holds[label == k].sum())) for k in clusters]
    table = pd.DataFrame(rows, columns=["label", "windows", "with_pick"])
    return table.assign(share=table["with_pick"] / table["windows"])
