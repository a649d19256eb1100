"""Text without the secrets that URLs, options and the environment hold."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["redacted", "url_without_secrets"]

_MARK = "***"
_USER_INFO = re.compile(r"(?<=://)[^/@\s'\"]+@")
# Signed URLs and tokens: whatever follows in the query is left out with the first suspicious name.
_SECRET_PARAMETER = re.compile(
    r"(?i)\b([\w.-]*(?:signature|credential|token|secret|password|passwd|sig|(?:api|access|account)[_-]?key(?:id)?))"
    r"(['\"]?\s*[=:]\s*['\"]?)(?:(?:bearer|basic)\s+)?[^\s&'\",;)]+"
)
_AUTHORIZATION = re.compile(r"(?i)\b(authorization['\"]?\s*[=:]\s*['\"]?)(?:\w+ )?[^\s'\",]+")
_AWS_KEY_ID = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")
_SECRET_NAME = re.compile(
    r"(?i)key|secret|token|pass|credential|auth|sas|connection_string|user|cookie|header"
)
_HARMLESS_NAME = re.compile(r"(?i)keyfile_name|keep|keys_only|token_uri")
_ENVIRONMENT = re.compile(r"(?i)secret|token|passw|credential|api_?key|access_?key|connection_string")
# Shorter values stand in ordinary words, and taking them out would tell them.
_SHORTEST = 4


def redacted(text: str, options: Mapping[str, Any] | None = None) -> str:
    """``text`` with everything secret replaced by ``***``.

    Parameters
    ----------
    text
        Of an error or a log.
    options
        Storage options in use: the values of those that may be secret are looked for.

    Examples
    --------
    >>> redacted("GET https://me:pw@host/a?X-Amz-Signature=abc&part=1")
    'GET https://***@host/a?X-Amz-Signature=***&part=1'
    """
    for value in sorted({*_secrets(options or {}), *_environment_secrets()}, key=len, reverse=True):
        text = text.replace(value, _MARK)
    text = _USER_INFO.sub(f"{_MARK}@", text)
    text = _AUTHORIZATION.sub(rf"\1{_MARK}", text)
    text = _SECRET_PARAMETER.sub(rf"\1\2{_MARK}", text)
    return _AWS_KEY_ID.sub(_MARK, text)


def url_without_secrets(url: str) -> str:
    """A URL as it may be shown: without user information and without signatures or tokens in its query.

    Examples
    --------
    >>> url_without_secrets("s3://key:secret@bucket/a")
    's3://bucket/a'
    """
    if "://" not in url:
        return url
    return _SECRET_PARAMETER.sub(rf"\1\2{_MARK}", re.sub(r"(?<=://)[^/@]*@", "", url))


def _secrets(options: Any, name: str = "") -> Iterator[str]:
    """Values of options whose names, or whose sections' names, sound secret."""
    if isinstance(options, Mapping):
        for key, value in options.items():
            yield from _secrets(value, f"{name}.{key}")
    elif isinstance(options, Sequence) and not isinstance(options, (str, bytes)):
        for value in options:
            yield from _secrets(value, name)
    elif isinstance(options, str) and len(options) >= _SHORTEST and _sounds_secret(name):
        yield options


def _sounds_secret(name: str) -> bool:
    return bool(_SECRET_NAME.search(name)) and not _HARMLESS_NAME.search(name)


def _environment_secrets() -> Iterator[str]:
    for name, value in os.environ.items():
        # Longer than for options: names here are many, and a value such as "true" is no secret.
        if len(value) >= 2 * _SHORTEST and _ENVIRONMENT.search(name) and not value.startswith("/"):
            yield value
