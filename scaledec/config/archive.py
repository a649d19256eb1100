"""Where the archive lies and how it is read."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, model_validator

from scaledec.config.imported import ForeignCubeConfig
from scaledec.config.section import Count, Positive, Section, StorageOptions
from scaledec.location import Location
from scaledec.transport.access import Access

__all__ = ["PUBLIC_BUCKETS", "AccessConfig", "ArchiveConfig"]


class AccessConfig(Section):
    """How patiently a remote archive is read; changes no result."""

    attempts: Count = 5
    """How often a request is tried in all, ever later, if its failure may pass (429, 5xx, no answer, ...)."""
    timeout_s: Positive = 60.0
    """Longest silence of the server before a request counts as failed."""
    concurrency: Count = 8
    """Requests of one process at the same time."""
    read_ahead_mb: Annotated[int, Field(ge=0)] = 64
    """Memory of a worker for objects that are fetched while it computes, and kept for the next task."""

    @property
    def read_ahead_bytes(self) -> int:
        """The same in bytes."""
        return self.read_ahead_mb * 1_000_000

    @property
    def settings(self) -> Access:
        """What requests need of it."""
        return Access(self.attempts, self.timeout_s, self.concurrency)


Layout: TypeAlias = Literal["sds", "files", "scedc", "ncedc", "earthscope", "geonet", "fdsn", "cube"]

PUBLIC_BUCKETS = {
    "scedc": "s3://scedc-pds",
    "ncedc": "s3://ncedc-pds",
    "earthscope": "s3://earthscope-geophysical-data",
    "geonet": "s3://geonet-open-data",
}
"""Where layouts named after a data centre are read from if no URL is given."""


class ArchiveConfig(Section):
    """Where the miniSEED lies and which part of it to use."""

    layout: Layout = "sds"
    """How keys are named: sds (YEAR/NET/STA/CHA.D/...) or files (any naming, indexed once by header);
    scedc, ncedc, earthscope, geonet: as those data centres name them; fdsn: a dataselect web service;
    cube: not miniSEED but spectrograms in a Zarr store, see archive.cube."""
    url: str
    """A folder, s3://bucket/prefix, gs://, az://, http(s)://, memory://... or any other fsspec URL; left out
    for scedc, ncedc, earthscope, geonet: their public buckets; for fdsn: the server, https://host."""
    channels: Annotated[tuple[str, ...], Field(min_length=1)] = ("*.*.*.*",)
    """Globs over NET.STA.LOC.CHA; a channel that matches any of them is used."""
    start: dt.date | dt.datetime | None = None
    """First instant wanted (UTC); null: from the archive's first day."""
    end: dt.date | dt.datetime | None = None
    """End of the time wanted (UTC, exclusive); null: to the archive's last day."""
    stationxml: str | None = None
    """Coordinates, operating epochs and responses: a StationXML file, a folder, glob or bucket prefix of them
    (storage_options are used where the scheme is that of url), or an FDSN station service
    (https://HOST/fdsnws/station/1); null: none."""
    storage_options: StorageOptions = {}
    """Passed to fsspec, e.g. {anon: true, endpoint_url: ...}. Credentials belong in the environment."""
    access: AccessConfig = AccessConfig()
    """How patiently a remote archive is read; changes no result."""
    use_index: bool = True
    """scedc: read the archive's Parquet index instead of listing days that have one (quicker for many
    stations; it tells no versions, so a file that changed is not noticed). false: list."""
    cube: ForeignCubeConfig | None = None
    """For layout cube, the names in the store: {power: NAME, dims: {time: NAME, ...}, scale: db, ...}."""

    @property
    def location(self) -> Location:
        """Where it lies, and how patiently it is read."""
        return Location(self.url, self.storage_options, self.access.settings)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_public_bucket(cls, data: Any) -> Any:
        """The address of a data centre, read anonymously, where none is given."""
        if not isinstance(data, dict) or data.get("url") is not None:
            return data
        bucket = PUBLIC_BUCKETS.get(data.get("layout", "sds"))
        if bucket is None:
            return {key: value for key, value in data.items() if key != "url"}
        return {**data, "url": bucket, "storage_options": {"anon": True, **data.get("storage_options", {})}}
