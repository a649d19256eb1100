"""Who may ask: every request must name this server as its host and carry the token in its path.

A token in the path (``/TOKEN/...``) goes with every request that the page makes, whether for a script or
for the websocket, without a cookie that other servers of this host could read. The host is checked because a
foreign name that resolves to this machine (DNS rebinding) would let a foreign page read answers.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any, cast

from bokeh.server.tornado import BokehTornado
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, HTTPServerRequest
from tornado.web import OutputTransform, RequestHandler

__all__ = ["GuardedTornado", "make_token"]

_HEADERS = {
    # The browser itself refuses whatever would leave this machine.
    "Content-Security-Policy": (
        "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; connect-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    # The token is in the address: it must not be told to anybody the page links to, or kept.
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def make_token() -> str:
    """256 random bits as text for a URL."""
    return secrets.token_urlsafe(32)


class _SafeHeaders(OutputTransform):
    """Puts headers on every answer."""

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        for name, value in _HEADERS.items():
            headers[name] = value
        return status_code, headers, chunk


class _Refused(RequestHandler):
    """Answers 403, whatever is asked."""

    def prepare(self) -> None:
        self.set_status(403)
        self.finish("403: not for you. Open the page by the URL that `scaledec explore` printed.\n")


def _say_nothing(handler: RequestHandler) -> None:
    """Log nothing of a request."""


class GuardedTornado(BokehTornado):  # type: ignore[misc]  # bokeh publishes no types we follow
    """Bokeh's application behind the guard.

    Parameters
    ----------
    token
        What the path must begin with.
    hosts
        Values of the Host header that are this server.
    applications, others
        As of :class:`bokeh.server.tornado.BokehTornado`.
    """

    def __init__(self, applications: Any, *, token: str, hosts: Iterable[str], **others: Any) -> None:
        self._token = token
        self._hosts = frozenset(hosts)
        super().__init__(
            applications,
            prefix=f"/{token}",
            extra_websocket_origins=sorted(self._hosts),
            transforms=[_SafeHeaders],
            # Requests are not logged: their paths hold the token.
            log_function=_say_nothing,
            **others,
        )

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> HTTPMessageDelegate:
        """Where a request goes: every one passes here, those for a websocket too."""
        if not self._is_known(request):
            return cast("HTTPMessageDelegate", self.get_handler_delegate(request, _Refused))
        return cast("HTTPMessageDelegate", super().find_handler(request, **kwargs))

    def _is_known(self, request: HTTPServerRequest) -> bool:
        given = request.path.split("/", 2)[1] if request.path.startswith("/") else ""
        # In constant time, so that answers tell nothing of how much was right.
        is_token = secrets.compare_digest(given.encode(), self._token.encode())
        return is_token and request.headers.get("Host", "") in self._hosts
