"""Colours of clusters: the same for the same number, and apart for every kind of eye."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest

from scaledec.report.palette import BACKGROUND, UNLABELLED_COLOUR, class_colours, mixed

# What eyes without one kind of cones see of linear RGB (Machado et al. 2009, table 1, severity 1).
EYES = {
    "all cones": np.eye(3),
    "no long": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "no middle": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "no short": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
# CIE: linear sRGB to XYZ, and the white of D65.
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])


def lab(colour: str, eye: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """CIELAB of a colour as an eye sees it."""
    srgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    ratio = TO_XYZ @ np.clip(eye @ linear, 0, 1) / WHITE
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eye", EYES)
def test_eight_clusters_background_and_no_label_are_told_apart_by_every_eye(eye: str) -> None:
    colours = [*class_colours(8), BACKGROUND, UNLABELLED_COLOUR]
    seen = {colour: lab(colour, EYES[eye]) for colour in colours}
    # A difference of 2.3 is just noticeable; side by side in a figure several times that is needed.
    near = min(combinations(colours, 2), key=lambda pair: np.linalg.norm(seen[pair[0]] - seen[pair[1]]))
    assert np.linalg.norm(seen[near[0]] - seen[near[1]]) > 12, near


def test_forty_two_clusters_have_different_colours_and_only_the_background_is_pale() -> None:
    colours = class_colours(42, background=3)
    assert len(set(colours)) == 42
    assert colours[3] == BACKGROUND
    assert BACKGROUND not in class_colours(42)


def test_a_cluster_keeps_its_colour_whatever_the_number_of_clusters() -> None:
    assert class_colours(5, background=0)[1:] == class_colours(42, background=0)[1:5]


def test_mixing_goes_from_one_colour_to_the_other() -> None:
    assert [mixed("#000000", "#ff8000", share) for share in (0, 0.5, 1)] == ["#000000", "#804000", "#ff8000"]
