"""Work beside a page: computed in threads of its own, shown in the page's turn, the newest question wins."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from bokeh.document import Document

__all__ = ["Background"]

AnswerT = TypeVar("AnswerT")
_THREADS = 4


class Background:
    """Threads of one open page; nothing here touches the page but in its own turn."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="explore")
        self._lock = threading.Lock()
        self._turns: dict[str, int] = {}
        self._closed = False
        self.failed: Callable[[str, BaseException], None] = lambda name, error: None
        """Told, in the page's turn, what went wrong with which question."""

    def ask(
        self,
        name: str,
        answers: Callable[[], Iterator[AnswerT]],
        show: Callable[[AnswerT], None],
    ) -> None:
        """Compute answers and show each as it comes; an earlier question of this name is dropped."""
        with self._lock:
            if self._closed:
                return
            turn = self._turns[name] = self._turns.get(name, 0) + 1
        self._pool.submit(self._work, name, turn, answers, show)

    def drop(self, name: str) -> None:
        """What is being computed for this question is no longer wanted."""
        with self._lock:
            self._turns[name] = self._turns.get(name, 0) + 1

    def close(self) -> None:
        """Drop everything; threads end when what they read has come."""
        with self._lock:
            self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _work(
        self,
        name: str,
        turn: int,
        answers: Callable[[], Iterator[AnswerT]],
        show: Callable[[AnswerT], None],
    ) -> None:
        try:
            for answer in answers():
                if not self._is_wanted(name, turn):
                    return
                self._in_turn(name, turn, partial(show, answer))
        except Exception as error:  # noqa: BLE001 - shown to the person who asked, in the page
            reason = error
            self._in_turn(name, turn, lambda: self.failed(name, reason))

    def _in_turn(self, name: str, turn: int, act: Callable[[], None]) -> None:
        def when_due() -> None:
            if self._is_wanted(name, turn):
                act()

        # The page may close between the question and the answer; then nobody is there to see it.
        with suppress(RuntimeError):
            self._document.add_next_tick_callback(when_due)

    def _is_wanted(self, name: str, turn: int) -> bool:
        with self._lock:
            return not self._closed and self._turns.get(name) == turn
