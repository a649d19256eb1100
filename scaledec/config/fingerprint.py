"""Fingerprints: a short hash over exactly the settings that change a result.

Addresses, worker counts, credentials and shard sizes change no number and are left out.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from scaledec.config.models import Config

__all__ = [
    "CUBE_ALGORITHM",
    "EVENT_ALGORITHM",
    "RUN_ALGORITHM",
    "cube_fingerprint",
    "event_settings",
    "hash_json",
    "pretrain_fingerprint",
    "run_fingerprint",
    "run_name",
]

CUBE_ALGORITHM = 1
"""Raised whenever the code computes other bytes for the same cube settings and samples."""
EVENT_ALGORITHM = 1
"""Raised whenever the code finds other events, or cuts other windows around them."""
RUN_ALGORITHM = 1
"""Raised whenever the code trains another model from the same settings and windows."""


def hash_json(value: Any) -> str:
    """First 16 hexadecimal digits of the SHA-256 of ``value`` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def cube_fingerprint(config: Config) -> str:
    """Hash of what decides the bytes of a cube's shard, given its samples."""
    decisive: list[Any] = [CUBE_ALGORITHM, config.spectrogram.model_dump(mode="json")]
    if config.archive.cube is not None:
        decisive.append(config.archive.cube.model_dump(mode="json"))
    events = event_settings(config)
    if events is not None:
        decisive += [EVENT_ALGORITHM, events]
    return hash_json(decisive)


def event_settings(config: Config) -> dict[str, Any] | None:
    """What of the windows section decides a cube of events; ``None`` where the cube is continuous."""
    if not config.windows.of_events:
        return None
    # How complete a window must be is asked later, by those who use it.
    return {name: value for name, value in config.windows.deciding().items() if name != "min_coverage"}


def pretrain_fingerprint(config: Config) -> str:
    """Hash of what decides the training set and the pretrained network, given a cube.

    Runs that differ in their clustering alone share it, and with it the pretrained network.
    """
    return hash_json([RUN_ALGORITHM, cube_fingerprint(config), *_settings(config)])


def run_fingerprint(config: Config) -> str:
    """Hash of what decides a run's model, clusters and labels, given a cube.

    The archive's extent is left out on purpose: new days are labelled with the frozen model.
    """
    clustering = config.cluster.model_dump(mode="json")
    return hash_json([RUN_ALGORITHM, cube_fingerprint(config), *_settings(config), clustering])


def run_name(config: Config) -> str:
    """The configured run name, or one made from the method, cluster count and fingerprint."""
    if config.run is not None:
        return config.run
    return f"{config.cluster.method}-{config.cluster.n_clusters}-{run_fingerprint(config)[:8]}"


def _settings(config: Config) -> list[dict[str, Any]]:
    """What decides the training set and the pretrained network."""
    sections = [config.model, config.pretrain]
    return [config.windows.deciding(), *(section.model_dump(mode="json") for section in sections)]
