"""Classes against a time series: scipy is the oracle of correlations, planted lags of the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import xarray as xr
from click.testing import CliRunner
from scipy import stats

from scaledec.archive.write import write_miniseed
from scaledec.cli.main import _verbs
from scaledec.errors import ConfigError, StoreError
from scaledec.location import Location
from scaledec.numerics.lags import circular_correlations, scan_lags
from scaledec.places import Places
from scaledec.queries.counts import counts_in_time
from scaledec.queries.series import join_series
from scaledec.queries.series_input import read_series
from scaledec.store.labels import LabelBlock
from scaledec.store.names import ClusterName, write_names
from scaledec.vocabulary import ChannelId, WindowState
from tests.catalog.making import CHANNELS, EVENTS, N_DAYS, SHARD, START_NS, fill, make_store

N_HOURS = N_DAYS * 24
TIMES = pd.DatetimeIndex(np.datetime64("2020-01-25", "ns") + np.arange(N_HOURS).astype("timedelta64[h]"))
LAG_H = 5


def red_noise(n: int, rng: np.random.Generator, memory: float = 0.9) -> npt.NDArray[np.float64]:
    values = rng.standard_normal(n)
    for i in range(1, n):
        values[i] += memory * values[i - 1]
    return values


@pytest.fixture(scope="module")
def wind() -> pd.Series[float]:
    return pd.Series(red_noise(N_HOURS, np.random.default_rng(0)), TIMES, name="wind")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, wind: pd.Series[float]) -> str:
    """Class 2 comes five hours after strong wind at two of five stations; a day is a gap."""
    places = Places.at(str(tmp_path_factory.mktemp("series")))
    store = make_store(places)
    rng = np.random.default_rng(1)
    windy = np.roll(wind.to_numpy(), LAG_H) > 1.5
    for channel in range(len(CHANNELS)):
        label = rng.integers(0, 2, N_HOURS).astype(np.int16)
        if channel < 2:
            label[windy] = 2
        label[240:264] = -1
        days = label.reshape(N_DAYS, 24)
        for first in range(0, N_DAYS, SHARD):
            part = days[first : first + SHARD]
            value = np.where(part >= 0, 0.5, np.nan).astype(np.float32)
            state = np.where(part >= 0, WindowState.LABELLED, WindowState.NO_DATA).astype(np.uint8)
            store.write_region(LabelBlock(channel, first, part, value, value, value, state))
    write_names(places.run("first"), {2: ClusterName("sea swell")})
    return places.root.url


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory, wind: pd.Series[float]) -> str:
    path = tmp_path_factory.mktemp("wind") / "wind.csv"
    wind.rename_axis("time").to_csv(path, date_format="%Y-%m-%dT%H:%M:%SZ")
    return str(path)


def test_correlations_are_those_of_scipy_on_the_bins(root: str, csv: str, wind: pd.Series[float]) -> None:
    found = join_series(root, csv, max_lag="8h")
    counts = counts_in_time(root, "1h")
    share = counts.div(counts.sum(axis=1), axis=0)
    share[counts.sum(axis=1) == 0] = np.nan
    assert share.isna().any(axis=1).sum() == 24
    for label in range(3):
        for lag in (-8, -1, 0, LAG_H):
            pair = pd.DataFrame({"a": share[label], "b": wind.shift(lag)}).dropna()
            row = found.lags[(found.lags["label"] == label) & (found.lags["lag_s"] == lag * 3600)].iloc[0]
            assert row["pearson"] == pytest.approx(stats.pearsonr(pair["a"], pair["b"]).statistic, abs=1e-9)
            assert row["spearman"] == pytest.approx(stats.spearmanr(pair["a"], pair["b"]).statistic, abs=1e-9)
    np.testing.assert_allclose(found.bins[1], share[1])
    assert found.classes["bins"].tolist() == [N_HOURS - 24] * 3


def test_a_class_that_follows_the_series_is_found_with_its_lag(root: str, csv: str) -> None:
    found = join_series(root, csv, max_lag="12h")
    row = found.classes.iloc[2]
    assert row["name"] == "sea swell"
    assert (row["lag_pearson_s"], row["lag_spearman_s"]) == (LAG_H * 3600, LAG_H * 3600)
    assert row["best_spearman"] > 0.5 > row["spearman"]
    assert row["p_adjusted"] < 0.01
    assert row["best_spearman"] > found.chance[2]
    only = join_series(root, csv, max_lag="12h", label="sea swell").classes
    assert only.drop(columns="p_adjusted").equals(
        found.classes.iloc[[2]].drop(columns="p_adjusted").reset_index(drop=True)
    )


def test_p_minds_lags_and_memory() -> None:
    """Red noise that has nothing in common; a p of each lag alone would be far too small."""
    rng = np.random.default_rng(7)
    scans = [scan_lags(red_noise(300, rng), red_noise(300, rng), 10) for _ in range(150)]
    for p in ([s.p_pearson for s in scans], [s.p_spearman for s in scans]):
        # Uniform: 15 of 150 below 0.1, 75 below 0.5; four standard deviations either way.
        assert np.count_nonzero(np.array(p) <= 0.1) <= 30
        assert 50 <= np.count_nonzero(np.array(p) <= 0.5) <= 100
    naive = [
        max(stats.pearsonr(a[10:-10], np.roll(b, lag)[10:-10]).pvalue < 0.05 for lag in range(-10, 11))
        for a, b in ((red_noise(300, rng), red_noise(300, rng)) for _ in range(40))
    ]
    assert np.mean(naive) > 0.5


def test_circular_correlations_are_those_of_turned_series_with_gaps() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 97)) * [[1e-4], [1e3]] + [[5.0], [-1e5]]
    a[rng.random(97) < 0.2] = np.nan
    b[10:30] = np.nan
    expected = []
    for shift in range(97):
        turned = np.roll(b, shift)
        known = np.isfinite(a) & np.isfinite(turned)
        expected.append(np.corrcoef(a[known], turned[known])[0, 1])
    np.testing.assert_allclose(circular_correlations(a, b), expected, atol=1e-9)
    assert np.isnan(circular_correlations(np.ones(50), rng.standard_normal(50))).all()


def test_the_same_series_comes_from_every_format(csv: str, wind: pd.Series[float], tmp_path: Path) -> None:
    dataset = xr.Dataset(
        {"wind": ("time", wind.to_numpy(), {"units": "m s-1"})}, coords={"time": TIMES.to_numpy()}
    )
    dataset.to_netcdf(tmp_path / "wind.nc")
    dataset.to_zarr(tmp_path / "wind.zarr", zarr_format=3, consolidated=False)
    grid = xr.concat([dataset * 0, dataset], pd.Index([60.0, 61.0], name="latitude"))
    grid.to_netcdf(tmp_path / "grid.nc")
    whole = np.rint(wind.to_numpy() * 1000).astype(np.int32)
    channel = ChannelId.parse("XX.MET..LWS")
    (tmp_path / "wind.mseed").write_bytes(write_miniseed(channel, START_NS, 1 / 3600, whole))
    expected = read_series(Location(csv))
    assert expected.name == "wind"
    np.testing.assert_allclose(expected.value, wind.to_numpy())
    np.testing.assert_array_equal(expected.time_ns, TIMES.to_numpy().astype(np.int64))
    for name in ("wind.nc", "wind.zarr"):
        found = read_series(Location(str(tmp_path / name)))
        np.testing.assert_array_equal(found.time_ns, expected.time_ns)
        np.testing.assert_allclose(found.value, expected.value)
        assert found.units == "m s-1"
    near = read_series(Location(str(tmp_path / "grid.nc")), "wind", {"latitude": 60.8})
    np.testing.assert_allclose(near.value, expected.value)
    with pytest.raises(ConfigError, match="--at latitude=VALUE"):
        read_series(Location(str(tmp_path / "grid.nc")))
    with pytest.raises(ConfigError, match="no dimension 'depth'"):
        read_series(Location(str(tmp_path / "grid.nc")), "wind", {"depth": 3})
    samples = read_series(Location(str(tmp_path / "wind.mseed")))
    assert samples.name == "XX.MET..LWS"
    np.testing.assert_array_equal(samples.time_ns, expected.time_ns)
    np.testing.assert_array_equal(samples.value, whole)


@pytest.mark.parametrize(
    ("text", "column", "sentence"),
    [
        ("time,a,b\n2020-01-25,1,2\n", None, "these series: a, b; say which"),
        ("time,a,b\n2020-01-25,1,2\n", "c", "'c' is none of them"),
        ("time,a\n2020-01-25,\n", None, "a of .* has no value"),
        ("time,name\n2020-01-25,x\n", None, "these series: none"),
    ],
)
def test_a_file_without_the_series_is_told(
    tmp_path: Path, text: str, column: str | None, sentence: str
) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        read_series(Location(str(tmp_path / "s.csv")), column)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("time,a\nsoon,1\n")
    (tmp_path / "s.nc").write_bytes(b"no")
    for name in ("s.csv", "s.nc", "none.csv"):
        with pytest.raises(StoreError, match=str(tmp_path / name)):
            read_series(Location(str(tmp_path / name)))


REDUCED: list[tuple[str, Callable[[npt.NDArray[np.float64]], float]]] = [
    ("mean", np.mean),
    ("max", np.max),
    ("min", np.min),
    ("rms", lambda v: float(np.sqrt(np.mean(v**2)))),
]


@pytest.mark.parametrize(("how", "reduce"), REDUCED)
def test_finer_series_are_reduced_and_coarser_ones_drawn_straight(
    root: str, tmp_path: Path, how: str, reduce: Callable[[npt.NDArray[np.float64]], float]
) -> None:
    rng = np.random.default_rng(2)
    fine = rng.standard_normal(N_HOURS * 4)
    times = TIMES[0] + pd.to_timedelta(np.arange(N_HOURS * 4) * 15, unit="min")
    pd.DataFrame({"time": times, "v": fine}).to_csv(tmp_path / "fine.csv", index=False)
    found = join_series(root, str(tmp_path / "fine.csv"), how=how)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.bins["series"], [reduce(v) for v in fine.reshape(-1, 4)])
    daily = pd.Series(rng.standard_normal(N_DAYS), TIMES[::24])
    daily.drop(daily.index[20]).rename("v").rename_axis("time").to_csv(tmp_path / "daily.csv")
    drawn = join_series(root, str(tmp_path / "daily.csv"), max_lag="2h").bins["series"].to_numpy()
    assert drawn[30] == pytest.approx(daily.iloc[1] + (daily.iloc[2] - daily.iloc[1]) * 6.5 / 24)
    assert np.isnan(drawn[19 * 24 + 1 : 21 * 24]).all()
    assert np.isnan(drawn[-24:]).all()


def test_windows_at_events_are_counted(tmp_path: Path, csv: str) -> None:
    places = Places.at(str(tmp_path))
    fill(places, make_store(places, windows=EVENTS))
    found = join_series(str(tmp_path), csv, freq="6h", max_lag="1D")
    assert found.measure == "count"
    np.testing.assert_array_equal(found.bins[[0, 1, 2]], counts_in_time(str(tmp_path), "6h"))


def test_what_cannot_be_asked_is_told(root: str, csv: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no length of time"):
        join_series(root, csv, freq="often")
    (tmp_path / "late.csv").write_text("time,v\n2031-01-01,1\n2031-01-02,2\n")
    with pytest.raises(ConfigError, match=r"share 0 bins"):
        join_series(root, str(tmp_path / "late.csv"))
    with pytest.raises(ConfigError, match="need at least 80: use shorter bins or lags"):
        join_series(root, csv, freq="1D", max_lag="40D")


def test_the_verb_prints_writes_and_draws(root: str, csv: str, tmp_path: Path) -> None:
    config = tmp_path / "my.yaml"
    config.write_text(f"root: {root}\nrun: first\narchive: {{url: nowhere}}\n")
    arguments = ["join-series", str(config), csv, "--max-lag", "6h"]
    files = {
        name: str(tmp_path / name) for name in ("wind.png", "wind.svg", "lags.csv", "bins.csv", "c.json")
    }
    shown = CliRunner().invoke(_verbs, [*arguments, "--figure", files["wind.png"]], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "sea swell" in shown.stdout
    more = ["--figure", files["wind.svg"], "--lags", files["lags.csv"], "--bins", files["bins.csv"]]
    CliRunner().invoke(_verbs, [*arguments, *more, "-o", files["c.json"]], catch_exceptions=False)
    assert (tmp_path / "wind.png").read_bytes()[:4] == b"\x89PNG"
    assert (
        "2 sea swell" in (tmp_path / "wind.svg").read_text() or "<svg" in (tmp_path / "wind.svg").read_text()
    )
    assert len(pd.read_csv(files["lags.csv"])) == 3 * 13
    assert list(pd.read_csv(files["bins.csv"]).columns) == ["time", "series", "0", "1", "2"]
    assert [row["label"] for row in json.loads(Path(files["c.json"]).read_text())] == [0, 1, 2]
    wrong = CliRunner().invoke(_verbs, [*arguments, "--at", "latitude"])
    assert "expected e.g. latitude=-78.5" in str(wrong.output)
