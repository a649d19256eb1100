"""Take over what another run of the same root has already made: its training set, its pretrained network.

Runs that differ in their clustering alone (another number of clusters, another method) share both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from scaledec.errors import StoreError, StoreNotFoundError
from scaledec.location import Location
from scaledec.places import Places

__all__ = ["adopt_pretrained", "adopt_training_set", "copy_folder"]

_log = logging.getLogger(__name__)


def adopt_training_set(places: Places, target: Location, fingerprint: str) -> str | None:
    """Copy to ``target`` the training set of a run that sampled with the same settings; return its name."""
    from scaledec.store.training import TrainingStore

    def found(other: str) -> str:
        return TrainingStore.open(places.training_set(other)).fingerprint

    return _adopt(fingerprint, found, places.training_set, places, target, last="zarr.json")


def adopt_pretrained(places: Places, run: str, fingerprint: str) -> str | None:
    """Copy the pretrained network of a run that trained with the same settings; return its name."""
    from scaledec.training.saved_model import SavedModel

    def found(other: str) -> str:
        return str(SavedModel.load(places.pretrained(other)).facts["fingerprint"])

    return _adopt(fingerprint, found, places.pretrained, places, places.pretrained(run), last="model.json")


def copy_folder(source: Location, target: Location, *, last: str) -> None:
    """Copy all below ``source``, the object named ``last`` at the end: a reader sees all or nothing."""
    names = source.list_tree()
    for name in [*(name for name in names if name != last), last]:
        target.child(name).write_bytes(source.child(name).read_bytes())


def _adopt(
    fingerprint: str,
    found: Callable[[str], str],
    place: Callable[[str], Location],
    places: Places,
    target: Location,
    *,
    last: str,
) -> str | None:
    for other in places.runs.list_names():
        if str(place(other)) == str(target):
            continue
        try:
            fits = found(other) == fingerprint
        except StoreNotFoundError:
            # That run has not come so far.
            continue
        except (StoreError, KeyError) as error:
            # Someone else's damage must not stop this run: it makes its own.
            _log.warning("nothing is taken over from run %r, which is damaged: %s", other, error)
            continue
        if fits:
            copy_folder(place(other), target, last=last)
            return other
    return None
