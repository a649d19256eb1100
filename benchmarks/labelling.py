"""Labelling on Ray against bare processes over one cube: throughput, first labels, memory, lower precision.

    python -m benchmarks.labelling

A segment is a day at 100 Hz: 67,500 frames of 129 frequencies in float16, cut into 1,055 windows of 64
frames; the network is the default one, the cube has 101,280 windows in shards of twelve days. A bare
process reads a day, cuts it, normalises, encodes (channels last) and assigns, and checks and writes nothing.
As many of them as there are actors take turns with the label stage, with the same settings of the allocator;
the median of the rounds counts. The stage is measured once its actors are up: from the first label written
to the last but one round of tasks.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np

from benchmarks.bare_labelling import label_bare
from scaledec.config import Config, RayConfig, cube_fingerprint, parse_config
from scaledec.engines.ray_session import MALLOC_SETTINGS
from scaledec.location import Location
from scaledec.numerics.nets.presets import NetworkSpec
from scaledec.numerics.normalise import Normaliser
from scaledec.places import Places
from scaledec.stages.label import LabelContext, Labeller
from scaledec.stages.label_plan import LabelPlan, plan_labels
from scaledec.store.cube import CubeStore, CubeTemplate
from scaledec.store.labels import LabelStore, LabelTemplate
from scaledec.training.saved_model import SavedModel
from scaledec.vocabulary import ChannelId, LabelTask, TaskResult, parse_time, task_key

RUN = "benchmark"
N_CHANNELS, N_DAYS, DAYS_A_SHARD = 8, 12, 12


def main() -> None:
    """Print Markdown."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--workers", type=int, default=2, help="actors, and bare processes")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--turns", type=int, default=4, help="times the cube is labelled in a round")
    options = arguments.parse_args()
    os.environ.update(MALLOC_SETTINGS)  # for the processes that are started from here
    with tempfile.TemporaryDirectory() as folder:
        config = parse_config(
            f"root: {folder}\narchive: {{url: {folder}}}\nlabel: {{segments_per_shard: {DAYS_A_SHARD}}}\n"
        )
        cube = make_cube(config)
        context = make_run(config, cube)
        plan = plan_labels(config, cube, results_of(cube), {}, model_checksum="")
        n_windows = N_CHANNELS * N_DAYS * config.window_grid.n_windows
        print(f"{n_windows:,} windows, {options.workers} workers\n")
        bare, stage = alternate(config, cube, context, plan, options)
        ratio = statistics.median(run.rate for run in stage) / statistics.median(bare)
        first = statistics.median(run.first_s for run in stage)
        print("\n| what | |\n|---|---|")
        print(f"| stage / {options.workers} bare processes | {ratio:.3f} |")
        print(f"| first labels after the call | {first:.1f} s |")
        print(f"| first labels after the start of Ray, the first time | {stage[0].cold_s:.1f} s |")
        print(f"| peak memory of an actor | {max(run.peak_mb for run in stage):,.0f} MB |")
        print(f"| projected | {plan.memory_per_task / 1e6:,.0f} MB |")
        lower_precision(context, plan.tasks[0])


@dataclass(frozen=True, slots=True)
class StageRun:
    """One labelling of the cube on Ray."""

    rate: float
    """Windows a second, once actors are up."""
    first_s: float
    """Seconds until a label was written."""
    cold_s: float
    """The same with the start of Ray."""
    peak_mb: float
    """Of the actor that held most."""


def make_cube(config: Config) -> CubeStore:
    """Coloured noise with a passing event now and then, so that it compresses about as records do."""
    template = CubeTemplate(
        config.spectrogram_grid, "db", "float16", cube_fingerprint(config), {"benchmark": True}
    )
    place = Places.at(config.root).cube
    channels = [ChannelId("XX", f"B{n:02}", "", "HHZ") for n in range(N_CHANNELS)]
    cube = CubeStore.create_or_extend(place, template, channels, parse_time("2020-01-01"), N_DAYS)
    grid = cube.grid
    coverage = np.full(grid.n_frames, 100, np.uint8)
    for time_index in range(N_DAYS):
        rng = np.random.default_rng(time_index)
        power = rng.standard_exponential((grid.n_frames, grid.n_frequencies), dtype=np.float32) + 1e-6
        level = 60 - 20 * np.log10(1 + grid.frequency_hz) + 30 * (rng.random((grid.n_frames, 1)) < 0.01)
        power_db = 10 * np.log10(power) + level
        for channel_index in range(N_CHANNELS):
            cube.write_segment(channel_index, time_index, power_db, coverage)
    return CubeStore.open(place)


