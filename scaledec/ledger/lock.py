"""One coordinator at a time: a lock below the root, with a heartbeat.

``FOLDER/lock.json`` names the host, the process and the last heartbeat of the coordinator that holds the
root. A second one is refused with these facts. The lock of a dead one is taken over: its process is gone
(looked up where that can be known: on the same machine, in the same process namespace), or, elsewhere,
its heart has not beaten for :data:`STALE_S`. Whoever has lost the lock finds out by the next beat and stops.

In a folder every change of the lock is made under a guard that the kernel releases with its holder. An
object store, and some file systems, have none: there the lock is created with a conditional put, and,
because some servers ignore the condition, read again a moment later; of two that came at once the one that
wrote last stays.
"""

from __future__ import annotations

import datetime as dt
import errno
import fcntl
import json
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO

from scaledec.errors import RootLockedError, StoreError, StoreNotFoundError
from scaledec.location import Location

__all__ = ["BEAT_S", "STALE_S", "Holder", "RootLock", "read_holder"]

BEAT_S = 5.0
"""Seconds between two beats."""
STALE_S = 60.0
"""A heart that has not beaten for so long is dead; no object store keeps one waiting like that."""

_SETTLE_S = 1.0
_PATIENCE = 10
"""So many times longer is a process waited for that is known to be there."""
# What file systems without such locks answer, as those of some clusters do.
_NO_FLOCK = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}
_LONGEST_LOSS_S = STALE_S / 2
"""A coordinator whose beats fail for so long stops: it could be taken for dead soon after."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a root."""

    token: str
    """Unique for each time the lock is taken."""
    verb: str
    host: str
    pid: int
    machine: str
    """Boot and process namespace: where a process id means the same process."""
    began: str
    """Start of the process, which tells it from a later one of the same id; empty where it is not known."""
    since: float
    """Seconds since 1970."""
    beat: float
    """Last heartbeat, seconds since 1970 by its own clock."""

    @classmethod
    def this_process(cls, verb: str) -> Holder:
        """The coordinator that this process would be."""
        now = time.time()
        pid = os.getpid()
        return cls(
            uuid.uuid4().hex, verb, socket.gethostname(), pid, _machine(), _process_start(pid) or "", now, now
        )

    @property
    def age_s(self) -> float:
        """Seconds since the last beat."""
        return time.time() - self.beat

    def is_gone(self) -> bool | None:
        """Whether its process has ended; ``None`` where that cannot be known from here."""
        if not self.machine or self.machine != _machine():
            return None
        return _process_start(self.pid) != self.began

    def told(self) -> str:
        """The facts for a person."""
        return (
            f"`scaledec {self.verb}` on {self.host} (process {self.pid}) since {_moment(self.since)}, "
            f"last heartbeat {max(0.0, self.age_s):.0f} s ago"
        )


def read_holder(folder: Location) -> Holder | None:
    """Who holds the lock of a root, dead or alive; ``None`` for nobody."""
    try:
        return Holder(**json.loads(folder.child("lock.json").read_bytes()))
    except StoreNotFoundError:
        return None
    except (ValueError, TypeError):
        # Not written by this program, or cut short; as old as can be.
        return Holder("", "unknown", "an unknown host", 0, "", "", 0.0, 0.0)


