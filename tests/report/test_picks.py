"""Pick shares of clusters, on cases small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scaledec.report.picks import holds_pick, pick_separation


def windows(rows: list[tuple[str, int, int]]) -> pd.DataFrame:
    """Ten-second windows: (station, start in s, label)."""
    start = pd.to_datetime([row[1] for row in rows], unit="s")
    return pd.DataFrame(
        {
            "channel": [f"CM.{row[0]}.00.HHZ" for row in rows],
            "start": start,
            "end": start + pd.Timedelta("10s"),
            "label": [row[2] for row in rows],
        }
    )


def picks(*rows: tuple[str, float]) -> pd.DataFrame:
    return pd.DataFrame(
        {"station": [f"CM.{s}" for s, _ in rows], "time": pd.to_datetime([t for _, t in rows], unit="s")}
    )


def test_a_window_holds_picks_of_its_own_station_from_its_start_to_before_its_end() -> None:
    table = windows([("A", 0, 0), ("A", 10, 0), ("B", 0, 0), ("B", 10, 0)])
    np.testing.assert_array_equal(
        holds_pick(table, picks(("A", 0.0), ("A", 9.9), ("B", 10.0), ("C", 5.0))), [True, False, False, True]
    )


def test_clusters_that_hold_the_picks_everywhere_separate_a_new_station_fully() -> None:
    rows = [(s, 10 * i, i % 2) for s in "ABC" for i in range(10)]
    odd = picks(*((s, 10.0 * i + 1) for s in "ABC" for i in range(1, 10, 2)))
    found = pick_separation(windows(rows), odd, held_out=["CM.C"])
    assert found.auc == 1.0
    assert found.n_held_out == 10
    assert found.base_rate == 0.5
    assert found.shares.set_index("label")["share"].to_dict() == {0: 0.0, 1: 1.0}


def test_clusters_that_say_nothing_separate_nothing() -> None:
    rows = [(s, 10 * i, i % 2) for s in "AB" for i in range(8)]
    first_half = picks(*((s, 10.0 * i) for s in "AB" for i in range(4)))
    assert pick_separation(windows(rows), first_half, held_out=["CM.B"]).auc == 0.5


def test_the_share_of_a_held_out_station_is_not_used_to_score_it() -> None:
    rows = [("A", 0, 0), ("A", 10, 1), ("B", 0, 0), ("B", 10, 1)]
    # At A cluster 1 holds the pick, at B cluster 0: what A teaches is wrong for B.
    found = pick_separation(windows(rows), picks(("A", 10.0), ("B", 0.0)), held_out=["CM.B"])
    assert found.auc == 0.0


@pytest.mark.parametrize("held_out", [["CM.Z"], ["CM.A", "CM.B"]])
def test_holding_out_none_or_all_is_refused(held_out: list[str]) -> None:
    table = windows([("A", 0, 0), ("B", 0, 1)])
    with pytest.raises(ValueError, match="no windows on one side"):
        pick_separation(table, picks(("A", 0.0)), held_out)
