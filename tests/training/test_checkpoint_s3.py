"""Checkpoints on an object store behind a bad connection: whole or not at all."""

from __future__ import annotations

import http.client
import uuid
from pathlib import Path
from typing import Any

import pytest
import torch

from scaledec.location import Location
from scaledec.training.checkpoint import STATE_FILE, CheckpointShelf, load_state, save_state
from scaledec.training.session import Metrics
from tests.servers import FaultProxy
from tests.stages.test_pretrain import job, losses, model_bytes, stop_after, train


def test_a_training_on_a_bad_connection_keeps_whole_checkpoints_and_resumes_to_the_same_bytes(
    s3_options: dict[str, Any], tmp_path: Path
) -> None:
    whole = job(tmp_path / "whole", epochs=5)
    train(whole)
    name = f"s3://bucket/{uuid.uuid4().hex}"
    proxy = FaultProxy(s3_options["endpoint_url"], share=0.15, seed=3, slow_s=0.02)
    direct = Location(name, s3_options)

    def look(metrics: Metrics) -> None:
        """What lies there after each report, seen past the proxy, is whole."""
        shelf = CheckpointShelf(direct.child("checkpoints", "pretrain"))
        names = shelf.names()
        assert 1 <= len(names) <= 2
        for checkpoint in names:
            folder = tmp_path / "looked" / f"{metrics['epoch']}-{checkpoint}"
            folder.mkdir(parents=True)
            data = direct.child("checkpoints", "pretrain", checkpoint, STATE_FILE).read_bytes()
            (folder / STATE_FILE).write_bytes(data)
            load_state(folder)

    def look_and_stop(metrics: Metrics) -> None:
        look(metrics)
        stop_after(3)(metrics)

    with proxy.running() as url:
        mine = job(tmp_path, run=Location(name, {**s3_options, "endpoint_url": url}), epochs=5)
        with pytest.raises(KeyboardInterrupt):
            train(mine, look_and_stop)
        again: list[int] = []

        def look_and_note(metrics: Metrics) -> None:
            look(metrics)
            again.append(int(str(metrics["epoch"])))

        train(mine, look_and_note)
    assert again == [4, 5]
    assert sum(proxy.faults.values()) >= 3, f"too few faults to prove anything: {proxy.faults}"
    assert losses(mine) == losses(whole)
    assert model_bytes(mine) == model_bytes(whole)


def test_an_upload_that_was_cut_off_leaves_the_checkpoint_before(
    s3_options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf_place = Location(f"s3://bucket/{uuid.uuid4().hex}", s3_options)
    shelf = CheckpointShelf(shelf_place)
    for number in (1, 2):
        save_state(tmp_path, {"a": torch.full((4,), number)}, {"number": number})
        if number == 2:
            monkeypatch.setattr(Location, "write_bytes", _cut_off)
            with pytest.raises(KeyboardInterrupt):
                shelf.add(tmp_path)
            monkeypatch.undo()
        else:
            shelf.add(tmp_path)
    with shelf.newest() as folder:
        assert folder is not None
        assert load_state(folder)[1] == {"number": 1}


def _cut_off(place: Location, data: bytes) -> None:
    """A process that dies in the middle of an upload: the server never has the whole request."""
    endpoint = place.storage_options["endpoint_url"].removeprefix("http://")
    connection = http.client.HTTPConnection(endpoint, timeout=10)
    connection.putrequest("PUT", "/" + place.url.removeprefix("s3://"))
    connection.putheader("Content-Length", str(len(data)))
    connection.endheaders(data[: len(data) // 2])
    connection.close()
    raise KeyboardInterrupt
