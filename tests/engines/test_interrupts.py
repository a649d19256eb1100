"""Interrupts that Python itself would lose."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest

from scaledec.interrupts import remembered_interrupts


class SwallowsWhatItsDelMeets:
    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_inside_a_del_is_raised_at_the_next_look_and_not_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    printed: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", printed.append)
    with remembered_interrupts() as check:
        check()
        thing = SwallowsWhatItsDelMeets()
        del thing  # Python would print the KeyboardInterrupt and go on
        assert not printed
        with pytest.raises(KeyboardInterrupt):
            check()
        check()


def test_an_interrupt_is_raised_where_it_comes_as_always() -> None:
    with pytest.raises(KeyboardInterrupt), remembered_interrupts():
        os.kill(os.getpid(), signal.SIGINT)


def test_the_handlers_of_before_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with remembered_interrupts():
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_thread_other_than_the_main_one_changes_no_handler() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def look() -> None:
        with remembered_interrupts() as check:
            check()
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]
