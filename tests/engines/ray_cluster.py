"""A real Ray cluster of two nodes on this machine, with a token, apart from every other Ray here."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Set
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

STARTUP_S = 90.0


@dataclass(frozen=True)
class RayCluster:
    """Where a test's cluster listens, and what its clients need."""

    address: str
    client_address: str
    dashboard: str
    token: str
    nodes: tuple[subprocess.Popen[bytes], ...]

    def environment(self, **extra: str) -> dict[str, str]:
        """This process's environment for a client of the cluster."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        return {**kept, "RAY_AUTH_TOKEN": self.token, **extra}


@contextmanager
def running_cluster(*, nodes: int = 2, cpus: int = 2) -> Iterator[RayCluster]:
    """Start a cluster of its own ports, folder and token; stop exactly its processes at the end."""
    port, client, dashboard = free_port(), free_port(), free_port()
    token = secrets.token_hex(32)
    # Not pytest's folder: a Unix socket's path must stay below 108 bytes.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_TMPDIR": folder,
    }
    head = [
        "--head",
        f"--port={port}",
        f"--dashboard-port={dashboard}",
        f"--ray-client-server-port={client}",
        f"--temp-dir={folder}",
    ]
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        started = [stack.enter_context(_node(head, cpus, environment, Path(folder)))]
        _wait_for(lambda: _answers(port), started[0], Path(folder))
        for _ in range(nodes - 1):
            join = [f"--address=127.0.0.1:{port}"]
            started.append(stack.enter_context(_node(join, cpus, environment, Path(folder))))
        url = f"http://127.0.0.1:{dashboard}"
        _wait_for(lambda: _nodes_alive(url, token) == nodes, started[0], Path(folder))
        yield RayCluster(f"127.0.0.1:{port}", f"ray://127.0.0.1:{client}", url, token, tuple(started))


@contextmanager
def _node(
    arguments: list[str], cpus: int, environment: dict[str, str], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *arguments),
        f"--num-cpus={cpus}",
        "--object-store-memory=100000000",
        f"--dashboard-agent-listen-port={free_port()}",
        "--disable-usage-stats",
    ]
    with (folder / "nodes.log").open("ab") as log:
        node = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield node
    finally:
        node.terminate()
        with suppress(subprocess.TimeoutExpired):
            node.wait(20)
        kill_session(node.pid)
        node.wait(10)
        assert not wait_until_gone(node.pid, 10), "processes of the test's Ray cluster outlive it"


def processes_of_session(session: int) -> list[psutil.Process]:
    """Living processes that descend from the leader of a session, even after it has died."""
    found = []
    for process in psutil.process_iter(["status"]):
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == session and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def wait_until_gone(session: int, within_s: float, *, spared: Set[str] = frozenset()) -> list[psutil.Process]:
    """The processes of a session that still live after ``within_s`` seconds, those named ``spared`` aside."""
    end = time.monotonic() + within_s
    while left := [p for p in processes_of_session(session) if _name(p) not in spared]:
        if time.monotonic() > end:
            break
        time.sleep(0.2)
    return left


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def kill_session(session: int) -> None:
    """Kill whatever is left of a session."""
    for process in processes_of_session(session):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _nodes_alive(url: str, token: str) -> int:
    request = urllib.request.Request(
        f"{url}/api/v0/nodes?limit=100", headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            body: bytes = response.read()
        return body.count(b'"ALIVE"')
    except (urllib.error.URLError, OSError):
        return 0


def _wait_for(condition: Callable[[], bool], node: subprocess.Popen[bytes], folder: Path) -> None:
    end = time.monotonic() + STARTUP_S
    while not condition():
        if node.poll() is not None or time.monotonic() > end:
            log = (folder / "nodes.log").read_text(errors="replace")
            raise RuntimeError(f"the test's Ray cluster did not come up:\n{log[-3000:]}")
        time.sleep(0.2)
