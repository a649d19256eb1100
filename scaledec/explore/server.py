"""The page's server: on this machine's loopback only, behind a token, until it is told to stop."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

from scaledec.errors import ConfigError

if TYPE_CHECKING:
    from scaledec.explore.background import Background
    from scaledec.explore.opened import Opened

__all__ = ["ExploreServer", "leading_to"]

_ADDRESS = "127.0.0.1"
# A page in the background must not be dropped: its state is all there is.
_UNUSED_MS = 30 * 60 * 1000


class ExploreServer:
    """A server that listens; :meth:`run` serves pages until an interrupt.

    Parameters
    ----------
    open_now
        Opens what to show: now, and again for every page, because a root grows.
    port
        0: any that is free.

    Raises
    ------
    ConfigError
        If Panel is not installed, or the port cannot be had.
    StoreNotFoundError
        If there is nothing to show.
    """

    def __init__(self, open_now: Callable[[], Opened], port: int = 0) -> None:
        _require_panel()
        title = open_now().title
        from bokeh.server.server import BaseServer
        from panel.io.server import build_applications
        from tornado.httpserver import HTTPServer
        from tornado.ioloop import IOLoop

        from scaledec.explore.guard import GuardedTornado, make_token
        from scaledec.explore.page import make_page

        listening = _listen(port)
        self.port = int(listening.getsockname()[1])
        token = make_token()
        self.url = f"http://{_ADDRESS}:{self.port}/{token}/"
        """Of the page, with its token: whoever knows it may read what the page shows."""
        self._filter = _without_token(token)
        self._working: WeakSet[Background] = WeakSet()
        application = GuardedTornado(
            build_applications(lambda: make_page(open_now(), self._working.add), title=f"scaledec: {title}"),
            token=token,
            hosts=[f"{_ADDRESS}:{self.port}", f"localhost:{self.port}"],
            unused_session_lifetime_milliseconds=_UNUSED_MS,
        )
        self._loop = IOLoop.current()
        http = HTTPServer(application)
        http.add_sockets([listening])
        self._server = BaseServer(self._loop, application, http)

    def run(self, when_ready: Callable[[], None] = lambda: None) -> None:
        """Serve until :meth:`stop`, or until an interrupt or a termination, which is not raised again."""
        handlers = [logging.getLogger(name) for name in ("tornado.application", "tornado.general", "bokeh")]
        for handler in handlers:
            handler.addFilter(self._filter)
        self._server.start()
        self._loop.add_callback(when_ready)
        try:
            self._loop.start()
        except KeyboardInterrupt:
            pass
        finally:
            self._server.stop(wait=False)
            # The process ends when the last thread has: none may go on counting for a page that is gone.
            for background in list(self._working):
                background.close()
            for handler in handlers:
                handler.removeFilter(self._filter)

    def stop(self) -> None:
        """End :meth:`run`; may be called from another thread."""
        self._loop.add_callback(self._loop.stop)


@contextmanager
def leading_to(url: str) -> Iterator[str]:
    """A file's address that leads to a URL; it is gone after the block.

    What a browser is started with is for every user of a machine to see, and this file for its own alone.
    """
    with tempfile.TemporaryDirectory(prefix="scaledec-explore-") as folder:
        page = Path(folder) / "open.html"
        page.write_text(
            f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={url}">'
            f'<a href="{url}">scaledec explore</a>',
            encoding="utf-8",
        )
        yield page.as_uri()


def _require_panel() -> None:
    # Of a page that is used offline nothing may come from elsewhere.
    os.environ.setdefault("BOKEH_RESOURCES", "server")
    try:
        import panel
    except ImportError as error:
        raise ConfigError(
            "the page is made with Panel, which is not installed: pip install 'scaledec[explore]'"
        ) from error
    from bokeh.core.validation import silence
    from bokeh.core.validation.warnings import EMPTY_LAYOUT

    from scaledec.explore.style import PAGE_SHEET

    panel.extension(raw_css=[PAGE_SHEET])
    # A row that is filled later is no mistake.
    silence(EMPTY_LAYOUT, True)


def _listen(port: int) -> socket.socket:
    try:
        listening = socket.create_server((_ADDRESS, port))
    except OSError as error:
        raise ConfigError(
            f"port {port} of {_ADDRESS} cannot be had: {error.strerror or error}; choose another --port, "
            "or leave it out for any that is free"
        ) from error
    listening.setblocking(False)
    return listening


def _without_token(token: str) -> Callable[[logging.LogRecord], bool]:
    """A filter that keeps the token out of what libraries log about requests."""

    def clean(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if token in text:
            record.msg, record.args = text.replace(token, "..."), ()
        return True

    return clean
