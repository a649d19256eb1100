"""The ledger: which tasks are done, with what result, as JSON lines that only ever grow.

``FOLDER/part-TIME-UNIQUE.jsonl`` holds one entry a line: a :class:`~scaledec.vocabulary.TaskResult` with
``written_at`` and ``host``. Every writer has parts of its own, so any number may write at once and a
reader may read meanwhile. Of several entries of one key the newest counts. When parts have become many
the coordinator gathers them (:mod:`.compact`).

The death of a process loses no entry that was written: lines go to the operating system at once, and to
the disk at least once a second. On an object store, where nothing can be appended, a batch is an object,
and a hundred of a writer's become one.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import socket
import threading
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from scaledec.errors import StoreError
from scaledec.ledger.index import LedgerIndex, LedgerIndexBuilder
from scaledec.ledger.parts import VanishedPartError, new_part_name, part_names, read_parts
from scaledec.location import Location
from scaledec.vocabulary import Status, TaskResult

__all__ = ["Ledger", "LedgerSummary", "LedgerWriter"]

# An fsync costs milliseconds: one for this many results, or for what came within this time.
_BATCH_RESULTS = 200
_BATCH_S = 1.0
# Objects of a writer that become one; their lines are in memory until then.
_GATHERED_OBJECTS = 100
# Parts are gathered now and then; a reader meets that once.
_READINGS = 20


@dataclass(frozen=True, slots=True)
class LedgerSummary:
    """What a ledger holds, in numbers."""

    counts: Mapping[Status, int]
    """Tasks by the status of their newest entry."""
    n_parts: int
    damaged: tuple[str, ...]
    """Lines that could not be read, ``PART:LINE``; a last line cut short by a killed process is usual."""


class Ledger:
    """The ledger of one product, in one folder; cheap to make, may be pickled, holds nothing in memory."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self._own: LedgerWriter | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"location": self.location, "_own": None}

    def append(self, results: Iterable[TaskResult]) -> None:
        """Write entries; on return they are on the disk (or in the object store).

        Raises
        ------
        StoreError
            If they cannot be written.
        """
        if self._own is None:
            self._own = LedgerWriter(self.location)
        with self._own as writer:
            for result in results:
                writer.write(result)

    def writer(self) -> LedgerWriter:
        """A writer for many results: flushed to disk every 200 results or every second, and when left."""
        return LedgerWriter(self.location)

    def read(self, details: Collection[str] | None = None) -> LedgerIndex:
        """The newest entry of every key, as a mapping; compact enough for millions.

        Parameters
        ----------
        details
            Names of the details to keep (fewer save memory); ``None`` keeps all.

        Raises
        ------
        StoreError
            If a part cannot be read.
        """
        return self._read(details, [])

    def summary(self) -> LedgerSummary:
        """Counts by status, and what could not be read."""
        damaged: list[str] = []
        counts = self._read((), damaged).counts()
        return LedgerSummary(counts, len(part_names(self.location)), tuple(damaged))

    def _read(self, details: Collection[str] | None, damaged: list[str]) -> LedgerIndex:
        for _ in range(_READINGS):
            try:
                return self._read_once(details, damaged)
            except VanishedPartError:
                damaged.clear()  # the coordinator has just gathered the parts into one: look again
        return self._read_once(details, damaged)

    def _read_once(self, details: Collection[str] | None, damaged: list[str]) -> LedgerIndex:
        builder = LedgerIndexBuilder(details)
        for name, lines in read_parts(self.location, part_names(self.location)):
            for number, line in enumerate(lines, start=1):
                try:
                    builder.add(line)
                except (ValueError, KeyError, TypeError):
                    # Cut short by a killed process, or lost with the power: the task is done again.
                    damaged.append(f"{name}:{number}")
        return builder.build()


class LedgerWriter:
    """Appends entries to parts of its own; a context manager, used again or not; threads may share it."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._host = socket.gethostname()
        self._lock = threading.RLock()
        self._lines: list[bytes] = []
        self._objects: list[tuple[Location, bytes]] = []
        self._file: io.FileIO | None = None
        self._part = new_part_name()
        self._timer: threading.Timer | None = None
        self._failure: StoreError | None = None

    def __enter__(self) -> LedgerWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, result: TaskResult) -> None:
        """Add one entry; a failure of an earlier flush in the background is raised here."""
        line = json.dumps(
            {
                "key": result.key,
                "fingerprint": result.fingerprint,
                "status": result.status,
                "reason": result.reason,
                "details": result.details,
                "written_at": dt.datetime.now(dt.UTC).isoformat(timespec="microseconds"),
                "host": self._host,
            },
            ensure_ascii=False,
            separators=(",", ":"),
        )
        with self._lock:
            self._raise_failure()
            self._lines.append(line.encode() + b"\n")
            if self._location.is_local:
                self._write_file(self._lines[-1])
            if len(self._lines) >= _BATCH_RESULTS:
                self.flush()
            elif self._timer is None:
                self._timer = threading.Timer(_BATCH_S, self._flush_in_background)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Bring everything written so far to the disk or the object store."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._raise_failure()
            if not self._lines:
                return
            if self._location.is_local:
                self._sync_file()
            else:
                self._write_object(b"".join(self._lines))
            self._lines.clear()

    def close(self) -> None:
        """Flush and close the part."""
        with self._lock:
            try:
                self.flush()
            finally:
                if self._file is not None:
                    self._file.close()
                    self._file = None

    def _write_object(self, lines: bytes) -> None:
        place = self._location.child(new_part_name())
        place.write_bytes(lines)
        self._objects.append((place, lines))
        if len(self._objects) >= _GATHERED_OBJECTS:
            # A day of slow tasks would leave an object a second.
            self._location.child(new_part_name()).write_bytes(b"".join(data for _, data in self._objects))
            with (
                suppress(StoreError),  # what stays is said twice
                ThreadPoolExecutor(self._location.access.concurrency) as removers,
            ):
                list(removers.map(Location.remove, [old for old, _ in self._objects]))
            self._objects.clear()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _flush_in_background(self) -> None:
        with self._lock:
            self._timer = None
            try:
                self.flush()
            except StoreError as error:
                self._failure = error

    def _write_file(self, line: bytes) -> None:
        # Without Python's buffer: the line is the operating system's before the next task is asked for.
        try:
            if self._file is None:
                folder = self._location.path
                folder.mkdir(parents=True, exist_ok=True)
                self._file = (folder / self._part).open("ab", buffering=0)
            left = memoryview(line)
            while left:  # a disk that is nearly full takes a part, and says why with the next one
                left = left[self._file.write(left) :]
        except OSError as error:
            self._begin_part()  # the next line must not continue the one cut short
            raise self._cannot_write(error) from error

    def _begin_part(self) -> None:
        self._part = new_part_name()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _sync_file(self) -> None:
        if self._file is not None:
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise self._cannot_write(error) from error

    def _cannot_write(self, error: OSError) -> StoreError:
        return StoreError(
            f"cannot write the ledger in {self._location}: {error.strerror or error}; without it "
            "finished work would be done again: free some space or make the folder writable, then run again"
        )
