from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from scaledec.report.figures import ClusterPicture, TimelineRow, cluster_gallery, label_timeline
from scaledec.report.palette import UNLABELLED_COLOUR


def pictures(n_clusters: int, n_windows: int) -> list[ClusterPicture]:
    rng = np.random.default_rng(0)
    return [
        ClusterPicture(
            f"cluster {k}",
            "#0072b2",
            1 / n_clusters,
            rng.standard_normal((12, 9)),
            rng.normal(20, 5, (n_windows, 12, 9)),
            ["somewhere"] * n_windows,
        )
        for k in range(n_clusters)
    ]


def gallery(path: Path, clusters: list[ClusterPicture]) -> Path:
    return cluster_gallery(
        path, clusters, frame_s=np.linspace(0, 5.5, 12), frequency_hz=np.linspace(0, 12, 9)
    )


def rgb(path: Path) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    return np.round(matplotlib.image.imread(path)[..., :3] * 255).astype(np.uint8)


def share_of(image: np.ndarray[tuple[int, int, int], np.dtype[np.uint8]], colour: str) -> float:
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return float((np.abs(image.astype(int) - wanted).max(axis=2) <= 1).mean())


def test_a_gallery_is_as_tall_as_it_has_clusters_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    small = gallery(tmp_path / "small.png", pictures(2, 3))
    tall = gallery(tmp_path / "below" / "tall.png", pictures(6, 3))
    assert rgb(tall).shape[0] > 2 * rgb(small).shape[0]
    again = gallery(tmp_path / "again.png", pictures(2, 3))
    assert again.read_bytes() == small.read_bytes()


def test_a_gallery_stands_clusters_with_fewer_windows_and_with_gaps(tmp_path: Path) -> None:
    clusters = [*pictures(1, 3), *pictures(1, 1)]
    clusters[0].windows[0, :4] = np.nan
    assert gallery(tmp_path / "g.png", clusters).stat().st_size > 10_000


@pytest.mark.parametrize("n_windows", [48, 20_000])
def test_a_timeline_gives_each_class_its_share_and_grey_to_the_rest(tmp_path: Path, n_windows: int) -> None:
    label = np.repeat([0, 1, -1, 0], n_windows // 4)
    path = label_timeline(
        tmp_path / "t.png",
        [TimelineRow("A.B..C", label)] * 3,
        start=np.datetime64("2024-03-04"),
        stride_s=30.0,
        names=["one", "two"],
        colours=["#0072b2", "#e69f00"],
    )
    shares = [share_of(rgb(path), colour) for colour in ("#0072b2", "#e69f00", UNLABELLED_COLOUR)]
    assert shares[0] == pytest.approx(2 * shares[1], rel=0.05)
    assert shares[1] == pytest.approx(shares[2], rel=0.05)
    assert sum(shares) > 0.4


def test_truth_is_drawn_beneath_and_grey_where_nothing_was_labelled(tmp_path: Path) -> None:
    rows = [TimelineRow("A", np.array([0, 0, -1, -1]), np.array([1, 1, 1, 1]))]
    path = label_timeline(
        tmp_path / "t.png",
        rows,
        start=np.datetime64("2024-03-04"),
        stride_s=30.0,
        names=["one"],
        colours=["#0072b2"],
        truth_names=["x", "y"],
        truth_colours=["#e69f00", "#009e73"],
    )
    image = rgb(path)
    assert share_of(image, "#0072b2") > share_of(image, "#009e73") > 0.05
    assert share_of(image, "#e69f00") < 0.01
    assert share_of(image, UNLABELLED_COLOUR) > 0.1
