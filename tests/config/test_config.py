"""The configuration: loading, refusals with the cure in them, fingerprints, the written template."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from scaledec.config import (
    Config,
    cube_fingerprint,
    dump_config,
    load_config,
    parse_config,
    pretrain_fingerprint,
    run_fingerprint,
    run_name,
    with_absolute_paths,
)
from scaledec.config.template import config_template
from scaledec.errors import ConfigError

MINIMAL = "root: out\narchive: {url: data}\n"


def config(*overrides: str) -> Config:
    return parse_config(MINIMAL, overrides)


def test_the_written_template_loads_to_the_defaults() -> None:
    assert parse_config(config_template(root="out", archive_url="data")) == config()


def test_the_template_explains_every_key() -> None:
    lines = config_template().splitlines()
    for above, line in itertools.pairwise(lines):
        if line.strip() and not line.lstrip().startswith("#"):
            assert above.lstrip().startswith("#") or above.rstrip().endswith(":"), (
                f"no comment above {line!r}"
            )


def test_a_dumped_configuration_loads_back_equal() -> None:
    given = config(
        "spectrogram.taper={kaiser: 5.7}", "archive.start=2019-12-24", "spectrogram.band_hz=[1, 20]"
    )
    assert parse_config(dump_config(given)) == given


def test_an_override_sets_a_nested_key() -> None:
    assert config("cluster.n_clusters=11").cluster.n_clusters == 11


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("clutser.n_clusters=3", "did you mean 'cluster'"),
        ("cluster.n_cluster=3", "did you mean 'cluster.n_clusters'"),
        ("compute.dask.worker=3", "did you mean 'compute.dask.workers'"),
        ("spectrogram.overlap=0.37", "use overlap: 0.375"),
        ("spectrogram.window_s=0.333", "use 0.33"),
        ("spectrogram.segment_s=5000", "divide a UTC day"),
        ("spectrogram.band_hz=[3, 60]", "half the sampling rate"),
        ("spectrogram.band_hz=[20, 3]", "expected at least 2 and low < high"),
        ("spectrogram.taper={kaisr: 5}", "{kaiser: beta}"),
        ("spectrogram.scale=linear", "float16"),
        ("spectrogram.nfft=100", "shorter than a frame"),
        ("windows.length_s=1", "two frames"),
        ("windows.length_s=90000", "one segment"),
        ("windows.stride_s=0.1", "at least 1.28"),
        ("model.kernel=4", "expected an odd number, e.g. 5"),
        ("model.clip_db=[-60, -120]", "expected [low, high] with low < high"),
        ("model={preset: zclust, widths: [4, 8]}", "has its own widths; leave out model.widths"),
        ("model={preset: jenkins2021, activation: gelu}", "has its own activation"),
        ("model.preset=das_cube", "use normalise: max or l2"),
        ("cluster.n_clusters=one", "cluster.n_clusters is 'one'"),
        ("cluster", "a.b=value"),
        ("root.deeper=1", "holds a value, not a section"),
    ],
)
def test_a_wrong_value_is_refused_with_what_to_do(override: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(expected)):
        config(override)


def test_keys_that_were_added_later_change_no_older_fingerprint() -> None:
    # As they were before kernel, activation, rectified, skip_dropout and clip_db could be chosen.
    assert run_fingerprint(config()) == "b317231d99edd4c3"
    assert run_fingerprint(config("model={preset: jenkins2021, normalise: l2}")) == "30b0013e8796f30d"
    assert run_fingerprint(config("model.kernel=3", "model.clip_db=null")) == run_fingerprint(config())
    for chosen in (
        "kernel=5",
        "activation=gelu",
        "rectified=true",
        "skip_dropout=0.1",
        "clip_db=[-150, -50]",
    ):
        other = config(f"model.{chosen}")
        assert pretrain_fingerprint(other) != pretrain_fingerprint(config())
        assert parse_config(dump_config(other)) == other


def test_a_preset_brings_its_embedding_unless_another_is_given() -> None:
    assert config("model.preset=snover2020").model.latent == 14
    assert config("model={preset: snover2020, latent: 6}").model.latent == 6
    assert config("model={preset: snover2020, latent: null}").model.latent == 14
    assert config("model={latent: null}").model.latent == 9


def test_a_preset_chosen_in_a_written_template_brings_its_embedding() -> None:
    template = config_template()
    assert parse_config(template, ["model.preset=snover2020", "model.normalise=l2"]).model.latent == 14
    assert parse_config(template).model.latent == 9


def test_an_overlap_with_the_proposed_value_is_accepted() -> None:
    assert config("spectrogram.overlap=0.375").spectrogram_grid.hop_s == 1.6


def test_a_missing_section_is_named() -> None:
    with pytest.raises(ConfigError, match="'archive' is missing"):
        parse_config("root: out")


@pytest.mark.parametrize(("text", "expected"), [("a: [", "no valid YAML"), ("- 1", "expected a mapping")])
def test_a_file_that_is_no_mapping_is_refused(text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        parse_config(text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    "override",
    ["compute.dask.workers=7", "compute.ray.address=auto", "label.segments_per_shard=4", "root=elsewhere"],
)
def test_settings_that_change_no_number_change_no_fingerprint(override: str) -> None:
    assert run_fingerprint(config(override)) == run_fingerprint(config())


def test_a_training_setting_changes_the_run_but_not_the_cube() -> None:
    other = config("pretrain.seed=1")
    assert cube_fingerprint(other) == cube_fingerprint(config())
    assert run_fingerprint(other) != run_fingerprint(config())
    assert run_name(other) != run_name(config())


def test_a_clustering_setting_keeps_the_pretrained_network() -> None:
    other = config("cluster.n_clusters=5")
    assert pretrain_fingerprint(other) == pretrain_fingerprint(config())
    assert run_name(other) != run_name(config())


def test_a_spectrogram_setting_changes_both_fingerprints() -> None:
    other = config("spectrogram.overlap=0.75")
    assert cube_fingerprint(other) != cube_fingerprint(config())
    assert run_fingerprint(other) != run_fingerprint(config())


def test_the_published_preprocessing_gives_the_published_shape() -> None:
    published = config(
        "spectrogram={sampling_rate_hz: 50, window_s: 0.4, overlap: 0.9, nfft: 256, band_hz: [3, 20], "
        "taper: {kaiser: 5.7}}",
        "windows.length_s=4",
    )
    assert (published.window_grid.length, published.spectrogram_grid.n_frequencies) == (100, 87)


def test_a_relative_path_is_made_absolute_and_a_url_is_left() -> None:
    given = with_absolute_paths(config("archive.url=s3://bucket/sds"))
    assert given.root == str(Path("out").absolute())
    assert given.archive.url == "s3://bucket/sds"


def test_training_workers_are_a_number_or_a_range() -> None:
    assert config("compute.ray.train_workers=[1, 4]").compute.ray.train_workers == (1, 4)
    assert config("compute.ray.train_workers=3").compute.ray.train_workers == 3
    with pytest.raises(ConfigError, match=r"train_workers is \[4, 1\]: expected \[min, max\]"):
        config("compute.ray.train_workers=[4, 1]")
