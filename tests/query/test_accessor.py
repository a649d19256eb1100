from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import scaledec as sd
from scaledec.errors import ConfigError, StoreNotFoundError
from scaledec.ledger.ledger import Ledger
from scaledec.places import Places
from scaledec.queries.counts import count_by, counts_in_time
from scaledec.queries.episodes import episodes
from scaledec.queries.rows import query
from scaledec.vocabulary import TaskResult
from tests.query.conftest import Asked
from tests.stages.small_cubes import (
    channels_of,
    expected_power,
    make_cube,
    make_labels,
    save_model,
    small_config,
)

DAY: dict[str, Any] = {"start": "2020-02-28", "end": "2020-02-29"}


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    as_text: Any = {name: str for name in ("channel", "station") if name in expected}
    pd.testing.assert_frame_equal(found.astype(as_text), expected.astype(as_text))
    assert len(found)


def test_a_dataset_answers_as_the_store_does(asked: Asked) -> None:
    labels = sd.open_labels(asked.root)
    filters: dict[str, Any] = {"label": [1, 3], "min_confidence": 0.4, "hours": "20-8", "min_outlier": 0.2}
    same(labels.scaledec.table(**filters), query(asked.root, **filters))
    same(labels.scaledec.table(7), query(asked.root, limit=7))
    same(
        labels.scaledec.episodes(2, 0.3, 400, channel="*S001*"),
        episodes(asked.root, label=2, min_confidence=0.3, max_gap_s=400, channel="*S001*"),
    )
    same(labels.scaledec.count_by(["station", "hour"]), count_by(asked.root, ["station", "hour"]))
    counts = labels.scaledec.counts("2h", **filters)
    expected = counts_in_time(asked.root, "2h", **filters)
    np.testing.assert_array_equal(counts, expected)
    np.testing.assert_array_equal(counts["time"], expected.index)
    np.testing.assert_array_equal(counts["cluster"], [1, 3])
    assert list(counts["cluster_name"].to_numpy()) == ["cluster_1", "cluster_3"]


def test_a_selection_answers_for_itself_alone(asked: Asked) -> None:
    labels = sd.open_labels(asked.root)
    day = labels.sel(time="2020-02-28")
    same(day.scaledec.table(), query(asked.root, **DAY))
    one = labels.sel(channel="ZS.S001..HHN", time=slice("2020-02-28", "2020-02-28T23"))
    same(one.scaledec.table(), query(asked.root, channel="ZS.S001..HHN", **DAY))
    same(
        one.scaledec.episodes(max_gap_s=60), episodes(asked.root, channel="ZS.S001..HHN", max_gap_s=60, **DAY)
    )
    counts = one.scaledec.counts("1h")
    np.testing.assert_array_equal(counts, counts_in_time(asked.root, "1h", channel="ZS.S001..HHN", **DAY))
    segment = labels.isel(channel=2, time=5)
    first_s = labels["time"].to_numpy()[5]
    of_segment: dict[str, Any] = {
        "start": str(first_s)[:19],
        "end": str(first_s + np.timedelta64(6, "h"))[:19],
    }
    same(segment.scaledec.table(), query(asked.root, channel=str(segment["channel"].item()), **of_segment))


