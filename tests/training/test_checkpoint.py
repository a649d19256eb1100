"""Checkpoints come back bit by bit, and a torn one is passed over."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import torch
from torch import Tensor, nn

from scaledec.errors import StoreError
from scaledec.location import Location
from scaledec.numerics.nets.presets import NetworkSpec
from scaledec.training.checkpoint import (
    STATE_FILE,
    CheckpointShelf,
    load_state,
    optimiser_tensors,
    restore_optimiser,
    save_state,
    with_prefix,
    without_prefix,
)


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Location]:
    if request.param == "local":
        yield Location(str(tmp_path / "checkpoints"))
        return
    yield Location("memory://test-checkpoints/of/a/run")
    fsspec.filesystem("memory").rm("/test-checkpoints", recursive=True)


def add(shelf: CheckpointShelf, folder: Path, number: float) -> None:
    folder.mkdir(exist_ok=True)
    save_state(folder, {"weight": torch.tensor([number])}, {"number": number})
    shelf.add(folder)


def newest_number(shelf: CheckpointShelf) -> float | None:
    with shelf.newest() as folder:
        return None if folder is None else float(load_state(folder)[1]["number"])


def test_tensors_and_values_come_back_as_they_were(tmp_path: Path) -> None:
    tensors = {
        "a": torch.randn(3, 4, 5, 6).to(memory_format=torch.channels_last),
        "b": torch.tensor(7, dtype=torch.int64),
        "c": torch.tensor([math.pi], dtype=torch.float64),
    }
    values = {"loss": 0.1 + 0.2, "history": [{"epoch": 1}], "none": None}
    save_state(tmp_path, tensors, values)
    loaded, loaded_values = load_state(tmp_path)
    assert loaded_values == values
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)


def test_a_checkpoint_is_one_file_of_json_and_numbers(tmp_path: Path) -> None:
    save_state(tmp_path, {"a": torch.zeros(2)}, {"epoch": 3})
    assert [path.name for path in tmp_path.iterdir()] == [STATE_FILE]
    data = (tmp_path / STATE_FILE).read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert json.loads(header["__metadata__"]["values"]) == {"epoch": 3}
    assert header["a"]["dtype"] == "F32"


@pytest.mark.parametrize("keep", [0, 5, 60, -1])
def test_a_damaged_checkpoint_is_an_error_that_names_it(tmp_path: Path, keep: int) -> None:
    save_state(tmp_path, {"a": torch.zeros(20)}, {})
    path = tmp_path / STATE_FILE
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(StoreError, match=STATE_FILE):
        load_state(tmp_path)


def test_prefixes_come_off_as_they_went_on() -> None:
    tensors: dict[str, Tensor] = {"a.b": torch.zeros(1), "c": torch.ones(1)}
    both = with_prefix("network", tensors) | with_prefix("best", {"c": torch.zeros(2)})
    assert without_prefix("network", both) == tensors


def steps(network: nn.Module, optimiser: torch.optim.Optimizer, x: Tensor, n: int) -> None:
    for _ in range(n):
        optimiser.zero_grad()
        x_hat, _ = network(x)
        (x_hat - x).square().mean().backward()
        optimiser.step()


@pytest.mark.parametrize("fused", [True, False])
def test_a_restored_optimiser_goes_on_as_if_never_stopped(fused: bool) -> None:
    """Weights lie channels-last here, and a saved moment does not: the fused kernel must not mix them up."""
    x = torch.randn(8, 1, 12, 10)
    spec = NetworkSpec(12, 10, (4, 8), 3)
    network = spec.build(seed=0)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2, fused=fused)
    steps(network, optimiser, x, 3)
    weights = {name: t.clone().contiguous() for name, t in network.state_dict().items()}
    saved = {name: t.clone().contiguous() for name, t in optimiser_tensors(optimiser).items()}
    steps(network, optimiser, x, 3)

    again = spec.build(seed=1)
    again.load_state_dict(weights)
    restored = torch.optim.Adam(again.parameters(), 1e-2, fused=fused)
    restore_optimiser(restored, saved)
    steps(again, restored, x, 3)
    for ours, theirs in zip(again.parameters(), network.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_newest_checkpoint_is_found_and_only_two_are_kept(place: Location, tmp_path: Path) -> None:
    shelf = CheckpointShelf(place)
    assert newest_number(shelf) is None
    for number in range(12):
        add(shelf, tmp_path / "work", number)
        assert newest_number(shelf) == number
        assert len(shelf.names()) <= 2
    assert shelf.next_name() == "checkpoint_000012"


def test_a_torn_checkpoint_is_passed_over_for_the_one_before_it(place: Location, tmp_path: Path) -> None:
    shelf = CheckpointShelf(place)
    add(shelf, tmp_path / "work", 1)
    add(shelf, tmp_path / "work", 2)
    file = place.child(shelf.names()[-1], STATE_FILE)
    file.write_bytes(file.read_bytes()[:-1])
    assert newest_number(shelf) == 1
    file.write_bytes(b"")
    assert newest_number(shelf) == 1


def test_an_empty_folder_and_an_engines_own_files_are_no_checkpoints(tmp_path: Path) -> None:
    shelf = CheckpointShelf(Location(str(tmp_path)))
    (tmp_path / "checkpoint_000003").mkdir()
    (tmp_path / "checkpoint_manager_snapshot.json").write_text("{}")
    assert newest_number(shelf) is None
    assert shelf.next_name() == "checkpoint_000004"
