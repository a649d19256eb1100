"""SQL over the catalog of labels, held against pandas on the rows of the Zarr store."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from scaledec.cli.main import _verbs
from scaledec.errors import ConfigError, StoreError, StoreNotFoundError
from scaledec.pipeline.catalog import update_catalog
from scaledec.places import Places
from scaledec.queries.sql import SqlSession, sql
from scaledec.store.labels import LabelStore
from scaledec.store.names import ClusterName, write_names
from tests.catalog.making import expected_rows, fill, label_shard, make_store, sorted_rows
from tests.store.making import files


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two runs with a catalog, the first with names; read it, do not change it."""
    folder = str(tmp_path_factory.mktemp("sql"))
    places = Places.at(folder)
    for run, seed in [("second run", 1), ("first", 0)]:
        fill(places, make_store(places, run), run, seed=seed)
        update_catalog(places, run)
    write_names(places.run("first"), {1: ClusterName("wind, 'strong'", "mostly in winter")})
    return folder


@pytest.fixture(scope="module")
def rows(root: str) -> pd.DataFrame:
    return expected_rows(LabelStore.open(Places.at(root).labels("first")))


def test_a_query_gives_the_windows_of_the_label_store(root: str, rows: pd.DataFrame) -> None:
    found = sql(root, "from labels")
    pd.testing.assert_frame_equal(sorted_rows(found, rows.columns), rows, check_dtype=False, check_exact=True)
    assert list(found.columns) == [
        *("network", "station", "location", "channel", "start", "end", "label", "name"),
        *("confidence", "distance", "outlier", "year", "month"),
    ]


def test_counts_are_those_of_pandas(root: str, rows: pd.DataFrame) -> None:
    found = sql(
        root,
        "select label, station, hour(start) h, count(*) n, avg(distance) d from labels "
        "where confidence >= 0.5 and start >= '2020-02-03' group by all order by all",
    )
    kept = rows[(rows["confidence"] >= 0.5) & (rows["start"] >= "2020-02-03")]
    grouped = kept.assign(h=kept["start"].dt.hour).groupby(["label", "station", "h"])["distance"]
    expected = grouped.agg(["size", "mean"]).reset_index()
    assert found["n"].tolist() == expected["size"].tolist()
    assert found["d"].to_numpy() == pytest.approx(expected["mean"].to_numpy(), rel=1e-6)


def test_a_name_shows_at_once_and_rewrites_nothing(tmp_path: Path) -> None:
    places = Places.at(str(tmp_path))
    fill(places, make_store(places, n_days=8))
    update_catalog(places, "first")
    before = files(places.catalog("first").path)
    assert set(sql(str(tmp_path), "from labels")["name"]) == {"cluster_0", "cluster_1", "cluster_2"}
    write_names(places.run("first"), {2: ClusterName("ice front", "in May")})
    named = sql(str(tmp_path), "select distinct label, name from labels order by 1")
    assert named["name"].tolist() == ["cluster_0", "cluster_1", "ice front"]
    assert sql(str(tmp_path), "select note from clusters where name = 'ice front'")["note"].tolist() == [
        "in May"
    ]
    assert files(places.catalog("first").path) == before


def test_a_month_of_a_network_reads_one_file(root: str) -> None:
    with SqlSession(root, run="first") as session:
        plan = session.table(
            "explain analyze select count(*), avg(distance) from labels "
            "where network = 'XX' and year = 2020 and month = 2"
        )["explain_value"][0]
        assert re.search(r"Scanning Files:\s*1/6", plan)
        assert re.search(r"Total Files Read:\s*1\b", plan)
        assert "network=XX/year=2020/month=02" in plan.replace("\n", "").replace("│", "").replace(" ", "")
        everything = session.table("explain analyze select avg(distance) from labels")["explain_value"][0]
        assert re.search(r"Total Files Read:\s*6\b", everything)


def test_every_run_is_a_schema(root: str) -> None:
    found = sql(
        root,
        'select a.label la, b.label lb, count(*) n from labels a join "second run".labels b '
        "using (channel, start) group by all",
        run="first",
    )
    first, second = (
        expected_rows(LabelStore.open(Places.at(root).labels(run))) for run in ("first", "second run")
    )
    joined = first.merge(second, on=["channel", "start"])
    assert found["n"].sum() == len(joined)
    assert sql(root, "select count(*) n from labels", run="second run")["n"][0] == len(second)
    assert sql(root, 'select name from "second run".clusters where label = 1')["name"][0] == "cluster_1"


