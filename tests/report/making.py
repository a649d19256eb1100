"""Small finished runs, made directly with the stores: what a report is drawn from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scaledec.config import Config, cube_fingerprint, dump_config
from scaledec.grid import EventGrid
from scaledec.numerics.nets.presets import NetworkSpec
from scaledec.numerics.normalise import Normaliser
from scaledec.places import Places
from scaledec.store.cube import CubeStore, CubeTemplate
from scaledec.store.event_variables import NOT_A_TIME
from scaledec.store.labels import LabelBlock, LabelStore, LabelTemplate
from scaledec.store.names import ClusterName, write_names
from scaledec.store.training import TrainingStore, TrainingTemplate
from scaledec.training.saved_model import SavedModel
from scaledec.vocabulary import ChannelId, WindowState
from tests.stages.small_cubes import START_NS, small_config

RUN = "small"
LATENT = 3
SEGMENT_S = 7200
HARD_NAME = '<b>$x_1 & 氷震</b> "quoted" and far too long for any legend'


@dataclass(frozen=True, kw_only=True)
class Made:
    """What there is of a run; all but the labels may be missing."""

    clusters: int = 3
    stations: int = 2
    segments: int = 12
    cube: bool = True
    training: bool = True
    model: bool = True
    metrics: bool = True
    coordinates: bool = True
    events: bool = False
    hard_names: bool = False


def make_run(folder: Path, made: Made) -> Config:
    """Write a run below ``folder``; its configuration."""
    config = small_config(
        folder / "root",
        archive={"url": str(folder / "no-archive")},
        spectrogram={"segment_s": SEGMENT_S},
        windows={"stride_s": 16},
        cluster={"n_clusters": made.clusters},
    ).model_copy(update={"run": RUN})
    places = Places.at(config.root)
    channels = [ChannelId("XX", f"S{n:03}", "", "HHZ") for n in range(made.stations)]
    spec = NetworkSpec(16, 9, (4, 8), LATENT)
    rng = np.random.default_rng(1)
    centroid = 4 * rng.standard_normal((made.clusters, LATENT))
    network = spec.build(seed=2)
    windows = rng.normal(-90, 6, (400, 16, 9)).astype(np.float16)
    model = SavedModel(network, spec, Normaliser.fit("whiten", [windows]), "idec", centroid)
    write_labels(config, made, channels, model)
    if made.cube:
        write_cube(config, made, channels)
    if made.training:
        write_training(config, made, channels, centroid, windows)
    if made.model:
        model.save(places.run(RUN))
    if made.metrics:
        write_metrics(config)
    if made.hard_names:
        write_names(places.run(RUN), {1: ClusterName(HARD_NAME, "a note with <script>alert(1)</script>")})
    places.run(RUN).child("config.yaml").write_bytes(dump_config(config).encode())
    return config


def write_labels(config: Config, made: Made, channels: list[ChannelId], model: SavedModel) -> LabelStore:
    grid = config.spectrogram_grid
    windows = EventGrid(16, 20, grid.hop_s, 1.0) if made.events else config.window_grid
    template = LabelTemplate(
        run=RUN,
        fingerprint="0123456789abcdef",
        method="idec",
        grid=grid,
        windows=windows,
        segments_per_shard=5,
        centroid=model.centroids,
        prototype=model.prototypes(),
        prototype_units="1",
        embedding=False,
        confidence="soft assignment",
    )
    where = {c: (-77.0 + 0.1 * (n % 10), 165.0 + 0.3 * (n // 10)) for n, c in enumerate(channels)}
    known = {
        "latitude": {c: place[0] for c, place in where.items()},
        "longitude": {c: place[1] for c, place in where.items()},
    }
    store = LabelStore.create_or_extend(
        Places.at(config.root).labels(RUN),
        template,
        channels,
        START_NS,
        made.segments,
        known if made.coordinates else None,
    )
    for channel in range(len(channels)):
        for first in range(0, made.segments, 5):
            stop = min(first + 5, made.segments)
            store.write_region(label_block(made, windows, channel, first, stop))
    return store


def label_block(made: Made, windows: Any, channel: int, first: int, stop: int) -> LabelBlock:
    """Every cluster somewhere; the last segment of every channel has no labels."""
    rng = np.random.default_rng([channel, first])
    shape = stop - first, windows.n_windows
    weight = 0.6 ** np.arange(made.clusters)
    label = rng.choice(made.clusters, shape, p=weight / weight.sum()).astype(np.int16)
    if stop == made.segments and made.segments > 1:
        label[-1] = -1
    onset = None
    if made.events:
        onset = (
            START_NS
            + (np.arange(first, stop)[:, None] * SEGMENT_S + np.sort(rng.integers(0, SEGMENT_S, shape)))
            * 10**9
        )
        there = np.arange(shape[1])[None] < rng.integers(2, shape[1], (shape[0], 1))
        label = np.where(there, label, -1).astype(np.int16)
        onset = np.where(there, onset, NOT_A_TIME)
    gone = label < 0
    confidence = np.where(gone, np.nan, 0.3 + 0.7 * rng.random(shape)).astype(np.float32)
    distance = np.where(gone, np.nan, rng.gamma(3.0 + label, 1.0)).astype(np.float32)
    state = np.where(gone, WindowState.NO_DATA, WindowState.LABELLED).astype(np.uint8)
    if onset is not None:
        state[onset == NOT_A_TIME] = WindowState.NO_EVENT
    return LabelBlock(channel, first, label, confidence, distance, distance, state, onset=onset)


def write_cube(config: Config, made: Made, channels: list[ChannelId]) -> None:
    grid = config.spectrogram_grid
    template = CubeTemplate(
        grid=grid, scale="db", dtype="float16", fingerprint=cube_fingerprint(config), settings={}
    )
    places = Places.at(config.root)
    cube = CubeStore.create_or_extend(places.cube, template, channels, START_NS, made.segments)
    power = np.random.default_rng(0).normal(-90, 6, (grid.n_frames, grid.n_frequencies)).astype(np.float16)
    for channel in range(len(channels)):
        for segment in range(made.segments):
            cube.write_segment(channel, segment, power, np.full(grid.n_frames, 100, np.uint8))


def write_training(
    config: Config,
    made: Made,
    channels: list[ChannelId],
    centroid: npt.NDArray[np.float64],
    windows: npt.NDArray[np.float16],
) -> None:
    grid, n = config.spectrogram_grid, len(windows)
    rng = np.random.default_rng(4)
    template = TrainingTemplate(16, grid.hop_s, tuple(grid.frequency_hz.tolist()), "db", "float16", "f")
    label = np.minimum(rng.geometric(0.45, n) - 1, made.clusters - 1).astype(np.int16)
    with TrainingStore.create(Places.at(config.root).training_set(RUN), template, n) as writer:
        writer.append(
            windows,
            channels=[channels[i % len(channels)] for i in range(n)],
            segment_start_ns=np.full(n, START_NS),
            window_index=np.arange(n, dtype=np.int32) % 400,
            split=(np.arange(n) % 5 == 0).astype(np.uint8),
        )
        store = writer.close()
    after = (centroid[label] + 0.8 * rng.standard_normal((n, LATENT))).astype(np.float32)
    before = (0.5 * centroid[label] + 1.5 * rng.standard_normal((n, LATENT))).astype(np.float32)
    other = np.where(rng.random(n) < 0.2, rng.integers(0, made.clusters, n), label).astype(np.int16)
    store.add_assignments(
        {
            "embedding": after,
            "embedding_pretrained": before,
            "label": label,
            "label_kmeans": other,
            "label_gmm": label,
            "confidence": rng.random(n).astype(np.float32),
            "distance": np.linalg.norm(after - centroid[label], axis=1).astype(np.float32),
        }
    )


def write_metrics(config: Config) -> None:
    run = Places.at(config.root).run(RUN)
    epochs = [
        {"epoch": e, "train_loss": 1 / e, "validation_loss": 1.1 / e, "learning_rate": 1e-3, "seconds": 1.0}
        for e in range(1, 6)
    ]
    refreshes = [
        {
            "epoch": u // 2,
            "step": 4 * u,
            "update": u,
            "reconstruction": None if u == 0 else 0.5 - 0.01 * u,
            "kl": None if u == 0 else 0.1 / u,
            "loss": None if u == 0 else 0.6 / u,
            "label_change": None if u == 0 else 0.1 / u,
            "counts": [200, 100, 100],
            "effective_clusters": 2.8,
        }
        for u in range(6)
    ]
    for name, lines in (("metrics.jsonl", epochs), ("metrics-cluster.jsonl", refreshes)):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        run.child(name).write_bytes(text.encode())
