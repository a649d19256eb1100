"""What a ledger holds, in memory: the newest entry of every key, about two hundred bytes each."""

from __future__ import annotations

import datetime as dt
import json
from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from scaledec.vocabulary import JsonValue, Status, TaskResult

__all__ = ["LedgerIndex", "LedgerIndexBuilder", "to_result"]

# json.loads and json.dumps look at their arguments anew each time, which takes as long as the work itself.
_decode = json.JSONDecoder().decode
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_STATUSES: tuple[Status, ...] = ("done", "empty", "failed")


def to_result(entry: Mapping[str, Any], details: Collection[str] | None = None) -> TaskResult:
    """The result an entry holds, with all of its details or those named."""
    kept = cast("Mapping[str, JsonValue]", entry["details"])
    if details is not None:
        kept = {name: kept[name] for name in details if name in kept}
    return TaskResult(entry["key"], entry["fingerprint"], entry["status"], entry["reason"], kept)


class LedgerIndexBuilder:
    """Takes entries in any order; of several of one key the newest stays."""

    def __init__(self, details: Collection[str] | None = None) -> None:
        self._details = details
        self._block = bytearray()
        self._ends = array("q", [0])
        self._hashes, self._times, self._statuses = array("q"), array("q"), array("B")

    def add(self, line: bytes) -> None:
        """Add one line of a ledger; ``ValueError``, ``KeyError`` or ``TypeError`` if it is none."""
        entry: dict[str, Any] = _decode(line.decode())
        key, fingerprint, status = entry["key"], entry["fingerprint"], entry["status"]
        details, reason = entry["details"], entry["reason"]
        if self._details is not None:
            details = {name: details[name] for name in self._details if name in details}
        status_number = _STATUSES.index(status)
        time_us = microseconds(entry["written_at"])
        self._block += _encode([key, fingerprint, reason, details]).encode()
        self._ends.append(len(self._block))
        self._hashes.append(hash(key))
        self._times.append(time_us)
        self._statuses.append(status_number)

    def build(self) -> LedgerIndex:
        """What was added; nothing is added afterwards."""
        hashes = np.array(self._hashes, np.int64)
        # Stable: of entries of the same microsecond the one added last counts.
        order = np.lexsort((np.array(self._times, np.int64), hashes))
        ordered = hashes[order]
        is_last = np.ones(len(order), bool)
        is_last[:-1] = ordered[1:] != ordered[:-1]
        rows = order[is_last]
        return LedgerIndex(
            self._block, self._ends, ordered[is_last], rows, np.array(self._statuses, np.uint8)
        )


class LedgerIndex(Mapping[str, TaskResult]):
    """Newest result of every key; results are made when they are asked for."""

    def __init__(
        self,
        block: bytearray,
        ends: array[int],
        hashes: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        statuses: npt.NDArray[np.uint8],
    ) -> None:
        self._block, self._ends = block, ends
        # Ascending; two keys of one hash among a million have a chance of one in forty million. The one
        # that is lost is then taken as not done, and done again.
        self._hashes, self._rows, self._statuses = hashes, rows, statuses

    def __getitem__(self, key: str) -> TaskResult:
        found: TaskResult | None = self.get(key)
        if found is None:
            raise KeyError(key)
        return found

    def get(self, key: str, default: Any = None) -> Any:
        """As of a dictionary: a key that is not there, of which planning meets many, raises nothing."""
        wanted = hash(key)
        place = int(self._hashes.searchsorted(wanted))
        if place < len(self._hashes) and self._hashes[place] == wanted:
            found = self._result(int(self._rows[place]))
            if found.key == key:
                return found
        return default

    def __iter__(self) -> Iterator[str]:
        # In the order of writing, which does not change from process to process as hashes do.
        for row in np.sort(self._rows).tolist():
            yield _decode(self._text(row))[0]

    def __len__(self) -> int:
        return len(self._rows)

    def results(self) -> Iterator[TaskResult]:
        """The newest result of every key, in the order of writing."""
        return (self._result(row) for row in np.sort(self._rows).tolist())

    def counts(self) -> Counter[Status]:
        """Keys by the status of their newest entry."""
        numbers = np.bincount(self._statuses[self._rows], minlength=len(_STATUSES)).tolist()
        return Counter({status: n for status, n in zip(_STATUSES, numbers, strict=True) if n})

    def of_status(self, status: Status) -> Iterator[TaskResult]:
        """The newest results that have a status, in the order of writing."""
        chosen = self._rows[self._statuses[self._rows] == _STATUSES.index(status)]
        return (self._result(row) for row in np.sort(chosen).tolist())

    def _text(self, row: int) -> str:
        return self._block[self._ends[row] : self._ends[row + 1]].decode()

    def _result(self, row: int) -> TaskResult:
        key, fingerprint, reason, details = _decode(self._text(row))
        return TaskResult(key, fingerprint, _STATUSES[self._statuses[row]], reason, details)


def microseconds(moment: str) -> int:
    """Microseconds since 1970 of an instant as a ledger writes it."""
    return round(dt.datetime.fromisoformat(moment).timestamp() * 1e6)
