"""A run as a job on a Ray cluster: shipped without secrets, followed to its end, its exit code passed on."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

import pytest

from scaledec.engines import jobs
from scaledec.engines.jobs import CONFIG_NAME, run_command, submit
from scaledec.engines.ray_session import MALLOC_SETTINGS
from scaledec.errors import ConfigError, EngineError
from tests.engines.ray_cluster import RayCluster, free_port

# Ray's client passes ssl=None where aiohttp now wants ssl=True.
pytestmark = pytest.mark.filterwarnings("ignore:ssl=None is deprecated:DeprecationWarning")

CONFIG = "root: /shared/root\narchive: {url: s3://archive}\n"


@pytest.fixture(autouse=True)
def no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a token, a cluster or settings of Ray's."""
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_the_command_sends_all_work_to_the_cluster_it_runs_in() -> None:
    assert " ".join(run_command("/config/config.yaml")) == (
        "scaledec run /config/config.yaml --set compute.ray.address=auto --set compute.dask.on_ray=true"
    )


# --- what is not shipped -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "key"),
    [
        ("storage_options: {key: AKIA, secret: XYZ}", "storage_options.key, storage_options.secret"),
        ("storage_options: {client_kwargs: {aws_secret_access_key: X}}", "aws_secret_access_key"),
        ("storage_options: {sas_token: sv=2020}", "storage_options.sas_token"),
        ("storage_options: {account_key: xx}", "storage_options.account_key"),
    ],
)
def test_a_configuration_with_a_secret_is_refused_without_repeating_it(extra: str, key: str) -> None:
    with pytest.raises(ConfigError, match="would be readable by everyone on the cluster") as raised:
        submit(f"{CONFIG}{extra}\n", address="http://127.0.0.1:1")
    assert key in str(raised.value)
    assert "XYZ" not in str(raised.value)


def test_a_secret_in_an_override_an_address_or_a_variable_is_refused_too() -> None:
    for given in (
        {"overrides": ["archive.storage_options.password=hush"]},
        {"overrides": ["archive.url=ftp://user:hush@host/archive"]},
        {"env": {"AWS_SECRET_ACCESS_KEY": "hush"}},
    ):
        with pytest.raises(ConfigError, match="would be readable by everyone") as raised:
            submit(CONFIG, address="http://127.0.0.1:1", **given)
        assert "hush" not in str(raised.value)


def test_options_that_only_sound_like_secrets_are_shipped() -> None:
    options = "storage_options: {anon: true, token: anon, key: null, endpoint_url: 'https://s3.example'}\n"
    with pytest.raises(EngineError, match="no Ray dashboard answers"):
        submit(CONFIG + options, address=f"http://127.0.0.1:{free_port()}")


def test_a_relative_folder_is_refused_because_the_job_s_own_folder_is_temporary() -> None:
    with pytest.raises(ConfigError, match="root is 'output': a job runs in a temporary folder"):
        submit(CONFIG, overrides=["root=output"], address="http://127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"archive.url is 'sds'"):
        submit(CONFIG, overrides=["archive.url=sds"], address="http://127.0.0.1:1")


def test_a_wrong_configuration_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(ConfigError, match="unknown key 'roots'"):
        submit("roots: x\n" + CONFIG, address="http://127.0.0.1:1")


# --- addresses that do not work ----------------------------------------------------------------------


def refusal(address: str) -> str:
    started = time.monotonic()
    with pytest.raises(EngineError) as raised:
        submit(CONFIG, address=address)
    assert time.monotonic() - started < 10
    return str(raised.value)


def test_a_dead_port_or_host_is_named_at_once() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert f"no Ray dashboard answers at {url} " in refusal(url)
    assert "no Ray dashboard answers at http://no-such-host.invalid:8265" in refusal(
        "no-such-host.invalid:8265"
    )


@pytest.mark.parametrize("address", ["auto", "ray://host:10001", "http://", "ftp://host:21"])
def test_what_is_no_dashboard_s_address_is_refused_with_the_form_that_is(address: str) -> None:
    assert f"{address!r} is no address of a Ray dashboard" in refusal(address)


def test_another_web_server_is_told_from_a_dashboard() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever).start()
        assert "is no Ray dashboard; check host and port" in refusal(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


class _Recorder(http.server.BaseHTTPRequestHandler):
    """Notes the token it is shown; ``elsewhere``, where set, is where it sends everyone on to."""

    tokens: ClassVar[list[str | None]] = []
    elsewhere: ClassVar[str] = ""

    def do_GET(self) -> None:
        self.tokens.append(self.headers.get("Authorization"))
        self.send_response(302 if self.elsewhere and self.path == "/api/version" else 200)
        self.send_header("Location", self.elsewhere)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


def test_the_token_is_not_shown_to_a_server_that_the_address_leads_on_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Recorder) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(_Recorder, "elsewhere", f"{url}/login")
        assert "is no Ray dashboard" in refusal(url)
        server.shutdown()
    assert _Recorder.tokens == ["Bearer secret", None]


def test_a_silent_port_is_given_up_after_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_PROBE_TIMEOUT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "no Ray dashboard answers" in refusal(f"127.0.0.1:{silent.getsockname()[1]}")


# --- a cluster ---------------------------------------------------------------------------------------


