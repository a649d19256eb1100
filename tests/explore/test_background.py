"""Questions of a page that nobody waits for any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from bokeh.document import Document

from scaledec.explore.background import Background


@pytest.mark.parametrize(
    "end",
    [
        lambda background: background.close(),
        lambda background: background.drop("question"),
        lambda background: background.ask("question", lambda: iter(()), lambda answer: None),
    ],
    ids=["the page is gone", "it is dropped", "it is asked anew"],
)
def test_an_answer_nobody_waits_for_is_not_computed_to_its_end(end: Callable[[Background], None]) -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def answers() -> Iterator[int]:
        try:
            begun.set()
            assert go_on.wait(10)
            yield from range(10**9)
        finally:
            ended.set()

    background = Background(Document())
    background.ask("question", answers, lambda answer: None)
    assert begun.wait(10)
    end(background)
    go_on.set()
    assert ended.wait(10)
    background.close()