def test_the_order_of_dimensions_and_times_does_not_matter(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = sd.open_labels(asked.root)
    turned = labels.isel(time=slice(None, None, -1), channel=[3, 0]).transpose(
        "window", "time", "channel", ...
    )
    expected = query(asked.root, channel=["ZS.S000..HHZ", "ZS.S001..HHN"])
    same(turned.scaledec.table(), expected)
    same(turned.scaledec.episodes(), episodes(asked.root, channel=["ZS.S000..HHZ", "ZS.S001..HHN"]))


def test_windows_that_were_masked_or_flattened_are_counted_as_they_are(continuous: Asked) -> None:
    labels = sd.open_labels(continuous.root).isel(channel=[1], time=slice(0, 8))
    sure = labels.where(labels["confidence"] >= 0.7)
    same(
        sure.scaledec.table().drop(columns=["outlier"]),
        labels.scaledec.table(min_confidence=0.7).drop(columns=["outlier"]),
    )
    flat = sd.flatten_time(labels)
    same(flat.scaledec.table(), labels.scaledec.table())
    same(
        flat.scaledec.table(start="2020-02-27T07:00:01", end="2020-02-27T07:10"),
        labels.scaledec.table(start="2020-02-27T07:00:01", end="2020-02-27T07:10"),
    )
    same(flat.scaledec.episodes(0), labels.scaledec.episodes(0))


def test_flags_stay_as_cf_says_and_labels_lazy(asked: Asked) -> None:
    labels = sd.open_labels(asked.root)
    labels.scaledec.counts()
    assert labels["label"].attrs["flag_values"] == [0, 1, 2, 3]
    assert labels["label"].attrs["flag_meanings"] == "cluster_0 cluster_1 cluster_2 cluster_3"
    assert not labels["label"].variable._in_memory
    assert not labels["confidence"].variable._in_memory


def test_a_selection_can_be_saved_and_asked_again(continuous: Asked, tmp_path: Path) -> None:
    few = sd.open_labels(continuous.root).isel(time=slice(2, 4))
    few[["label", "confidence", "distance"]].to_zarr(tmp_path / "few.zarr", consolidated=False)
    again = xr.open_zarr(tmp_path / "few.zarr", chunks=None, consolidated=False)
    same(again.scaledec.table(), few.scaledec.table().drop(columns=["outlier"]))
    with pytest.raises(ConfigError, match="no outlier score"):
        again.scaledec.table(min_outlier=1)


def test_what_is_no_dataset_of_labels_is_said(continuous: Asked) -> None:
    sd.open_labels(continuous.root)
    with pytest.raises(ConfigError, match="holds power; expected labels"):
        xr.Dataset({"power": 1}).scaledec.counts()
    with pytest.raises(ConfigError, match="run: a dataset has been opened already"):
        sd.open_labels(continuous.root).scaledec.table(run="other")


@pytest.fixture(scope="module")
def with_cube(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small cube and an empty label store of it."""
    config = small_config(tmp_path_factory.mktemp("cube"))
    cube = make_cube(config, channels_of(3), 2)
    save_model(config)
    make_labels(config, cube)
    Ledger(Places.at(config.root).label_ledger("run")).append([TaskResult("k", "f", "done")])
    return config.root


def test_a_spectrogram_is_the_window_that_holds_the_instant(with_cube: str) -> None:
    labels = sd.open_labels(with_cube).isel(time=[0])
    config = small_config(Path(with_cube))
    cube = make_cube(config, channels_of(3), 2)
    power = expected_power(cube, 1, 0)
    found = labels.scaledec.spectrogram("XX.S00..HHN", "2020-01-01T00:01:25")
    np.testing.assert_array_equal(found, power[80:96])  # windows of 16 s every 8 s: the last that holds it
    assert found["start"] == np.datetime64("2020-01-01T00:01:20")
    assert found["time"][3] == np.datetime64("2020-01-01T00:01:23")
    assert found.dims == ("frame", "frequency")
    assert found.attrs["units"] == "dB"
    over = labels.scaledec.spectrogram("XX.S00..HHN", "2020-01-01T00:09:59", root=with_cube)
    np.testing.assert_array_equal(over, np.concatenate([power[592:], expected_power(cube, 1, 1)[:8]]))
    with pytest.raises(ConfigError, match=r"no labels of channel 'XX\.S09\.\.HHZ'; nearest: XX\.S0"):
        labels.scaledec.spectrogram("XX.S09..HHZ", "2020-01-01")
    with pytest.raises(ConfigError, match=r"no window of XX\.S00\.\.HHZ holds 2021-01-01"):
        labels.scaledec.spectrogram("XX.S00..HHZ", "2021-01-01")
    with pytest.raises(StoreNotFoundError, match="give root="):
        labels.copy().drop_encoding().scaledec.spectrogram("XX.S00..HHZ", "2020-01-01")


def test_importing_the_package_brings_the_accessor_without_xarray() -> None:
    code = "import sys, scaledec; assert not {'xarray', 'pandas'} & {*sys.modules}; scaledec.open_labels; "
    code += "import xarray; print(hasattr(xarray.Dataset, 'scaledec'))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "True\n"
