"""Which failures pass by themselves: told from what the clients of object stores and HTTP raise.

Each client has exceptions of its own, and not all clients are installed, so they are known by the
HTTP status they carry, or else by the names of their classes.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

__all__ = ["TruncatedError", "is_transient", "retry_after_s"]

_PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504, 509}
# S3 answers these with status 400 or 409, and they pass all the same.
_PASSING_CODES = {
    "BadDigest",
    "IncompleteBody",
    "OperationAborted",
    "RequestTimeout",
    "SlowDown",
    "XAmzContentSHA256Mismatch",
}
_PASSING_ERRNO = {
    errno.EAGAIN,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EPIPE,
    errno.ETIMEDOUT,
}
_PASSING_NAMES = {
    "ClientConnectionError",  # aiohttp: no connection, or it was lost
    "ClientPayloadError",  # aiohttp: the body ended early
    "HTTPClientError",  # botocore: the same, and time-outs
    "IncompleteRead",  # http.client
    "IncompleteReadError",  # botocore, asyncio, azure
    "ResponseParserError",  # botocore: an answer cut short, or in another language than XML
    "ServiceRequestError",  # azure
    "ServiceResponseError",
    "TransportError",  # google.auth
}
_LASTING = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)
_DEEPEST = 8


class TruncatedError(OSError):
    """Fewer bytes came than the object has."""


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed a little later: the outermost failure that tells decides."""
    for found in _chain(error):
        if isinstance(found, _LASTING):
            return False
        if _passes(found):
            return True
        status = _status(found)
        if status is not None:
            return status in _PASSING_STATUS or _code(found) in _PASSING_CODES
    return False


def retry_after_s(error: BaseException) -> float | None:
    """Seconds that the server asked to wait, if it did."""
    for found in _chain(error):
        value = _header(found, "retry-after")
        if value is not None:
            return _seconds(value)
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    for _ in range(_DEEPEST):
        if found is None:
            return
        yield found
        found = found.__cause__


def _passes(error: BaseException) -> bool:
    if isinstance(error, (TimeoutError, ConnectionError, EOFError, TruncatedError)):
        return True
    if isinstance(error, OSError) and error.errno in _PASSING_ERRNO:
        return True
    return any(kind.__name__ in _PASSING_NAMES for kind in type(error).__mro__)


def _status(error: BaseException) -> int | None:
    """The HTTP status that a failure came with, if any."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):  # botocore
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status if isinstance(status, int) else None
    for name in ("status", "status_code", "code"):  # aiohttp, azure, gcsfs
        status = getattr(error, name, None)
        if isinstance(status, int) and 300 <= status < 600:
            return status
    return None


def _code(error: BaseException) -> str | None:
    response = getattr(error, "response", None)
    return response.get("Error", {}).get("Code") if isinstance(response, Mapping) else None


def _header(error: BaseException, name: str) -> str | None:
    response = getattr(error, "response", None)
    headers: Any = getattr(error, "headers", None) or getattr(response, "headers", None)
    if isinstance(response, Mapping):
        headers = response.get("ResponseMetadata", {}).get("HTTPHeaders")
    if not isinstance(headers, Mapping):
        return None
    return next((str(value) for key, value in headers.items() if str(key).lower() == name), None)


def _seconds(value: str) -> float | None:
    """Of a Retry-After header: a number of seconds or a date."""
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
