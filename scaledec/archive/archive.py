"""An archive: a place and a layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scaledec.archive.files import FilesLayout
from scaledec.archive.layouts import Layout, SdsLayout
from scaledec.archive.listing import Listing
from scaledec.archive.objects import read_object
from scaledec.config.models import ArchiveConfig
from scaledec.errors import ArchiveError
from scaledec.location import Location
from scaledec.transport.access import Access
from scaledec.vocabulary import ArchiveObject

__all__ = ["Archive", "Listing", "open_archive"]


@dataclass(frozen=True, slots=True)
class Archive:
    """Where miniSEED lies and how it is named. Small, picklable, holds nothing open.

    Examples
    --------
    >>> archive = Archive(Location("memory://archive"), "sds")
    >>> archive.nominal_span_ns(ArchiveObject("1970/XX/A/HHZ.D/XX.A..HHZ.D.1970.002", 512, "1"))
    (86400000000000, 172800000000000)
    """

    location: Location
    layout: str
    """``sds`` or ``files``."""
    index_location: Location | None = None
    """Where the ``files`` layout keeps its index."""

    def listing(
        self, patterns: Sequence[str] = ("*.*.*.*",), start_ns: int | None = None, end_ns: int | None = None
    ) -> Listing:
        """What the archive holds of the channels that match any pattern, without reading samples.

        Raises
        ------
        ArchiveError
            If the place cannot be reached, is not of this layout, or holds nothing that was asked for;
            the message names what is there.
        """
        return self._layout().listing(self.location, patterns, start_ns, end_ns)

    def nominal_span_ns(self, item: ArchiveObject) -> tuple[int, int] | None:
        """The time an object's name stands for, end exclusive; ``None`` if its name says nothing."""
        return self._layout().nominal_span_ns(item.key)

    def read(self, item: ArchiveObject) -> bytes:
        """All bytes of an object.

        Raises
        ------
        UnreadableInputError
            If it has vanished since it was listed or cannot be read.
        """
        return read_object(self._layout().base(self.location), item)

    def _layout(self) -> Layout:
        if self.layout == "sds":
            return SdsLayout()
        if self.layout == "files":
            return FilesLayout(self.index_location)
        raise ArchiveError(f"archive layout {self.layout!r} is unknown; expected sds or files")


def open_archive(config: ArchiveConfig, index_location: Location | None = None) -> Archive:
    """The archive of a configuration; ``index_location`` is where the ``files`` layout keeps its index."""
    access = Access(**config.access.model_dump())
    return Archive(Location(config.url, config.storage_options, access), config.layout, index_location)
