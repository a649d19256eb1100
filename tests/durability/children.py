"""Real command lines in processes of their own: start, watch, kill, and look at what they leave behind."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from scaledec.places import Places
from tests.engines.ray_cluster import kill_session, processes_of_session

SCALEDEC = Path(sys.executable).with_name("scaledec")
LONGEST_S = 240.0
"""A command that runs longer hangs."""
_LOOK_S = 0.02
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
AGENTS_LEAVE_S = 100.0


@dataclass
class Child:
    """One running command line; leader of a session of its own, by which its descendants are found."""

    process: subprocess.Popen[bytes]
    folder: Path
    seen: dict[int, float] = field(default_factory=dict)
    """Every process met while watching: id and start."""

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text(errors="replace")

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text(errors="replace")

    @property
    def told(self) -> str:
        """What a failing test shows."""
        return f"exit code {self.process.poll()}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"

    def wait(self, within_s: float = LONGEST_S) -> int:
        """The exit code."""
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within_s:g} s: {self.told}") from None

    def wait_until(self, condition: Callable[[], Any], what: str, within_s: float = LONGEST_S) -> Any:
        """What the condition says once it says something, while the command runs."""
        end = time.monotonic() + within_s
        while not (found := condition()):
            assert self.process.poll() is None, f"ended before {what}: {self.told}"
            assert time.monotonic() < end, f"no sign of {what} after {within_s:g} s: {self.told}"
            time.sleep(_LOOK_S)
        self._remember()
        return found

    def kill(self, signal_number: int = signal.SIGKILL) -> None:
        """Send a signal to the command itself, not to its descendants."""
        self._remember()
        os.kill(self.process.pid, signal_number)

    def interrupt(self) -> None:
        """What Ctrl-C does on a terminal: SIGINT to the command and to every process of its group."""
        self._remember()
        os.killpg(self.process.pid, signal.SIGINT)

    def named(self, *words: str) -> list[psutil.Process]:
        """Living descendants whose command line holds all of the words."""
        found = []
        for process in self._descendants():
            with suppress(psutil.Error):
                line = " ".join(process.cmdline())
                if all(word in line for word in words):
                    found.append(process)
        return found

    def orphans(self, within_s: float = 30.0) -> list[str]:
        """Processes that this command started and that outlive it by so many seconds.

        Ray's two agents are not among them: orphaned by a kill they spend a minute, fixed in their code,
        on telling a head that is gone, and end. See :meth:`anything_left`.
        """
        return self.anything_left(within_s, but=AGENTS)

    def anything_left(self, within_s: float, but: tuple[str, ...] = ()) -> list[str]:
        """Every process that this command started and that outlives it by so many seconds."""
        end = time.monotonic() + within_s
        while (left := self._left(but)) and time.monotonic() < end:
            time.sleep(0.2)
        return left

    def _left(self, but: tuple[str, ...]) -> list[str]:
        left = {process.pid: process for process in processes_of_session(self.process.pid)}
        for pid, started in self.seen.items():
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                if process.create_time() == started and process.status() != psutil.STATUS_ZOMBIE:
                    left[pid] = process
        told = []
        for process in left.values():
            with suppress(psutil.Error):
                line = " ".join(process.cmdline())
                if not line.startswith(but):
                    told.append(f"{process.pid} {line[:200]}")
        return told

    def _descendants(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def _remember(self) -> None:
        for process in self._descendants():
            with suppress(psutil.Error):
                self.seen[process.pid] = process.create_time()


@contextmanager
def started(
    *arguments: str | Path,
    preexec: Callable[[], None] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Child]:
    """A command line that runs while the block does; whatever is left of it then is killed."""
    # Neither a terminal's bars nor this machine's clusters: what a batch job sees.
    hidden = ("RAY_", "SCALEDEC_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    with tempfile.TemporaryDirectory(prefix="scaledec-child-") as name:
        folder = Path(name)
        with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
            process = subprocess.Popen(
                [SCALEDEC, *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                env={**inherited, "OMP_NUM_THREADS": "1", **(environment or {})},
                preexec_fn=preexec,
            )
        child = Child(process, folder)
        try:
            yield child
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            kill_session(process.pid)


@dataclass(frozen=True)
class Ended:
    """What came of a command line that has ended."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def told(self) -> str:
        return f"exit code {self.code}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


def run(
    *arguments: str | Path,
    preexec: Callable[[], None] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run a command line to its end, which no process of it may outlive."""
    began = time.monotonic()
    with started(*arguments, preexec=preexec, environment=environment) as child:
        code = child.wait()
        seconds = time.monotonic() - began
        assert not child.orphans(), child.told
        return Ended(code, child.stdout, child.stderr, seconds)


def assert_reads_well(text: str) -> None:
    """A person is told in sentences: no traceback, no engine's log lines."""
    for noise in ("Traceback", "core_worker.cc", "distributed.", "(pid=", "Warning", "resource_tracker"):
        assert noise not in text, f"{noise!r} in what a user reads:\n{text}"


def tree(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by relative path."""
    assert folder.is_dir(), f"nothing at {folder}"
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """Names of files that are missing, added or changed."""
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


def entries(root: Path, product: str) -> list[dict[str, Any]]:
    """Every whole line of every part of a ledger."""
    found = []
    for part in sorted(Places.at(str(root)).ledger(product).path.glob("*.jsonl")):
        for line in part.read_bytes().splitlines():
            with suppress(ValueError):
                found.append(json.loads(line))
    return found


def finished(root: Path, product: str) -> Counter[str]:
    """How often each task was brought to its end."""
    return Counter(entry["key"] for entry in entries(root, product) if entry["status"] != "failed")


def done_again(root: Path, product: str) -> dict[str, int]:
    """Tasks that were done more than once."""
    return {key: times for key, times in finished(root, product).items() if times > 1}


def epochs(root: Path, run_name: str) -> list[dict[str, Any]]:
    """The metrics of pretraining that are on the disk."""
    path = Places.at(str(root)).run(run_name).path / "metrics.jsonl"
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
