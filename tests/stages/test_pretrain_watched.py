"""Pictures and event files of a training: they show what is so, and the training does not notice them."""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch

from scaledec.config import ComputeConfig
from scaledec.engines.local_train import run_training
from scaledec.errors import ConfigError
from scaledec.location import Location
from scaledec.pipeline.watch import watched
from scaledec.report.training import draw_training
from scaledec.stages.pretrain import PRETRAINED, pretrain_loop
from scaledec.stages.pretrain_sight import Sight, read_sight, sight_place
from scaledec.training.saved_model import SavedModel
from scaledec.training.session import Metrics
from tests.stages.test_pretrain import HELD_OUT, WINDOWS, job, losses, model_bytes


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["folder", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Location]:
    if request.param == "folder":
        yield Location(str(tmp_path / "run"))
        return
    yield Location("memory://test-watched/run")
    fsspec.filesystem("memory").rm("/test-watched", recursive=True)


def test_pictures_are_drawn_on_the_way_and_the_training_is_the_same(tmp_path: Path, place: Location) -> None:
    plain, mine = job(tmp_path / "plain"), job(tmp_path, run=place, shown_every=2)
    run_training(pretrain_loop, plain, storage=None, name="pretrain", threads=1)
    heard: list[Metrics] = []
    with watched(ComputeConfig(pictures_every=2), place, "pretrain", heard.append) as on_report:
        run_training(pretrain_loop, mine, storage=None, name="pretrain", threads=1, on_report=on_report)
    assert [m["epoch"] for m in heard] == list(range(1, 7))
    drawn = place.child("pictures").list_names()
    assert drawn == ["epoch-0002.png", "epoch-0004.png", "epoch-0006.png"]
    assert place.child("pictures", drawn[0]).read_bytes().startswith(b"\x89PNG")
    assert losses(mine) == losses(plain)
    assert model_bytes(mine) == model_bytes(plain)


def test_a_sight_holds_what_the_network_makes_of_held_out_windows(tmp_path: Path) -> None:
    mine = job(tmp_path, epochs=1, shown_every=1)
    run_training(pretrain_loop, mine, storage=None, name="pretrain", threads=1)
    sight = read_sight(mine.run, 1)
    model = SavedModel.load(mine.run.child(PRETRAINED))
    x = torch.from_numpy(model.normaliser.apply(WINDOWS[HELD_OUT]))
    np.testing.assert_array_equal(sight.windows[:, 0], x[:: len(x) // 5][:5])
    with torch.inference_mode():
        x_hat = model.network(torch.from_numpy(sight.windows))[0].numpy()
    np.testing.assert_allclose(sight.reconstructions, x_hat, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(sight.embedding, model.embed(WINDOWS[HELD_OUT]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("latent", [1, 3])
def test_an_embedding_of_any_size_is_drawn(tmp_path: Path, latent: int) -> None:
    rng = np.random.default_rng(0)
    windows = rng.standard_normal((2, 1, 8, 9)).astype(np.float32)
    sight = Sight(1, windows, windows, rng.standard_normal((30, latent)).astype(np.float32))
    history = [{"epoch": 1, "train_loss": 1.0, "validation_loss": 0.9}]
    first = draw_training(tmp_path / "a.png", history, sight).read_bytes()
    assert draw_training(tmp_path / "b.png", history, sight).read_bytes() == first


def test_a_picture_that_cannot_be_drawn_stops_no_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = Location(str(tmp_path))
    with watched(ComputeConfig(pictures_every=1), place, "pretrain", lambda m: None) as on_report:
        on_report({"epoch": 1, "train_loss": 1.0, "validation_loss": 1.0})
    assert "no picture of epoch 1" in caplog.text
    sight_place(place, 2).write_bytes(b"torn")
    with watched(ComputeConfig(pictures_every=1), place, "pretrain", lambda m: None) as on_report:
        on_report({"epoch": 2, "train_loss": 1.0, "validation_loss": 1.0})
    assert "no picture of epoch 2" in caplog.text


def events(place: Location) -> list[tuple[int, str, float]]:
    """(step, name, value) of event files, read by TensorBoard's own format (TFRecord of protobuf)."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for name in place.list_names():
        file = io.BytesIO(place.child(name).read_bytes())
        while header := file.read(12):
            event = Event.FromString(file.read(struct.unpack("<Q", header[:8])[0]))
            file.read(4)
            found += [(event.step, v.tag, v.simple_value) for v in event.summary.value]
    return found


def test_event_files_hold_the_metrics_of_every_epoch(tmp_path: Path, place: Location) -> None:
    mine = job(tmp_path, run=place, epochs=3)
    heard: list[Any] = []
    with watched(ComputeConfig(tensorboard=True), place, "pretrain", heard.append) as on_report:
        run_training(pretrain_loop, mine, storage=None, name="pretrain", threads=1, on_report=on_report)
    found = {(step, tag): value for step, tag, value in events(place.child("tensorboard", "pretrain"))}
    for metrics in heard:
        for name in ("train_loss", "validation_loss", "windows_per_s"):
            value = found[metrics["epoch"], f"pretrain/{name}"]
            assert value == pytest.approx(metrics[name], rel=1e-6)


@pytest.mark.parametrize("library", ["tensorboardX", "mlflow"])
def test_a_library_that_is_missing_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    asked = {"tensorboardX": ComputeConfig(tensorboard=True), "mlflow": ComputeConfig(mlflow="http://here")}
    with (
        pytest.raises(ConfigError, match=f"{library} is not installed: pip install {library}"),
        watched(asked[library], Location(str(tmp_path)), "pretrain", lambda metrics: None),
    ):
        pass
