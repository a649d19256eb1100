"""Names that people give to clusters, and where they show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zarr
from click.testing import CliRunner

from scaledec.cli.main import _verbs
from scaledec.config import Config, parse_config, run_name
from scaledec.errors import ConfigError, StoreError, StoreNotFoundError
from scaledec.pipeline.names import cluster_names, name_cluster
from scaledec.pipeline.run import label, run
from scaledec.places import Places
from scaledec.queries.rows import query
from scaledec.store.datasets import open_labels
from scaledec.store.names import ClusterName
from scaledec.synthetic.archive import write_synthetic_archive
from scaledec.synthetic.settings import DEFAULT_STATIONS, SyntheticSettings

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names")
    settings = SyntheticSettings(
        start="2024-03-04T18:00",
        hours=2.0,
        sampling_rate_hz=20.0,
        stations=DEFAULT_STATIONS[:2],
        faults=False,
        rate=3.0,
    )
    write_synthetic_archive(folder / "archive", settings)
    (folder / "my.yaml").write_text(TEXT.format(folder=folder))
    run(parse_config(TEXT.format(folder=folder)))
    return folder


@pytest.fixture
def config(folder: Path) -> Config:
    config = parse_config(TEXT.format(folder=folder))
    Places.at(config.root).run(run_name(config)).child("names.json").remove()
    return config


def test_a_name_is_kept_with_the_run_and_shows_wherever_labels_are_read(config: Config) -> None:
    name_cluster(config, 1, "icequake, ice front", note="calving season")
    assert cluster_names(config) == {1: ClusterName("icequake, ice front", "calving season")}
    labels = open_labels(config.root)
    assert labels["cluster_name"].to_numpy().tolist() == ["cluster_0", "icequake, ice front", "cluster_2"]
    store = zarr.open_group(str(Places.at(config.root).labels(run_name(config)).path), mode="r")
    assert store["label"].attrs["flag_meanings"] == "cluster_0 icequake,_ice_front cluster_2"
    assert set(query(config.root)["name"]) == {"cluster_0", "icequake, ice front", "cluster_2"}


def test_clusters_of_one_name_are_found_together(config: Config) -> None:
    name_cluster(config, 0, "noise")
    name_cluster(config, 2, "noise")
    found = query(config.root, label="noise")
    assert set(found["label"]) == {0, 2}
    assert len(query(config.root, label=["noise", 1])) == len(query(config.root))


def test_an_unknown_name_is_told_with_the_nearest(config: Config) -> None:
    name_cluster(config, 0, "tremor")
    with pytest.raises(ConfigError, match="no cluster is named 'tremors'; nearest: tremor"):
        query(config.root, label="tremors")


def test_labelling_again_keeps_names_and_an_empty_one_takes_a_name_away(config: Config) -> None:
    name_cluster(config, 0, "noise")
    label(config)
    assert open_labels(config.root)["cluster_name"].to_numpy().tolist()[0] == "noise"
    name_cluster(config, 0, "")
    assert cluster_names(config) == {}
    assert open_labels(config.root)["cluster_name"].to_numpy().tolist()[0] == "cluster_0"


@pytest.mark.parametrize(("cluster", "name"), [(3, "x"), (-1, "x"), (0, "two\nlines"), (0, "x" * 81)])
def test_what_is_no_cluster_or_no_name_is_refused(config: Config, cluster: int, name: str) -> None:
    with pytest.raises(ConfigError):
        name_cluster(config, cluster, name)
    assert cluster_names(config) == {}


def test_a_run_that_is_not_clustered_yet_has_nothing_to_name(folder: Path, tmp_path: Path) -> None:
    config = parse_config(TEXT.format(folder=folder), [f"root={tmp_path}"])
    with pytest.raises(StoreNotFoundError):
        name_cluster(config, 0, "noise")


def test_a_damaged_file_of_names_is_told_and_not_overwritten(config: Config) -> None:
    place = Places.at(config.root).run(run_name(config)).child("names.json")
    place.write_bytes(json.dumps({"0": {"nome": "x"}}).encode())
    with pytest.raises(StoreError, match=r"names\.json is damaged"):
        name_cluster(config, 1, "noise")


def test_the_verb_names_and_lists(config: Config, folder: Path) -> None:
    runner, path = CliRunner(), str(folder / "my.yaml")
    assert runner.invoke(_verbs, ["name", path, "2", "glitch", "--note", "every hour"]).exit_code == 0
    assert runner.invoke(_verbs, ["name", path]).output == "2\tglitch\tevery hour\n"
    assert "glitch" in runner.invoke(_verbs, ["query", path, "--label", "glitch", "--limit", "1"]).output
