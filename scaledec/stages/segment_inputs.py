"""What a segment of the cube depends on, and whether what was computed of it still holds.

A task's fingerprint has four parts, ``SETTINGS-OWN-BEFORE-AFTER``: the settings, and the objects (name,
size, version) expected to hold the segment's own time, the time before it and the time after it. A
segment's own objects always decide its result. A neighbour does only where they left samples missing at
its side's edge, which is known once the segment has been read and is kept in the ledger. So a day that
is added or changed redoes the segments it can reach into, and none that were complete without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal, TypeAlias

from scaledec.vocabulary import JsonValue, TaskResult

__all__ = ["CHANGED", "OPEN_EDGES", "UNREAD", "Standing", "edges_detail", "segment_fingerprint", "standing"]

OPEN_EDGES = "open_edges"
"""Name of the detail of a result that tells where the segment's own objects left samples missing."""

UNREAD = "unread"
"""Name of the detail that counts objects that were needed and could not be used."""

CHANGED = "changed"
"""Name of the detail that counts objects that were read in another version than the fingerprint names."""

Standing: TypeAlias = Literal["left", "done", "kept"]
"""left: to be computed. done: up to date. kept: computed once, of files that the archive lists no more."""

_NOTHING = "0"


def segment_fingerprint(
    settings: str, before: Sequence[bytes], own: Sequence[bytes], after: Sequence[bytes]
) -> str:
    """The fingerprint of a segment's task.

    Parameters
    ----------
    settings
        Of everything but the objects that decides the result.
    before, own, after
        Digests of the objects near the segment, each in a fixed order.

    Examples
    --------
    >>> segment_fingerprint("1f", [], [bytes(8)], [bytes(8)])
    '1f-0000000000000000-0-00000000'
    """
    return f"{settings}-{_joined(own)}-{_joined(before)[:8]}-{_joined(after)[:8]}"


def standing(fingerprint: str, result: TaskResult | None) -> Standing:
    """Whether a segment has to be computed, given the newest result of its task.

    A failed task is always tried again, as is one whose neighbour could not be read or whose objects changed
    between listing and reading, unless nothing of the segment's own time is listed any more: an archive
    that keeps the newest days only does not take from the cube what it took from itself.
    """
    if result is None:
        return "left"
    now, then = fingerprint.split("-"), result.fingerprint.split("-")
    if len(then) != len(now) or now[0] != then[0]:
        return "left"
    if now[1] == _NOTHING and then[1] != _NOTHING and result.status != "empty":
        return "kept"
    if result.status == "failed" or now[1] != then[1]:
        return "left"
    if result.details.get(UNREAD) or result.details.get(CHANGED):
        return "left"
    edges = result.details.get(OPEN_EDGES, "")
    same_before = now[2] == then[2] or edges == "after" or not edges
    same_after = now[3] == then[3] or edges == "before" or not edges
    return "done" if same_before and same_after else "left"


def edges_detail(open_edges: Sequence[str]) -> dict[str, JsonValue]:
    """The detail of a result for :func:`standing`; nothing where no edge was open."""
    if not open_edges:
        return {}
    return {OPEN_EDGES: "both" if len(open_edges) > 1 else open_edges[0]}


def _joined(digests: Sequence[bytes]) -> str:
    if not digests:
        return _NOTHING
    if len(digests) == 1:
        return digests[0].hex()
    return hashlib.blake2b(b"".join(digests), digest_size=8).hexdigest()
