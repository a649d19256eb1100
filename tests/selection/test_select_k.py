"""How many clusters: planted numbers are found, and every criterion is what its paper says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.metrics import silhouette_score
from sklearn.mixture import GaussianMixture

from scaledec.cli.main import main
from scaledec.errors import ConfigError, TrainingError
from scaledec.numerics.dec.initialise import fit_kmeans, restart_seeds
from scaledec.numerics.selection import (
    draw_reference,
    first_within_one_error,
    gap_statistic,
    mean_agreement,
    mixture_bic,
    nearest_centroid,
)
from scaledec.pipeline.select_k import select_k
from scaledec.stages.select_k import KSelection
from tests.stages.cluster_runs import HELD_OUT, N, make_pretrained_run

Array = npt.NDArray[np.float64]


def blobs(k: int = 4, n: int = 300, d: int = 3) -> tuple[Array, npt.NDArray[np.int64]]:
    """Clusters of unit width, ten widths apart."""
    rng = np.random.default_rng(k)
    truth = rng.integers(0, k, n)
    corners = np.stack(np.meshgrid(*[np.arange(2)] * d), axis=-1).reshape(-1, d)
    return rng.permutation(corners)[:k][truth] * 10.0 + rng.normal(size=(n, d)), truth


def dispersion(z: Array, labels: npt.NDArray[np.int16]) -> float:
    """W of Tibshirani et al. 2001, equation 2: pairwise squared distances over twice the cluster's size."""
    total = 0.0
    for cluster in np.unique(labels):
        members = z[labels == cluster]
        squared = ((members[:, None] - members[None]) ** 2).sum(axis=2)
        total += squared.sum() / (2 * len(members))
    return total


@pytest.fixture(scope="module")
def found() -> KSelection:
    return select_k(blobs()[0], range(1, 8), draws=5, seeds=3, workers=1, progress="none")


def test_the_planted_number_is_preferred_by_every_criterion(found: KSelection) -> None:
    assert set(found.choices().values()) == {4}


def test_a_single_cloud_has_no_gap_beyond_one_cluster() -> None:
    cloud = np.random.default_rng(0).normal(size=(300, 3))
    choices = select_k(cloud, range(1, 5), draws=5, seeds=2, workers=1, progress="none").choices()
    assert choices["gap_uniform"] == choices["gap_pca"] == 1


def test_the_gap_equals_the_papers_formula_worked_out_by_pairs_of_points(found: KSelection) -> None:
    z = blobs()[0]

    def log_w(data: Array, k: int, source: list[int]) -> float:
        seeds = np.random.SeedSequence([*source, k]).generate_state(3)
        fits = [fit_kmeans(data, k, int(seed)) for seed in seeds]
        best = min(fits, key=lambda fit: fit.inertia)
        return float(np.log(dispersion(data, nearest_centroid(data, best.centroids))))

    for row in found.rows[1:5]:
        k = row.n_clusters
        reference = [log_w(draw_reference(z, "pca", [0, 2, b]), k, [0, 2, b]) for b in range(5)]
        own = min(log_w(z, k, [0, 0, s]) for s in range(3))
        assert row.gap_pca == pytest.approx(np.mean(reference) - own, abs=1e-9)
        error = np.std(reference) * np.sqrt(1 + 1 / 5)
        assert row.gap_pca_error == pytest.approx(error, abs=1e-9)


def test_the_first_k_within_one_error_of_the_next_is_taken() -> None:
    assert first_within_one_error([0.1, 0.5, 0.55, 0.2], [0.0, 0.01, 0.1, 0.01]) == 1
    assert first_within_one_error([0.1, 0.2, 0.3], [0.0, 0.0, 0.0]) is None
    gap, error = gap_statistic([np.e], [[np.e**2], [np.e**4]])
    assert (gap[0], error[0]) == pytest.approx((2.0, np.sqrt(1.5)))


@pytest.mark.parametrize("kind", ["uniform", "pca"])
def test_a_reference_fills_the_box_of_the_data_and_no_more(kind: str) -> None:
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    z = np.random.default_rng(0).uniform(-1, 1, (4000, 3)) * [9, 3, 1] @ turn + 100
    drawn = draw_reference(z, "pca" if kind == "pca" else "uniform", [3])
    if kind == "pca":  # the box of its own making: the turn undone
        drawn, z = drawn @ turn.T, z @ turn.T
        np.testing.assert_allclose(drawn.std(axis=0), z.std(axis=0), rtol=0.1)
    else:
        assert (drawn >= z.min(axis=0)).all()
        assert (drawn <= z.max(axis=0)).all()
    np.testing.assert_allclose(np.ptp(drawn, axis=0), np.ptp(z, axis=0), rtol=0.12)


def test_silhouette_and_bic_are_the_librarys(found: KSelection) -> None:
    z, truth = blobs()
    row = next(row for row in found.rows if row.n_clusters == 4)
    assert row.silhouette == pytest.approx(silhouette_score(z, truth), abs=1e-9)
    scaled = (z - z.mean(axis=0)) / z.std(axis=0)
    theirs = GaussianMixture(4, reg_covar=1e-4, random_state=restart_seeds(0, 1)[0]).fit(scaled)
    assert row.bic == pytest.approx(theirs.bic(scaled), rel=1e-3)
    assert mixture_bic(0.0, 100, 2, 3) == pytest.approx(19 * np.log(100))


def test_agreement_is_the_mean_over_pairs() -> None:
    assert mean_agreement([[0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1]]) == pytest.approx((1 - 0.5 - 0.5) / 3)
    assert np.isnan(mean_agreement([[0, 1]]))


def test_two_processes_give_the_table_of_one(found: KSelection) -> None:
    again = select_k(blobs()[0], range(1, 8), draws=5, seeds=3, workers=2, progress="none")
    pd.testing.assert_frame_equal(found.to_frame(), again.to_frame(), check_exact=True)


def test_numbers_of_clusters_that_cannot_be_had_are_refused() -> None:
    with pytest.raises(ConfigError, match="against 10 windows"):
        select_k(np.random.default_rng(0).normal(size=(10, 2)), [3, 10], progress="none")
    with pytest.raises(TrainingError, match="collapsed"):
        select_k(np.ones((50, 2)), [2, 3], progress="none")


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    path = tmp_path / "my.yaml"
    path.write_text(f"root: {tmp_path / 'root'}\nrun: small\narchive: {{url: {tmp_path / 'sds'}}}\n")
    return path


def exit_code(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(str(stop.value.code))


def test_the_verb_writes_table_and_figure_of_a_pretrained_run(
    config_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = config_path.parent / "root" / "runs" / "small"
    run.mkdir(parents=True)
    make_pretrained_run(run)
    output = config_path.parent / "found" / "k"
    options = ("--k", "2:4", "--draws", "2", "--seeds", "2", "--workers", "1", "-o", output)
    assert exit_code("select-k", config_path, *options) == 0
    printed = capsys.readouterr().out
    assert "preferred: silhouette" in printed
    assert f"({N - HELD_OUT} windows)" in printed
    table = pd.read_csv(output.with_name("k.csv"))
    assert table["n_clusters"].tolist() == [2, 3, 4]
    assert np.isfinite(table.to_numpy()).all()
    assert output.with_name("k.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_without_a_network_is_told_what_to_run(
    config_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("select-k", config_path) == 1
    assert "run `scaledec pretrain` first" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "8:2", "many"])
def test_a_range_that_is_none_is_refused(config_path: Path, text: str) -> None:
    assert exit_code("select-k", config_path, "--k", text) == 2
