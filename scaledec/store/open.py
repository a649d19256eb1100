"""Open Zarr stores where a Location points, and say in one sentence why that failed."""

from __future__ import annotations

import errno
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import zarr
from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore

from scaledec.errors import ScaledecError, StoreError, StoreNotFoundError
from scaledec.location import Location
from scaledec.zarr_access import RetryingStore, open_store

__all__ = [
    "clean_partial_files",
    "decode_in_one_thread",
    "delete_object",
    "foreign_names",
    "open_group",
    "open_store",
    "put_object",
    "remove_store",
    "store_errors",
    "stored_shards",
]

# A write lasts seconds; a partial file untouched for this long belongs to a process that died.
_STALE_S = 15 * 60

_ADVICE = {
    errno.ENOSPC: "free some space or choose another root, then run again: what is done stays done",
    errno.EDQUOT: "the quota is used up: free some space or choose another root, then run again",
    errno.EFBIG: "the file system or a limit of this process (ulimit -f) refuses files of that size",
    errno.EACCES: "make it writable for this user or choose another root",
    errno.EPERM: "make it writable for this user or choose another root",
    errno.EROFS: "the file system is mounted read-only: choose another root",
}
_REMOTE_CLIENTS = {"aiobotocore", "aiohttp", "azure", "botocore", "gcsfs", "google"}


def decode_in_one_thread() -> None:
    """Let Zarr decode in one thread of this process; call it before the first read.

    Zarr's own pool has a thread a core: beside another thread that computes, they only get in its way.
    """
    zarr.config.set({"threading.max_workers": 1})


@contextmanager
def store_errors(place: object, action: str, n_bytes: int | None = None) -> Iterator[None]:
    """Turn what Zarr, fsspec and the operating system raise into a :class:`StoreError` naming ``place``."""
    try:
        yield
    except ScaledecError:
        raise
    except FileNotFoundError as error:
        raise StoreNotFoundError(f"cannot {action} {place}: nothing lies there") from _cause(place, error)
    except PermissionError as error:
        raise StoreError(_sentence(place, action, n_bytes, error, errno.EACCES)) from _cause(place, error)
    except OSError as error:
        raise StoreError(_sentence(place, action, n_bytes, error, error.errno)) from _cause(place, error)
    except Exception as error:
        # The clients of object stores have families of their own: no credentials, no connection, ...
        if type(error).__module__.partition(".")[0] not in _REMOTE_CLIENTS:
            raise
        reason = f"{type(error).__name__}: {_told(place, error)}"
        raise StoreError(f"cannot {action} {place}: {reason}") from _cause(place, error)


def _told(place: object, error: BaseException) -> str:
    known = place if isinstance(place, Location) else Location(str(place))
    return known.told(error)


def _cause(place: object, error: BaseException) -> BaseException | None:
    known = place if isinstance(place, Location) else Location(str(place))
    return known.cause(error)


def _sentence(place: object, action: str, n_bytes: int | None, error: OSError, code: int | None) -> str:
    needed = f" ({n_bytes:,} bytes)" if n_bytes is not None else ""
    advice = _ADVICE.get(code or 0)
    return f"cannot {action} {place}{needed}: {_told(place, error)}" + (f"; {advice}" if advice else "")


def open_group(location: Location, mode: Literal["r", "r+"] = "r") -> zarr.Group:
    """Open the group at a location; its consolidated metadata is one consistent snapshot.

    Raises
    ------
    StoreNotFoundError
        If there is no Zarr group.
    StoreError
        If it cannot be read.
    """
    with store_errors(location, "open"):
        try:
            return zarr.open_group(open_store(location, read_only=mode == "r"), mode=mode, zarr_format=3)
        except FileNotFoundError as error:
            raise StoreNotFoundError(
                f"no Zarr store at {location}; the stage that writes it has not run for this root"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"the metadata of {location} cannot be read: {error}") from error


def put_object(store: Store, key: str, parts: Sequence[bytes]) -> None:
    """Write one whole object from its parts; a reader sees the old one or the new one.

    A local partial file lies beside the store (``.NAME.zarr.partial/``), never inside it: a reader cannot
    meet it, and what a killed process left is found without walking the store.
    """
    n_bytes = sum(map(len, parts))
    with store_errors(_place(store, key), "write", n_bytes):
        if isinstance(store, LocalStore):
            _put_file(store.root, key, parts)
        else:
            sync(store.set(key, default_buffer_prototype().buffer.from_bytes(b"".join(parts))))


def delete_object(store: Store, key: str) -> None:
    """Remove one object if it is there."""
    with store_errors(_place(store, key), "remove"):
        if isinstance(store, LocalStore):
            (store.root / key).unlink(missing_ok=True)
        elif sync(store.exists(key)):
            sync(store.delete(key))


def _place(store: Store, key: str) -> Location | str:
    return store.location.child(key) if isinstance(store, RetryingStore) else f"{store}/{key}"


def stored_shards(location: Location, array: str, channel_index: int, rest: str) -> set[int]:
    """Indices along time of the shards that an array has stored for a channel, by listing alone.

    ``rest`` is the end of a shard's key: its indices along all further dimensions.
    """
    folder = location.child(array, "c", str(channel_index))
    found = {int(name) for name in folder.list_names() if name.isdigit()}
    if location.is_local:
        # A shard that was removed leaves its folder behind.
        return {index for index in found if (folder.path / str(index) / rest).is_file()}
    return found


def foreign_names(location: Location, array: str, n_channels: int, n_times: int) -> list[str]:
    """Keys below an array's chunks that lie outside its first two axes, by listing alone."""
    folder = location.child(array, "c")
    foreign = []
    for name in folder.list_names():
        if not (name.isdigit() and int(name) < n_channels):
            foreign.append(f"{array}/c/{name}")
            continue
        foreign += [
            f"{array}/c/{name}/{below}"
            for below in folder.child(name).list_names()
            if not (below.isdigit() and int(below) < n_times)
        ]
    return foreign


def remove_store(location: Location) -> None:
    """Remove a store and everything in it, its visible part (the root's metadata) first."""
    with store_errors(location, "remove"):
        if not location.exists():
            return
        delete_object(open_store(location, read_only=False), "zarr.json")
        location.remove()


def clean_partial_files(location: Location, *, older_than_s: float = _STALE_S) -> int:
    """Remove what killed processes left half-written beside a local store; return how many files."""
    if not location.is_local:
        return 0
    folder = _partial_folder(location.path)
    if not folder.is_dir():
        return 0
    removed = 0
    for path in folder.glob("*.partial"):
        try:
            if time.time() - path.stat().st_mtime >= older_than_s:
                path.unlink()
                removed += 1
        except FileNotFoundError:
            continue  # its writer finished (or another cleaner came first) between listing and looking
    return removed


def _partial_folder(root: Path) -> Path:
    return root.with_name(f".{root.name}.partial")


def _put_file(root: Path, key: str, parts: Sequence[bytes]) -> None:
    target = root / key
    partial = _partial_folder(root) / f"{uuid.uuid4().hex}.partial"
    try:
        _write_parts(partial, parts)
        try:
            os.replace(partial, target)  # noqa: PTH105 - Path.replace is the same call behind two more objects
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _write_parts(path: Path, parts: Sequence[Any]) -> None:
    try:
        file = path.open("xb", buffering=0)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("xb", buffering=0)
    with file:
        for part in parts:
            view = memoryview(part)
            while view:  # a raw write may be short
                view = view[file.write(view) :]