@pytest.mark.ray
@pytest.mark.parametrize(
    ("token", "complaint"), [("", "asks for a token and none was found"), ("f" * 64, "refuses the token")]
)
def test_a_missing_or_wrong_token_is_told_with_where_to_put_it(
    ray_cluster: RayCluster, token: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    message = refusal(ray_cluster.dashboard)
    assert f"Ray at {ray_cluster.dashboard} {complaint}" in message
    assert "put the cluster's token into RAY_AUTH_TOKEN" in message
    assert "f" * 64 not in message


@pytest.mark.ray
def test_a_job_s_log_comes_to_stdout_whole_and_its_exit_code_is_passed_on(
    ray_cluster: RayCluster, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", ray_cluster.token)
    # Ray's client would go there; the address given here wins.
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:1")
    script = f"cat {CONFIG_NAME}; seq 3000; echo to-stderr >&2; echo $COLOUR; exit 3"
    code = submit(
        CONFIG,
        overrides=["cluster.n_clusters=11"],
        address=ray_cluster.dashboard,
        env={"COLOUR": "green"},
        command=["sh", "-c", script],
    )
    out, err = capfd.readouterr()
    assert code == 3
    assert "root: /shared/root" in out
    assert "n_clusters: 11" in out
    numbers = [line for line in out.splitlines() if line.isdigit()]
    assert numbers == [str(n) for n in range(1, 3001)]
    assert out.splitlines()[-2:] == ["to-stderr", "green"]
    assert "failed: Job entrypoint command failed with exit code 3" in err
    assert ray_cluster.token not in out + err
    assert os.environ["RAY_ADDRESS"] == "http://127.0.0.1:1"


@pytest.mark.ray
def test_a_killed_job_has_the_exit_code_a_shell_would_give_it(
    ray_cluster: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", ray_cluster.token)
    assert submit(CONFIG, address=ray_cluster.dashboard, command=["sh", "-c", "kill -9 $$"]) == 137


SESSION_IN_A_JOB = """
import json, os, ray
from scaledec.engines.ray_session import ray_session

@ray.remote(scheduling_strategy="SPREAD")
def environment():
    return dict(os.environ)

with ray_session(None):
    print("FACTS", json.dumps([ray.cluster_resources()["CPU"], ray.get(environment.remote())]))
"""


@pytest.mark.ray
def test_a_job_joins_the_cluster_it_runs_on_and_adds_to_the_job_s_own_settings(
    ray_cluster: RayCluster, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", ray_cluster.token)
    # One of the allocator's settings is the job's already: to set it twice is an error for Ray.
    env = {"MALLOC_TOP_PAD_": "1000000", "COLOUR": "green"}
    command = [sys.executable, "-c", SESSION_IN_A_JOB]
    assert submit(CONFIG, address=ray_cluster.dashboard, env=env, command=command) == 0
    out = capfd.readouterr().out
    (facts,) = [line for line in out.splitlines() if line.startswith("FACTS")]
    cpus, worker = json.loads(facts.removeprefix("FACTS"))
    assert cpus == 4
    assert {name: worker.get(name) for name in (*MALLOC_SETTINGS, "COLOUR")} == {**MALLOC_SETTINGS, **env}


@pytest.mark.ray
def test_ctrl_c_ends_the_following_and_the_job_goes_on(
    ray_cluster: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"""
import sys
from scaledec.engines.jobs import submit
sys.exit(submit({CONFIG!r}, address={ray_cluster.dashboard!r}, command=["sh", "-c", "echo begun; sleep 300"]))
"""
    follower = subprocess.Popen(
        [sys.executable, "-c", script],
        env=ray_cluster.environment(HOME=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout is not None
    while (line := follower.stdout.readline()) != "begun\n":
        assert line, "the job did not begin"
    follower.send_signal(signal.SIGINT)
    _, err = follower.communicate(timeout=20)
    assert follower.returncode == 130
    job = err.split("job ", 1)[1].split(":", 1)[0]
    assert f"job {job} goes on; stop it with: ray job stop --address {ray_cluster.dashboard} {job}" in err
    monkeypatch.setenv("RAY_AUTH_TOKEN", ray_cluster.token)
    client = jobs._connect(ray_cluster.dashboard)
    assert client.get_job_status(job) == "RUNNING"
    assert client.stop_job(job)
    jobs._follow(client, job)
    assert jobs._exit_code(client, job) != 0


@pytest.mark.ray
def test_without_waiting_the_job_is_accepted_and_a_later_follower_sees_each_line_once(
    ray_cluster: RayCluster, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", ray_cluster.token)
    command = ["sh", "-c", "seq 100 199"]
    assert submit(CONFIG, address=ray_cluster.dashboard, wait=False, command=command) == 0
    job = capfd.readouterr().err.split("job ", 1)[1].split(":", 1)[0]
    client = jobs._connect(ray_cluster.dashboard)
    jobs._follow(client, job)
    whole = capfd.readouterr().out
    # A connection lost after 300 characters: the next one starts at the beginning of the log.
    assert asyncio.run(jobs._copy_log(client, job, 300)) == len(whole)
    assert capfd.readouterr().out == whole[300:]
    assert whole.splitlines()[-100:] == [str(n) for n in range(100, 200)]
