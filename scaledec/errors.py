"""Every exception scaledec raises on purpose.

The tree::

    ScaledecError
    ├── ConfigError(ValueError)            the configuration cannot be run as written         exit code 1
    ├── ArchiveError(OSError)              the archive as a whole cannot be listed or reached  exit code 1
    │   └── UnreadableInputError           one object of it cannot be used: quarantined        exit code 3
    │       └── UnreachableInputError      it could not be fetched now: tried again next time  exit code 3
    ├── StoreError(OSError)                a product cannot be written or read                 exit code 1
    │   ├── StoreConflictError             what lies there was made with other settings        exit code 1
    │   ├── RootLockedError                another coordinator works on this root              exit code 1
    │   └── StoreNotFoundError             nothing lies there yet                              exit code 1
    ├── TrainingError(RuntimeError)        training cannot go on (collapse, NaN, no windows)   exit code 1
    └── EngineError(RuntimeError)          Dask or Ray cannot be reached or lost its workers   exit code 1

A message says what was found, where, what was expected and what to do.
"""

from __future__ import annotations

__all__ = [
    "ArchiveError",
    "ConfigError",
    "EngineError",
    "RootLockedError",
    "ScaledecError",
    "StoreConflictError",
    "StoreError",
    "StoreNotFoundError",
    "TrainingError",
    "UnreachableInputError",
    "UnreadableInputError",
]


class ScaledecError(Exception):
    """Base of every exception scaledec raises on purpose."""


class ConfigError(ScaledecError, ValueError):
    """The configuration cannot be run as written."""


class ArchiveError(ScaledecError, OSError):
    """The archive as a whole cannot be listed or reached."""


class UnreadableInputError(ArchiveError):
    """One object of the archive cannot be used; its task fails and the run goes on."""


class UnreachableInputError(UnreadableInputError):
    """One object of the archive could not be fetched, however often it was tried; later it may be."""


class StoreError(ScaledecError, OSError):
    """A product cannot be written or read (full disk, missing permission, damaged store)."""


class StoreConflictError(StoreError):
    """What already lies at this place was made with other settings."""


class RootLockedError(StoreError):
    """Another coordinator works on this root, or has taken it over."""


class StoreNotFoundError(StoreError, FileNotFoundError):
    """The product asked for does not exist yet."""


class TrainingError(ScaledecError, RuntimeError):
    """Training cannot go on: collapsed embedding, non-finite loss, too few windows."""


class EngineError(ScaledecError, RuntimeError):
    """Dask or Ray cannot be reached, or lost workers beyond its retries."""
