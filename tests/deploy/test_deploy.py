"""What deploy/ holds fits together, and fits the code: versions, files, and the command that is run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

import scaledec
from scaledec.engines.jobs import run_command

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    manifest: dict[str, Any] = yaml.safe_load((DEPLOY / "rayjob.yaml").read_text())
    return manifest


@pytest.fixture(scope="module")
def instructions() -> list[list[str]]:
    """The Dockerfile's instructions as words, continued lines joined."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def pods(job: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def test_the_manifest_is_a_rayjob_with_a_head_and_workers(job: dict[str, Any]) -> None:
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    assert [len(pod["containers"]) for pod in pods(job)] == [1, 1]


def test_the_job_runs_the_command_that_submit_runs(job: dict[str, Any]) -> None:
    assert shlex.split(job["spec"]["entrypoint"]) == list(run_command("/config/config.yaml"))


def test_the_configuration_is_mounted_where_the_command_reads_it(job: dict[str, Any]) -> None:
    head = pods(job)[0]
    mounts = {mount["name"]: mount["mountPath"] for mount in head["containers"][0]["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in head["volumes"]}
    assert mounts["config"] == "/config"
    assert volumes["config"]["configMap"]["name"] == "scaledec-config"
    assert "configmap scaledec-config --from-file=config.yaml=" in (DEPLOY / "README.md").read_text()


def test_token_authentication_is_on_and_no_secret_is_written_down(
    job: dict[str, Any], instructions: list[list[str]]
) -> None:
    assert job["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert "RAY_AUTH_MODE=token" in instructions_of(instructions, "ENV")[-1]
    for pod in pods(job):
        container = pod["containers"][0]
        assert [source["secretRef"]["name"] for source in container["envFrom"]] == ["scaledec-credentials"]
        assert {variable["name"] for variable in container["env"]} == {"AWS_REGION"}
    assert "disabled" not in (DEPLOY / "rayjob.yaml").read_text()


def test_every_pod_runs_the_same_image_as_the_image_s_user_with_shared_memory(
    job: dict[str, Any], instructions: list[list[str]]
) -> None:
    assert len({pod["containers"][0]["image"] for pod in pods(job)}) == 1
    assert pods(job)[0]["containers"][0]["image"].endswith(f":{scaledec.__version__}")
    uid = int(next(words for words in instructions if "useradd" in words)[-2])
    for pod in pods(job):
        assert pod["securityContext"] == {"runAsNonRoot": True, "runAsUser": uid}
        container = pod["containers"][0]
        assert "/dev/shm" in {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
        assert container["resources"]["limits"]["memory"]


def test_the_image_and_the_manifest_name_one_version_of_ray(
    job: dict[str, Any], instructions: list[list[str]]
) -> None:
    (image_s,) = [
        words[1] for words in instructions_of(instructions, "ARG") if words[1].startswith("RAY_VERSION=")
    ]
    assert image_s == f"RAY_VERSION={job['spec']['rayClusterSpec']['rayVersion']}"


def instructions_of(instructions: list[list[str]], name: str) -> list[list[str]]:
    return [words for words in instructions if words[0] == name]


def test_the_dockerfile_copies_files_that_exist_and_are_sent_to_the_builder(
    instructions: list[list[str]],
) -> None:
    sent = {
        line[1:]
        for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = [
        source
        for words in instructions_of(instructions, "COPY")
        if not words[1].startswith("--from")
        for source in words[1:-1]
    ]
    assert set(copied) == sent
    assert [source for source in copied if not (REPOSITORY / source).exists()] == []
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert {project["readme"], *project["license-files"]} <= set(copied)


def test_the_wheel_builds_from_what_the_dockerfile_copies(
    instructions: list[list[str]], tmp_path: Path
) -> None:
    for words in instructions_of(instructions, "COPY"):
        if not words[1].startswith("--from"):
            for source in map(REPOSITORY.joinpath, words[1:-1]):
                if source.is_dir():
                    shutil.copytree(source, tmp_path / "src" / source.name)
                else:
                    (tmp_path / "src").mkdir(exist_ok=True)
                    shutil.copy(source, tmp_path / "src")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path)]
    built = subprocess.run([*pip, str(tmp_path / "src")], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("scaledec-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "scaledec/cli/main.py" in names
    assert "scaledec/configs/demo.yaml" in names


def test_the_image_installs_an_extra_and_a_command_that_the_project_has(
    instructions: list[list[str]],
) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    install = " ".join(next(words for words in instructions if "install" in words and "pip" in words))
    (extra,) = re.findall(r"\"\.\[(\w+)\]\"", install)
    assert extra in project["optional-dependencies"]
    (ray,) = [needed for needed in project["dependencies"] if needed.startswith("ray[")]
    assert f"{ray.partition('>')[0]}==" in install
    assert instructions_of(instructions, "ENTRYPOINT") == [["ENTRYPOINT", '["scaledec"]']]
    assert "scaledec" in project["scripts"]


def test_the_image_does_not_run_as_root(instructions: list[list[str]]) -> None:
    last_stage = instructions[max(i for i, words in enumerate(instructions) if words[0] == "FROM") :]
    assert ["USER", "scaledec"] in last_stage


def test_commands_that_the_readme_shows_are_verbs_of_scaledec() -> None:
    from scaledec.cli.main import _verbs

    shown = re.findall(r"^scaledec ([a-z]+) ", (DEPLOY / "README.md").read_text(), flags=re.MULTILINE)
    assert {"submit", "status", "query", "explore"} <= set(shown) <= set(_verbs.commands)
