"""An archive: a place and a layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from scaledec.archive.files import FilesLayout
from scaledec.archive.layouts.centres import GeonetLayout, NcedcLayout, ScedcLayout
from scaledec.archive.layouts.earthscope import EarthscopeLayout
from scaledec.archive.layouts.fdsn import FdsnLayout
from scaledec.archive.layouts.layout import Layout
from scaledec.archive.layouts.sds import SdsLayout
from scaledec.archive.listing import Listing
from scaledec.archive.objects import has_changed, read_object
from scaledec.archive.shelf import shelf
from scaledec.config import ArchiveConfig
from scaledec.errors import ArchiveError
from scaledec.location import Location
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
    """``sds``, ``files``, ...: a key of the table below."""
    index_location: Location | None = None
    """Where layouts that read headers to list keep what they found."""
    use_index: bool = True
    """Whether an index that the archive itself holds is used instead of listing (``scedc``)."""

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

    @property
    def is_service(self) -> bool:
        """Whether objects are answers to requests: an empty one says that there are no data."""
        return self.layout == "fdsn"

    def read(self, item: ArchiveObject) -> bytes:
        """All bytes of an object.

        Raises
        ------
        UnreadableInputError
            If it has vanished since it was listed or cannot be read.
        """
        base = self._layout().base(self.location)
        if base.is_local:
            return read_object(base, item)
        return shelf().read(base, item)

    def has_changed(self, item: ArchiveObject) -> bool:
        """Whether what :meth:`read` gives may be another version than was listed; ask after reading."""
        return has_changed(self._layout().base(self.location), item)

    def working(
        self, tasks: Sequence[Sequence[ArchiveObject]], read_ahead_bytes: int
    ) -> AbstractContextManager[Iterator[int]]:
        """Keep and fetch ahead the objects of tasks that follow one another; see :meth:`.Shelf.working`."""
        return shelf(read_ahead_bytes).working(self._layout().base(self.location), tasks)

    def _layout(self) -> Layout:
        make = _LAYOUTS.get(self.layout)
        if make is None:
            raise ArchiveError(
                f"archive layout {self.layout!r} is unknown; expected one of {', '.join(_LAYOUTS)}"
            )
        return make(self)


_LAYOUTS: Mapping[str, Callable[[Archive], Layout]] = {
    "sds": lambda archive: SdsLayout(),
    "files": lambda archive: FilesLayout(archive.index_location),
    "scedc": lambda archive: ScedcLayout(archive.use_index),
    "ncedc": lambda archive: NcedcLayout(),
    "earthscope": lambda archive: EarthscopeLayout(archive.index_location),
    "geonet": lambda archive: GeonetLayout(),
    "fdsn": lambda archive: FdsnLayout(),
}


def open_archive(config: ArchiveConfig, index_location: Location | None = None) -> Archive:
    """The archive of a configuration; ``index_location`` is where what was learned from headers is kept."""
    return Archive(config.location, config.layout, index_location, config.use_index)
