"""What a stage that trains finds in its run's folder: a finished model, or something of other settings."""

from __future__ import annotations

from typing import Any

from scaledec.errors import StoreConflictError, StoreNotFoundError
from scaledec.location import Location
from scaledec.training.saved_model import SavedModel

__all__ = ["check_fingerprint", "finished_facts"]


def finished_facts(place: Location, run: Location, fingerprint: str, what: str) -> dict[str, Any] | None:
    """Facts of the model at ``place``, its fingerprint left out; ``None`` if there is none.

    Raises
    ------
    StoreConflictError
        If it was made with other settings.
    """
    try:
        facts = dict(SavedModel.load(place).facts)
    except StoreNotFoundError:
        return None
    check_fingerprint(run, fingerprint, facts.pop("fingerprint"), what)
    return facts


def check_fingerprint(run: Location, expected: str, found: str, what: str) -> None:
    """Refuse ``what`` was found in a run's folder if other settings made it (``StoreConflictError``)."""
    if found != expected:
        raise StoreConflictError(
            f"{run} holds {what} of other settings (fingerprint {found}, expected {expected}); "
            "choose another run name or delete that folder"
        )
