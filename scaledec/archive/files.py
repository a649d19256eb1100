"""The ``files`` layout: miniSEED in any naming, indexed once by header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeAlias

from scaledec.archive.apart import scan_headers
from scaledec.archive.folders import find_files, split_glob
from scaledec.archive.layouts.layout import check_found, matcher
from scaledec.archive.listing import Listing, Span
from scaledec.archive.objects import has_changed, read_object
from scaledec.errors import ArchiveError, StoreNotFoundError, UnreadableInputError
from scaledec.location import Location
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ArchiveObject, ChannelId

__all__ = ["FilesLayout"]

_INDEX_FORMAT = 1
# Spans are exact here, so only the margins of a segment have to be allowed for.
_SLACK_NS = 3600 * NANOSECONDS_PER_SECOND
# Version of an object that could not be fetched, or changed meanwhile: never current, so it is read again.
_NOT_READ = ""
# The index is saved this often while it is built, so that an interruption costs little.
_BATCH = 2000


@dataclass(frozen=True, slots=True)
class _Scan:
    """What the headers of one version of an object say."""

    size: int
    version: str
    spans: tuple[tuple[str, int, int], ...] = ()
    """(channel, start, end), one for each channel."""
    reason: str | None = None
    """Why it cannot be read, if it cannot."""


_Index: TypeAlias = dict[str, _Scan]


@dataclass(frozen=True, slots=True)
class FilesLayout:
    """A folder or a glob of files. Their headers are read once and kept as JSON in ``index``.

    Only objects that are new or have changed are read again. Unreadable ones are listed, not fatal.
    """

    index: Location | None = None
    """Folder of the index; ``None`` reads every header at every listing."""

    def base(self, location: Location) -> Location:
        """The folder that keys count from: up to the first part with a wildcard."""
        return split_glob(location)[0]

    def nominal_span_ns(self, key: str) -> tuple[int, int] | None:
        """``None``: names say nothing here."""
        return None

    def listing(
        self, location: Location, patterns: Sequence[str], start_ns: int | None, end_ns: int | None
    ) -> Listing:
        """See :class:`~scaledec.archive.layouts.layout.Layout`."""
        base, glob = split_glob(location)
        items = find_files(base, glob)
        if not items:
            raise ArchiveError(f"no file at {location}; expected a folder or a glob of miniSEED files")
        index = self._update(location, base, items)
        every = [
            (ChannelId.parse(channel), Span(start, end, item))
            for item in items
            for channel, start, end in index[item.key].spans
        ]
        matches = matcher(patterns)
        listing = Listing(
            [(channel, span) for channel, span in every if matches(channel)],
            start_ns=start_ns,
            end_ns=end_ns,
            slack_ns=_SLACK_NS,
            unreadable=[(item, reason) for item in items if (reason := index[item.key].reason)],
        )
        if not listing.channels:
            spans = [(channel, (span.start_ns, span.end_ns)) for channel, span in every]
            check_found(location, patterns, start_ns, end_ns, spans)
        return listing

    def _update(self, location: Location, base: Location, items: Sequence[ArchiveObject]) -> _Index:
        """The index of exactly these objects, read where it is missing and saved where it has changed."""
        place = self._place(location)
        known = _load(place)
        index = {
            item.key: scan for item in items if (scan := known.get(item.key)) and _is_current(scan, item)
        }
        missing = [item for item in items if item.key not in index]
        with ThreadPoolExecutor(location.access.concurrency) as readers:
            for first in range(0, len(missing), _BATCH):
                batch = missing[first : first + _BATCH]
                scans = readers.map(partial(_scan, base), batch)
                index.update({item.key: scan for item, scan in zip(batch, scans, strict=True)})
                _save(place, index)
        if not missing and len(index) != len(known):
            _save(place, index)
        return index

    def _place(self, location: Location) -> Location | None:
        if self.index is None:
            return None
        name = hashlib.sha256(str(location).encode()).hexdigest()[:16]
        return self.index.child(f"files-{name}.json")


def _is_current(scan: _Scan, item: ArchiveObject) -> bool:
    return (scan.size, scan.version) == (item.size, item.version)


def _scan(base: Location, item: ArchiveObject) -> _Scan:
    try:
        data = read_object(base, item)
    except UnreadableInputError as error:
        return _Scan(item.size, _NOT_READ, reason=str(error))
    try:
        headers = scan_headers(data, item.key)
    except UnreadableInputError as error:
        return _Scan(item.size, item.version, reason=str(error))
    spans: dict[str, tuple[int, int]] = {}
    for header in headers:
        start, end = spans.get(str(header.channel), (header.start_ns, header.end_ns))
        spans[str(header.channel)] = (min(start, header.start_ns), max(end, header.end_ns))
    version = _NOT_READ if has_changed(base, item) else item.version
    return _Scan(item.size, version, tuple((channel, *span) for channel, span in spans.items()))


def _load(place: Location | None) -> _Index:
    """The saved index; empty where there is none, or none of this format: then it is made anew."""
    if place is None:
        return {}
    try:
        saved = json.loads(place.read_bytes())
        if saved["format"] != _INDEX_FORMAT:
            return {}
        return {key: _from_json(scan) for key, scan in saved["objects"].items()}
    except (StoreNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _from_json(scan: Mapping[str, Any]) -> _Scan:
    spans = tuple((str(channel), int(start), int(end)) for channel, start, end in scan["spans"])
    return _Scan(int(scan["size"]), str(scan["version"]), spans, scan["reason"])


def _save(place: Location | None, index: _Index) -> None:
    if place is not None:
        objects = {key: asdict(index[key]) for key in sorted(index)}
        place.write_bytes(json.dumps({"format": _INDEX_FORMAT, "objects": objects}).encode())
