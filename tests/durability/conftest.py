"""A tiny archive of many small segments, and what an uninterrupted run makes of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from scaledec.synthetic.archive import write_synthetic_archive
from scaledec.synthetic.settings import DEFAULT_STATIONS, SyntheticSettings
from tests.durability.children import Ended, run, tree

RUN = "tiny"
SPAN = {"start": "2024-03-04T18:00:00", "end": "2024-03-05T06:00:00"}
"""What the archive holds; a day's name alone says more, and every segment of it would be looked at."""
SETTINGS: dict[str, Any] = {
    "run": RUN,
    "spectrogram": {"sampling_rate_hz": 20, "segment_s": 225, "window_s": 2.0},
    "windows": {"length_s": 16},
    "model": {"widths": [4, 8], "latent": 4},
    # Epochs that never end early: long enough for a checkpoint, the first one comes after five seconds.
    "pretrain": {"windows": 400, "epochs": 100, "patience": 100, "batch": 32},
    "cluster": {"n_clusters": 3, "restarts": 3, "epochs": 3, "batch": 64},
    "label": {"segments_per_shard": 4},
    "compute": {
        "dask": {"workers": 2},
        "ray": {"train_workers": 1, "threads_per_worker": 1, "label_actors": 2},
    },
}


@dataclass(frozen=True)
class Work:
    """A configuration on disk, and the root it writes to."""

    config: Path
    root: Path

    @property
    def cube(self) -> dict[str, str]:
        return tree(self.root / "cube.zarr")

    @property
    def labels(self) -> dict[str, str]:
        return tree(self.root / "labels" / f"{RUN}.zarr")

    @property
    def model(self) -> dict[str, str]:
        folder = self.root / "runs" / RUN
        return {
            name: digest
            for name, digest in tree(folder).items()
            if Path(name).name in ("model.safetensors", "model.json")
        }


def write_config(folder: Path, archive: Path, **changes: Any) -> Work:
    """A configuration in a folder of its own; ``changes`` replaces whole sections."""
    folder.mkdir(parents=True, exist_ok=True)
    root = folder / "root"
    settings = {"root": str(root), "archive": {"url": str(archive), **SPAN}, **SETTINGS, **changes}
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(settings))
    return Work(config, root)


@pytest.fixture(scope="session")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stations, two days of six hours at 20 Hz, with a gap, an overlap and a missing day."""
    settings = SyntheticSettings(
        start="2024-03-04T18:00",
        hours=12.0,
        sampling_rate_hz=20.0,
        stations=DEFAULT_STATIONS[:2],
        rate=3.0,
        work_hours=(18.0, 30.0),
    )
    return write_synthetic_archive(tmp_path_factory.mktemp("two_days"), settings).sds.path


@dataclass(frozen=True)
class Reference:
    """The uninterrupted run all others are compared with."""

    work: Work
    ended: Ended


@pytest.fixture(scope="session")
def reference(two_days: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """One distributed run from beginning to end."""
    work = write_config(tmp_path_factory.mktemp("reference"), two_days)
    ended = run("run", work.config)
    assert ended.code == 0, ended.told
    return Reference(work, ended)


Begin = Callable[..., Work]


@pytest.fixture
def begin(tmp_path: Path, two_days: Path, reference: Reference) -> Begin:
    """Make a root that has come as far as a stage: everything before it is the reference's."""

    def make(stage: str, **changes: Any) -> Work:
        work = write_config(tmp_path / stage, two_days, **changes)
        kept = {
            "pretrain": ("cube.zarr", "_scaledec/ledger/cube"),
            "label": ("cube.zarr", "_scaledec/ledger/cube", "runs"),
            "end": ("cube.zarr", "_scaledec/ledger", "runs", "labels", "catalog"),
        }[stage]
        for name in kept:
            shutil.copytree(reference.work.root / name, work.root / name)
        return work

    return make
