"""The command `scaledec explore` as a process of its own, and what it prints."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

_COMMAND = "import sys; from scaledec.cli import main; main(sys.argv[1:])"


@dataclass(frozen=True, slots=True)
class Served:
    """A page that is open."""

    url: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    @property
    def token(self) -> str:
        return urlsplit(self.url).path.strip("/")

    def end(self) -> tuple[int, str]:
        """Send Ctrl-C; the exit code, and what was said on stderr."""
        self.process.send_signal(signal.SIGINT)
        said = self.process.communicate(timeout=20)[1]
        return self.process.returncode, said


@contextmanager
def served(*arguments: str) -> Iterator[Served]:
    """The page of a root or a configuration; a termination ends it as Ctrl-C does."""
    command = [sys.executable, "-c", _COMMAND, "explore", *arguments, "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise AssertionError(process.communicate()[1])
        yield Served(url, process)
    finally:
        process.terminate()
        process.communicate(timeout=30)
