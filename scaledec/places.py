"""Where each product lies below the root: the names on disk, said once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaledec.errors import ConfigError
from scaledec.location import Location

__all__ = ["Places"]


@dataclass(frozen=True, slots=True)
class Places:
    """The places below one root.

    Examples
    --------
    >>> str(Places.at("s3://bucket/project").labels("idec-8"))
    's3://bucket/project/labels/idec-8.zarr'
    """

    root: Location

    @classmethod
    def at(cls, root: str, storage_options: Mapping[str, Any] | None = None) -> Places:
        """The places below the root of this URL; a relative path is taken from this process's folder now.

        Workers elsewhere have another current folder, so it must not be taken from there.
        """
        place = Location(root, storage_options or {})
        return cls(Location(str(place.path.absolute())) if place.is_local else place)

    @property
    def cube(self) -> Location:
        """Spectrograms of all channels and segments."""
        return self.root.child("cube.zarr")

    @property
    def runs(self) -> Location:
        """One folder a run."""
        return self.root.child("runs")

    @property
    def all_labels(self) -> Location:
        """One label store a run."""
        return self.root.child("labels")

    @property
    def index(self) -> Location:
        """What was learned of an archive's objects from their headers."""
        return self.root.child("_scaledec", "index")

    @property
    def bookkeeping(self) -> Location:
        """Ledgers, records, the index, and the lock of the coordinator: beside the stores, never in them."""
        return self.root.child("_scaledec")

    @property
    def stations(self) -> Location:
        """What was learned of stations from StationXML."""
        return self.root.child("_scaledec", "stations")

    @property
    def responses(self) -> Location:
        """Power gains on the cube's frequencies, one small object a response."""
        return self.root.child("_scaledec", "responses")

    @property
    def records(self) -> Location:
        """One record a command that wrote: configuration, versions, host, outcome."""
        return self.root.child("_scaledec", "records")

    def run(self, name: str) -> Location:
        """Everything of one run but its labels."""
        return self.runs.child(_checked(name))

    def training_set(self, name: str) -> Location:
        """The windows a run was trained on."""
        return self.run(name).child("training.zarr")

    def pretrained(self, name: str) -> Location:
        """The pretrained network of a run, before clustering."""
        return self.run(name).child("pretrained")

    def search(self, name: str) -> Location:
        """The trials of one search for training settings."""
        return self.root.child("tune", _checked(name))

    def labels(self, name: str) -> Location:
        """The label store of one run."""
        return self.all_labels.child(f"{_checked(name)}.zarr")

    def catalog(self, name: str) -> Location:
        """The labels of one run as Parquet files."""
        return self.root.child("catalog", _checked(name))

    def ledger(self, product: str) -> Location:
        """The ledger of one product: ``cube``, ``labels/RUN`` or ``catalog/RUN``."""
        return self.root.child("_scaledec", "ledger", product)

    def progress(self, product: str) -> Location:
        """How far the stage that makes a product has come."""
        return self.root.child("_scaledec", "progress", f"{product}.json")

    def label_ledger(self, name: str) -> Location:
        """The ledger of the labels of one run."""
        return self.ledger(f"labels/{_checked(name)}")

    def catalog_ledger(self, name: str) -> Location:
        """The ledger of the catalog of one run."""
        return self.ledger(f"catalog/{_checked(name)}")


def _checked(name: str) -> str:
    if not name or name.startswith(".") or "/" in name or "\\" in name:
        raise ConfigError(f"run is named {name!r}; expected a plain name without slashes, e.g. spring-2020")
    return name
