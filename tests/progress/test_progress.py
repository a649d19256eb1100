"""Progress is shown on stderr: a bar on a terminal, sparse lines in a log, nothing on request."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import subprocess
import sys
import threading

import pytest

from scaledec.errors import ConfigError
from scaledec.progress import LINE_EVERY_S, Progress, _Lines, track


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def lines_of(clock: Clock, total: int | None = 100) -> tuple[_Lines, io.StringIO]:
    stream = io.StringIO()
    return _Lines("cube", total, "segments", stream=stream, clock=clock), stream


def test_a_log_gets_one_line_every_half_minute_however_often_work_advances() -> None:
    clock = Clock()
    progress, stream = lines_of(clock)
    for _ in range(90):
        clock.now += 1.0
        progress.advance()
    assert stream.getvalue().splitlines() == [
        "cube: 30 of 100 segments in 30s, 1 segments/s, 1m10s left",
        "cube: 60 of 100 segments in 1m00s, 1 segments/s, 40s left",
        "cube: 90 of 100 segments in 1m30s, 1 segments/s, 10s left",
    ]


def test_the_last_line_is_printed_even_when_the_work_was_quick() -> None:
    clock = Clock()
    progress, stream = lines_of(clock)
    clock.now += 2.0
    progress.advance(100)
    assert stream.getvalue() == ""
    progress.close()
    assert stream.getvalue() == "cube: 100 of 100 segments in 2s, 50 segments/s\n"


def test_metrics_and_failures_are_shown_and_a_zero_of_failures_is_not() -> None:
    clock = Clock()
    progress, stream = lines_of(clock, total=None)
    clock.now += LINE_EVERY_S
    progress.advance(30, loss=0.0123456, failed=0)
    clock.now += LINE_EVERY_S
    progress.advance(30, loss=0.0, failed=2)
    assert stream.getvalue().splitlines() == [
        "cube: 30 segments in 30s, 1 segments/s, loss 0.01235",
        "cube: 60 segments in 1m00s, 1 segments/s, loss 0, failed 2",
    ]


def advance_often(progress: Progress, times: int) -> None:
    for _ in range(times):
        progress.advance()


def test_advances_from_many_threads_are_all_counted() -> None:
    with track("label", total=4000, show="none") as progress:
        threads = [threading.Thread(target=advance_often, args=(progress, 1000)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert progress.done == 4000


def test_nothing_is_shown_when_silenced_by_argument_or_environment(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with track("cube", total=1, show="none") as progress:
        progress.advance()
    monkeypatch.setenv("SCALEDEC_PROGRESS", "none")
    with track("cube", total=1) as progress:
        progress.advance()
    assert type(progress) is Progress
    assert capfd.readouterr() == ("", "")


def test_without_a_terminal_lines_go_to_stderr_and_stdout_stays_clean(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with track("cube", total=2, unit="segments") as progress:
        progress.advance(2)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("cube: 2 of 2 segments in 0s")


def test_the_final_state_is_shown_when_the_work_fails() -> None:
    stream = io.StringIO()
    with contextlib.suppress(ZeroDivisionError), track("cube", 5, stream=stream, show="lines") as progress:
        progress.advance(3)
        _ = 1 / 0
    assert stream.getvalue().startswith("cube: 3 of 5")


def test_an_unknown_way_to_show_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALEDEC_PROGRESS", "loud")
    with (
        pytest.raises(
            ConfigError, match=r"SCALEDEC_PROGRESS is 'loud' in the environment; expected one of auto, bar"
        ),
        track("x", 1),
    ):
        pass


def test_a_terminal_gets_a_bar_while_what_the_work_prints_stays_on_stdout() -> None:
    script = """
from scaledec.errors import ConfigError
from scaledec.progress import track
with track("cube [x]", total=3, unit="segments") as progress:
    for i in range(3):
        progress.advance(loss=0.5)
        print("data", i)
"""
    here, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=terminal, env=environment, check=True
    )
    os.close(terminal)
    shown = os.read(here, 65536).decode()
    os.close(here)
    assert done.stdout == b"data 0\ndata 1\ndata 2\n"
    assert "3/3" in shown
    assert "cube [x]" in shown
    assert "loss 0.5" in shown
