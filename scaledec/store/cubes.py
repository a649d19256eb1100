"""Cubes of either kind: which class reads what lies at a place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from scaledec.location import Location
from scaledec.store.cube import CubeStore
from scaledec.store.cube_template import CubeTemplate
from scaledec.store.event_cube import EventCubeStore
from scaledec.store.open import open_group
from scaledec.vocabulary import ChannelId

__all__ = ["create_or_extend_cube", "open_cube"]


def open_cube(location: Location, mode: Literal["r", "r+"] = "r") -> CubeStore | EventCubeStore:
    """Open the cube at a location, whatever its kind; ``StoreNotFoundError`` if there is none."""
    group = open_group(location, mode)
    of_events = group.attrs.get("scaledec_kind") == EventCubeStore.kind
    return EventCubeStore(location, group) if of_events else CubeStore(location, group)


def create_or_extend_cube(
    location: Location, template: CubeTemplate, channels: Sequence[ChannelId], start_ns: int, n_segments: int
) -> CubeStore | EventCubeStore:
    """Make sure a cube of the template's kind lies at ``location``; coordinator only.

    Raises
    ------
    StoreConflictError
        If a cube with other settings lies there, or one that starts later.
    """
    if template.events is None:
        return CubeStore.create_or_extend(location, template, channels, start_ns, n_segments)
    return EventCubeStore.create_or_extend(location, template, channels, start_ns, n_segments)
