"""Figures hold what they were given: shares of colours, and text that stays inside."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import numpy.typing as npt
import pytest

from scaledec.report.canvas import drawable, new_figure, save_figure, shortened
from scaledec.report.figures.gallery import GalleryRow, GalleryWindow, cluster_gallery
from scaledec.report.figures.parts import time_axis
from scaledec.report.figures.timeline import TimelineRow, label_timeline
from scaledec.report.palette import UNLABELLED_COLOUR

Image = npt.NDArray[np.uint8]
SPAN = np.datetime64("2024-03-04"), np.datetime64("2024-03-05")


def rgb(path: Path) -> Image:
    return np.round(matplotlib.image.imread(path)[..., :3] * 255).astype(np.uint8)


def share_of(image: Image, colour: str) -> float:
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return float((np.abs(image.astype(int) - wanted).max(axis=2) <= 1).mean())


def gallery_rows(n_clusters: int, n_windows: int) -> list[GalleryRow]:
    rng = np.random.default_rng(0)
    windows = [
        GalleryWindow("here", 1.0, rng.normal(20, 5, (12, 9)), rng.standard_normal(50).astype(np.float32))
        for _ in range(n_windows)
    ]
    return [
        GalleryRow(f"cluster {k}", "#0072b2", "5 windows", rng.standard_normal((12, 9)), windows)
        for k in range(n_clusters)
    ]


def draw_gallery(path: Path, rows: list[GalleryRow]) -> Path:
    figure = cluster_gallery(
        rows,
        columns=["nearest", "far", "farther"],
        frame_s=np.linspace(0, 5.5, 12),
        frequency_hz=np.linspace(0, 12, 9),
        power_units="dB",
    )
    return save_figure(figure, path)


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_figure_is_the_same_bytes_each_time(tmp_path: Path, ending: str) -> None:
    first = draw_gallery(tmp_path / "below" / f"a.{ending}", gallery_rows(1, 2))
    again = draw_gallery(tmp_path / f"b.{ending}", gallery_rows(1, 2))
    assert first.read_bytes() == again.read_bytes()


def test_a_gallery_is_as_tall_as_it_has_clusters_and_stands_gaps_and_none(tmp_path: Path) -> None:
    rows = gallery_rows(3, 3)
    rows[0].windows[0].power[:4] = np.nan
    rows[1] = GalleryRow("cluster 1", "#0072b2", "no windows", rows[1].prototype, [])
    tall, small = (rgb(draw_gallery(tmp_path / "g.png", r)).shape[0] for r in (rows, rows[:1]))
    assert tall > 1.8 * small


def test_a_timeline_gives_each_cluster_its_share_and_grey_to_the_rest(tmp_path: Path) -> None:
    counts = np.repeat([[4, 0, 0], [2, 2, 0], [0, 0, 4], [3, 0, 1]], 25, axis=0)
    figure = label_timeline(
        [TimelineRow("A.B..C", counts)] * 3,
        span=SPAN,
        names=["one", "two"],
        colours=["#0072b2", "#e69f00"],
    )
    image = rgb(save_figure(figure, tmp_path / "t.png"))
    one, two, grey = (share_of(image, colour) for colour in ("#0072b2", "#e69f00", UNLABELLED_COLOUR))
    assert one / two == pytest.approx(9 / 2, rel=0.06)
    assert grey / two == pytest.approx(5 / 2, rel=0.06)
    assert one + two + grey > 0.3


def test_the_truth_stands_beneath_and_no_window_leaves_white(tmp_path: Path) -> None:
    counts = np.array([[2, 0], [0, 0], [0, 0], [0, 0]])
    row = TimelineRow("A", counts, np.array([[0, 2, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]))
    figure = label_timeline(
        [row],
        span=SPAN,
        names=["one"],
        colours=["#0072b2"],
        truth_names=["noise", "tremor"],
        truth_colours=["#123456", "#e69f00"],
    )
    image = rgb(save_figure(figure, tmp_path / "t.png"))
    assert share_of(image, "#e69f00") > 0.02
    assert share_of(image, "#e69f00") < share_of(image, "#0072b2")
    # Grey is in the legend alone.
    assert share_of(image, UNLABELLED_COLOUR) < 0.002


def test_text_is_shortened_and_what_has_no_glyph_becomes_a_box() -> None:
    assert shortened("icequake at the ice front", 12) == "icequake at…"
    assert shortened("short", 12) == "short"
    assert drawable("a 氷 b") == "a □ b"


def test_a_dollar_sign_is_no_formula(tmp_path: Path) -> None:
    with new_figure((2, 1)) as figure:
        figure.text(0.1, 0.5, r"$x_1 \frac{$")
    assert save_figure(figure, tmp_path / "t.png").exists()


@pytest.mark.parametrize("hours", [1, 2, 5, 25, 48, 50, 71, 24 * 9, 24 * 40, 24 * 200, 24 * 700, 24 * 4000])
@pytest.mark.parametrize("ticks", [5, 9])
def test_a_time_axis_of_any_length_has_two_ticks_or_more_and_not_too_many(hours: int, ticks: int) -> None:
    with new_figure((4, 1)) as figure:
        axes = figure.add_subplot()
        start = np.datetime64("2024-02-28T22:00")
        time_axis(axes, start, start + np.timedelta64(hours, "h"), ticks=ticks)
        low, high = axes.get_xlim()
        told = [place for place in axes.get_xticks() if low <= place <= high]
        assert 2 <= len(told) <= ticks + 1
