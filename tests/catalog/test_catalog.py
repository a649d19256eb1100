"""The Parquet catalog of labels: what it holds, and what is written when."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import uuid
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

import scaledec.store.catalog as module
from scaledec.ledger.ledger import Ledger
from scaledec.pipeline.catalog import update_catalog
from scaledec.places import Places
from scaledec.queries.sql import sql
from scaledec.stages.label_region import write_block
from scaledec.stages.verify import mark_damaged, verify
from scaledec.store.labels import LabelStore
from scaledec.vocabulary import ChannelId, LabelTask, task_key
from tests.catalog.making import (
    CHANNELS,
    DAY_NS,
    EVENTS,
    N_DAYS,
    SHARD,
    START_NS,
    expected_rows,
    fill,
    label_shard,
    make_store,
    random_block,
    sorted_rows,
)
from tests.store.making import files


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """A labelled root with its catalog; read it, do not change it."""
    places = Places.at(str(tmp_path_factory.mktemp("catalog")))
    fill(places, make_store(places))
    update_catalog(places, "first")
    return places


def two_channels_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS_PER_PART", 2 * 31 * 24)


def contents(places: Places, run: str = "first") -> dict[str, bytes]:
    return files(places.catalog(run).path)


def by_pandas(folder: Path) -> pd.DataFrame:
    # Left alone, pyarrow takes a network of digits for a number.
    types = pa.schema([("network", pa.string()), ("year", pa.int32()), ("month", pa.int32())])
    return pd.read_parquet(folder, partitioning=pyarrow.dataset.partitioning(types, flavor="hive"))


def by_polars(folder: Path) -> pd.DataFrame:
    types = {"network": pl.String, "year": pl.Int32, "month": pl.Int32}
    found = pl.read_parquet(folder / "**/*.parquet", hive_schema=types).to_dict(as_series=False)
    return pd.DataFrame(found)


def by_duckdb(folder: Path) -> pd.DataFrame:
    types = "{'network': varchar, 'year': int, 'month': int}"
    table: pd.DataFrame = duckdb.sql(
        f"from read_parquet('{folder}/**/*.parquet', hive_partitioning = true, hive_types = {types})"
    ).df()
    return table


@pytest.mark.parametrize("reader", [by_pandas, by_polars, by_duckdb])
def test_each_reader_finds_the_labels_of_the_store_row_by_row(root: Places, reader: Any) -> None:
    expected = expected_rows(LabelStore.open(root.labels("first")))
    found = sorted_rows(reader(root.catalog("first").path), expected.columns)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, check_exact=True)
    assert found["label"].between(0, 2).all()
    np.testing.assert_array_equal(found["confidence"].astype("f4"), expected["confidence"])


def test_a_month_of_a_network_is_one_file_sorted_by_channel_and_start(root: Places) -> None:
    keys = [
        f"network={n}/year=2020/month={m}/part-00000.parquet"
        for n in ("01", "XX")
        for m in ("01", "02", "03")
    ]
    assert sorted(contents(root)) == keys
    for key in keys:
        table = pq.ParquetFile(root.catalog("first").path / key).read().to_pandas()
        order = table.astype({"channel": str}).sort_values(["channel", "start"], kind="stable")
        assert order.index.is_monotonic_increasing


def test_row_groups_are_of_one_size_and_tell_channels_and_times(
    root: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS_PER_GROUP", 500)
    places = Places.at(str(tmp_path))
    fill(places, make_store(places))
    update_catalog(places, "first")
    metadata = pq.ParquetFile(
        places.catalog("first").path / "network=XX/year=2020/month=02/part-00000.parquet"
    ).metadata
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    assert [group.num_rows for group in groups[:-1]] == [500] * (len(groups) - 1)
    spans = [(g.column(0).statistics.min, g.column(0).statistics.max) for g in groups]
    assert spans == sorted(spans)
    assert spans[0] == ("XX.A..HHN", "XX.A..HHN")
    assert groups[0].column(3).statistics.min.isoformat() >= "2020-02-01"
    one, other = (by_duckdb(p.catalog("first").path) for p in (root, places))
    pd.testing.assert_frame_equal(one, other)


def test_nothing_is_written_again_that_has_not_changed(tmp_path: Path) -> None:
    places = Places.at(str(tmp_path))
    store = make_store(places)
    fill(places, store)
    assert update_catalog(places, "first").n_written == 6
    before = {path: path.stat().st_mtime_ns for path in places.catalog("first").path.rglob("*.parquet")}
    again = update_catalog(places, "first")
    assert (again.n_written, again.n_before) == (0, 6)
    label_shard(places, store, 2, 8, seed=1)  # the 2nd to 9th of February
    changed = update_catalog(places, "first")
    assert (changed.n_written, changed.n_before) == (1, 5)
    after = {path: path.stat().st_mtime_ns for path in before}
    assert [path.parent.name for path in before if after[path] != before[path]] == ["month=02"]
    assert len(expected_rows(store)) == len(by_duckdb(places.catalog("first").path))


def test_a_store_that_grew_has_the_bytes_of_one_made_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_channels_a_part(monkeypatch)
    at_once, grown = (Places.at(str(tmp_path / name)) for name in ("once", "grown"))
    fill(at_once, make_store(at_once))
    update_catalog(at_once, "first")
    # In whole shards: a shard that is clipped at the end of the store changes when the store grows.
    for channels, n_days in [(CHANNELS[:2], 16), (CHANNELS[:4], 24), (CHANNELS, N_DAYS)]:
        fill(grown, make_store(grown, channels=channels, n_days=n_days))
        update_catalog(grown, "first")
    assert contents(at_once) == contents(grown)
    assert len(contents(at_once)) == 3 * 3  # one file a month for 01, two for XX


def test_labels_that_were_taken_away_leave_no_file(tmp_path: Path) -> None:
    places = Places.at(str(tmp_path))
    store = make_store(places, channels=CHANNELS[:2])
    fill(places, store)
    update_catalog(places, "first")
    for first in range(32, N_DAYS, SHARD):  # from the 26th of February
        block = random_block(store, 1, first)
        gone = dataclasses.replace(block, label=np.full_like(block.label, -1))
        task = LabelTask(task_key(CHANNELS[1], START_NS + first * DAY_NS), "g", CHANNELS[1], 1, first, 0)
        Ledger(places.label_ledger("first")).append([write_block(store, task, gone)])
    update_catalog(places, "first")
    assert not any("network=01/year=2020/month=03" in key for key in contents(places))
    assert update_catalog(places, "first").n_written == 0
    assert verify(places).checked["catalog/first"] == 5


def _update_and_die(root: str, at: int) -> None:
    """Die in the middle of the file with this number, as of kill -9."""
    original, calls = module.put_part, iter(range(at + 1))

    def put(*arguments: Any) -> None:
        if next(calls) == at:
            partial = Path(root) / "catalog" / ".first.partial" / "x.partial"
            partial.write_bytes(b"PAR1 half")
            os.utime(partial, (0, 0))
            os.kill(os.getpid(), signal.SIGKILL)
        original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scaledec.stages.catalog.put_part", put)
        update_catalog(Places.at(root), "first")


def test_a_killed_update_is_finished_by_the_next_one(root: Places, tmp_path: Path) -> None:
    places = Places.at(str(tmp_path))
    fill(places, make_store(places))
    child = multiprocessing.get_context("spawn").Process(target=_update_and_die, args=(str(tmp_path), 4))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    whole = contents(root)
    assert contents(places).items() <= whole.items()
    assert len(contents(places)) == 4
    assert update_catalog(places, "first").n_written == 2
    assert contents(places) == whole
    assert not list((tmp_path / "catalog" / ".first.partial").iterdir())


def test_what_is_lost_or_damaged_is_found_and_made_again(root: Places, tmp_path: Path) -> None:
    places = Places.at(str(tmp_path))
    store = make_store(places)
    fill(places, store)
    update_catalog(places, "first")
    folder = places.catalog("first").path
    lost, damaged = sorted(folder.rglob("*.parquet"))[:2]
    lost.unlink()
    assert update_catalog(places, "first").n_written == 1  # seen without reading
    lost.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-20] + bytes(20))
    (folder / "network=XX" / "notes.txt").write_text("mine")
    report = verify(places)
    kinds = {finding.key: finding.kind for finding in report.findings}
    assert kinds == {
        str(lost.relative_to(folder)): "missing",
        str(damaged.relative_to(folder)): "mismatched",
        "network=XX/notes.txt": "foreign",
    }
    mark_damaged(places, report)
    assert update_catalog(places, "first").n_written == 2
    assert contents(places) == contents(root)
    assert verify(places).sound


def test_verification_sees_rows_that_are_not_those_of_the_labels(tmp_path: Path) -> None:
    places = Places.at(str(tmp_path))
    store = make_store(places, channels=CHANNELS[:1], n_days=8)
    fill(places, store)
    update_catalog(places, "first")
    assert verify(places).sound
    store.write_region(random_block(store, 0, 0, seed=5))  # behind the ledger's back
    found = {(f.product, f.kind) for f in verify(places).findings}
    assert found == {("labels/first", "mismatched"), ("catalog/first", "mismatched")}


def test_labels_that_cannot_be_read_fail_their_file_alone(tmp_path: Path) -> None:
    places = Places.at(str(tmp_path))
    store = make_store(places)
    fill(places, store)
    shard = store.location.path / "label" / "c" / "1" / "5" / "0"  # of 01.A.00.HHZ, in March
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-9])
    outcome = update_catalog(places, "first")
    assert outcome.n_written == 5
    assert [failure.key for failure in outcome.failures] == [
        "catalog/first/network=01/year=2020/month=03/part-00000.parquet"
    ]
    assert "01.A.00.HHZ" in outcome.failures[0].reason
    shard.write_bytes(whole)
    assert update_catalog(places, "first").n_written == 1


def test_windows_at_events_are_rows_by_onset_rounded_to_microseconds(tmp_path: Path) -> None:
    places = Places.at(str(tmp_path))
    store = make_store(places, windows=EVENTS, n_days=20)
    fill(places, store)
    update_catalog(places, "first")
    expected = expected_rows(store)
    found = sorted_rows(by_duckdb(places.catalog("first").path), expected.columns)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, check_exact=True)
    assert store.start_ns(0, 0, 1)[0, 0] % 1000  # there was something to round


@pytest.mark.parametrize("kind", ["memory", "s3"])
def test_an_object_store_holds_the_same_bytes(
    kind: str, root: Places, request: pytest.FixtureRequest
) -> None:
    options = request.getfixturevalue("s3_options") if kind == "s3" else {}
    bucket = f"s3://bucket/{uuid.uuid4().hex}" if kind == "s3" else f"memory://{uuid.uuid4().hex}"
    places = Places.at(bucket, options)
    fill(places, make_store(places))
    assert update_catalog(places, "first").n_written == 6
    catalog = places.catalog("first")
    assert {key: catalog.child(key).read_bytes() for key in catalog.list_tree()} == contents(root)
    assert update_catalog(places, "first").n_written == 0


def test_networks_of_any_name_come_back(tmp_path: Path) -> None:
    places = Places.at(str(tmp_path))
    channels = [ChannelId(network, "A", "", "HHZ") for network in ("", "X Y", "é=/%")]
    store = make_store(places, channels=channels, n_days=8)
    fill(places, store)
    update_catalog(places, "first")
    found = sql(str(tmp_path), "select distinct network, channel from labels order by 1")
    assert list(zip(found["network"], found["channel"], strict=True)) == sorted(
        (channel.network, str(channel)) for channel in channels
    )
