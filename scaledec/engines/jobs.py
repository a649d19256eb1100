"""Run ``scaledec run`` as a job on a Ray cluster: ship the configuration, follow the logs, pass on its end.

Credentials are never shipped: a job's files, command and environment can be read by everyone who reaches
the cluster's dashboard. They belong into the environment of the cluster's nodes (a role, a secret, a file).
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import os
import re
import shlex
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from ray.job_submission import JobStatus, JobSubmissionClient

from scaledec.config import Config, dump_config, parse_config
from scaledec.engines.ray_token import HOW_TO_GIVE_TOKEN, find_token
from scaledec.errors import ConfigError, EngineError
from scaledec.location import Location

__all__ = ["CLUSTER_SETTINGS", "CONFIG_NAME", "run_command", "submit"]

CONFIG_NAME = "config.yaml"
"""Name of the shipped configuration in the job's working directory."""

CLUSTER_SETTINGS: Sequence[str] = ("compute.ray.address=auto", "compute.dask.on_ray=true")
"""What a run on a Ray cluster sets, whatever its configuration says: all work goes to that cluster."""


def run_command(config_path: str) -> tuple[str, ...]:
    """The command that runs a configuration on the Ray cluster it is started in."""
    return ("scaledec", "run", config_path, *(p for s in CLUSTER_SETTINGS for p in ("--set", s)))


_INTERRUPTED = 130
_PROBE_TIMEOUT_S = 8.0
_LONGEST_SILENCE_S = 120.0
"""How long a lost connection to a running job is tried again."""

_SECRET = re.compile(
    r"(^|_)(key|secret|password|passwd|token|credentials?|connection_string)$", re.IGNORECASE
)
_NO_SECRET = {"anon", "cloud", "google_default", "cache", "browser"}
"""Values of gcsfs' ``token`` that name a method, not a secret."""


def submit(
    config_text: str,
    *,
    address: str,
    overrides: Sequence[str] = (),
    wait: bool = True,
    env: Mapping[str, str] | None = None,
    command: Sequence[str] | None = None,
) -> int:
    """Run a configuration as a job on a Ray cluster.

    Ray's token is taken from RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token. Ctrl-C stops
    following; the job goes on.

    Parameters
    ----------
    config_text
        The configuration as YAML; shipped as ``config.yaml`` in the job's working directory.
    address
        The cluster's dashboard, ``http://host:8265`` or ``https://...``.
    overrides
        Assignments ``a.b=value``, applied before the configuration is shipped.
    wait
        Follow the logs (to stdout) and return the job's exit code; else return 0 once it is accepted.
    env
        Environment variables of the job and its workers; everyone on the cluster can read them.
    command
        What to run there; None: ``scaledec run config.yaml``, told to use the cluster.

    Returns
    -------
    int
        Exit code of the job: 0 all done, 3 finished with failures, 130 if following was interrupted.

    Raises
    ------
    ConfigError
        If the configuration is wrong, holds a path that the cluster's nodes cannot share, or seems to hold
        a secret (as may ``env``).
    EngineError
        If nobody answers at ``address``, the token is missing or wrong, or contact is lost for minutes.
    """
    config = parse_config(config_text, overrides)
    _check_shippable(config, env or {})
    client = _connect(_dashboard_url(address))
    entrypoint = shlex.join(command or run_command(CONFIG_NAME))
    job = _submit(client, entrypoint, dump_config(config), env or {})
    _say(f"job {job}: {entrypoint}")
    if not wait:
        _say(f"follow it with: ray job logs --follow --address {client.get_address()} {job}")
        return 0
    try:
        _follow(client, job)
        return _exit_code(client, job)
    except KeyboardInterrupt:
        _say(f"job {job} goes on; stop it with: ray job stop --address {client.get_address()} {job}")
        return _INTERRUPTED


def _submit(client: JobSubmissionClient, entrypoint: str, config_text: str, env: Mapping[str, str]) -> str:
    runtime_env: dict[str, Any] = {"env_vars": dict(env)} if env else {}
    with tempfile.TemporaryDirectory(prefix="scaledec-job-") as folder:
        (Path(folder) / CONFIG_NAME).write_text(config_text, encoding="utf-8")
        try:
            return str(
                client.submit_job(entrypoint=entrypoint, runtime_env={"working_dir": folder, **runtime_env})
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise EngineError(f"Ray at {client.get_address()} did not accept the job: {error}") from error


def _dashboard_url(address: str) -> str:
    url = address if "://" in address or ":" not in address else f"http://{address}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EngineError(
            f"{address!r} is no address of a Ray dashboard, where jobs are accepted; expected "
            "http://host:8265 (ray:// and auto are addresses for compute.ray.address)"
        )
    return url.rstrip("/")


def _quieten_client() -> None:
    """Ray's client tells of every upload and connection; what matters of it is said here."""
    for name in (
        "dashboard.modules.dashboard_sdk",
        "dashboard.modules.job.sdk",
        "_private.runtime_env.packaging",
    ):
        logging.getLogger(f"ray.{name}").setLevel(logging.WARNING)


