from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scaledec.grid import SpectrogramGrid, WindowGrid
from scaledec.location import Location
from scaledec.report.scoring import (
    archive_truth,
    confusion_table,
    families_of_clusters,
    score_labels,
    score_table,
)
from scaledec.store.labels import LabelBlock, LabelStore, LabelTemplate
from scaledec.synthetic.families import FAMILY_NAMES
from scaledec.synthetic.truth import TruthRow, truth_table
from scaledec.vocabulary import ChannelId, parse_time

START = parse_time("2024-03-04")
SECOND = 1_000_000_000


def test_scores_of_a_perfect_a_renamed_and_an_empty_labelling() -> None:
    family = np.array([0, 0, 1, 1, 2, 2])
    scores = score_labels(
        family,
        {"renamed": [5, 5, 0, 0, 3, 3], "one": [0] * 6, "with gaps": [-1, 0, 1, 1, 2, -1]},
    )
    assert (scores[0].accuracy, scores[0].nmi, scores[0].ari) == pytest.approx((1, 1, 1))
    assert (scores[1].accuracy, scores[1].nmi, scores[1].ari) == pytest.approx((1 / 3, 0, 0))
    assert (scores[2].accuracy, scores[2].n_windows) == (1.0, 4)
    assert score_table(scores).splitlines()[1].split() == ["renamed", "1.000", "1.000", "1.000", "6"]
    with pytest.raises(ValueError, match="short has labels of shape"):
        score_labels(family, {"short": [0]})


def test_clusters_stand_for_the_family_they_are_matched_to_or_hold_most_of() -> None:
    family = np.array([0] * 10 + [1] * 4 + [2] * 3)
    label = np.array([0] * 6 + [1] * 4 + [1] * 4 + [2] * 3)
    assert families_of_clusters(family, label, 4) == ("noise", "local event", "icequake", "noise")
    assert families_of_clusters(np.zeros(4, int), np.array([0, 0, 0, 1]), 2) == ("noise", "noise")


def make_labels(folder: Path) -> LabelStore:
    """An hour of one channel in windows of a minute: cluster 0, cluster 1, then nothing."""
    grid = SpectrogramGrid.from_lengths(
        sampling_rate_hz=10.0, segment_s=3600, window_s=2.0, overlap=0.5, band_hz=(0.5, 4.5)
    )
    windows = WindowGrid.from_lengths(grid, length_s=60.0, stride_s=None, min_coverage=1.0)
    channel = ChannelId.parse("SY.A.00.BHZ")
    rng = np.random.default_rng(0)
    shape = (windows.length, grid.n_frequencies)
    label_template = LabelTemplate(
        run="r",
        fingerprint="f",
        method="idec",
        grid=grid,
        windows=windows,
        segments_per_shard=2,
        centroid=np.zeros((2, 3), np.float32),
        prototype=rng.standard_normal((2, *shape)).astype(np.float32),
        prototype_units="1",
        embedding=False,
        confidence="q",
    )
    labels = LabelStore.create_or_extend(
        Location(str(folder / "r.zarr")), label_template, [channel], START, 2
    )
    label = np.full((2, 60), -1, np.int16)
    label[0, :30], label[0, 30:] = 0, 1
    distance = np.where(label < 0, np.nan, rng.random((2, 60))).astype(np.float32)
    labels.write_region(LabelBlock(0, 0, label, distance, distance, distance, (label >= 0).astype(np.uint8)))
    return labels


def test_labels_of_an_archive_are_compared_with_the_truth_of_their_windows(tmp_path: Path) -> None:
    labels = make_labels(tmp_path)
    row = TruthRow(
        start_ns=START + 30 * 60 * SECOND,
        end_ns=START + 60 * 60 * SECOND,
        channel="SY.A.00.BHZ",
        family="tremor",
        event="e",
        excess_db=10.0,
        bandwidth_hz=1.0,
    )
    truth = truth_table([row])
    found = archive_truth(labels, truth)
    assert found.label.size == 60
    assert [FAMILY_NAMES[f] for f in found.family] == ["noise"] * 30 + ["tremor"] * 30
    table = confusion_table(found, 2)
    assert table.loc[1, "tremor"] == 30
    assert table.to_numpy().sum() == 60
