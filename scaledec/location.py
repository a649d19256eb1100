"""A place that scaledec reads or writes: a URL with its storage options, local or remote alike.

The only module that talks to fsspec for whole small objects; Zarr stores and archives build on it.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import traceback
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaledec.errors import StoreError, StoreNotFoundError
from scaledec.transport.access import DEFAULT_ACCESS, Access
from scaledec.transport.redact import redacted, url_without_secrets

if TYPE_CHECKING:
    from scaledec.transport.remote import Remote

__all__ = ["Location"]

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_PACKAGES = "s3fs for s3://, gcsfs for gs://, adlfs for az://"


@dataclass(frozen=True, slots=True, repr=False)
class Location:
    """A folder or object named by URL; ``storage_options`` go to fsspec and are never printed.

    Requests to a remote place are bounded in time and tried again, as ``access`` says.

    Examples
    --------
    >>> str(Location("s3://bucket/project").child("cube.zarr"))
    's3://bucket/project/cube.zarr'
    """

    url: str
    storage_options: Mapping[str, Any] = field(default_factory=dict)
    access: Access = DEFAULT_ACCESS

    def __repr__(self) -> str:
        return f"Location({str(self)!r})"

    def __str__(self) -> str:
        return url_without_secrets(self.url)

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
        below = posixpath.join(self.url.rstrip("/") or "/", *parts)
        return Location(below, self.storage_options, self.access)

    def filesystem(self, *, asynchronous: bool = False, patient: bool = False) -> tuple[Any, str]:
        """The fsspec file system and the path inside it.

        Parameters
        ----------
        asynchronous
            For use inside an event loop, as Zarr does.
        patient
            For use by others: its client tries again by itself.

        Raises
        ------
        StoreError
            If no fsspec implementation for the URL's scheme is installed.
        """
        import fsspec

        from scaledec.transport.remote import client_options, leave_retries_to_us

        scheme = self.url.partition("://")[0] if _SCHEME.match(self.url) else "file"
        attempts = self.access.attempts if patient else 1
        options = client_options(scheme, self.storage_options, self.access, attempts=attempts)
        if asynchronous:
            options["asynchronous"] = True
        try:
            fs, path = fsspec.core.url_to_fs(self.url, **options)
        except (ImportError, ValueError) as error:
            raise StoreError(
                f"cannot open {self}: {self.told(error)}; install the fsspec package of that scheme "
                f"({_PACKAGES}) or correct the URL"
            ) from self.cause(error)
        return fs if patient else leave_retries_to_us(fs), path

    def remote(self) -> tuple[Remote, str]:
        """The same, with requests that are bounded in time and tried again."""
        from scaledec.transport.remote import Remote

        fs, path = self.filesystem()
        return Remote(fs, self.access), path

    def told(self, error: BaseException) -> str:
        """What an error says, without the secrets of this place."""
        reason = getattr(error, "strerror", None) or str(error)
        return redacted(reason, self.storage_options)

    def cause(self, error: BaseException) -> BaseException | None:
        """The error to name as a cause; ``None`` if a traceback would show a secret with it."""
        text = "".join(traceback.format_exception_only(error))
        inner = error.__cause__ or error.__context__
        if redacted(text, self.storage_options) != text or (inner and self.cause(inner) is None):
            return None
        return error

    def exists(self) -> bool:
        """Whether a folder or object lies here."""
        if self.is_local:
            return self.path.exists()
        remote, path = self.remote()
        with _store_errors(self, "reach"):
            return remote.exists(path)

    def read_bytes(self) -> bytes:
        """The whole object; ``StoreNotFoundError`` where there is none, ``StoreError`` where that fails."""
        with _store_errors(self, "read"):
            if self.is_local:
                return self.path.read_bytes()
            remote, path = self.remote()
            return remote.read(path)

    def write_bytes(self, data: bytes) -> None:
        """Write the whole object so that a reader sees the old one or the new one, never a part."""
        if self.is_local:
            _replace_file(self.path, data)
            return
        remote, path = self.remote()
        with _store_errors(self, "write"):
            remote.write(path, data)

    def create_bytes(self, data: bytes) -> bool:
        """Write the whole object where none may be yet; whether it is certain that this one is there now.

        Only some object stores can tell: read again what is there. A local one replaces what is there.
        """
        if self.is_local:
            self.write_bytes(data)
            return True
        remote, path = self.remote()
        try:
            with _store_errors(self, "write"):
                remote.create(path, data)
        except NotImplementedError:
            self.write_bytes(data)
        except StoreError:
            # Each client has its own way to say that something is there.
            if not self.exists():
                raise
            return False
        return True

    def remove(self) -> None:
        """Remove the object, or the folder with all that is in it; nothing there is as good."""
        with _store_errors(self, "remove"):
            if self.is_local:
                _remove_path(self.path)
            else:
                remote, path = self.remote()
                remote.remove(path)

    def list_names(self) -> list[str]:
        """Sorted names directly below this folder; empty where there is no such folder."""
        try:
            with _store_errors(self, "list"):
                if self.is_local:
                    return sorted(entry.name for entry in self.path.iterdir()) if self.path.is_dir() else []
                remote, path = self.remote()
                found = remote.list_folder(path)
        except StoreNotFoundError:
            return []
        names = {str(entry["name"]).strip("/").removeprefix(path.strip("/")).strip("/") for entry in found}
        return sorted(names - {""})

    def list_tree(self) -> list[str]:
        """Sorted names of all objects below this folder, with slashes; empty where there is no folder."""
        if self.is_local:
            return sorted(str(path.relative_to(self.path)) for path in self.path.rglob("*") if path.is_file())
        remote, path = self.remote()
        with _store_errors(self, "list"):
            try:
                found = remote.list_tree(path)
            except FileNotFoundError:
                return []
        return sorted(
            str(entry["name"]).strip("/").removeprefix(path.strip("/")).strip("/") for entry in found
        )


@contextmanager
def _store_errors(place: Location, action: str) -> Iterator[None]:
    """Turn what the operating system and the clients of object stores raise into a ``StoreError``."""
    try:
        yield
    except (StoreError, NotImplementedError):
        raise
    except FileNotFoundError as error:
        raise StoreNotFoundError(f"nothing at {place}") from place.cause(error)
    except OSError as error:
        raise StoreError(f"cannot {action} {place}: {place.told(error)}") from place.cause(error)
    except Exception as error:
        # Of clients that have families of their own: no credentials, an endpoint that is no URL, ...
        if place.is_local:
            raise
        raise StoreError(
            f"cannot {action} {place}: {type(error).__name__}: {place.told(error)}"
        ) from place.cause(error)


def _remove_path(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


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
