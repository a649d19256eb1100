"""The index of an archive for those who only read a root."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from functools import cached_property

from scaledec.location import Location

__all__ = ["BorrowedIndex"]


class BorrowedIndex:
    """A copy of what runs have learned of an archive's objects from their headers.

    Nothing is written below a root that is looked at, and what is read now is worth keeping as long as this
    object lives: the copy goes with it.
    """

    def __init__(self, kept: Location) -> None:
        """Say where the index of the root lies; nothing is copied before :attr:`location` is asked for."""
        self._kept = kept

    @cached_property
    def location(self) -> Location:
        """A folder of this process, with what runs have learned."""
        folder = tempfile.mkdtemp(prefix="scaledec-index-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        copy = Location(folder)
        for name in self._kept.list_names():
            copy.child(name).write_bytes(self._kept.child(name).read_bytes())
        return copy
