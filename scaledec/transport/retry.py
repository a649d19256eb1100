"""Try a request again while its failure may pass."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from scaledec.transport.access import Access
from scaledec.transport.faults import is_transient, retry_after_s

__all__ = ["GaveUpError", "retried", "retried_async"]

ValueT = TypeVar("ValueT")


class GaveUpError(OSError):
    """A request failed as often as it may; the message holds the number of attempts and the last failure."""

    def __init__(self, attempts: int, last: BaseException) -> None:
        told = str(last) or "no more is known"
        super().__init__(f"gave up after {attempts} attempts, the last one: {type(last).__name__}: {told}")
        self.attempts = attempts


def retried(call: Callable[[], ValueT], access: Access) -> ValueT:
    """The value of ``call``, which is made again after a failure that may pass, ever later.

    The call must be one that may be made twice: a reply can be lost after the work is done.

    Raises
    ------
    GaveUpError
        After ``access.attempts`` failures.
    Exception
        Any failure that does not pass (nothing there, not allowed, ...), as it is.
    """
    for attempt in range(1, access.attempts + 1):
        try:
            return call()
        except Exception as error:  # noqa: BLE001  (raised again unless it may pass)
            wait_s = _wait_s(error, attempt, access)
        time.sleep(wait_s)
    raise AssertionError("the last attempt returns or raises")


async def retried_async(call: Callable[[], Awaitable[ValueT]], access: Access, *, n_bytes: int = 0) -> ValueT:
    """As :func:`retried`, inside an event loop; each attempt has the time that its bytes are given."""
    for attempt in range(1, access.attempts + 1):
        try:
            return await asyncio.wait_for(call(), access.deadline_s(n_bytes))
        except Exception as error:  # noqa: BLE001  (raised again unless it may pass)
            wait_s = _wait_s(error, attempt, access)
        await asyncio.sleep(wait_s)
    raise AssertionError("the last attempt returns or raises")


def _wait_s(error: Exception, attempt: int, access: Access) -> float:
    """Seconds until the next attempt; raises where there is none."""
    if not is_transient(error):
        raise error
    if attempt == access.attempts:
        raise GaveUpError(attempt, error) from error
    # Half of it is chance: many workers that failed together must not come back together.
    own: float = access.first_wait_s * 3 ** (attempt - 1) * random.uniform(0.5, 1.0)
    return min(access.longest_wait_s, max(own, retry_after_s(error) or 0.0))