def _connect(url: str) -> JobSubmissionClient:
    headers = {"Authorization": f"Bearer {token}"} if (token := find_token()) else {}
    _check_answers(url, headers)
    _quieten_client()
    try:
        with _address_wins():
            return JobSubmissionClient(url, headers=headers)
    except (OSError, RuntimeError) as error:
        raise EngineError(f"Ray at {url} takes no jobs: {error}") from error


def _check_answers(url: str, headers: Mapping[str, str]) -> None:
    """Ray's client would wait for minutes where a host is silent; this waits for seconds."""
    request = urllib.request.Request(f"{url}/api/version")
    for name, value in headers.items():
        # The token is for this server, not for one that it sends us on to.
        request.add_unredirected_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=_PROBE_TIMEOUT_S) as response:
            is_ray = b"ray_version" in response.read(10_000)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403):
            given = "refuses the token it was given" if headers else "asks for a token and none was found"
            raise EngineError(f"Ray at {url} {given}; {HOW_TO_GIVE_TOKEN}") from error
        is_ray = False
    except http.client.HTTPException:
        is_ray = False
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise EngineError(
            f"no Ray dashboard answers at {url} ({reason}); check host and port (usually 8265), and that the "
            "head was started with --dashboard-host=0.0.0.0 or its port is forwarded here"
        ) from error
    if not is_ray:
        raise EngineError(f"what answers at {url} is no Ray dashboard; check host and port (usually 8265)")


@contextmanager
def _address_wins() -> Iterator[None]:
    """Ray's client prefers these variables even to an address given to it; ours was given by the user."""
    hidden = {
        name: value
        for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
        if (value := os.environ.pop(name, None)) is not None
    }
    try:
        yield
    finally:
        os.environ.update(hidden)


def _follow(client: JobSubmissionClient, job: str) -> None:
    """Copy the job's log to stdout until the job has ended, over lost connections."""
    printed = 0
    heard_at = time.monotonic()
    while True:
        try:
            printed = asyncio.run(_copy_log(client, job, printed))
            if client.get_job_status(job).is_terminal():
                return
            heard_at = time.monotonic()
        except (OSError, RuntimeError, aiohttp.ClientError) as error:
            if time.monotonic() - heard_at > _LONGEST_SILENCE_S:
                raise EngineError(
                    f"lost contact with Ray at {client.get_address()} ({error}); job {job} may go on: "
                    f"ray job status --address {client.get_address()} {job}"
                ) from error
        time.sleep(1.0)


async def _copy_log(client: JobSubmissionClient, job: str, printed: int) -> int:
    """Copy what lies behind the first ``printed`` characters: a new connection starts at the beginning."""
    position = 0
    async for text in client.tail_job_logs(job):
        new = text[max(printed - position, 0) :]
        position += len(text)
        printed = max(printed, position)
        sys.stdout.write(new)
        sys.stdout.flush()
    return printed


def _exit_code(client: JobSubmissionClient, job: str) -> int:
    info = client.get_job_info(job)
    if info.status == JobStatus.SUCCEEDED:
        return 0
    code = info.driver_exit_code
    # Ray repeats the end of the log behind its reason; it has been printed already.
    reason = (info.message or "no reason given").partition(", last available logs")[0]
    _say(f"job {job} {info.status.value.lower()}: {reason}")
    if code is None or code == 0:
        return 1
    # As a shell does: a process killed by signal n has exit code 128 + n.
    return int(code) if code > 0 else 128 - int(code)


def _check_shippable(config: Config, env: Mapping[str, str]) -> None:
    found = [*_secrets_in(config.model_dump(mode="json")), *_secrets_in(env, "env")]
    if found:
        raise ConfigError(
            f"{', '.join(found)} would be readable by everyone on the cluster, as would the whole job; give "
            "credentials to the cluster's nodes instead (a role, a mounted secret, their environment) and "
            "leave them out of the configuration"
        )
    for key, url in (("root", config.root), ("archive.url", config.archive.url)):
        place = Location(url)
        if place.is_local and not place.path.is_absolute():
            raise ConfigError(
                f"{key} is {url!r}: a job runs in a temporary folder of the cluster, where a relative path "
                "is lost; give a URL, or the absolute path of a folder that every node sees"
            )


def _secrets_in(value: object, where: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, below in value.items():
            yield from _secrets_in(below, f"{where}.{name}" if where else str(name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets_in(item, where)
    elif _is_secret(where, value):
        yield where


def _is_secret(name: str, value: object) -> bool:
    if isinstance(value, str) and re.match(r"^[a-z0-9+.-]+://[^/@]*:[^/@]+@", value, re.IGNORECASE):
        return True
    return bool(_SECRET.search(name.rpartition(".")[2]) and value and value not in _NO_SECRET)


def _say(text: str) -> None:
    sys.stderr.write(f"scaledec: {text}\n")
