from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scaledec.errors import ArchiveError
from scaledec.location import Location
from scaledec.synthetic.families import FAMILY_NAMES
from scaledec.synthetic.plant import visible_runs
from scaledec.synthetic.truth import (
    TruthRow,
    read_truth,
    truth_table,
    window_truth,
    windows_truth,
    write_truth,
)

SECOND = 1_000_000_000
CHANNEL = "SY.A.00.HHZ"


def row(
    family: str, start_s: float, end_s: float, *, excess_db: float = 10.0, channel: str = CHANNEL
) -> TruthRow:
    return TruthRow(
        family=family,
        channel=channel,
        start_ns=round(start_s * SECOND),
        end_ns=round(end_s * SECOND),
        event="e",
        excess_db=excess_db,
        bandwidth_hz=2.0,
    )


def labels(rows: list[TruthRow], starts_s: list[float], length_s: float = 10.0) -> list[str]:
    starts = (np.array(starts_s) * SECOND).astype(np.int64)
    return [
        FAMILY_NAMES[f] for f in window_truth(truth_table(rows), CHANNEL, starts, round(length_s * SECOND))
    ]


def test_windows_without_signal_are_noise() -> None:
    assert labels([], [0, 10]) == ["noise", "noise"]
    assert labels([row("tremor", 100, 200)], [0, 90, 200]) == ["noise"] * 3


def test_a_touch_shorter_than_three_seconds_does_not_count() -> None:
    assert labels([row("tremor", 12, 40)], [0, 5, 8]) == ["noise", "tremor", "tremor"]


def test_a_signal_shorter_than_six_seconds_counts_where_half_of_it_lies() -> None:
    assert labels([row("icequake", 9, 11)], [0, 9.5, 10.5]) == ["icequake", "icequake", "noise"]


def test_the_family_that_raises_the_spectrogram_most_owns_the_window() -> None:
    rows = [row("tremor", 0, 10, excess_db=5.0), row("glitch", 0, 5, excess_db=30.0)]
    assert labels(rows, [0]) == ["glitch"]
    assert labels([row("tremor", 0, 10, excess_db=16.0), rows[1]], [0]) == ["tremor"]


def test_other_channels_do_not_count_and_order_does_not_matter() -> None:
    rows = [row("tremor", 0, 10, channel="SY.B.00.HHZ"), row("glitch", 20, 30)]
    assert labels(rows, [20, 0, 25]) == ["glitch", "noise", "glitch"]
    starts = np.array([0, 20, 0]) * SECOND
    names = ["SY.B.00.HHZ", CHANNEL, CHANNEL]
    found = windows_truth(truth_table(rows), names, starts, 10 * SECOND)
    assert [FAMILY_NAMES[f] for f in found] == ["tremor", "glitch", "noise"]


def test_window_truth_agrees_with_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    rows = [
        row(str(rng.choice(FAMILY_NAMES[1:])), s, s + rng.uniform(1, 40), excess_db=float(rng.uniform(5, 30)))
        for s in rng.uniform(0, 2000, 150)
    ]
    table = truth_table(rows)
    starts = (rng.uniform(0, 2000, 400) * SECOND).astype(np.int64)
    length = 20 * SECOND
    wanted = []
    for start in starts.tolist():
        totals = dict.fromkeys(FAMILY_NAMES, 0.0)
        for r in rows:
            overlap = min(r.end_ns, start + length) - max(r.start_ns, start)
            if overlap > 0 and overlap >= min(3 * SECOND, (r.end_ns - r.start_ns) / 2):
                totals[r.family] += overlap * r.excess_db * r.bandwidth_hz
        wanted.append(max(totals, key=lambda name: totals[name]))
    found = window_truth(table, CHANNEL, starts, length)
    assert [FAMILY_NAMES[f] for f in found] == wanted


def test_truth_survives_its_file(tmp_path: Path) -> None:
    table = truth_table([row("glitch", 1.25, 3), row("tremor", 0, 10)])
    write_truth(Location(str(tmp_path)), table)
    pd.testing.assert_frame_equal(read_truth(Location(str(tmp_path))), table)


def test_a_folder_without_truth_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"no truth at .*scaledec demo"):
        read_truth(Location(str(tmp_path)))


def test_a_signal_is_visible_from_its_first_to_its_last_strong_piece() -> None:
    signal = np.zeros(10_000)
    signal[2000:3000] = 10.0
    signal[9000:9050] = 0.5
    [(first, stop, excess_db)] = visible_runs(signal, 100.0, 1.0)
    assert (first, stop) == (2000, 3000)
    assert excess_db == pytest.approx(10 * np.log10(101.0))
    assert visible_runs(np.full(1000, 2.0), 100.0, 1.0) == []
    assert len(visible_runs(signal + 10.0 * (np.arange(10_000) > 9500), 100.0, 1.0)) == 2
