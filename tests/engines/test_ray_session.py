"""One Ray session a command: started or joined with its token, gone afterwards, never waited for in vain.

Each session runs in a process of its own: Ray keeps its token and settings for the life of a process.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from scaledec.engines import ray_session as module
from scaledec.engines.ray_session import MALLOC_SETTINGS, ray_session
from scaledec.engines.ray_token import ensure_token, find_token
from scaledec.errors import EngineError
from tests.engines.ray_cluster import RayCluster, free_port, kill_session, wait_until_gone

TOKEN = "f" * 64


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without a token, a cluster or settings of Ray's."""
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    return tmp_path


# --- addresses that do not work: known at once, without Ray ------------------------------------------


def error_of(address: str) -> str:
    started = time.monotonic()
    with pytest.raises(EngineError) as raised, ray_session(address):
        pass
    assert time.monotonic() - started < 20
    return str(raised.value)


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_port_that_nobody_listens_on_is_named_at_once(scheme: str) -> None:
    address = f"{scheme}127.0.0.1:{free_port()}"
    assert f"no Ray head answers at {address}; check host and port" in error_of(address)


def test_a_host_that_does_not_exist_is_named_at_once() -> None:
    assert "no Ray head answers at no-such-host.invalid:6379" in error_of("no-such-host.invalid:6379")


@pytest.mark.parametrize("address", ["127.0.0.1", "http://127.0.0.1:8265", "ray://head"])
def test_what_is_no_address_of_ray_is_refused_with_the_forms_that_are(address: str) -> None:
    assert f"{address!r} is not of the form auto, host:port" in error_of(address)


def test_the_port_of_another_server_is_told_from_a_head() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever).start()
        address = f"127.0.0.1:{server.server_port}"
        assert f"no Ray head answers at {address}" in error_of(address)
        server.shutdown()


def test_a_silent_port_is_given_up_after_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PROBE_TIMEOUT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert f"no Ray head answers at {address}" in error_of(address)


def test_auto_names_the_dead_cluster_that_a_crash_left_behind(home: Path) -> None:
    dead = f"127.0.0.1:{free_port()}"
    (home / "ray").mkdir()
    (home / "ray" / "ray_current_cluster").write_text(dead)
    assert f"no Ray head answers at {dead}" in error_of("auto")


def test_without_an_address_the_environment_s_cluster_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("RAY_ADDRESS", dead)
    with pytest.raises(EngineError, match=f"no Ray head answers at {dead}"), ray_session(None):
        pass


# --- the token ---------------------------------------------------------------------------------------


def test_a_token_is_made_once_and_only_its_owner_can_read_it(home: Path) -> None:
    assert find_token() is None
    ensure_token()
    path = home / ".ray" / "auth_token"
    token = find_token()
    assert token == path.read_text()
    assert len(token) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    ensure_token()
    assert find_token() == token
    assert [entry.name for entry in path.parent.iterdir()] == ["auth_token"]


def test_tokens_are_looked_for_in_ray_s_order(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_token()
    (home / "named").write_text("from the named file\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "named"))
    assert find_token() == "from the named file"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "from the variable")
    assert find_token() == "from the variable"


def test_a_token_file_that_cannot_be_read_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "absent"))
    with pytest.raises(EngineError, match=r"cannot read Ray's token from .*absent .*RAY_AUTH_TOKEN_PATH"):
        find_token()


def test_where_home_cannot_be_written_the_token_lives_in_the_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "file").touch()
    monkeypatch.setenv("HOME", str(home / "file"))
    # Set and deleted so that monkeypatch removes afterwards what ensure_token puts there.
    monkeypatch.setenv("RAY_AUTH_TOKEN", "")
    ensure_token()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


# --- a session on this machine -----------------------------------------------------------------------

LOCAL = """
import json, logging, os, signal, sys
import ray
from scaledec.engines.ray_session import _ask, _IS_HEAD_ALIVE, ray_session

def on_terminate(*_): pass
signal.signal(signal.SIGTERM, on_terminate)

@ray.remote
def environment():
    return dict(os.environ)

facts = {}
with ray_session(None, cpus=1):
    facts["cpus"] = ray.cluster_resources()["CPU"]
    facts["store"] = ray.cluster_resources()["object_store_memory"]
    facts["worker"] = ray.get(environment.remote())
    facts["two_cpus"] = ray.get(environment.options(num_cpus=1).remote())["OMP_NUM_THREADS"]
    head = ray.get_runtime_context().gcs_address
    with ray_session(None):
        facts["same"] = ray.get_runtime_context().gcs_address == head
    facts["still_up"] = ray.is_initialized()
    facts["with_token"] = _ask(head, _IS_HEAD_ALIVE).name
    os.environ["HOME"] = "/nowhere"
    facts["without_token"] = _ask(head, _IS_HEAD_ALIVE).name
facts["up_after"] = ray.is_initialized()
facts["handler_kept"] = signal.getsignal(signal.SIGTERM) is on_terminate
json.dump(facts, sys.stdout)
"""


