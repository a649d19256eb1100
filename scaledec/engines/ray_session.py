"""One Ray session for a whole command: pretraining, clustering and labelling share it.

Ray itself waits minutes for an address that nobody serves. So the address is asked first, by the
smallest call Ray's head answers, which tells a dead port, a wrong port and a wrong token apart at once.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import grpc
import ray
from ray._private.ray_logging import stdout_deduplicator
from ray._raylet import Config as RaySettings  # type: ignore[attr-defined]  # not in Ray's stub

from scaledec.engines.ray_token import HOW_TO_GIVE_TOKEN, ensure_token, find_token
from scaledec.errors import EngineError

__all__ = ["MALLOC_SETTINGS", "check_address", "ray_session"]

MALLOC_SETTINGS: Mapping[str, str] = {
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
"""Settings of glibc's allocator for workers: freed buffers stay with the process.

Training and encoding then do not pay for the same page faults on every batch. glibc reads them when a
process starts, so they must be in a worker's environment before it does.
"""

_OBJECT_STORE_BYTES = 256 * 2**20
"""Task descriptors and results of a few hundred bytes are all that goes through the object store."""

# Ray prints these on stdout, wherever logs go; RAY_DEDUP_LOGS_SKIP_REGEX names others.
_DEATHS = re.compile("A worker died or was killed while executing")

# A head starts a server for each ray:// client and gives it half a minute; on a busy head the next one is
# there in time, as its files are then in memory.
_CLIENT_SERVER_IS_SLOW = "Starting Ray client server failed"
_MOST_CLIENT_SERVERS = 3

_PROBE_TIMEOUT_S = 8.0
_IS_HEAD_ALIVE = "/ray.rpc.NodeInfoGcsService/CheckAlive"
_IS_CLIENT_SERVER = "/ray.rpc.RayletDriver/ClusterInfo"


@contextmanager
def ray_session(address: str | None, *, cpus: int | None = None) -> Iterator[None]:
    """Start a Ray session on this machine, or join a cluster; left as it was found when the block ends.

    Inside a Ray job, and wherever RAY_ADDRESS is set, ``None`` means that cluster. A session that this
    process has already opened is used as it is, and stays open.

    Token authentication is on: a local session makes a token where the user has none, a cluster's token
    is taken from RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token. OMP_NUM_THREADS is left to Ray,
    which gives each worker as many threads as CPUs it asked for, unless the variable is set here.

    Parameters
    ----------
    address
        ``None`` (this machine), ``auto``, ``host:port`` of a cluster this machine belongs to, or
        ``ray://host:port`` of any.
    cpus
        CPUs of a session on this machine; None: those this process may use.

    Raises
    ------
    EngineError
        If nobody answers at ``address``, what answers is no Ray head, the token is missing or wrong, or
        Ray cannot start. Known within 20 seconds.
    """
    if ray.is_initialized():
        yield
        return
    wanted = address or os.environ.get("RAY_ADDRESS") or None
    if stdout_deduplicator.skip_re is None:
        # Stdout is for data. What follows from a death is told by whoever needed the worker.
        stdout_deduplicator.skip_re = _DEATHS
    with _terminate_as_before():
        if wanted is None:
            _start_here(cpus)
        else:
            _join(_resolved(wanted))
    try:
        yield
    finally:
        ray.shutdown()


def check_address(address: str | None) -> None:
    """Raise ``EngineError`` if nobody answers where :func:`ray_session` would join; starts nothing."""
    wanted = address or os.environ.get("RAY_ADDRESS") or None
    if wanted is not None and not ray.is_initialized():
        _check_answers(_resolved(wanted))


def _start_here(cpus: int | None) -> None:
    ensure_token()
    _use_token()
    try:
        ray.init(
            # Not None: that would join whatever cluster someone else has started on this machine.
            "local",
            num_cpus=cpus or _usable_cpus(),
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.WARNING,
            runtime_env=_worker_environment(),
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise EngineError(
            f"cannot start Ray on this machine: {error}; its logs are in /tmp/ray/session_latest/logs, and "
            "compute.engine: serial works without it"
        ) from error


def _join(address: str) -> None:
    _check_answers(address)
    if find_token() is not None:
        _use_token()
    try:
        for _ in range(_MOST_CLIENT_SERVERS - 1):
            try:
                return _connect(address)
            except (OSError, RuntimeError) as error:
                if _CLIENT_SERVER_IS_SLOW not in str(error):
                    raise
        _connect(address)
    except (OSError, RuntimeError, ValueError) as error:
        raise EngineError(
            f"cannot join Ray at {address}: {error}; host:port works on a machine of that cluster only, "
            "elsewhere use `scaledec submit` or ray://host:10001"
        ) from error


def _connect(address: str) -> None:
    ray.init(address, log_to_driver=False, logging_level=logging.WARNING, runtime_env=_worker_environment())


def _resolved(address: str) -> str:
    """``auto`` as the address it stands for, so that it can be asked before Ray waits for it."""
    if address != "auto":
        return address
    if named := os.environ.get("RAY_ADDRESS"):
        return named
    # `ray start` leaves the address of this machine's cluster here, and a crash leaves it behind.
    current = Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" / "ray_current_cluster"
    try:
        return current.read_text(encoding="utf-8").strip() or address
    except OSError:
        return address


def _check_answers(address: str) -> None:
    """Ask for a sign of life; ``auto`` without any address is left to Ray, which knows at once."""
    if address == "auto" or os.environ.get("RAY_USE_TLS", "0") == "1":
        return
    scheme, _, rest = address.rpartition("://")
    if scheme not in ("", "ray") or ":" not in rest:
        raise EngineError(
            f"Ray address {address!r} is not of the form auto, host:port (usually port 6379) or "
            "ray://host:port (usually port 10001)"
        )
    status = _ask(rest, _IS_CLIENT_SERVER if scheme else _IS_HEAD_ALIVE)
    if status is grpc.StatusCode.UNAUTHENTICATED:
        given = "refuses the token it was given" if find_token() else "asks for a token and none was found"
        raise EngineError(f"Ray at {address} {given}; {HOW_TO_GIVE_TOKEN}")
    if status is grpc.StatusCode.UNIMPLEMENTED:
        raise EngineError(
            f"what answers at {address} is not what was expected there: host:port is the port of Ray's head "
            "(usually 6379), ray://host:port that of its client server (usually 10001)"
        )
    if status in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        raise EngineError(
            f"no Ray head answers at {address}; check host and port (`ray start --head` prints them), that "
            "the cluster is up, and that no firewall lies between"
        )


def _ask(target: str, method: str) -> grpc.StatusCode:
    token = find_token()
    metadata = [("authorization", f"Bearer {token}")] if token else []
    # As Ray does: a proxy for the web is none for the cluster.
    with grpc.insecure_channel(target, options=(("grpc.enable_http_proxy", 0),)) as channel:
        try:
            channel.unary_unary(method)(b"", timeout=_PROBE_TIMEOUT_S, metadata=metadata)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def _use_token() -> None:
    """Turn token authentication on for this process, unless the environment has decided."""
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        # Ray read its settings when it was imported, and does the same where it turns tokens on itself.
        RaySettings.initialize("")


def _worker_environment() -> dict[str, dict[str, str]]:
    """A setting of the user's own wins; what a Ray job has already set must not be set again."""
    inherited = os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "")
    return {
        "env_vars": {
            name: os.environ.get(name, value)
            for name, value in MALLOC_SETTINGS.items()
            if f'"{name}"' not in inherited
        }
    }


def _usable_cpus() -> int | None:
    """The CPUs a batch system has bound this process to; None where it may use all: Ray then counts."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    usable = len(os.sched_getaffinity(0))
    return usable if usable < (os.cpu_count() or usable) else None


@contextmanager
def _terminate_as_before() -> Iterator[None]:
    """Ray puts its own SIGTERM handler in place; a handler that was there before is put back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before not in (None, signal.SIG_DFL):
            signal.signal(signal.SIGTERM, before)
