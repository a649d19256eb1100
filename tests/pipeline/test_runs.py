"""Runs side by side below one root: what they share is made once, what differs is kept apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaledec.config import Config, parse_config
from scaledec.errors import StoreConflictError, StoreNotFoundError
from scaledec.pipeline.demo import demo_exit_code
from scaledec.pipeline.outcome import Failure, FailureGroups, Outcome
from scaledec.pipeline.record import without_credentials
from scaledec.pipeline.run import build_cube, cluster, label, pretrain, run
from scaledec.pipeline.status import status
from scaledec.places import Places
from scaledec.store.datasets import run_names
from scaledec.synthetic.archive import SyntheticArchive, write_synthetic_archive
from scaledec.synthetic.settings import DEFAULT_STATIONS, SyntheticSettings
from scaledec.vocabulary import Status, TaskResult

SETTINGS = """
spectrogram: {sampling_rate_hz: 20, segment_s: 900, window_s: 2}
windows: {length_s: 16}
model: {widths: [4, 8], latent: 3}
pretrain: {windows: 300, epochs: 2}
cluster: {n_clusters: 3, restarts: 2, epochs: 1, batch: 64}
compute: {engine: serial}
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> SyntheticArchive:
    settings = SyntheticSettings(
        start="2024-03-04T18:00",
        hours=4.0,
        sampling_rate_hz=20.0,
        stations=DEFAULT_STATIONS[:2],
        faults=False,
        rate=3.0,
    )
    return write_synthetic_archive(tmp_path_factory.mktemp("archive"), settings)


@pytest.fixture
def config(archive: SyntheticArchive, tmp_path: Path) -> Config:
    text = f"root: {tmp_path / 'root'}\narchive: {{url: {archive.sds.path}}}\n{SETTINGS}"
    return parse_config(text)


def changed(config: Config, **cluster: object) -> Config:
    return config.model_copy(update={"cluster": config.cluster.model_copy(update=cluster)})


def message(outcomes: object, stage: str) -> str:
    assert isinstance(outcomes, list)
    return next(str(outcome.message) for outcome in outcomes if outcome.stage == stage)


def test_a_run_with_another_clustering_takes_over_training_set_and_network(config: Config) -> None:
    run(config)
    second = run(changed(config, n_clusters=4))
    assert "taken over from run" in message(second, "training set")
    assert "taken over from run" in message(second, "pretrain")
    assert "4 clusters" in message(second, "cluster")
    places = Places.at(config.root)
    first, other = places.runs.list_names()
    assert run_names(config.root) == [first, other]
    weights = [places.pretrained(name).child("model.safetensors").read_bytes() for name in (first, other)]
    assert weights[0] == weights[1]


def test_a_damaged_run_beside_it_stops_no_other(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    run(config)
    places = Places.at(config.root)
    (first,) = places.runs.list_names()
    places.pretrained(first).child("model.json").write_bytes(b"{}")
    places.training_set(first).child("zarr.json").write_bytes(b"not json")
    second = run(changed(config, n_clusters=4))
    assert "4 clusters" in message(second, "cluster")
    assert "taken over" not in message(second, "pretrain")
    assert f"run '{first}', which is damaged" in caplog.text


def test_a_finished_run_does_nothing_and_says_so(config: Config) -> None:
    run(config)
    again = run(config)
    assert all("done before" in outcome.message for outcome in again)
    assert sum(outcome.done for outcome in again) == 0


def test_a_run_name_belongs_to_the_settings_it_was_made_with(config: Config) -> None:
    named = config.model_copy(update={"run": "mine"})
    run(named)
    with pytest.raises(StoreConflictError, match="another name"):
        run(changed(named, n_clusters=5))


def test_each_stage_says_which_one_it_needs_first(config: Config) -> None:
    with pytest.raises(StoreNotFoundError):
        pretrain(config)
    build_cube(config)
    with pytest.raises(StoreNotFoundError, match="scaledec pretrain"):
        cluster(config)
    pretrain(config)
    with pytest.raises(StoreNotFoundError):
        label(config)
    assert [line.state for line in status(config).lines] == ["done", "done", "done", "waiting", "waiting"]
    cluster(config)
    assert label(config).done > 0
    stages = [line.state for line in status(config).lines if line.state != "known"]
    assert stages == ["done"] * 5


def test_a_record_keeps_the_names_of_storage_options_only() -> None:
    settings = {"archive": {"url": "s3://b", "storage_options": {"secret": "s", "anon": True}}}
    assert without_credentials(settings) == {
        "archive": {"url": "s3://b", "storage_options": ["anon", "secret"]}
    }


def test_the_demo_forgives_only_what_it_planted(archive: SyntheticArchive) -> None:
    other = Outcome("cube", "", failures=[Failure("SY.CRAT.00.HHZ/2024-03-04T00:00:00", "torn")])
    assert demo_exit_code([other], archive) == 3
    assert demo_exit_code([Outcome("cube", "")], archive) == 0


def test_a_reason_is_listed_once_a_channel_with_its_first_task_and_the_number_of_them() -> None:
    def result(key: str, reason: str | None, status: Status = "failed") -> TaskResult:
        return TaskResult(key, "", status, reason)

    torn = "day.ms is torn"
    groups = FailureGroups(most=3)
    for failed in (
        result("XX.B..BHZ/2021-03-01T00:00:00", torn),
        result("XX.A..BHZ/2021-03-01T02:00:00", torn),
        result("XX.A..BHZ/2021-03-01T01:00:00", torn),
        result("XX.A..BHZ/2021-03-01T03:00:00", "sampled too slowly"),
        result("XX.A..BHZ/2021-03-01T04:00:00", torn, "done"),
        result("XX.C..BHZ/2021-03-01T00:00:00", torn),
        result("XX.C..BHZ/2021-03-01T01:00:00", torn),
    ):
        groups.add(failed)
    found = groups.listed()
    assert groups.n_unlisted == 2
    assert found == [
        Failure("XX.A..BHZ/2021-03-01T01:00:00", torn, 2),
        Failure("XX.A..BHZ/2021-03-01T03:00:00", "sampled too slowly"),
        Failure("XX.B..BHZ/2021-03-01T00:00:00", torn),
    ]
    assert [failure.where for failure in found[:2]] == [
        "XX.A..BHZ/2021-03-01T01:00:00 and 1 more",
        "XX.A..BHZ/2021-03-01T03:00:00",
    ]
