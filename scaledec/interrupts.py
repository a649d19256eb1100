"""Ctrl-C that cannot get lost.

Python raises ``KeyboardInterrupt`` wherever the main thread happens to be. Inside a ``__del__`` or a
callback of a C library it is printed and forgotten, and the program runs on. A loop that would run for
days asks once a turn whether that has happened; then nothing need be printed.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeAlias

__all__ = ["remembered_interrupts"]

_Handler: TypeAlias = Callable[[int, FrameType | None], object]


@contextmanager
def remembered_interrupts() -> Iterator[Callable[[], None]]:
    """Within this, interrupts are raised as before and remembered too; call what it yields to look.

    The call raises what the interrupt should have raised, if one came and is still around; otherwise it
    does nothing. Signals without a handler in Python, and threads other than the main one, are left alone.

    Examples
    --------
    >>> with remembered_interrupts() as check:
    ...     for _ in range(3):
    ...         check()
    """
    came: list[tuple[_Handler, int]] = []
    before: dict[signal.Signals, _Handler] = {}

    def remember(number: int, frame: FrameType | None) -> None:
        handler = before[signal.Signals(number)]
        came.append((handler, number))
        handler(number, frame)

    def check() -> None:
        if came:
            handler, number = came.pop()
            handler(number, None)

    def tell(forgotten: sys.UnraisableHookArgs) -> None:
        if not (came and isinstance(forgotten.exc_value, KeyboardInterrupt)):
            told_before(forgotten)

    told_before = sys.unraisablehook
    if threading.current_thread() is threading.main_thread():
        sys.unraisablehook = tell
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if callable(handler):
                before[number] = handler
                signal.signal(number, remember)
    try:
        yield check
    finally:
        if sys.unraisablehook is tell:
            sys.unraisablehook = told_before
        for number, handler in before.items():
            # One that has been replaced meanwhile (a terminated process ignores the next signal) stays.
            if signal.getsignal(number) is remember:
                signal.signal(number, handler)
