"""Reading one object whole."""

from __future__ import annotations

from scaledec.archive.folders import key_below
from scaledec.errors import UnreadableInputError
from scaledec.location import Location
from scaledec.vocabulary import ArchiveObject

__all__ = ["read_object"]


def read_object(base: Location, item: ArchiveObject) -> bytes:
    """All bytes of an object.

    Raises
    ------
    UnreadableInputError
        If it has vanished since it was listed, must not be read, or the connection fails.
    """
    place = key_below(base, item.key)
    try:
        if place.is_local:
            return place.path.read_bytes()
        filesystem, path = place.filesystem()
        return bytes(filesystem.cat_file(path))
    except FileNotFoundError as error:
        raise UnreadableInputError(f"{place} has vanished since it was listed") from error
    except Exception as error:  # object stores raise their client libraries' own exceptions
        raise UnreadableInputError(f"cannot read {place}: {type(error).__name__}: {error}") from error
