"""Small real cubes for tests: segments of ten minutes with a frame a second."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scaledec.config import Config, cube_fingerprint, run_fingerprint
from scaledec.ledger.ledger import Ledger
from scaledec.numerics.nets.presets import NetworkSpec
from scaledec.numerics.normalise import Normaliser
from scaledec.places import Places
from scaledec.stages.label import LabelContext
from scaledec.stages.label_plan import LabelPlan, plan_labels
from scaledec.store.cube import CubeStore, CubeTemplate
from scaledec.store.labels import LabelStore, LabelTemplate
from scaledec.training.saved_model import SavedModel
from scaledec.vocabulary import ChannelId, LabelTask, TaskResult, parse_time, task_key

START_NS = parse_time("2020-01-01")
N_FRAMES = 600


def small_config(root: Path, **sections: Mapping[str, Any]) -> Config:
    """8 Hz samples, frames of 2 s every second, 9 frequencies, windows of 16 s every 8 s."""
    values: dict[str, Any] = {
        "root": str(root),
        "archive": {"url": "memory://none"},
        "spectrogram": {"sampling_rate_hz": 8, "segment_s": N_FRAMES, "window_s": 2, "overlap": 0.5},
        "windows": {"length_s": 16, "stride_s": 8, "min_coverage": 1.0},
        "model": {"widths": [4, 8], "latent": 3},
        "pretrain": {"windows": 400, "validation": 0.2, "seed": 3},
        "cluster": {"n_clusters": 3},
        "label": {"segments_per_shard": 2},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return Config.model_validate(values)


def channels_of(n: int) -> list[ChannelId]:
    """``XX.S00..HHZ``, ``XX.S00..HHN``, ``XX.S01..HHZ``, ...: two channels a station."""
    return [ChannelId("XX", f"S{index // 2:02}", "", ("HHZ", "HHN")[index % 2]) for index in range(n)]


def make_cube(
    config: Config, channels: Sequence[ChannelId], n_segments: int, *, empty: Sequence[tuple[int, int]] = ()
) -> CubeStore:
    """A cube of :func:`expected_power`, but for the segments (channel, time) that are left empty."""
    template = CubeTemplate(
        grid=config.spectrogram_grid,
        scale="db",
        dtype=config.spectrogram.dtype,
        fingerprint=cube_fingerprint(config),
        settings=config.spectrogram.model_dump(mode="json"),
    )
    place = Places.at(config.root).cube
    cube = CubeStore.create_or_extend(place, template, channels, START_NS, n_segments)
    for channel_index in range(len(channels)):
        for time_index in range(n_segments):
            if (channel_index, time_index) not in empty:
                fill_segment(cube, channel_index, time_index)
    return CubeStore.open(place)


def fill_segment(cube: CubeStore, channel_index: int, time_index: int, *, gap: slice = slice(0, 0)) -> int:
    """Write one segment; frames of ``gap`` hold no sample."""
    power = expected_power(cube, channel_index, time_index)
    coverage = np.full(len(power), 100, np.uint8)
    power[gap] = np.nan
    coverage[gap] = 0
    return cube.write_segment(channel_index, time_index, power, coverage)


def expected_power(cube: CubeStore, channel_index: int, time_index: int) -> np.ndarray[Any, np.dtype[Any]]:
    frame = np.arange(cube.grid.n_frames)[:, None]
    frequency = np.arange(cube.grid.n_frequencies)[None, :]
    place = 100 * channel_index + time_index + frame / 1000 + frequency / 8
    rng = np.random.default_rng([channel_index, time_index])
    noise = rng.normal(scale=8, size=place.shape)
    return np.asarray(place + noise, dtype=cube.template.dtype)


def cube_results(cube: CubeStore) -> dict[str, TaskResult]:
    """What the ledger of the cube would hold: one result for every segment with power."""
    results = {}
    for channel_index, channel in enumerate(cube.channels):
        for time_index in range(cube.n_segments):
            if not cube.read_coverage(channel_index, time_index).any():
                continue
            key = task_key(channel, cube.segment_start_ns(time_index))
            checksum = cube.checksum(channel_index, time_index)
            results[key] = TaskResult(key, "fixed", "done", details={"checksum": checksum})
    return results


def save_model(config: Config, run: str = "run", *, seed: int = 0) -> str:
    """A model with random weights whose centroids are embeddings of random windows; its checksum."""
    grid, windows = config.spectrogram_grid, config.window_grid
    spec = NetworkSpec(windows.length, grid.n_frequencies, config.model.widths, config.model.latent)
    rng = np.random.default_rng(seed)
    examples = rng.normal(size=(64, windows.length, grid.n_frequencies)).astype(np.float32) * 8 + 50
    normaliser = Normaliser.fit("whiten", [examples])
    model = SavedModel(spec.build(seed), spec, normaliser)
    centroids = model.embed(examples[: config.cluster.n_clusters]).astype(np.float64)
    model = dataclasses.replace(model, method="kmeans", centroids=centroids)
    model = model.referring_to(model.embed(examples))
    return model.save(Places.at(config.root).run(run))


def make_labels(config: Config, cube: CubeStore, run: str = "run") -> LabelContext:
    """An empty label store of a saved model, and the context to fill it."""
    places = Places.at(config.root)
    model = SavedModel.load(places.run(run))
    template = LabelTemplate(
        run=run,
        fingerprint=run_fingerprint(config),
        method=model.method,
        grid=cube.grid,
        windows=config.window_grid,
        segments_per_shard=config.label.segments_per_shard,
        centroid=model.centroids,
        prototype=model.prototypes(),
        prototype_units="1",
        embedding=config.label.embedding,
        confidence="soft assignment",
    )
    store = LabelStore.create_or_extend(
        places.labels(run), template, cube.channels, cube.start_ns, cube.n_segments
    )
    return LabelContext(
        cube=places.cube,
        model=places.run(run),
        labels=store.location,
        windows=config.window_grid,
        batch=config.label.batch,
        embedding=config.label.embedding,
    )


def plan_for(config: Config, cube: CubeStore, checksum: str, run: str = "run") -> LabelPlan:
    """The plan of what is left, from what the cube holds and the run's ledger."""
    done = Ledger(Places.at(config.root).label_ledger(run)).read()
    return plan_labels(config, cube, cube_results(cube), done, model_checksum=checksum)


@dataclasses.dataclass(frozen=True)
class SmallRun:
    """A cube with a model, and what is left to label."""

    config: Config
    cube: CubeStore
    context: LabelContext
    tasks: tuple[LabelTask, ...]


def small_run(root: Path, n_channels: int, n_segments: int) -> SmallRun:
    """A full cube with a model; what already lies at ``root`` is found again, and its ledger counts."""
    config = small_config(root)
    place = Places.at(config.root).cube
    channels = channels_of(n_channels)
    cube = CubeStore.open(place) if place.exists() else make_cube(config, channels, n_segments)
    checksum = save_model(config)
    return SmallRun(config, cube, make_labels(config, cube), plan_for(config, cube, checksum).tasks)


def label_bytes(context: LabelContext) -> dict[str, bytes]:
    """Every file of a label store but the root's metadata, which holds the time of creation."""
    files = file_bytes(context.labels.path)
    return {name: data for name, data in files.items() if name != "zarr.json"}


def file_bytes(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
