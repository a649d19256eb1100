"""The windows section: pieces of the cube at a stride, at detections, or at the entries of a catalogue."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from scaledec.config.section import Count, Fraction, NonNegative, Positive, Section, StorageOptions
from scaledec.errors import ConfigError

__all__ = ["CatalogConfig", "DetectorConfig", "WindowsConfig"]


class DetectorConfig(Section):
    """What finds events in the preprocessed samples (mode: triggered)."""

    kind: Literal["sta_lta", "recursive_sta_lta", "z_detect"] = "recursive_sta_lta"
    """sta_lta and recursive_sta_lta: short over long-term average of the squared samples; z_detect: standard
    deviations of the short-term energy above its mean over the segment. Values are those of ObsPy."""
    sta_s: Positive = 0.5
    """Short window."""
    lta_s: Positive = 30.0
    """Long window (z_detect has none); nothing is found so soon after a gap."""
    on: Positive = 15.0
    """An event begins where the detector's value reaches this."""
    off: Positive = 10.0
    """And ends where it falls below this."""
    by: Literal["station", "channel"] = "station"
    """station: one channel of each station detects (a vertical one, else the first by name) and all its
    channels get windows at the same times, so no event counts twice; channel: each detects for itself."""

    @model_validator(mode="after")
    def _check(self) -> DetectorConfig:
        if self.off > self.on:
            raise ConfigError(
                f"windows.detector.off is {self.off:g}, above on ({self.on:g}); expected at most that: "
                "an event ends where the value has fallen"
            )
        if self.kind != "z_detect" and self.sta_s >= self.lta_s:
            raise ConfigError(
                f"windows.detector.sta_s is {self.sta_s:g}; expected less than lta_s ({self.lta_s:g})"
            )
        return self


class CatalogConfig(Section):
    """Picks or origins that windows are cut around (mode: catalog)."""

    url: str | None = None
    """QuakeML (.xml, .qml, .quakeml) or CSV: a column time (UTC, ISO 8601) and, for picks, network, station
    and optionally location, channel and phase; rows without a station are origins and serve every channel,
    with latitude, longitude and depth_km (10 where it is not told) if travel_time needs them."""
    phase: str | None = None
    """Only picks of this phase, e.g. P; null: all."""
    travel_time: Literal["none", "P", "S"] | Positive = "none"
    """When a channel has its window at an origin: none: at the origin time itself; P or S: at the first P or
    S arrival by TauP (core and diffracted phases included); a number: after so many km/s along the surface.
    All but none need archive.stationxml, for where channels stand. Picks are taken as they are."""
    travel_time_model: Literal["iasp91", "ak135", "prem"] = "iasp91"
    """The Earth that TauP takes."""
    storage_options: StorageOptions = {}
    """Passed to fsspec for url."""

    def deciding(self) -> dict[str, Any]:
        """The settings that decide which windows there are; where the catalogue lies is none of them."""
        decisive = {"phase"}
        if self.travel_time != "none":
            decisive |= {"travel_time"}
        if isinstance(self.travel_time, str) and self.travel_time != "none":
            decisive |= {"travel_time_model"}
        return self.model_dump(mode="json", include=decisive)


class WindowsConfig(Section):
    """The pieces of the cube that a network sees."""

    mode: Literal["continuous", "triggered", "catalog"] = "continuous"
    """continuous: windows follow one another at a stride; triggered: one at each detection of an event;
    catalog: one at each pick or origin of a catalogue."""
    length_s: Positive = 81.92
    """Length of a window; rounded to whole frames."""
    stride_s: Positive | None = None
    """From one window's start to the next (continuous); null: the length (windows side by side)."""
    min_coverage: Fraction = 1.0
    """Least share of real samples behind a window; below it the window is left unlabelled."""
    detector: DetectorConfig = DetectorConfig()
    """What finds events in the preprocessed samples (mode: triggered)."""
    catalog: CatalogConfig = CatalogConfig()
    """Picks or origins that windows are cut around (mode: catalog)."""
    min_interval_s: NonNegative = 5.0
    """A detection this soon after one that was kept is the same event (triggered)."""
    centre: bool = False
    """Move each window so that its middle is the peak of the power inside the stored band, looked for over
    one window's length from the detection or pick on (triggered, catalog)."""
    before_s: NonNegative = 0.0
    """How long before its detection or pick a window begins, where it is not centred (triggered, catalog)."""
    max_events: Count = 512
    """Room for events in a segment; of more, the strongest are kept and the rest counted."""
    components: Annotated[str, Field(pattern=r"^[A-Z0-9]{2,}(,[A-Z0-9]{2,})*$")] | None = None
    """Components of a sensor that are stacked as planes of one window, in this order: ZNE, or ZNE,Z12 where
    some sensors have other codes; labels are then of sensors (NET.STA.LOC.HH?). null: each channel alone."""
    missing_components: Literal["skip", "zero"] = "skip"
    """A window without all its components: skip leaves it unlabelled, zero fills the missing planes."""

    @property
    def of_events(self) -> bool:
        """Whether windows lie at events."""
        return self.mode != "continuous"

    @property
    def needs_coordinates(self) -> bool:
        """Whether windows lie where something arrives, which depends on where channels stand."""
        return self.mode == "catalog" and self.catalog.travel_time != "none"

    def deciding(self) -> dict[str, Any]:
        """The settings that decide which windows there are, as JSON values.

        Settings of other modes, and where a catalogue lies, are left out: they change no number.
        """
        shared = {"mode", "length_s", "min_coverage"}
        if self.components is not None:
            shared |= {"components", "missing_components"}
        of_mode = {
            "continuous": {"stride_s"},
            "triggered": {"detector", "min_interval_s", "centre", "before_s", "max_events"},
            "catalog": {"catalog", "centre", "before_s", "max_events"},
        }[self.mode]
        values = self.model_dump(mode="json", include=shared | of_mode)
        if "catalog" in values:
            values["catalog"] = self.catalog.deciding()
        return values

    @property
    def n_planes(self) -> int:
        """Planes of a window."""
        return 1 if self.components is None else len(self.components.split(",")[0])

    @model_validator(mode="after")
    def _check_components(self) -> WindowsConfig:
        codes = [] if self.components is None else self.components.split(",")
        if len(set(map(len, codes))) > 1 or any(len(set(one)) < len(one) for one in codes):
            raise ConfigError(
                f"windows.components is {self.components!r}; expected codes of one length, none twice in "
                "one: ZNE, or ZNE,Z12"
            )
        return self

    @model_validator(mode="after")
    def _check(self) -> WindowsConfig:
        alone = self.mode == "triggered" and self.detector.by == "channel"
        if self.components is not None and (alone or (self.mode == "catalog" and self.centre)):
            raise ConfigError(
                "windows.components stacks windows that begin together, but "
                + ("detector.by is channel: use station" if alone else "centre moves each: use false")
            )
        if self.of_events and self.stride_s is not None:
            raise ConfigError(
                f"windows.stride_s is {self.stride_s:g} with mode {self.mode}: windows lie where events are; "
                "leave it out, or use mode: continuous"
            )
        if self.mode == "catalog" and self.catalog.url is None:
            raise ConfigError("windows.mode is catalog, but windows.catalog.url is not given: name a file")
        return self
