"""Configuration: models, loading, fingerprints, and the commented template."""

from scaledec.config.fingerprint import (
    cube_fingerprint,
    event_settings,
    hash_json,
    pretrain_fingerprint,
    run_fingerprint,
    run_name,
)
from scaledec.config.load import dump_config, load_config, parse_config, with_absolute_paths
from scaledec.config.models import (
    ArchiveConfig,
    ClusterConfig,
    ComputeConfig,
    Config,
    LabelConfig,
    ModelConfig,
    PretrainConfig,
    RayConfig,
    ResponseConfig,
    SpectrogramConfig,
    WindowsConfig,
)

__all__ = [
    "ArchiveConfig",
    "ClusterConfig",
    "ComputeConfig",
    "Config",
    "LabelConfig",
    "ModelConfig",
    "PretrainConfig",
    "RayConfig",
    "ResponseConfig",
    "SpectrogramConfig",
    "WindowsConfig",
    "cube_fingerprint",
    "dump_config",
    "event_settings",
    "hash_json",
    "load_config",
    "parse_config",
    "pretrain_fingerprint",
    "run_fingerprint",
    "run_name",
    "with_absolute_paths",
]