def run_script(script: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """What a session on this machine looks like from inside, and what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "OMP_"))}
    done = run_script(LOCAL, {**environment, "HOME": str(tmp_path_factory.mktemp("home"))})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.ray
def test_a_local_session_says_nothing_and_warns_of_nothing(local: tuple[dict[str, Any], str]) -> None:
    assert local[1] == ""


@pytest.mark.ray
def test_a_local_session_is_as_large_as_asked_and_its_object_store_small(
    local: tuple[dict[str, Any], str],
) -> None:
    assert local[0]["cpus"] == 1
    assert local[0]["store"] == 256 * 2**20


@pytest.mark.ray
def test_workers_get_the_allocator_s_settings_and_threads_for_their_cpus(
    local: tuple[dict[str, Any], str],
) -> None:
    worker = local[0]["worker"]
    assert {name: worker.get(name) for name in MALLOC_SETTINGS} == dict(MALLOC_SETTINGS)
    assert local[0]["two_cpus"] == "1"


@pytest.mark.ray
def test_a_local_session_asks_for_a_token(local: tuple[dict[str, Any], str]) -> None:
    assert local[0]["worker"]["RAY_AUTH_MODE"] == "token"
    assert local[0]["with_token"] == "OK"
    assert local[0]["without_token"] == "UNAUTHENTICATED"


@pytest.mark.ray
def test_a_session_inside_a_session_is_the_same_and_leaves_it_open(local: tuple[dict[str, Any], str]) -> None:
    assert local[0]["same"]
    assert local[0]["still_up"]
    assert not local[0]["up_after"]


@pytest.mark.ray
def test_a_handler_of_sigterm_survives_the_session(local: tuple[dict[str, Any], str]) -> None:
    assert local[0]["handler_kept"]


BUSY = """
import sys, time, ray
from scaledec.engines.ray_session import ray_session

@ray.remote
def busy():
    time.sleep(600)

with ray_session(None, cpus=1):
    waiting = busy.remote()
    ray.wait([waiting], timeout=1)
    print("ready", flush=True)
    ray.get(waiting)
"""


# Two helpers of Ray's ask its dead head for a minute before they give up.
SLOW_TO_LEAVE = {"ray::DashboardAgent", "ray::RuntimeEnvAgent"}


@pytest.mark.ray
@pytest.mark.durability
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_a_driver_ends_its_workers_do_not_outlive_it(
    ending: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_TMPDIR")  # pytest's folder is too long for Ray's sockets
    driver = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, start_new_session=True)
    assert driver.stdout is not None
    try:
        assert driver.stdout.readline() == b"ready\n"
        # A terminal sends Ctrl-C to the whole group, Ray's processes included.
        (os.killpg if ending == signal.SIGINT else os.kill)(driver.pid, ending)
        driver.wait(30)
        spared = SLOW_TO_LEAVE if ending == signal.SIGKILL else set()
        assert not wait_until_gone(driver.pid, 20, spared=spared)
    finally:
        kill_session(driver.pid)
        driver.wait(10)
        driver.stdout.close()


# --- a cluster ---------------------------------------------------------------------------------------

JOIN = """
import json, os, sys
import ray
from scaledec.engines.ray_session import ray_session
from scaledec.errors import EngineError

@ray.remote
def environment():
    return dict(os.environ)

try:
    with ray_session(sys.argv[1] if len(sys.argv) > 1 else None):
        json.dump([ray.cluster_resources()["CPU"], ray.get(environment.remote())], sys.stdout)
except EngineError as error:
    sys.exit(str(error))
"""


def join(address: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", JOIN, address],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.ray
@pytest.mark.parametrize("way", ["host:port", "ray://", "RAY_ADDRESS"])
def test_a_cluster_is_joined_with_its_token_and_left_running(ray_cluster: RayCluster, way: str) -> None:
    address = ray_cluster.client_address if way == "ray://" else ray_cluster.address
    environment = ray_cluster.environment()
    if way == "RAY_ADDRESS":
        environment["RAY_ADDRESS"], address = address, "auto"
    done = join(address, environment)
    assert done.returncode == 0, done.stderr
    cpus, worker = json.loads(done.stdout)
    assert cpus == 4
    assert {name: worker.get(name) for name in MALLOC_SETTINGS} == dict(MALLOC_SETTINGS)
    assert [node.poll() for node in ray_cluster.nodes] == [None, None]


@pytest.mark.ray
@pytest.mark.parametrize("way", ["host:port", "ray://"])
@pytest.mark.parametrize(
    ("token", "complaint"),
    [("", "asks for a token and none was found"), (TOKEN, "refuses the token it was given")],
)
def test_a_missing_or_wrong_token_is_told_with_where_to_put_it(
    ray_cluster: RayCluster, way: str, token: str, complaint: str, tmp_path: Path
) -> None:
    address = ray_cluster.client_address if way == "ray://" else ray_cluster.address
    done = join(address, ray_cluster.environment(RAY_AUTH_TOKEN=token, HOME=str(tmp_path)))
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"Ray at {address} {complaint}; put the cluster's token into RAY_AUTH_TOKEN"
    )
    assert TOKEN not in done.stdout + done.stderr


@pytest.mark.ray
def test_the_ports_of_a_cluster_are_told_apart(
    ray_cluster: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", ray_cluster.token)
    assert "is not what was expected there" in error_of(ray_cluster.client_address.removeprefix("ray://"))
    assert "is not what was expected there" in error_of(f"ray://{ray_cluster.address}")
    assert "no Ray head answers" in error_of(ray_cluster.dashboard.removeprefix("http://"))
