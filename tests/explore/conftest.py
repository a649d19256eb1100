"""A small root to explore: cube, two runs of labels, and the samples behind one channel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from scaledec.config import dump_config
from scaledec.explore.opened import Opened, open_root
from scaledec.ledger.ledger import Ledger
from scaledec.places import Places
from scaledec.store.labels import LabelBlock, LabelStore, LabelTemplate
from scaledec.store.names import ClusterName, write_names
from scaledec.vocabulary import TaskResult, WindowState
from tests.archive.making import put_day, record_bytes
from tests.stages.small_cubes import START_NS, channels_of, make_cube, small_config

N_CHANNELS, N_SEGMENTS, N_CLASSES = 4, 6, 3
RATE_HZ = 8.0
RUN = "second"


def make_root(root: Path) -> None:
    """Ten-minute segments: the cube lacks segment 2 of channel 1, labels lack segment 5 of all."""
    config = small_config(root, archive={"url": str(root / "archive"), "layout": "sds"})
    channels = channels_of(N_CHANNELS)
    make_cube(config, channels, N_SEGMENTS, empty=[(1, 2)])
    for number, run in enumerate(("first", RUN)):
        _label(root, run, seed=number)
        place = Places.at(str(root)).run(run)
        place.child("config.yaml").write_bytes(dump_config(config).encode())
    write_names(Places.at(str(root)).run(RUN), {1: ClusterName("icequake, ice front")})
    put_day(
        root / "archive",
        START_NS,
        record_bytes(START_NS, samples(), channel=channels[0], rate_hz=RATE_HZ, encoding="int32"),
        channel=channels[0],
    )


def samples() -> npt.NDArray[np.int32]:
    """Twenty-five minutes of a 1 Hz tone on a slow one, about an offset of 1000."""
    t = np.arange(int(25 * 60 * RATE_HZ)) / RATE_HZ
    values = 1000 + 200 * np.sin(2 * np.pi * t) + 5000 * np.sin(2 * np.pi * t / 300)
    return np.asarray(np.round(values), np.int32)


def _label(root: Path, run: str, seed: int) -> None:
    config = small_config(root)
    grid, windows = config.spectrogram_grid, config.window_grid
    rng = np.random.default_rng(seed)
    template = LabelTemplate(
        run=run,
        fingerprint="f",
        method="kmeans",
        grid=grid,
        windows=windows,
        segments_per_shard=2,
        centroid=np.zeros((N_CLASSES, 2)),
        prototype=rng.normal(size=(N_CLASSES, windows.length, grid.n_frequencies)),
        prototype_units="1",
        embedding=False,
        confidence="soft assignment",
    )
    places = Places.at(str(root))
    store = LabelStore.create_or_extend(
        places.labels(run), template, channels_of(N_CHANNELS), START_NS, N_SEGMENTS
    )
    for channel_index in range(N_CHANNELS):
        for first in (0, 2, 4):
            shape = (2, windows.n_windows)
            label = rng.integers(0, N_CLASSES, shape).astype(np.int16)
            label[rng.random(shape) < 0.1] = -1
            label[5 - first :] = -1
            values = np.where(label >= 0, rng.random((3, *shape)), np.nan).astype(np.float32)
            state = np.where(label >= 0, WindowState.LABELLED, WindowState.NO_DATA).astype(np.uint8)
            store.write_region(
                LabelBlock(channel_index, first, label, values[0], values[1], values[2], state)
            )
    # Parts of a ledger are named by the time they were begun, which tells the newest run.
    Ledger(places.label_ledger(run)).append([TaskResult("key", "fingerprint", "done")])


@pytest.fixture(scope="package")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read it, do not change it."""
    folder = tmp_path_factory.mktemp("explore")
    make_root(folder)
    return folder


@pytest.fixture(scope="package")
def opened(root: Path) -> Opened:
    return open_root(str(root))
