"""From a foreign cube to labels: the whole run on spectrograms that another program made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from scaledec.config import parse_config
from scaledec.pipeline.run import run
from scaledec.queries.rows import query
from scaledec.queries.statistics import class_statistics
from scaledec.store.datasets import open_cube
from tests.archive.foreign_cubes import decibels, times, write_foreign

START = "2020-07-06T11:45:12.25"
N_FRAMES, N_CHANNELS = 9000, 4
CONFIG = """
root: {root}
archive:
  layout: cube
  url: {url}
  cube: {{power: power, channel_ids: "DA.RHONE.{{index:05d}}.HSF"}}
spectrogram:
  segment_s: 900
  imported: {{hop_s: 0.5, frequency_hz: {{first: 2.5, step: 2.5, count: 12}}}}
windows: {{length_s: 8}}
model: {{widths: [4, 8], latent: 3}}
pretrain: {{windows: 600, epochs: 4, learning_rate: 3.0e-3}}
cluster: {{n_clusters: 2, restarts: 4, epochs: 2, batch: 64}}
compute: {{engine: serial}}
"""


def with_bursts() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Spectrograms whose high frequencies are loud in every other stretch of 40 s, and which frames are."""
    values = decibels(N_FRAMES, N_CHANNELS, 12)
    loud = np.arange(N_FRAMES) % 160 >= 80
    values[loud, :, 6:] += 30
    return values, loud


def test_a_foreign_cube_is_labelled_and_queried_like_any_other(tmp_path: Path) -> None:
    values, loud = with_bursts()
    write_foreign(
        tmp_path / "foreign.zarr",
        values,
        times(N_FRAMES, START),
        np.arange(1, 13) * 2.5,
        zarr_format=2,
        order=("time", "channel", "frequency"),
        chunks={"time": 500, "channel": 3, "frequency": 12},
    )
    config = parse_config(CONFIG.format(root=tmp_path / "root", url=tmp_path / "foreign.zarr"))
    outcomes = run(config)
    assert [outcome.failures for outcome in outcomes] == [()] * 5
    found = query(str(tmp_path / "root"), channel="DA.*.*.HSF")
    assert sorted(set(found["channel"])) == [f"DA.RHONE.{index:05d}.HSF" for index in range(N_CHANNELS)]
    # A window of 16 frames that is loud (or quiet) throughout bears the label of its kind.
    first_ns = np.datetime64(START, "ns")
    frames = np.round((found["start"].to_numpy() - first_ns) / np.timedelta64(500, "ms")).astype(int)
    share = np.array([loud[max(0, frame) : frame + 16].mean() for frame in frames])
    label = found["label"].to_numpy()
    ordinary = [np.bincount(label[share == kind], minlength=2) for kind in (0.0, 1.0)]
    assert {int(counts.argmax()) for counts in ordinary} == {0, 1}
    assert all(counts.max() >= 0.99 * counts.sum() for counts in ordinary)
    cube = open_cube(str(tmp_path / "root"))
    assert cube["power"].attrs["comment"] == "in the units of the cube it was imported from"
    statistics = class_statistics(str(tmp_path / "root"), sample=50)
    assert set(statistics["amplitude_units"]) == {"root of imported power x Hz"}
    quiet, loudest = np.sort(statistics["amplitude_median"])
    assert loudest > 3 * quiet
    assert statistics["peak_frequency_hz_median"].max() >= 17.5  # loud are the six highest frequencies
