"""Labelling through the stage, against the same work in a bare loop, over the same cube in one run.

    python -m benchmarks.labelling --segments 6 --ray 2

A segment is a day at 100 Hz: 67,500 frames of 129 frequencies in float16, cut into windows of 64 frames;
the network is the default one. The bare loop reads a day, cuts it, normalises, encodes and assigns, and
checks nothing. Both compute in one thread and decode in another; the stage reads the next day meanwhile.
The two take turns, and the median of the rounds counts. `taskset -c 0` shows both on one core.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from scaledec.config import Config, RayConfig, cube_fingerprint, parse_config
from scaledec.location import Location
from scaledec.numerics.nets.presets import NetworkSpec
from scaledec.numerics.normalise import Normaliser
from scaledec.places import Places
from scaledec.stages.label import LabelContext, Labeller
from scaledec.store.cube import CubeStore, CubeTemplate
from scaledec.store.labels import LabelStore, LabelTemplate
from scaledec.store.open import decode_in_one_thread
from scaledec.training.saved_model import SavedModel
from scaledec.vocabulary import ChannelId, LabelTask, parse_time

RUN = "benchmark"
ROUNDS = 5
RAY_TURNS = 24


def main() -> None:
    """Print a Markdown table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--segments", type=int, default=6, help="days to label in each round")
    arguments.add_argument("--ray", type=int, default=0, help="Ray actors; 0: leave Ray out")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    decode_in_one_thread()
    with tempfile.TemporaryDirectory() as folder:
        config = parse_config(f"root: {folder}\narchive: {{url: {folder}}}\n")
        cube = make_cube(config, options.segments)
        context = make_run(config, cube)
        print(f"{options.segments} days of {config.window_grid.n_windows} windows\n")
        print("| way | s a day | windows/s | peak MB |\n|---|---|---|---|")
        bare, stage = alternate(config, cube, context)
        report("bare loop: read, cut, normalise, encode, assign", bare, config, options.segments)
        report("stage: Labeller.label", stage, config, options.segments)
        if options.ray:
            seconds, n_segments = with_ray(config, cube, context, options.ray)
            report(f"Ray Data, {options.ray} actors, in steady state", seconds, config, n_segments)
        print(f"\nstage / bare loop: {stage / bare:.3f}")


def make_cube(config: Config, n_segments: int) -> CubeStore:
    """Coloured noise with a passing event now and then, so that it compresses about as records do."""
    template = CubeTemplate(
        config.spectrogram_grid, "db", "float16", cube_fingerprint(config), {"benchmark": True}
    )
    place = Places.at(config.root).cube
    cube = CubeStore.create_or_extend(
        place, template, [ChannelId("XX", "BENCH", "", "HHZ")], parse_time("2020-01-01"), n_segments
    )
    grid = cube.grid
    coverage = np.full(grid.n_frames, 100, np.uint8)
    for time_index in range(n_segments):
        rng = np.random.default_rng(time_index)
        power = rng.standard_exponential((grid.n_frames, grid.n_frequencies), dtype=np.float32) + 1e-6
        level = 60 - 20 * np.log10(1 + grid.frequency_hz) + 30 * (rng.random((grid.n_frames, 1)) < 0.01)
        cube.write_segment(0, time_index, 10 * np.log10(power) + level, coverage)
    return CubeStore.open(place)


def make_run(config: Config, cube: CubeStore) -> LabelContext:
    """The default network with random weights, eight centroids, and an empty label store."""
    places, windows = Places.at(config.root), config.window_grid
    spec = NetworkSpec(windows.length, cube.grid.n_frequencies, config.model.widths, config.model.latent)
    power, _ = cube.read_frames(0, 0, stop=64 * windows.length)
    examples = power.reshape(64, windows.length, -1)
    model = SavedModel(spec.build(), spec, Normaliser.fit("whiten", [examples]))
    centroids = model.embed(examples[: config.cluster.n_clusters]).astype(np.float64)
    replace(model, method="idec", centroids=centroids).save(places.run(RUN))
    template = LabelTemplate(
        run=RUN,
        fingerprint="benchmark",
        method="idec",
        grid=cube.grid,
        windows=windows,
        segments_per_shard=cube.n_segments,
        centroid=centroids,
        prototype=model.prototypes(),
        prototype_units="1",
        embedding=True,
        confidence="soft assignment",
    )
    labels = LabelStore.create_or_extend(
        places.labels(RUN), template, cube.channels, cube.start_ns, cube.n_segments
    )
    return LabelContext(places.cube, places.run(RUN), labels.location, windows)


def alternate(config: Config, cube: CubeStore, context: LabelContext) -> tuple[float, float]:
    """Median seconds of a round of the bare loop and of the stage."""
    model = SavedModel.load(context.model)
    labeller = Labeller(context)
    task = LabelTask("all", "", cube.channels[0], 0, 0, cube.n_segments)

    def bare() -> None:
        length, chunk = config.window_grid.length, 64
        for time_index in range(cube.n_segments):
            power, _ = cube.read_frames(0, time_index)
            n_whole = len(power) // length
            windows = power[: n_whole * length].reshape(n_whole, length, -1)
            with torch.inference_mode():
                parts = [
                    model.network.encode(
                        torch.from_numpy(model.normaliser.apply(windows[i : i + chunk])).unsqueeze(1)
                    )
                    for i in range(0, n_whole, chunk)
                ]
            model.assign(torch.cat(parts).numpy())

    rounds = [(seconds(bare), seconds(lambda: labeller.label(task))) for _ in range(ROUNDS + 1)][1:]
    bare_s, stage_s = zip(*rounds, strict=True)
    return statistics.median(bare_s), statistics.median(stage_s)


def with_ray(config: Config, cube: CubeStore, context: LabelContext, actors: int) -> tuple[float, int]:
    """Seconds of the last two thirds of the ledger's entries, and how many days they are."""
    from scaledec.engines.ray_data import label_with_ray
    from scaledec.engines.ray_session import ray_session

    # The same shard again and again: writing it again is harmless.
    tasks = [
        LabelTask(str(turn), "", cube.channels[0], 0, 0, cube.n_segments)
        for turn in range(RAY_TURNS * actors)
    ]
    ledger = Places.at(config.root).label_ledger(RUN)
    with ray_session(None, cpus=actors):
        label_with_ray(tasks, context, ledger, RayConfig(label_actors=actors, gpu=False), lambda _: None)
    written = sorted(np.datetime64(moment.split("+")[0]) for moment in written_at(ledger))
    steady = written[len(written) // 3 :]  # before, actors and writers were starting
    elapsed_s = float((steady[-1] - steady[0]) / np.timedelta64(1, "s"))
    return elapsed_s, (len(steady) - 1) * cube.n_segments


def written_at(ledger: Location) -> list[str]:
    """When each entry was written, ISO 8601."""
    lines = [line for path in Path(ledger.path).glob("*.jsonl") for line in path.read_text().splitlines()]
    return [json.loads(line)["written_at"] for line in lines]


def seconds(work: Callable[[], object]) -> float:
    """How long it took."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def report(name: str, total_s: float, config: Config, n_segments: int) -> None:
    """One row of the table."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    n_windows = config.window_grid.n_windows * n_segments
    print(f"| {name} | {total_s / n_segments:.3f} | {n_windows / total_s:,.0f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
