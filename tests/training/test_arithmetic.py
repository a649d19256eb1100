"""Other arithmetic is asked for, is used only inside, and float32 stays the reference."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scaledec.config import dump_config, parse_config, pretrain_fingerprint
from scaledec.engines.local_train import run_training
from scaledec.location import Location
from scaledec.numerics.nets.presets import NetworkSpec
from scaledec.stages.cluster import cluster_loop
from scaledec.stages.cluster_job import ClusterJob
from scaledec.stages.pretrain import PRETRAINED, PretrainJob, pretrain_loop
from scaledec.training.arithmetic import Precision, arithmetic, forward_pass
from scaledec.training.saved_model import SavedModel
from scaledec.training.session import LocalSession
from scaledec.training.sources import ArrayWindows
from tests.stages.cluster_ranks import ridges
from tests.stages.cluster_runs import job_on_copy, make_pretrained_run

N = 200


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pretrained_run(tmp_path_factory.mktemp("arithmetic") / "run")


def job(folder: Path) -> PretrainJob:
    held_out = torch.arange(N).numpy() % 5 == 0
    source = ArrayWindows(ridges(N)[0], held_out)
    network = NetworkSpec(8, 8, (8, 16), 4)
    return PretrainJob(run=Location(str(folder)), source=source, network=network, epochs=3, batch=32)


def train(job: PretrainJob, *, deterministic: bool = False) -> tuple[float, bytes]:
    outcome = run_training(
        pretrain_loop, job, storage=None, name="pretrain", threads=1, deterministic=deterministic
    )
    return outcome.validation_loss, job.run.child(PRETRAINED, "model.safetensors").read_bytes()


def test_bfloat16_trains_float32_weights_to_nearly_the_same_loss(tmp_path: Path) -> None:
    exact, weights = train(job(tmp_path / "float32"))
    mine = replace(job(tmp_path / "bfloat16"), precision="bfloat16")
    found, others = train(mine)
    assert found == pytest.approx(exact, rel=0.02)
    assert others != weights
    model = SavedModel.load(mine.run.child(PRETRAINED))
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}


@pytest.mark.parametrize("method", ["dec", "idec"])
def test_a_clustering_in_bfloat16_finds_nearly_the_same_clusters(
    made: Path, tmp_path: Path, method: str
) -> None:
    def clustered(name: str, **changes: object) -> ClusterJob:
        mine = replace(job_on_copy(made, tmp_path / name), method=method, **changes)  # type: ignore[arg-type]
        cluster_loop(LocalSession(None), mine)
        return mine

    exact, other = clustered("float32"), clustered("bfloat16", precision="bfloat16")
    one, two = (SavedModel.load(j.run).centroids for j in (exact, other))
    assert abs(one - two).max() < 0.1 * abs(one).max()
    assert (one != two).any()


def test_a_forward_pass_computes_in_what_was_asked_for() -> None:
    layer, x = torch.nn.Linear(4, 4), torch.ones(2, 4)
    expected: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    for precision, dtype in expected.items():
        with forward_pass(precision, torch.device("cpu")):
            assert layer(x).dtype == dtype
    assert layer(x).dtype == torch.float32


def test_float32_is_not_quietly_less_and_is_put_back() -> None:
    def allowed() -> tuple[bool, bool]:
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    before = allowed()
    with arithmetic("float32"):
        assert allowed() == (False, False)
    with arithmetic("tf32"):
        assert allowed() == (True, True)
    assert allowed() == before


def test_deterministic_algorithms_give_the_same_bytes_and_are_put_back(tmp_path: Path) -> None:
    seen: list[bool] = []

    def look(session: object, job: object) -> None:
        seen.append(torch.are_deterministic_algorithms_enabled())

    run_training(look, None, storage=None, name="x", deterministic=True)
    run_training(look, None, storage=None, name="x")
    assert seen == [True, False]
    first = train(job(tmp_path / "one"), deterministic=True)
    assert train(job(tmp_path / "two"), deterministic=True) == first


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_network_trains_to_the_same_loss(made: Path, tmp_path: Path) -> None:
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("torch.compile needs a C++ compiler on a CPU")
    exact, _ = train(job(tmp_path / "plain"))
    found, _ = train(replace(job(tmp_path / "compiled"), compiled=True))
    assert found == pytest.approx(exact, rel=1e-3)
    mine = replace(job_on_copy(made, tmp_path / "clustered"), compiled=True)
    assert cluster_loop(LocalSession(None), mine).steps > 0


def test_precision_is_in_the_fingerprint_and_only_where_it_is_not_float32() -> None:
    text = "{root: here, archive: {url: there}}"
    plain, half = parse_config(text), parse_config(text, ["pretrain.precision=bfloat16"])
    assert "precision" not in plain.pretrain.model_dump()
    assert parse_config(dump_config(half)) == half
    assert pretrain_fingerprint(half) != pretrain_fingerprint(plain)
    assert pretrain_fingerprint(parse_config(text, ["compute.deterministic=true"])) == pretrain_fingerprint(
        plain
    )
