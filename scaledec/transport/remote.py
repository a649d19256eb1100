"""The operations on an fsspec file system that scaledec uses: each bounded in time and tried again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from scaledec.transport.access import Access
from scaledec.transport.retry import retried

__all__ = ["Check", "Remote", "client_options", "leave_retries_to_us"]

Check: TypeAlias = Callable[[bytes, "str | None"], None]

# Connecting is quick where it works at all.
_CONNECT_S = 10.0


def client_options(
    scheme: str, options: Mapping[str, Any], access: Access, *, attempts: int = 1
) -> dict[str, Any]:
    """Storage options with what the client of a scheme needs to keep to ``access``; the user's own win.

    S3: the bucket's region is asked for (HeadBucket) where no endpoint is given, as a bucket's own region
    answers it best and a wrong one not at all. ``attempts`` are those of the client itself: one, where
    ours would multiply them.
    """
    if scheme in ("s3", "s3a"):
        config = {
            "connect_timeout": min(_CONNECT_S, access.timeout_s),
            "read_timeout": access.timeout_s,
            "retries": {"total_max_attempts": attempts, "mode": "standard"},
            "max_pool_connections": max(10, access.concurrency),
            **options.get("config_kwargs", {}),
        }
        client = options.get("client_kwargs", {})
        known = options.get("endpoint_url") or client.get("endpoint_url") or client.get("region_name")
        return {"cache_regions": not known, **options, "config_kwargs": config}
    if scheme in ("http", "https"):
        import aiohttp

        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=min(_CONNECT_S, access.timeout_s), sock_read=access.timeout_s
        )
        return {**options, "client_kwargs": {"timeout": timeout, **options.get("client_kwargs", {})}}
    return dict(options)


def leave_retries_to_us(filesystem: Any) -> Any:
    """The same file system without repetitions of its own, where it has such a setting."""
    if isinstance(getattr(filesystem, "retries", None), int):
        filesystem.retries = 1
    return filesystem


class Remote:
    """An fsspec file system, patient as ``access`` says. Threads may share it.

    Raises what the file system raises for what does not pass, :class:`.retry.GaveUpError` for the rest.
    """

    def __init__(self, filesystem: Any, access: Access) -> None:
        self.filesystem = leave_retries_to_us(filesystem)
        self._access = access

    def read(self, path: str, *, size: int = 0, check: Check | None = None) -> bytes:
        """All bytes of an object.

        Parameters
        ----------
        size
            Bytes expected, which decide how long a reply may take.
        check
            Looks at each reply: its bytes, and what identifies their version where the reply says it. What
            it raises is the attempt's failure.
        """

        def attempt() -> bytes:
            data, version = self._get(path, size)
            if check is not None:
                check(data, version)
            return data

        return retried(attempt, self._access)

    def read_start(self, path: str, n_bytes: int) -> bytes:
        """The first bytes of an object: ``n_bytes``, or all there are (all, of a server without ranges)."""
        return bytes(self._call("cat_file", path, start=0, end=n_bytes, n_bytes=n_bytes))

    def info(self, path: str) -> dict[str, Any]:
        """What is known of one object."""
        return dict(self._call("info", path))

    def list_folder(self, path: str) -> list[dict[str, Any]]:
        """What lies directly in a folder."""
        self.filesystem.invalidate_cache(path)
        return list(self._call("ls", path, detail=True))

    def list_tree(self, path: str, prefix: str = "") -> list[dict[str, Any]]:
        """Every object below a folder whose path below it starts with ``prefix``."""
        self.filesystem.invalidate_cache(path)
        narrow: dict[str, Any] = {"prefix": prefix} if prefix and self.takes_prefix else {}
        found = self._call("find", path, detail=True, **narrow)
        return list(found.values())

    @property
    def takes_prefix(self) -> bool:
        """Whether the store itself can list by prefix."""
        import inspect

        return (
            "prefix" in inspect.signature(getattr(self.filesystem, "_find", self.filesystem.find)).parameters
        )

    def write(self, path: str, data: bytes) -> None:
        """Write one whole object; written twice it is the same."""
        self._call("pipe_file", path, data, n_bytes=len(data))

    def create(self, path: str, data: bytes) -> None:
        """Write one whole object where none may be yet, as far as the store can tell.

        Raises what the store raises if one is there: it may be our own, written by an attempt whose reply
        was lost. ``NotImplementedError`` if the store cannot tell.
        """
        self._call("pipe_file", path, data, mode="create", n_bytes=len(data))

    def exists(self, path: str) -> bool:
        """Whether an object or folder lies there."""
        self.filesystem.invalidate_cache(path)
        try:
            self._call("info", path)
        except FileNotFoundError:
            return False
        return True

    def remove(self, path: str) -> None:
        """Remove an object, or a folder with all that is in it; nothing there is as good."""
        try:
            self._call("rm", path, recursive=True)
        except FileNotFoundError:
            return

    def _call(self, name: str, *arguments: Any, n_bytes: int = 0, **options: Any) -> Any:
        return retried(lambda: self._once(name, *arguments, n_bytes=n_bytes, **options), self._access)

    def _once(self, name: str, *arguments: Any, n_bytes: int = 0, **options: Any) -> Any:
        """One attempt, ended after its time where the file system can be told so."""
        method = getattr(self.filesystem, f"_{name}", None)
        if not self.filesystem.async_impl or method is None:
            return getattr(self.filesystem, name)(*arguments, **options)
        from fsspec.asyn import sync

        deadline_s = self._access.deadline_s(n_bytes)
        return sync(self.filesystem.loop, method, *arguments, timeout=deadline_s, **options)

    def _get(self, path: str, size: int) -> tuple[bytes, str | None]:
        if hasattr(self.filesystem, "call_s3"):
            from fsspec.asyn import sync

            deadline_s = self._access.deadline_s(size)
            data, version = sync(self.filesystem.loop, _get_s3, self.filesystem, path, timeout=deadline_s)
            return data, version
        return bytes(self._once("cat_file", path, n_bytes=size)), None


async def _get_s3(filesystem: Any, path: str) -> tuple[bytes, str | None]:
    """One request for an object of S3; reading it through s3fs takes two and hides the version."""
    bucket, key, _ = filesystem.split_path(path)
    reply = await filesystem._call_s3("get_object", Bucket=bucket, Key=key)
    async with reply["Body"] as body:
        data = await body.read()
    return bytes(data), str(reply.get("ETag", "")).strip('"') or None