def test_stations_and_channels_are_tables_to_join(root: str) -> None:
    stations = sql(root, "from stations order by all")
    assert list(zip(stations["network"], stations["station"], stations["channels"], strict=True)) == [
        ("01", "A", 1),
        ("XX", "A", 2),
        ("XX", "B", 1),
        ("XX", "C", 1),
    ]
    assert stations["latitude"].tolist() == [11.0, 12.0, 10.0, 14.0]
    joined = sql(root, "select count(*) n from labels join channels using (channel) where latitude > 13.5")
    assert joined["n"][0] == sql(root, "select count(*) n from labels where station = 'C'")["n"][0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("selec 1", 'Parser Error: syntax error at or near "selec"'),
        ("select lable from labels", 'Candidate bindings: "label"'),
        ("select count(*) from label", "Table with name label does not exist"),
        ("", "expected one query; found 0"),
        ("select 1; select 2", "expected one query; found 2"),
    ],
)
def test_a_query_that_is_none_is_answered_in_one_sentence(root: str, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)) as caught:
        sql(root, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "create table t as from labels",
        "drop view labels",
        "copy (from labels) to '{}'",
        "attach '{}'",
        "insert into clusters values (7, 'x', '')",
        "with a as (select 1) delete from clusters",
        "set memory_limit = '1TB'",
        "install httpfs",
        "export database '{}'",
        "pragma database_list",
    ],
)
def test_what_is_no_question_is_refused(root: str, tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="only read"):
        sql(root, text.format(tmp_path / "here"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["csv", "parquet", "json", "jsonl"])
def test_rows_come_back_from_each_format(root: str, tmp_path: Path, ending: str) -> None:
    text = "from labels order by channel, start limit 3000 -- most of them"
    path = tmp_path / f"it's.{ending}"
    with SqlSession(root) as session:
        assert session.write(text, str(path)) == 3000
        expected = session.table(text)
    readers = {
        "csv": lambda: pd.read_csv(path, dtype={"network": str, "location": str}, keep_default_na=False),
        "parquet": lambda: pd.read_parquet(path),
        "json": lambda: pd.DataFrame(json.loads(path.read_text())),
        "jsonl": lambda: pd.DataFrame([json.loads(line) for line in path.read_text().splitlines()]),
    }
    found = readers[ending]()
    for name in ("start", "end"):
        instants = pd.to_datetime(found[name])
        if ending != "parquet":
            assert str(instants.dt.tz) == "UTC"
            instants = instants.dt.tz_localize(None)
        found[name] = instants.astype("datetime64[us]")
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-6)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_what_cannot_be_written_is_told(root: str, tmp_path: Path) -> None:
    with SqlSession(root) as session:
        with pytest.raises(ConfigError, match=r"\.csv, \.parquet"):
            session.write("from labels", str(tmp_path / "rows.xlsx"))
        with pytest.raises(StoreError, match="missing"):
            session.write("from labels", str(tmp_path / "missing" / "rows.csv"))
        assert session.write("describe labels", str(tmp_path / "columns.csv")) == 13


def test_a_root_without_catalog_is_told_what_to_do(root: str, tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="no labels below"):
        sql(str(tmp_path), "from labels")
    places = Places.at(str(tmp_path))
    fill(places, make_store(places, n_days=1))
    with pytest.raises(StoreNotFoundError, match=r"no catalog of run 'first'.*scaledec label CONFIG"):
        sql(str(tmp_path), "from labels")
    with pytest.raises(StoreNotFoundError, match="runs that have one: first, second run"):
        sql(root, "from labels", run="third")


def test_labels_that_came_after_the_catalog_are_noticed(tmp_path: Path) -> None:
    places = Places.at(str(tmp_path))
    store = make_store(places, n_days=8)
    fill(places, store)
    update_catalog(places, "first")

    def current() -> bool:
        with SqlSession(str(tmp_path)) as session:
            return session.is_current

    assert current()
    label_shard(places, store, 0, 0, seed=3)
    assert not current()
    update_catalog(places, "first")
    assert current()
    label_shard(places, store, 0, 0, seed=3)  # the same again
    assert update_catalog(places, "first").n_written == 0
    assert current()


@pytest.mark.parametrize("kind", ["memory", "s3"])
def test_a_remote_root_gives_the_same_answer(kind: str, root: str, request: pytest.FixtureRequest) -> None:
    options = request.getfixturevalue("s3_options") if kind == "s3" else {}
    url = f"s3://bucket/{uuid.uuid4().hex}" if kind == "s3" else f"memory://{uuid.uuid4().hex}"
    places = Places.at(url, options)
    fill(places, make_store(places))
    update_catalog(places, "first")
    text = "select label, network, month, count(*) n, avg(distance) d from labels group by all order by all"
    found = sql(url, text, storage_options=options)
    pd.testing.assert_frame_equal(found, sql(root, text, run="first"))


def test_the_verb_prints_rows_and_writes_files(root: str, tmp_path: Path) -> None:
    config = tmp_path / "my.yaml"
    config.write_text(f"root: {root}\nrun: first\narchive: {{url: nowhere}}\n")
    runner = CliRunner()
    text = "select name, count(*) n from labels group by 1 order by 1"
    shown = runner.invoke(_verbs, ["sql", str(config), text], catch_exceptions=False)
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["name", "n"]
    assert lines[3].split()[:2] == ["wind,", "'strong'"]
    piped = runner.invoke(_verbs, ["sql", str(config)], input=text, catch_exceptions=False)
    assert piped.stdout == shown.stdout
    many = runner.invoke(_verbs, ["sql", str(config), "from labels"], catch_exceptions=False)
    assert len(many.stdout.splitlines()) == 1001
    assert "-o FILE writes all" in many.stderr
    output = tmp_path / "rows.parquet"
    runner.invoke(_verbs, ["sql", str(config), text, "-o", str(output)], catch_exceptions=False)
    assert len(pd.read_parquet(output)) == 3
