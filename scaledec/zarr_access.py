"""Zarr stores at a place: a folder, or an object store whose requests are bounded in time and tried again."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore, WrapperStore

from scaledec.location import Location
from scaledec.transport.retry import retried_async

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

__all__ = ["RetryingStore", "open_remote_store", "open_store"]

ValueT = TypeVar("ValueT")
# What is asked for without its size being known: inner chunks of a few MB, shards of tens.
_USUAL_BYTES = 50_000_000


def open_store(location: Location, *, read_only: bool) -> Store:
    """The Zarr store at a location: a folder, or any fsspec URL with its storage options."""
    if location.is_local:
        return LocalStore(location.path, read_only=read_only)
    return open_remote_store(location, read_only=read_only)


def open_remote_store(location: Location, *, read_only: bool) -> RetryingStore:
    """The store at a location that is not on this machine."""
    filesystem, path = location.filesystem(asynchronous=True)
    if not filesystem.async_impl:
        from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

        filesystem = AsyncFileSystemWrapper(filesystem, asynchronous=True)
    store = FsspecStore(filesystem, path=path, read_only=read_only)
    return RetryingStore(store, location)


class RetryingStore(WrapperStore[FsspecStore]):
    """A store that asks again where a failure may pass; objects are whole, so repeating does no harm."""

    def __init__(self, store: FsspecStore, location: Location) -> None:
        super().__init__(store)
        self.location = location

    def __str__(self) -> str:
        return str(self._store)

    def __repr__(self) -> str:
        return repr(self._store)

    def _with_store(self, store: FsspecStore) -> RetryingStore:
        return RetryingStore(store, self.location)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """See the wrapped store."""
        return await self._ask(lambda: self._store.get(key, prototype, byte_range), _USUAL_BYTES)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """See the wrapped store."""
        wanted = list(key_ranges)
        return await self._ask(lambda: self._store.get_partial_values(prototype, wanted), _USUAL_BYTES)

    async def exists(self, key: str) -> bool:
        """See the wrapped store."""
        return await self._ask(lambda: self._store.exists(key))

    async def set(self, key: str, value: Buffer) -> None:
        """See the wrapped store."""
        await self._ask(lambda: self._store.set(key, value), len(value))

    async def delete(self, key: str) -> None:
        """See the wrapped store."""
        await self._ask(lambda: self._store.delete(key))

    async def delete_dir(self, prefix: str) -> None:
        """See the wrapped store."""
        await Store.delete_dir(self, prefix)

    async def list(self) -> AsyncIterator[str]:
        """See the wrapped store."""
        for name in await self._ask(lambda: _gathered(self._store.list())):
            yield name

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """See the wrapped store."""
        for name in await self._ask(lambda: _gathered(self._store.list_dir(prefix))):
            yield name

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """See the wrapped store."""
        for name in await self._ask(lambda: _gathered(self._store.list_prefix(prefix))):
            yield name

    # The wrapper's own would go past the methods above.
    async def _get_many(
        self, requests: Iterable[tuple[str, BufferPrototype, ByteRequest | None]]
    ) -> AsyncGenerator[tuple[str, Buffer | None], None]:
        async for found in Store._get_many(self, requests):
            yield found

    async def _set_many(self, values: Iterable[tuple[str, Buffer]]) -> None:
        await Store._set_many(self, values)

    async def _ask(self, call: Callable[[], Awaitable[ValueT]], n_bytes: int = 0) -> ValueT:
        return await retried_async(call, self.location.access, n_bytes=n_bytes)


async def _gathered(found: AsyncIterator[Any]) -> list[Any]:
    return [name async for name in found]
