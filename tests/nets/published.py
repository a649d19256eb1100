"""What published networks are, layer by layer, written down from their sources and from nothing of ours.

Axes are (frames, frequencies): most sources write them the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass

Sides = tuple[int, int]


@dataclass(frozen=True)
class Published:
    """One network: a line a layer, with the parameters and the output of each."""

    window: Sides
    latent: int
    parameters: int
    down: tuple[tuple[int, int, Sides], ...]
    """(parameters, channels, sides) of each convolution."""
    embedding: tuple[int, int]
    """Parameters of the dense layers to the embedding and from it."""
    up: tuple[tuple[int, int, Sides], ...]
    """(parameters, channels, sides) of each transposed convolution."""


# RISCluster's encoder; its decoder ends at 101 x 95 and is cut, ours undoes the encoder's sizes.
JENKINS2021 = Published(
    window=(100, 87),
    latent=9,
    parameters=218_250,
    down=(
        (80, 8, (50, 44)),
        (1_168, 16, (25, 22)),
        (4_640, 32, (13, 11)),
        (18_496, 64, (7, 6)),
        (73_856, 128, (3, 3)),
    ),
    embedding=(10_377, 11_520),
    up=(
        (73_792, 64, (7, 6)),
        (18_464, 32, (13, 11)),
        (4_624, 16, (25, 22)),
        (1_160, 8, (50, 44)),
        (73, 1, (100, 87)),
    ),
)

# The comments beside each layer of zclust/neuralnets.py, axes swapped.
ZCLUST = Published(
    window=(67, 87),
    latent=9,
    parameters=218_250,
    down=(
        (80, 8, (34, 44)),
        (1_168, 16, (17, 22)),
        (4_640, 32, (9, 11)),
        (18_496, 64, (5, 6)),
        (73_856, 128, (3, 3)),
    ),
    embedding=(10_377, 11_520),
    up=(
        (73_792, 64, (5, 5)),
        (18_464, 32, (9, 11)),
        (4_624, 16, (17, 23)),
        (1_160, 8, (35, 45)),
        (73, 1, (69, 89)),
    ),
)

# The summary that the notebook CAE_wDEC prints, axes swapped.
SNOVER2020 = Published(
    window=(40, 120),
    latent=14,
    parameters=87_247,
    down=((208, 8, (20, 60)), (3_216, 16, (10, 30)), (4_640, 32, (5, 15)), (18_496, 64, (2, 7))),
    embedding=(12_558, 13_440),
    up=((18_464, 32, (5, 15)), (12_816, 16, (10, 30)), (3_208, 8, (20, 60)), (201, 1, (40, 120))),
)

# Models/networks.py of the clustering of spectrogram cubes: kernels 2 x 4, strides 1 x 2, padding 1. The last
# convolution down is the map of attention, the first one up undoes it.
DAS_CUBE = Published(
    window=(4, 101),
    latent=9,
    parameters=3_912,
    down=((72, 8, (5, 50)), (520, 8, (6, 25)), (520, 8, (7, 12)), (18, 1, (7, 12))),
    embedding=(765, 840),
    up=((72, 8, (7, 12)), (520, 8, (6, 25)), (520, 8, (5, 50)), (65, 1, (4, 101))),
)
