"""A place that scaledec reads or writes: a URL with its storage options, local or remote alike.

The only module that talks to fsspec for whole small objects; Zarr stores and archives build on it.
"""

from __future__ import annotations

import os
import posixpath
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaledec.errors import StoreError, StoreNotFoundError

__all__ = ["Location"]

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True, repr=False)
class Location:
    """A folder or object named by URL; ``storage_options`` go to fsspec and are never printed.

    Examples
    --------
    >>> str(Location("s3://bucket/project").child("cube.zarr"))
    's3://bucket/project/cube.zarr'
    """

    url: str
    storage_options: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Location({str(self)!r})"

    def __str__(self) -> str:
        # User info in a URL is a credential; an error or a log must not carry it.
        return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/@]*@", r"\1", self.url)

    @property
    def is_local(self) -> bool:
        """Whether this is a path of this machine's file system."""
        return not _SCHEME.match(self.url) or self.url.startswith("file://")

    @property
    def path(self) -> Path:
        """The local path; only for local places."""
        return Path(self.url.removeprefix("file://"))

    def child(self, *parts: str) -> Location:
        """The place below this one."""
        return Location(posixpath.join(self.url.rstrip("/") or "/", *parts), self.storage_options)

    def filesystem(self) -> tuple[Any, str]:
        """The fsspec file system and the path inside it.

        Raises
        ------
        StoreError
            If no fsspec implementation for the URL's scheme is installed.
        """
        import fsspec

        try:
            fs, path = fsspec.core.url_to_fs(self.url, **self.storage_options)
        except (ImportError, ValueError) as error:
            raise StoreError(
                f"cannot open {self}: {error}; install the fsspec package of that scheme (s3fs for s3://) "
                "or correct the URL"
            ) from error
        return fs, path

    def exists(self) -> bool:
        """Whether a folder or object lies here."""
        fs, path = self.filesystem()
        return bool(fs.exists(path))

    def read_bytes(self) -> bytes:
        """The whole object; ``StoreNotFoundError`` where there is none, ``StoreError`` where that fails."""
        fs, path = self.filesystem()
        try:
            return bytes(fs.cat_file(path))
        except FileNotFoundError as error:
            raise StoreNotFoundError(f"nothing at {self}") from error
        except OSError as error:
            raise StoreError(f"cannot read {self}: {error.strerror or error}") from error

    def write_bytes(self, data: bytes) -> None:
        """Write the whole object so that a reader sees the old one or the new one, never a part."""
        if self.is_local:
            _replace_file(self.path, data)
            return
        fs, path = self.filesystem()
        try:
            fs.pipe_file(path, data)
        except OSError as error:
            raise StoreError(f"cannot write {self}: {error}") from error

    def list_names(self) -> list[str]:
        """Sorted names directly below this folder; empty where there is no such folder."""
        fs, path = self.filesystem()
        fs.invalidate_cache()
        try:
            found = fs.ls(path, detail=False)
        except FileNotFoundError:
            return []
        return sorted(posixpath.basename(str(entry).rstrip("/")) for entry in found)


def _replace_file(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
