"""The families a synthetic archive holds, in the order of their numbers in the truth."""

from __future__ import annotations

from scaledec.synthetic.family import Family
from scaledec.synthetic.impulsive import Glitches, Icequakes, LocalEvents
from scaledec.synthetic.sustained import Machinery, Teleseisms, Tremor

__all__ = ["FAMILIES", "FAMILY_NAMES"]

FAMILIES: tuple[Family, ...] = (
    LocalEvents(),
    Icequakes(),
    Tremor(),
    Teleseisms(),
    Machinery(),
    Glitches(),
)

FAMILY_NAMES = ("noise", *(family.name for family in FAMILIES))
"""Names by number; 0 is background alone."""
