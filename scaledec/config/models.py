"""The configuration as frozen pydantic models: every key, its unit, its default and its meaning.

The docstring under a field is the comment that ``scaledec init`` writes above it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from scaledec.config.archive import AccessConfig, ArchiveConfig
from scaledec.config.clustering import ClusterConfig
from scaledec.config.compute import ComputeConfig, DaskConfig, RayConfig
from scaledec.config.imported import ImportedConfig
from scaledec.config.network import ONE_PLANE_PRESETS, ModelConfig
from scaledec.config.section import (
    Band,
    Count,
    Fraction,
    NonNegative,
    Positive,
    Section,
    StorageOptions,
)
from scaledec.config.tune import TuneConfig
from scaledec.config.windows import CatalogConfig, DetectorConfig, WindowsConfig
from scaledec.errors import ConfigError
from scaledec.grid import EventGrid, Grid, ImportedGrid, SpectrogramGrid, WindowGrid, Windows

__all__ = [
    "AccessConfig",
    "ArchiveConfig",
    "CatalogConfig",
    "ClusterConfig",
    "ComputeConfig",
    "Config",
    "DaskConfig",
    "DetectorConfig",
    "KaiserTaper",
    "LabelConfig",
    "ModelConfig",
    "PretrainConfig",
    "RayConfig",
    "ResponseConfig",
    "SpectrogramConfig",
    "StorageOptions",
    "Taper",
    "TukeyTaper",
    "TuneConfig",
    "WindowsConfig",
]


class KaiserTaper(Section):
    """A Kaiser taper of given beta."""

    kaiser: NonNegative
    """Beta: 0 is a boxcar, 5.7 is close to Hann."""


class TukeyTaper(Section):
    """A Tukey (cosine) taper."""

    tukey: Fraction
    """Fraction of the taper inside the cosine: 0 is a boxcar, 1 is Hann."""


Taper: TypeAlias = Literal["hann", "hamming", "boxcar"] | KaiserTaper | TukeyTaper


class ResponseConfig(Section):
    """Removal of the instrument response: power divided by |H(f)|^2 of the epoch that holds."""

    quantity: Literal["displacement", "velocity", "acceleration"] = "velocity"
    """Ground motion that power stands for, in SI units."""
    water_level_db: Positive = 60.0
    """Gains further than this below the largest one are raised to it, so that noise is not blown up."""


_LATER_KEYS = ("response", "imported")
_MEANT_FOR_IMPORTS = ("segment_s", "band_hz", "scale", "dtype", "imported")


class SpectrogramConfig(Section):
    """How samples become power on a grid of frames and frequencies."""

    sampling_rate_hz: Positive = 100.0
    """Rate of the samples that are transformed; faster channels are decimated to it, slower ones refused."""
    segment_s: Positive = 86_400.0
    """Length of the unit of work and of one shard of the cube; must divide a UTC day."""
    window_s: Positive = 2.56
    """Length of one frame (STFT column); a whole number of samples."""
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Fraction of a frame shared with the next one; rounded to whole samples."""
    nfft: Count | None = None
    """Points of the transform, zero-padded from the frame's samples; null: the frame's samples."""
    band_hz: Band | None = None
    """Frequencies to store, both ends included; null: all from 0 to half the sampling rate."""
    taper: Taper = "hann"
    """hann, hamming, boxcar, {kaiser: beta} or {tukey: fraction}."""
    detrend: Literal["none", "constant", "linear"] = "constant"
    """What is removed from each unbroken piece of a segment before anything else."""
    bandpass_hz: Band | None = None
    """Zero-phase band-pass in the time domain; null: none (band_hz selects frequencies at no cost)."""
    response: ResponseConfig | None = None
    """Ground motion in place of counts; needs archive.stationxml. null: counts; otherwise
    {quantity: displacement, velocity or acceleration, water_level_db: 60}."""
    scale: Literal["db", "linear"] = "db"
    """db: 10 log10 of power; linear: power; in counts^2/Hz, or in (m, m/s or m/s^2)^2/Hz with a response."""
    dtype: Literal["float16", "float32"] = "float16"
    """How power is stored; float16 needs scale db (exact to 0.07 dB down to -256 dB, to 0.13 dB below)."""
    imported: ImportedConfig | None = None
    """For archive.layout cube, what its frames and frequencies are: {hop_s: ..., frequency_hz: {first: ...,
    step: ..., count: ...}}; segment_s, band_hz, scale and dtype then hold as ever, all else is decided
    already."""

    @model_serializer(mode="wrap")
    def _leave_out_later_keys(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A key that was added later is not written while it is null: the fingerprint and the attributes of
        # cubes made before it was there stay what they are.
        written: dict[str, Any] = write(self)
        if self.imported is not None:
            return {name: written[name] for name in _MEANT_FOR_IMPORTS}
        return {
            name: value for name, value in written.items() if name not in _LATER_KEYS or value is not None
        }

    def given_in_vain(self) -> list[str]:
        """Keys set to something of their own that mean nothing where spectrograms are imported."""
        others = {
            name: field for name, field in type(self).model_fields.items() if name not in _MEANT_FOR_IMPORTS
        }
        return [name for name, field in others.items() if getattr(self, name) != field.default]


class PretrainConfig(Section):
    """The training set and the autoencoder's training on it."""

    windows: Count = 50_000
    """Windows sampled from the whole cube, equally over channels."""
    exclude: tuple[str, ...] = ()
    """Globs of channels left out of the training set; they are labelled all the same (held-out stations)."""
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of windows held out, whole segments of whole stations at a time."""
    epochs: Count = 100
    """At most this many passes over the training windows."""
    batch: Count = 64
    """Windows of one optimiser step, over all workers together."""
    learning_rate: Positive = 1e-3
    """Of Adam."""
    patience: Count = 10
    """Stop after this many epochs without a lower validation loss."""
    seed: int = 0
    """Of sampling, splitting, initial weights and shuffling."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """Of the forward pass while training, here and in clustering. tf32 and bfloat16 are for GPUs: on a CPU
    they gain nothing."""

    @model_serializer(mode="wrap")
    def _leave_out_later_keys(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # So the fingerprints of runs made before this key was there stay what they are.
        written: dict[str, Any] = write(self)
        return {name: value for name, value in written.items() if name != "precision" or value != "float32"}


class LabelConfig(Section):
    """Labelling of the whole archive."""

    embedding: bool = True
    """Store each window's embedding beside its label."""
    segments_per_shard: Count = 32
    """Segments of one channel in one shard of the label store: the unit of labelling work."""
    batch: Count = 256
    """Windows encoded at once; more than 256 loses speed on a CPU."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """In which the encoder computes; bfloat16 is faster on most GPUs and newer CPUs, and gives a few windows
    near the border of two clusters the other label."""


class Config(Section):
    """Everything one run needs."""

    root: str
    """Where everything scaledec writes goes: a folder or any fsspec URL."""
    storage_options: StorageOptions = {}
    """Passed to fsspec for root. Credentials belong in the environment."""
    run: str | None = None
    """Name of the trained model and its labels; null: made from the settings that decide them."""
    archive: ArchiveConfig
    spectrogram: SpectrogramConfig = SpectrogramConfig()
    windows: WindowsConfig = WindowsConfig()
    model: ModelConfig = ModelConfig()
    pretrain: PretrainConfig = PretrainConfig()
    cluster: ClusterConfig = ClusterConfig()
    label: LabelConfig = LabelConfig()
    compute: ComputeConfig = ComputeConfig()
    tune: TuneConfig = TuneConfig()

    @model_validator(mode="after")
    def _check_across_sections(self) -> Config:
        if self.spectrogram.dtype == "float16" and self.spectrogram.scale == "linear":
            raise ConfigError(
                "spectrogram.dtype is float16 with scale linear: power in counts^2/Hz overflows float16 "
                "(65504); use scale: db, or dtype: float32"
            )
        if self.model.preset in ONE_PLANE_PRESETS and self.windows.components is not None:
            raise ConfigError(
                f"model.preset is {self.model.preset}, a published network for windows of one plane, and "
                "windows.components is set: leave one of them out"
            )
        if self.spectrogram.response is not None and self.archive.stationxml is None:
            raise ConfigError(
                "spectrogram.response is set and archive.stationxml is not; give the StationXML that holds "
                "the responses (a file, a folder or an FDSN station service), or leave out "
                "spectrogram.response"
            )
        if self.windows.needs_coordinates and self.archive.stationxml is None:
            raise ConfigError(
                "windows.catalog.travel_time is set and archive.stationxml is not; give the StationXML that "
                "says where the channels stand, or set travel_time to none"
            )
        self._check_layout()
        if self.archive.layout != "cube" or self.spectrogram.imported is not None:
            # Building the grids runs their own checks (whole hops, band inside Nyquist, window in segment).
            _ = self.window_grid
        return self

    def _check_layout(self) -> None:
        is_cube = self.archive.layout == "cube"
        if is_cube != (self.archive.cube is not None):
            told = "is missing" if is_cube else "is set"
            raise ConfigError(
                f"archive.layout is {self.archive.layout} and archive.cube {told}: layout cube needs it "
                "(archive.cube: {power: NAME, ...}), the others have no use for it"
            )
        if not is_cube and self.spectrogram.imported is not None:
            raise ConfigError(
                "spectrogram.imported is set and archive.layout is "
                f"{self.archive.layout}; it describes a foreign cube, archive.layout: cube"
            )
        if is_cube and (names := self.spectrogram.given_in_vain()):
            raise ConfigError(
                f"spectrogram.{names[0]} cannot be chosen for spectrograms that are there already "
                "(archive.layout: cube); leave it out"
            )

    @property
    def spectrogram_grid(self) -> Grid:
        """The grid of samples (unless imported), frames and frequencies that ``spectrogram`` describes."""
        s = self.spectrogram
        if self.archive.layout == "cube":
            return self._imported_grid
        return SpectrogramGrid.from_lengths(
            sampling_rate_hz=s.sampling_rate_hz,
            segment_s=s.segment_s,
            window_s=s.window_s,
            overlap=s.overlap,
            nfft=s.nfft,
            band_hz=s.band_hz,
        )

    @property
    def _imported_grid(self) -> ImportedGrid:
        s = self.spectrogram
        if s.imported is None:
            raise ConfigError(
                "spectrogram.imported is missing: archive.layout cube needs the hop and the frequencies of "
                "the foreign cube; `scaledec plan` reads them there and prints what to write"
            )
        return ImportedGrid.from_lengths(
            segment_s=s.segment_s,
            hop_s=s.imported.hop_s,
            frequencies_hz=s.imported.frequencies_hz,
            band_hz=s.band_hz,
        )

    @property
    def window_grid(self) -> Windows:
        """Where windows lie in a segment."""
        w = self.windows
        grid = self.spectrogram_grid
        if w.of_events:
            if not isinstance(grid, SpectrogramGrid):
                raise ConfigError(
                    f"windows.mode is {w.mode}, but archive.layout is cube: events are found in samples, and "
                    "imported spectrograms have none; use mode: continuous"
                )
            return EventGrid.from_lengths(
                grid, length_s=w.length_s, max_events=w.max_events, min_coverage=w.min_coverage
            )
        return WindowGrid.from_lengths(
            grid, length_s=w.length_s, stride_s=w.stride_s, min_coverage=w.min_coverage
        )
