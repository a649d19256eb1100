"""A trained model stays as it is: what new days, and newer versions of scaledec, make of it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from scaledec.cli.main import _verbs
from scaledec.config import load_config, run_name
from scaledec.errors import StoreConflictError
from scaledec.ledger.ledger import Ledger
from scaledec.pipeline.run import label, run
from scaledec.pipeline.status import status
from scaledec.places import Places
from scaledec.queries.rows import query
from scaledec.store.datasets import open_labels
from scaledec.synthetic.archive import write_synthetic_archive
from scaledec.synthetic.settings import DEFAULT_STATIONS, SyntheticSettings
from scaledec.training.saved_model import SavedModel

TEXT = """
root: {folder}/root
archive: {{url: {folder}/archive/sds}}
spectrogram: {{sampling_rate_hz: 20, segment_s: 900, window_s: 2}}
windows: {{length_s: 16}}
model: {{widths: [4, 8], latent: 3}}
pretrain: {{windows: 200, epochs: 1}}
cluster: {{method: kmeans, n_clusters: 3, restarts: 2}}
compute: {{engine: serial}}
"""
BEFORE = ["archive.end=2024-03-31T23:00"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hours of which one is in March, and a run trained on the first hour alone."""
    folder = tmp_path_factory.mktemp("drift")
    settings = SyntheticSettings(
        start="2024-03-31T22:00",
        hours=4.0,
        sampling_rate_hz=20.0,
        stations=DEFAULT_STATIONS[:2],
        faults=False,
        rate=3.0,
    )
    write_synthetic_archive(folder / "archive", settings)
    (folder / "my.yaml").write_text(TEXT.format(folder=folder))
    run(load_config(str(folder / "my.yaml"), BEFORE))
    return folder


def test_new_days_are_compared_and_status_says_what_came_of_it(folder: Path) -> None:
    before = status(load_config(str(folder / "my.yaml"), BEFORE))
    assert before.lines[-1].stage == "drift"
    assert "no month outside the training period yet (2024-03-31 to 2024-03-31)" in before.lines[-1].detail
    config = load_config(str(folder / "my.yaml"), [])
    run(config)
    place = Places.at(config.root).run(run_name(config)).child("drift.json")
    kept = json.loads(place.read_bytes())
    assert [(b["month"], b["training"]) for b in kept["blocks"]] == [
        ("2024-03", True),
        ("2024-03", False),
        ("2024-04", False),
    ]
    line = status(config).lines[-1]
    assert (line.state, line.detail) == ("drifting" if kept["flagged"] else "known", kept["line"])
    written = place.read_bytes()
    label(config)
    assert place.read_bytes() == written


def test_the_verb_prints_months_and_writes_tables(folder: Path, tmp_path: Path) -> None:
    arguments = ["drift", str(folder / "my.yaml")]
    result = CliRunner().invoke(_verbs, arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].startswith("2024-03")
    assert CliRunner().invoke(_verbs, [*arguments, "-o", str(tmp_path / "d.csv")]).exit_code == 0
    table = pd.read_csv(tmp_path / "d.csv")
    shares = table[["share_0", "share_1", "share_2"]].sum(axis=1)
    assert shares.to_numpy() == pytest.approx(1)
    assert table["windows"].sum() > 0


def test_a_run_of_an_earlier_version_is_brought_up_to_date_by_labelling(folder: Path, tmp_path: Path) -> None:
    """Its model had no quantiles of the training windows, its labels neither outlier scores nor states."""
    shutil.copytree(folder / "root", tmp_path / "root")
    config = load_config(str(folder / "my.yaml"), [f"root={tmp_path / 'root'}"])
    label(config)
    places = Places.at(config.root)
    run_folder, place = places.run(run_name(config)), places.labels(run_name(config))
    before, checksum = open_labels(config.root).load(), SavedModel.load(run_folder).checksum
    replace(SavedModel.load(run_folder), reference=None).save(run_folder)
    root = Path(place.path) / "zarr.json"
    root.write_text(root.read_text().replace('"scaledec_format": 2', '"scaledec_format": 1'))
    for name in ("outlier", "state"):
        shutil.rmtree(Path(place.path) / name)
    ledger = Ledger(places.label_ledger(run_name(config)))
    ledger.append([replace(result, fingerprint="older") for result in ledger.read().values()])

    with pytest.raises(StoreConflictError, match="run `scaledec label`"):
        query(config.root)
    assert label(config).done > 0
    assert SavedModel.load(run_folder).checksum == checksum
    after = open_labels(config.root).load()
    for name in ("label", "confidence", "distance", "outlier", "state", "embedding"):
        np.testing.assert_array_equal(after[name], before[name])
    assert label(config).done == 0
