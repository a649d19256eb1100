"""From the configuration's spectrogram section to the objects that compute: told once for plan and task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaledec.archive.responses import ResponseRequest
from scaledec.config import Config, SpectrogramConfig, WindowsConfig, cube_fingerprint, event_settings
from scaledec.config.models import KaiserTaper, TukeyTaper
from scaledec.grid import EventGrid, Grid, SpectrogramGrid
from scaledec.numerics.signal.preprocess import Preprocessor
from scaledec.numerics.signal.taper import make_taper

if TYPE_CHECKING:
    from scaledec.numerics.signal.stft import SpectrogramTransform
    from scaledec.stages.event_finder import EventFinder
    from scaledec.store.cube_template import CubeTemplate

__all__ = [
    "event_margins",
    "gains_wanted",
    "make_finder",
    "make_preprocessor",
    "make_template",
    "make_transform",
    "native_margins",
]


def make_template(config: Config) -> CubeTemplate:
    """The structure of the cube that a configuration asks for."""
    from scaledec.store.cube_template import CubeTemplate, EventRoom

    windows = config.window_grid
    return CubeTemplate(
        grid=config.spectrogram_grid,
        scale=config.spectrogram.scale,
        dtype=config.spectrogram.dtype,
        fingerprint=cube_fingerprint(config),
        settings=config.spectrogram.model_dump(mode="json"),
        events=EventRoom(windows.length, windows.max_events) if isinstance(windows, EventGrid) else None,
        event_settings=event_settings(config),
    )


def make_finder(
    settings: WindowsConfig, windows: EventGrid, spectrogram: SpectrogramConfig, grid: SpectrogramGrid
) -> EventFinder:
    """What finds events and centres their windows; its buffers serve one thread."""
    from scaledec.stages.event_finder import EventFinder

    linear = spectrogram.model_copy(update={"scale": "linear", "dtype": "float32"})
    return EventFinder(settings, windows, grid, make_transform(linear, grid) if settings.centre else None)


def make_transform(settings: SpectrogramConfig, grid: SpectrogramGrid) -> SpectrogramTransform:
    """The transform of a segment's samples; its buffers serve one thread."""
    # It loads torch, which planning does without.
    from scaledec.numerics.signal.stft import SpectrogramTransform

    if isinstance(settings.taper, KaiserTaper):
        taper = make_taper("kaiser", grid.nperseg, settings.taper.kaiser)
    elif isinstance(settings.taper, TukeyTaper):
        taper = make_taper("tukey", grid.nperseg, settings.taper.tukey)
    else:
        taper = make_taper(settings.taper, grid.nperseg)
    return SpectrogramTransform(
        grid.nperseg,
        grid.hop,
        grid.nfft,
        grid.first_bin,
        grid.stop_bin,
        taper,
        grid.sampling_rate_hz,
        scale=settings.scale,
        dtype=settings.dtype,
    )


def make_preprocessor(settings: SpectrogramConfig, native_rate_hz: float) -> Preprocessor:
    """What is done to samples of one native rate; ``ValueError`` if the rate cannot serve the cube."""
    return Preprocessor(
        native_rate_hz,
        settings.sampling_rate_hz,
        detrend=settings.detrend,
        bandpass_hz=settings.bandpass_hz,
    )


def gains_wanted(settings: SpectrogramConfig, grid: Grid) -> ResponseRequest | None:
    """The instrument gains that a cube needs; ``None`` where it holds counts."""
    if settings.response is None or not isinstance(grid, SpectrogramGrid):
        return None
    return ResponseRequest(
        quantity=settings.response.quantity,
        water_level_db=settings.response.water_level_db,
        sampling_rate_hz=grid.sampling_rate_hz,
        nfft=grid.nfft,
        first_bin=grid.first_bin,
        stop_bin=grid.stop_bin,
    )


def native_margins(preprocessor: Preprocessor, grid: SpectrogramGrid) -> tuple[int, int]:
    """Native samples to read before a segment's start and after its end.

    Before: what the filter reaches. After: that, and the samples of the next segment that the last
    frames use.
    """
    needed = preprocessor.native_length(grid.samples_per_segment + grid.tail_samples)
    before = preprocessor.margin_samples
    own = -(-grid.samples_per_segment * preprocessor.down // preprocessor.up)
    return before, max(0, needed - before - own)


def event_margins(preprocessor: Preprocessor, grid: SpectrogramGrid, lead: int, tail: int) -> tuple[int, int]:
    """Native samples to read around a segment so that ``lead`` and ``tail`` samples come out around it.

    The lead is rounded up to where both rates have a sample.
    """
    steps = -(-lead // preprocessor.up)
    needed = preprocessor.native_length(steps * preprocessor.up + grid.samples_per_segment + tail)
    before = preprocessor.margin_samples + steps * preprocessor.down
    own = -(-grid.samples_per_segment * preprocessor.down // preprocessor.up)
    return before, max(0, needed - before - own)