def make_run(config: Config, cube: CubeStore) -> LabelContext:
    """The default network with random weights, eight centroids, and an empty label store."""
    places, windows = Places.at(config.root), config.window_grid
    spec = NetworkSpec(windows.length, cube.grid.n_frequencies, config.model.widths, config.model.latent)
    power, _ = cube.read_frames(0, 0, stop=512 * windows.length)
    examples = power.reshape(512, windows.length, -1)
    model = SavedModel(spec.build(), spec, Normaliser.fit("whiten", [examples]))
    z = model.embed(examples)
    centroids = z[: config.cluster.n_clusters].astype(np.float64)
    model = replace(model, method="idec", centroids=centroids).referring_to(z)
    model.save(places.run(RUN))
    template = LabelTemplate(
        run=RUN,
        fingerprint="benchmark",
        method="idec",
        grid=cube.grid,
        windows=windows,
        segments_per_shard=DAYS_A_SHARD,
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


def results_of(cube: CubeStore) -> dict[str, TaskResult]:
    """What the cube's ledger would hold."""
    keys = [
        task_key(channel, cube.segment_start_ns(index))
        for channel in cube.channels
        for index in range(cube.n_segments)
    ]
    return {key: TaskResult(key, "", "done", details={"checksum": 1}) for key in keys}


def alternate(
    config: Config, cube: CubeStore, context: LabelContext, plan: LabelPlan, options: argparse.Namespace
) -> tuple[list[float], list[StageRun]]:
    """Windows a second of bare processes, and what came of the stage, round by round."""
    bare, stage = [], []
    print("| round | bare, windows/s | stage, windows/s | first labels after |\n|---|---|---|---|")
    for number in range(options.rounds):
        bare.append(bare_rate(config, cube, options.workers, options.turns))
        stage.append(stage_run(config, context, plan, options.workers, options.turns))
        found = stage[-1]
        print(f"| {number} | {bare[-1]:,.0f} | {found.rate:,.0f} | {found.first_s:.1f} s |", flush=True)
    return bare, stage


def bare_rate(config: Config, cube: CubeStore, workers: int, turns: int) -> float:
    """Windows a second of several bare processes together, after each has warmed up."""
    spawned = multiprocessing.get_context("spawn")
    barrier: Barrier = spawned.Barrier(workers + 1)
    shares = [range(turn, N_CHANNELS, workers) for turn in range(workers)]
    processes = [
        spawned.Process(target=label_bare, args=(config.root, RUN, share, N_DAYS, turns, barrier))
        for share in shares
    ]
    for process in processes:
        process.start()
    barrier.wait()
    started = time.perf_counter()
    barrier.wait()
    elapsed_s = time.perf_counter() - started
    for process in processes:
        process.join()
    return turns * N_CHANNELS * N_DAYS * config.window_grid.n_windows / elapsed_s


def stage_run(config: Config, context: LabelContext, plan: LabelPlan, workers: int, turns: int) -> StageRun:
    """Label the cube some times over: writing a shard again is harmless."""
    from scaledec.engines.ray_data import label_with_ray
    from scaledec.engines.ray_session import ray_session

    # The same shard under other keys: all of them are done.
    tasks = [replace(task, key=f"{turn}/{task.key}") for turn in range(turns) for task in plan.tasks]
    ledger = Location(str(Path(config.root) / f"ledger-{time.time_ns()}"))
    ray_config = RayConfig(label_actors=workers, gpu=False)
    began = time.time()
    with ray_session(None, cpus=workers), sampled_peak() as peak:
        called = time.time()
        label_with_ray(tasks, context, ledger, ray_config, lambda _: None, memory=plan.memory_per_task)
        written = sorted(
            np.datetime64(moment.split("+")[0]).astype(int) / 1e6 for moment in written_at(ledger)
        )
    # The last round of tasks is left out: there, an actor may have nothing left to do.
    steady = written[: len(written) - workers]
    windows = (len(steady) - 1) * DAYS_A_SHARD * config.window_grid.n_windows
    return StageRun(windows / (steady[-1] - steady[0]), written[0] - called, written[0] - began, peak())


def written_at(ledger: Location) -> list[str]:
    """When each entry was written, ISO 8601."""
    lines = [line for path in Path(ledger.path).glob("*.jsonl") for line in path.read_text().splitlines()]
    return [json.loads(line)["written_at"] for line in lines]


@contextmanager
def sampled_peak() -> Iterator[Callable[[], float]]:
    """The most memory that any actor of this session has held, in MB, looked at 20 times a second."""
    import psutil

    most, stop = [0.0], threading.Event()

    def look() -> None:
        while not stop.wait(0.05):
            for process in psutil.Process().children(recursive=True):
                try:
                    if process.cmdline()[0].startswith("ray::MapWorker"):
                        most[0] = max(most[0], process.memory_info().rss / 1e6)
                except (psutil.Error, IndexError):
                    continue  # it has just ended

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield lambda: most[0]
    finally:
        stop.set()
        thread.join()


def lower_precision(context: LabelContext, task: LabelTask) -> None:
    """How many labels bfloat16 changes, and how fast it is, in this process."""
    seconds, blocks = [], []
    for precision in ("float32", "bfloat16"):
        labeller = Labeller(replace(context, precision=precision), threads=1)
        labeller.label(task)
        started = time.perf_counter()
        blocks.append(labeller.label(task))
        seconds.append(time.perf_counter() - started)
    there = blocks[0].label >= 0
    changed = float((blocks[0].label != blocks[1].label)[there].mean())
    print(f"| bfloat16: labels changed (random weights) | {changed:.2%} |")
    print(f"| bfloat16: time of one process / float32 | {seconds[1] / seconds[0]:.2f} |")


if __name__ == "__main__":
    main()
