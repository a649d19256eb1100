"""Run records: what was run, with which settings, versions and host, and what came of it."""

from __future__ import annotations

import datetime as dt
import getpass
import importlib.metadata
import json
import platform
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from scaledec.config import Config, cube_fingerprint, run_fingerprint, run_name
from scaledec.errors import StoreError
from scaledec.pipeline.outcome import Outcome
from scaledec.places import Places
from scaledec.transport.redact import url_without_secrets

__all__ = ["recorded"]

_PACKAGES = ("scaledec", "numpy", "scipy", "torch", "zarr", "xarray", "dask", "ray", "obspy", "pymseed")


@contextmanager
def recorded(config: Config, verb: str) -> Iterator[list[Outcome]]:
    """Write a record of one command under ``ROOT/_scaledec/records`` when it starts and when it ends.

    Yields a list to which the caller adds what came of each stage. A command that is killed leaves
    its record without an end, which says just that.
    """
    started = dt.datetime.now(dt.UTC)
    name = f"{started:%Y%m%dT%H%M%S}-{verb}-{uuid.uuid4().hex[:6]}.json"
    place = Places.at(config.root, config.storage_options).records.child(name)
    record = {
        "verb": verb,
        "started": started.isoformat(timespec="seconds"),
        "run": run_name(config),
        "fingerprints": {"cube": cube_fingerprint(config), "run": run_fingerprint(config)},
        "config": without_credentials(config.model_dump(mode="json")),
        **_environment(),
    }
    outcomes: list[Outcome] = []
    place.write_bytes(_as_json(record))
    try:
        yield outcomes
    except BaseException as error:
        end = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        # On a full disk, why the command ended matters more than that it cannot be noted.
        with suppress(StoreError):
            place.write_bytes(_as_json({**record, **_ending(end, outcomes)}))
        raise
    place.write_bytes(_as_json({**record, **_ending("finished", outcomes)}))


def _ending(end: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    return {"ended": now, "end": end, "outcomes": _summaries(outcomes)}


def without_credentials(settings: Any) -> Any:
    """The same settings without what may be secret: values of storage options, tokens and users in URLs."""
    if isinstance(settings, dict):
        return {
            key: sorted(value) if key == "storage_options" else without_credentials(value)
            for key, value in settings.items()
        }
    return url_without_secrets(settings) if isinstance(settings, str) else settings


def _environment() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "user": getpass.getuser(),
        "platform": platform.platform(),
        "python": sys.version.split()[0],
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "git": _git_commit(),
    }


def _git_commit() -> str | None:
    """Commit of the checkout that scaledec runs from; ``None`` where it is installed otherwise."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except OSError:
        return None
    return found.stdout.strip() if found.returncode == 0 else None


def _summaries(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    return [
        {
            "stage": outcome.stage,
            "message": outcome.message,
            "done": outcome.done,
            "skipped": outcome.skipped,
            "failed": sum(failure.n_tasks for failure in outcome.failures) + outcome.n_unlisted_failures,
            "seconds": round(outcome.seconds, 3),
        }
        for outcome in outcomes
    ]


def _as_json(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()
