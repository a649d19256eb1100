"""How far the work has come: a bar on a terminal, a line every half minute otherwise; always on stderr.

Data goes to stdout, progress never does, so a command's output can be piped while its bar is shown.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TextIO, TypeAlias, cast, get_args

from scaledec.errors import ConfigError

__all__ = ["LINE_EVERY_S", "Progress", "Show", "duration", "track"]

Show: TypeAlias = Literal["auto", "bar", "lines", "none"]

LINE_EVERY_S = 30.0
"""Seconds between two lines where there is no terminal."""

_VARIABLE = "SCALEDEC_PROGRESS"


class Progress:
    """Counts what is done; the base class shows nothing. ``advance`` may be called from any thread.

    Parameters
    ----------
    description
        What is being done, e.g. ``cube``.
    total
        Number of units in all; None where it is not known.
    unit
        What is counted, e.g. ``segments``.
    clock
        Seconds from any origin; a test passes its own.
    """

    def __init__(
        self,
        description: str,
        total: int | None,
        unit: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.description = description
        self.total = total
        self.unit = unit
        self.done = 0
        self.info: dict[str, object] = {}
        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()

    def advance(self, n: int = 1, **info: object) -> None:
        """Count ``n`` more units; ``info`` (a loss, a count of failures) is shown until replaced."""
        with self._lock:
            self.done += n
            self.info.update(info)
            self._changed()

    def close(self) -> None:
        """Show the final state; called once, by :func:`track`."""

    def _changed(self) -> None:
        """Show the new state, or let it be."""

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._started

    @property
    def rate(self) -> float | None:
        """Units a second since the start; None before the first."""
        return self.done / self.elapsed_s if self.done and self.elapsed_s > 0 else None

    @property
    def remaining_s(self) -> float | None:
        """Seconds left at this rate; None where that is not known."""
        if self.rate is None or self.total is None:
            return None
        return max(self.total - self.done, 0) / self.rate

    def numbers(self) -> str:
        """Rate and ``info`` in words, e.g. ``3.1 segments/s, loss 0.0123, failed 2``."""
        parts = [] if self.rate is None else [f"{self.rate:.3g} {self.unit}/s"]
        # A zero says nothing in a count of failures, and everything in a loss.
        shown = {name: value for name, value in self.info.items() if not (name == "failed" and not value)}
        parts += [
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in shown.items()
        ]
        return ", ".join(parts)


class _Lines(Progress):
    """A line at most every ``LINE_EVERY_S`` seconds, and one at the end."""

    def __init__(self, *arguments: Any, stream: TextIO, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._stream = stream
        self._last_line_at = self._started

    def _changed(self) -> None:
        if self._clock() - self._last_line_at >= LINE_EVERY_S:
            self._print()

    def close(self) -> None:
        self._print()

    def _print(self) -> None:
        self._last_line_at = self._clock()
        of = "" if self.total is None else f" of {self.total}"
        line = f"{self.description}: {self.done}{of} {self.unit} in {duration(self.elapsed_s)}"
        if self.numbers():
            line += f", {self.numbers()}"
        if self.remaining_s:
            line += f", {duration(self.remaining_s)} left"
        print(line, file=self._stream, flush=True)


class _Bar(Progress):
    """A live bar drawn by rich."""

    def __init__(self, *arguments: Any, stream: TextIO, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # rich takes 0.1 s to load; a command that shows no bar does not pay for it.
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=Console(file=stream),
            # rich would send what is printed to stdout to its own console, which is stderr.
            redirect_stdout=False,
        )
        self._task = self._bar.add_task(self.description, total=self.total, numbers="")
        self._bar.start()

    def _changed(self) -> None:
        self._bar.update(self._task, completed=self.done, numbers=self.numbers())

    def close(self) -> None:
        self._bar.stop()


@contextmanager
def track(
    description: str,
    total: int | None,
    unit: str = "tasks",
    *,
    show: Show | None = None,
    stream: TextIO | None = None,
) -> Iterator[Progress]:
    """Show how far a piece of work has come while the block runs.

    Parameters
    ----------
    description
        What is being done, e.g. ``cube``.
    total
        Number of units in all; None where it is not known.
    unit
        What is counted, e.g. ``segments``.
    show
        ``bar``, ``lines``, ``none``, or ``auto``: a bar where ``stream`` is a terminal, lines otherwise.
        None: what the environment variable SCALEDEC_PROGRESS says, else ``auto``.
    stream
        Where to; None: stderr.

    Raises
    ------
    ConfigError
        If SCALEDEC_PROGRESS holds anything else.

    Examples
    --------
    >>> with track("cube", total=3, unit="segments", show="none") as progress:
    ...     for _ in range(3):
    ...         progress.advance(failed=0)
    >>> progress.done
    3
    """
    stream = sys.stderr if stream is None else stream
    kind = _kind(show, stream)
    progress: Progress
    if kind == "bar":
        progress = _Bar(description, total, unit, stream=stream)
    elif kind == "lines":
        progress = _Lines(description, total, unit, stream=stream)
    else:
        progress = Progress(description, total, unit)
    try:
        yield progress
    finally:
        progress.close()


def _kind(show: Show | None, stream: TextIO) -> Show:
    wanted = show or os.environ.get(_VARIABLE) or "auto"
    if wanted not in get_args(Show):
        raise ConfigError(
            f"{_VARIABLE} is {wanted!r} in the environment; expected one of {', '.join(get_args(Show))}"
        )
    if wanted == "auto":
        return "bar" if stream.isatty() else "lines"
    return cast("Show", wanted)


def duration(seconds: float) -> str:
    """``7s``, ``3m07s`` or ``2h05m``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