class RootLock:
    """The lock of one root, held while the block runs.

    Examples
    --------
    >>> with RootLock(folder, "run") as lock:  # doctest: +SKIP
    ...     lock.check()
    """

    def __init__(
        self, folder: Location, verb: str, *, beat_s: float = BEAT_S, stale_s: float = STALE_S
    ) -> None:
        self._folder = folder
        self._verb = verb
        self._beat_s, self._stale_s = beat_s, stale_s
        self._own = Holder.this_process(verb)
        self._stop = threading.Event()
        self._lost: str | None = None
        self._entered_by: int | None = None
        self._is_guarded = False

    def __enter__(self) -> RootLock:
        """Take the lock.

        Raises
        ------
        RootLockedError
            If a living coordinator holds it.
        StoreError
            If it cannot be written.
        """
        self._own = Holder.this_process(self._verb)
        self._lost = None
        self._stop.clear()
        self._take()
        self._entered_by = threading.get_ident()
        self._thread = threading.Thread(target=self._beat, name="root-lock", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._lost is None:
            with suppress(StoreError):  # it goes stale by itself
                self._release()
        elif error is None or isinstance(error, KeyboardInterrupt):
            raise RootLockedError(self._lost) from error

    @property
    def holder(self) -> Holder:
        """Who holds the lock: this process."""
        return self._own

    def check(self) -> None:
        """Raise ``RootLockedError`` if the lock was lost."""
        if self._lost is not None:
            raise RootLockedError(self._lost)

    def _take(self) -> None:
        seen = read_holder(self._folder)
        holder = self._living(seen)
        if holder is None:
            with self._guard():
                now = read_holder(self._folder)
                if now is None or (seen is not None and _is_same(now, seen)):
                    self._write(self._own, create=now is None)
                else:
                    holder = now  # another came first
        if holder is None and not self._is_guarded:
            # Another may have written at the same moment, to a server that does not know conditions.
            time.sleep(_SETTLE_S)
            found = read_holder(self._folder)
            holder = None if found is not None and found.token == self._own.token else found
        if holder is not None:
            raise RootLockedError(
                f"{self._folder} is in use: {holder.told()}; wait for it to end, or stop it there and run "
                f"again (a dead one's lock is taken over, at the latest {self._stale_s:.0f} s after its last "
                "heartbeat)"
            )

    def _living(self, holder: Holder | None) -> Holder | None:
        """The holder, unless there is none or it is dead; outside the guard, where its heart can beat."""
        if holder is None or (gone := holder.is_gone()):
            return None
        # A process that is there may have been suspended; when it goes on it will see that it lost the lock.
        if holder.age_s <= self._stale_s * (1 if gone is None else _PATIENCE):
            return holder
        if holder.token:
            # Clocks may differ: a heart that beats while we watch is alive.
            time.sleep(2 * self._beat_s)
            again = read_holder(self._folder)
            if again is not None and not _is_same(again, holder):
                return again
        return None

    def _beat(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(self._beat_s):
            try:
                with self._guard():
                    found = read_holder(self._folder)
                    if found is not None and found.token == self._own.token:
                        self._own = replace(self._own, beat=time.time())
                        self._write(self._own, create=False)
                        last = time.monotonic()
                        continue
                taken = f"taken over by {found.told()}" if found is not None else "removed"
                self._lose(f"the lock of {self._folder} was {taken}")
                return
            except StoreError as error:
                if time.monotonic() - last > self._stale_s * _LONGEST_LOSS_S / STALE_S:
                    self._lose(f"the lock of {self._folder} cannot be kept: {error}")
                    return

    def _lose(self, why: str) -> None:
        self._lost = f"{why}; this run stops, what is done stays done: run again when the other has ended"
        main = threading.main_thread().ident
        if main is not None and main == self._entered_by:
            # As Ctrl-C does: it ends what the coordinator waits for, and __exit__ says why.
            signal.pthread_kill(main, signal.SIGINT)

    def _release(self) -> None:
        with self._guard():
            found = read_holder(self._folder)
            if found is not None and found.token == self._own.token:
                self._folder.child("lock.json").remove()

    def _write(self, holder: Holder, *, create: bool) -> None:
        place = self._folder.child("lock.json")
        data = json.dumps(asdict(holder)).encode()
        if create and not place.is_local:
            place.create_bytes(data)  # what came first stays, where the server can tell
        else:
            place.write_bytes(data)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        if not self._folder.is_local:
            yield
            return
        path = self._folder.path / "lock.guard"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                self._is_guarded = _flock(file)
                yield
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            raise StoreError(f"cannot lock {self._folder}: {error.strerror or error}") from error


def _is_same(one: Holder, other: Holder) -> bool:
    return (one.token, one.beat) == (other.token, other.beat)


def _flock(file: IO[bytes]) -> bool:
    """Wait for the kernel's lock on a file; False where the file system has none."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno in _NO_FLOCK:
            return False
        raise
    return True


def _machine() -> str:
    """This boot of this machine and this namespace of processes; empty where it cannot be known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 - a link to no path
    except OSError:
        return ""


def _process_start(pid: int) -> str | None:
    """When a process began, in ticks of this boot; ``None`` for a process that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _moment(seconds: float) -> str:
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
