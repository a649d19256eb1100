"""Wherever windows are kept, training sees the same batches and ends with the same bytes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from scaledec.config import parse_config, run_fingerprint
from scaledec.location import Location
from scaledec.numerics.nets.presets import NetworkSpec
from scaledec.numerics.normalise import Kind, Normaliser, Scale
from scaledec.stages.cluster import cluster_loop
from scaledec.stages.cluster_job import ClusterJob
from scaledec.stages.pretrain import PretrainJob, pretrain_loop
from scaledec.training import data as batches
from scaledec.training.data import Batch, TrainingData, epoch_groups, epoch_order
from scaledec.training.placement import Placement, choose_place, load_windows
from scaledec.training.session import LocalSession, Metrics, TrainingSession
from scaledec.training.sources import ArrayWindows, StoredWindows, fit_normaliser
from scaledec.training.stream import StreamedData
from tests.stages.cluster_ranks import ridges, run_ranks
from tests.stages.cluster_runs import job_on_copy, make_pretrained_run

N = 350
PRETRAINED_AS = NetworkSpec(8, 8, (8, 16), 4)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def source() -> ArrayWindows:
    windows = ridges(N)[0] * 5 - 90
    windows[7, 2:4] = np.nan  # a window with a gap is normalised in a way of its own
    return ArrayWindows(windows, np.arange(N) % 6 == 0)


def test_a_set_that_fits_one_group_is_one_permutation() -> None:
    expected = np.random.Generator(np.random.PCG64([3, 5])).permutation(N)
    assert epoch_order(N, 3, 5).tolist() == expected.tolist()
    assert epoch_order(N, 3, 5, group=N).tolist() == expected.tolist()


@pytest.mark.parametrize(("n", "group"), [(1000, 160), (1001, 100), (50, 7), (33, 32)])
def test_a_larger_set_is_shuffled_in_groups_of_random_blocks(n: int, group: int) -> None:
    groups = epoch_groups(n, 0, 0, group)
    assert sorted(torch.cat(groups).tolist()) == list(range(n))
    block = max(1, group // batches.BLOCKS_PER_GROUP)
    for members in groups:
        assert len(members) <= group
        places = set((members // block).tolist())
        assert len(places) <= max(1, group // block)
    assert torch.cat(groups).tolist() != torch.cat(epoch_groups(n, 0, 1, group)).tolist()
    assert epoch_order(n, 0, 0, group).tolist() == torch.cat(groups).tolist()


def assert_same(mine: Iterator[Batch], theirs: Iterator[Batch]) -> None:
    n = 0
    for a, b in zip(mine, theirs, strict=True):
        n += 1
        assert torch.equal(a.position, b.position)
        assert torch.equal(a.windows, b.windows)
        assert a.n_global == b.n_global
    assert n > 0


@pytest.mark.parametrize("group", [None, 64, 100])
@pytest.mark.parametrize("kind", ["whiten", "zscore", "l2"])
def test_streamed_batches_are_those_of_memory_to_the_bit(kind: Kind, group: int | None) -> None:
    normaliser = fit_normaliser(kind, source())
    held = load_windows(source(), normaliser, validation=False)
    held.group = group
    streamed = StreamedData(source(), normaliser, held.sample, device=held.device, group=group)
    assert (len(streamed), streamed.cells) == (len(held), held.cells)
    for world_size in (1, 3):
        for rank in range(world_size):
            ranks = {"rank": rank, "world_size": world_size}
            shuffled = [d.shuffled(batch=24, seed=1, epoch=2, **ranks) for d in (streamed, held)]
            assert_same(*shuffled)
            assert_same(*(d.in_order(batch=10, **ranks) for d in (streamed, held)))
    kept = torch.arange(len(held)) % 3 > 0
    assert_same(*(d.subset(kept).shuffled(batch=24, seed=1, epoch=2) for d in (streamed, held)))
    assert_same(*(d.subset(kept).in_order(batch=24) for d in (streamed, held)))


@dataclass(frozen=True)
class CountedWindows:
    """Windows whose reads are written down."""

    inner: ArrayWindows
    reads: list[int] = field(default_factory=list)
    scale: Scale = "db"

    def is_validation(self) -> npt.NDArray[np.bool_]:
        return self.inner.is_validation()

    def blocks(self) -> Iterator[npt.NDArray[np.floating]]:
        return self.inner.blocks()

    def read(self, first: int, stop: int) -> npt.NDArray[np.floating]:
        self.reads.append(stop - first)
        return self.inner.read(first, stop)


def test_no_more_than_two_groups_are_read_ahead_of_training() -> None:
    n, group, batch = 6000, 1280, 64
    counted = CountedWindows(ArrayWindows(np.ones((n, 8, 8), np.float32), np.zeros(n, bool)))
    data = StreamedData(counted, Normaliser("max"), torch.arange(n), device=torch.device("cpu"), group=group)
    counted.reads.clear()
    for number, _ in enumerate(data.shuffled(batch=batch, seed=0, epoch=0)):
        begun = number * batch // group + 1
        assert sum(counted.reads) <= (begun + 2) * group
    assert sum(counted.reads) == n


def test_a_source_that_was_opened_travels_to_a_worker(tmp_path: Path) -> None:
    import pickle

    made = make_pretrained_run(tmp_path / "run")
    stored = StoredWindows(Location(str(made)).child("training.zarr"))
    first = stored.read(0, 3)
    again = pickle.loads(pickle.dumps(stored))  # noqa: S301 (a source travels to workers)
    assert again == stored
    np.testing.assert_array_equal(again.read(0, 3), first)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.safetensors"))
    }


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pretrained_run(tmp_path_factory.mktemp("placement") / "run")


@pytest.mark.parametrize("group_cells", [batches.GROUP_CELLS, 70 * 64])
def test_a_training_ends_with_the_same_bytes_wherever_its_windows_are(
    pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group_cells: int
) -> None:
    monkeypatch.setattr(batches, "GROUP_CELLS", group_cells)
    found: dict[Placement, dict[str, bytes]] = {}
    metrics: dict[Placement, list[Metrics]] = {}
    placements: tuple[Placement, ...] = ("memory", "stream", "auto")
    for placement in placements:
        folder = tmp_path / placement
        cluster = replace(job_on_copy(pretrained, folder), placement=placement)
        shutil.rmtree(folder / "pretrained")
        reported: list[Metrics] = []
        job = PretrainJob(
            run=cluster.run,
            source=cluster.source,
            network=PRETRAINED_AS,
            epochs=3,
            batch=32,
            fingerprint="before",
            checkpoint_interval_s=0,
            placement=placement,
        )
        for loop in (partial(pretrain_loop, job=job), partial(cluster_loop, job=cluster)):
            session = LocalSession(cluster.run.child("checkpoints"), on_report=reported.append)
            loop(session)
            shutil.move(folder / "checkpoints", folder / f"checkpoints-{len(reported)}")
        found[placement] = files_of(folder)
        timed = {"seconds", "windows_per_s"}
        metrics[placement] = [{k: v for k, v in m.items() if k not in timed} for m in reported]
    assert len(found["memory"]) > 3
    assert metrics["stream"] == metrics["memory"] == metrics["auto"]
    for placement in placements[1:]:
        assert found[placement].keys() == found["memory"].keys()
        for name, content in found["memory"].items():
            # A checkpoint's header holds the seconds that an epoch took.
            assert tensors(found[placement][name]) == tensors(content), f"{placement}: {name}"


def tensors(file: bytes) -> bytes:
    """A safetensors file without its header."""
    return file[8 + int.from_bytes(file[:8], "little") :]


def test_streaming_ranks_agree_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "GROUP_CELLS", 70 * 64)

    def losses(world_size: int, placement: Placement) -> list[float]:
        job = PretrainJob(
            run=Location(str(tmp_path / f"{world_size}-{placement}")),
            source=source(),
            network=PRETRAINED_AS,
            epochs=2,
            batch=32,
            placement=placement,
        )

        def loop(session: TrainingSession) -> float:
            return pretrain_loop(session, job).validation_loss

        return run_ranks(world_size, loop)

    alone = losses(1, "memory")
    np.testing.assert_allclose(losses(2, "stream"), alone * 2, rtol=2e-4)


GIB = 2**30


@pytest.mark.parametrize(
    ("size", "placement", "on_device", "in_memory", "ranks", "expected"),
    [
        (1, "auto", None, 16, 1, "memory"),
        (1, "auto", 8, 16, 1, "device"),
        (5, "auto", 8, 16, 1, "memory"),
        (9, "auto", 8, 16, 1, "stream"),
        (5, "auto", None, 16, 2, "stream"),
        (9, "memory", 8, 16, 1, "memory"),
        (9, "memory", 32, 16, 1, "device"),
        (1, "stream", 8, 16, 1, "stream"),
        (900, "auto", None, None, 1, "memory"),
    ],
)
def test_windows_go_to_the_first_place_that_has_room(
    size: int, placement: Placement, on_device: int | None, in_memory: int | None, ranks: int, expected: str
) -> None:
    def gib(n: int | None) -> int | None:
        return None if n is None else n * GIB

    found = choose_place(
        size * GIB, placement, on_device=gib(on_device), in_memory=gib(in_memory), ranks=ranks
    )
    assert found == expected


def test_where_windows_are_kept_is_configured_and_in_no_fingerprint(tmp_path: Path) -> None:
    plain = parse_config("{root: here, archive: {url: there}}")
    streamed = parse_config("{root: here, archive: {url: there}, compute: {training_set: stream}}")
    assert run_fingerprint(plain) == run_fingerprint(streamed)
    place = Location(str(tmp_path))
    assert PretrainJob.from_config(streamed, place, source()).placement == "stream"
    assert ClusterJob.from_config(streamed, place, place).placement == "stream"
    assert isinstance(
        load_windows(source(), Normaliser("max"), validation=None, placement="stream"), StreamedData
    )
    assert type(load_windows(source(), Normaliser("max"), validation=None, placement="auto")) is TrainingData
