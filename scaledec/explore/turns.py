"""Wait until a person has stopped moving before doing what the movement asks for."""

from __future__ import annotations

from collections.abc import Callable

import panel as pn

__all__ = ["Later"]

_WAIT_MS = 250


class Later:
    """Calls a function once, a moment after the last of many calls."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act
        self._document = pn.state.curdoc
        self._waiting = False
        self._again = False

    def __call__(self) -> None:
        """Act a moment from now, or a moment from the next call if that comes before."""
        if self._waiting:
            self._again = True
            return
        self._waiting = True
        self._document.add_timeout_callback(self._due, _WAIT_MS)

    def _due(self) -> None:
        self._waiting = False
        if self._again:
            self._again = False
            self()
            return
        self._act()
