"""Training through the stage and its engines, against bare PyTorch loops and a loop as published code has it.

    python -m benchmarks.training [--windows 3200] [--rounds 5] [--threads 2] [--ray] [--two-workers]

The network and the window are those of Jenkins et al. (2021): 100 frames x 87 frequencies, batch 64. All
loops see the same windows in memory and take turns epoch by epoch; an epoch is a pass over the training
windows and one, without gradients, over a quarter as many held out. For the stage it also holds metrics, a
checkpoint and the report.

bare: the same network, layout and fused Adam in the shortest loop that trains it.
published: see ``benchmarks/published.py``; as it is, and with the allocator's settings that the stage has.
--ray: the stage and the bare loop in turns within one Ray Train worker, and what starting costs.
--two-workers: two workers of one thread with 256 windows each against one with 256, and whether the losses
of two with 128 each are those of one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from benchmarks.published import PublishedTraining
from benchmarks.rivals import Rival, Seconds, medians, ratios, take_turns
from scaledec.engines.local_train import run_training as train_here
from scaledec.engines.ray_session import ray_session
from scaledec.engines.ray_train import run_training as train_on_ray
from scaledec.location import Location
from scaledec.numerics.nets.presets import NetworkSpec
from scaledec.numerics.normalise import Scale
from scaledec.stages.pretrain import PretrainJob, pretrain_loop
from scaledec.training.placement import load_windows
from scaledec.training.session import Metrics, SaveInto, TrainingSession
from scaledec.training.sources import fit_normaliser

FRAMES, FREQUENCIES, BATCH = 100, 87, 64
SPEC = NetworkSpec(FRAMES, FREQUENCIES, (), 9, "jenkins2021")
_ENDLESS = 1_000_000


@dataclass(frozen=True)
class NoiseWindows:
    """Smooth noise in dB, made where it is read: workers need not be sent it."""

    n: int
    scale: Scale = "db"

    def is_validation(self) -> npt.NDArray[np.bool_]:
        """Every fifth window is held out."""
        return np.equal(np.arange(self.n) % 5, 0)

    def blocks(self) -> Iterator[npt.NDArray[np.floating]]:
        """All windows."""
        rng = np.random.default_rng(0)
        noise = rng.standard_normal((self.n, FRAMES, FREQUENCIES), dtype=np.float32)
        yield noise.cumsum(1) - 100

    def read(self, first: int, stop: int) -> npt.NDArray[np.floating]:
        """Windows ``[first, stop)``."""
        return next(self.blocks())[first:stop]


class Bare:
    """The shortest loop that trains the same network in the same way."""

    def __init__(self, windows: int, threads: int) -> None:
        torch.set_num_threads(threads)
        self._training, self._validation = _splits(windows)
        self._network = SPEC.build(seed=0)
        self._optimiser = torch.optim.Adam(self._network.parameters(), 1e-3, fused=True)

    def epoch(self) -> None:
        """Train on all windows once and evaluate the held-out ones."""
        order = torch.randperm(len(self._training))
        for start in range(0, len(order), BATCH):
            x = self._training[order[start : start + BATCH]].unsqueeze(1)
            loss = nn.functional.mse_loss(self._network(x)[0], x)
            self._optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimiser.step()
        with torch.inference_mode():
            for x in self._validation.split(256):  # type: ignore[no-untyped-call]
                nn.functional.mse_loss(self._network(x.unsqueeze(1))[0], x.unsqueeze(1))


class Published:
    """Published code at work."""

    def __init__(self, windows: int, threads: int) -> None:
        torch.set_num_threads(threads)
        self._loop = PublishedTraining(*_splits(windows), batch=BATCH)

    def epoch(self) -> None:
        """Train on all windows once and evaluate the held-out ones."""
        self._loop.epoch()


class Stage:
    """The pretraining stage at work in a thread, which waits between its epochs."""

    def __init__(self, windows: int, threads: int) -> None:
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        arguments = {"windows": windows, "threads": threads}
        threading.Thread(target=self._train, kwargs=arguments, daemon=True).start()

    def epoch(self) -> None:
        """Let it go on to the end of its next epoch."""
        self._go.release()
        self._done.acquire()

    def _train(self, windows: int, threads: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            job = _job(Location(folder), windows, _ENDLESS)
            self._go.acquire()
            train_here(
                pretrain_loop,
                job,
                name="here",
                storage=Location(folder),
                threads=threads,
                on_report=lambda metrics: self._wait(),
            )

    def _wait(self) -> None:
        self._done.release()
        self._go.acquire()


def turns_in_a_worker(session: TrainingSession, job: PretrainJob) -> Seconds:
    """Seconds of each epoch of the stage and, in between, of the bare loop; a first round is not counted."""
    windows = job.source.is_validation().size
    bare = Bare(windows, torch.get_num_threads())
    seconds: Seconds = {"stage": [], "bare": []}
    report, started = session.report, time.perf_counter()

    def report_and_let_the_other_run(metrics: Metrics, save: SaveInto | None = None) -> None:
        nonlocal started
        report(metrics, save)
        seconds["stage"].append(time.perf_counter() - started)
        started = time.perf_counter()
        bare.epoch()
        seconds["bare"].append(time.perf_counter() - started)
        started = time.perf_counter()

    session.report = report_and_let_the_other_run  # type: ignore[method-assign]
    pretrain_loop(session, job)
    return {name: values[1:] for name, values in seconds.items()}


def time_of_day(session: TrainingSession, job: object) -> float:
    """When a loop begins in its worker."""
    return time.time()


def main() -> None:
    """Print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--windows", type=int, default=3200, help="windows, a fifth of them held out")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--ray", action="store_true", help="also in one Ray Train worker")
    parser.add_argument("--two-workers", action="store_true", help="also two workers against one")
    options = parser.parse_args()
    told = f"{options.windows} windows of {FRAMES} x {FREQUENCIES}, batch {BATCH}, {options.threads} threads"
    print(f"{told}\n\n| loop | windows/s | times as fast as published | of bare |\n|---|---|---|---|")
    _print_rows(_rivals(options.windows, options.threads, options.rounds), options.windows)
    with tempfile.TemporaryDirectory() as folder:
        if options.ray:
            _on_ray(Path(folder), options.windows, options.threads, options.rounds)
        if options.two_workers:
            _two_workers(Path(folder), options.windows, options.rounds)


def _rivals(windows: int, threads: int, rounds: int) -> Seconds:
    arguments = {"windows": windows, "threads": threads}
    here = "benchmarks.training:"
    rivals = {
        "published": Rival(here + "Published", arguments),
        "published, allocator set": Rival(here + "Published", arguments, malloc=True),
        "bare": Rival(here + "Bare", arguments, malloc=True),
        "stage": Rival(here + "Stage", arguments, malloc=True),
    }
    return take_turns(rivals, "epoch", rounds)


def _print_rows(seconds: Seconds, n: int) -> None:
    median, of_bare = medians(seconds), ratios(seconds, "bare")
    times = ratios(seconds, "published") if "published" in seconds else {}
    for name in seconds:
        # Of the windows four fifths are trained on; the rest is evaluated within the same time.
        told = f"{times[name]:.2f}" if times else ""
        print(f"| {name} | {n * 0.8 / median[name]:,.0f} | {told} | {of_bare[name]:.3f} |")


def _on_ray(folder: Path, windows: int, threads: int, rounds: int) -> None:
    job = _job(Location(str(folder / "on_ray")), windows, rounds + 1)
    where: dict[str, Any] = {"storage": Location(str(folder)), "threads": threads}
    began = time.time()
    with ray_session(None, cpus=threads):
        opened = time.time()
        first = train_on_ray(time_of_day, None, name="first", **where)
        ended = time.time()
        second = train_on_ray(time_of_day, None, name="second", **where)
        print("\nIn one Ray Train worker:\n\n| loop | windows/s | | of bare |\n|---|---|---|---|")
        done = time.time()
        _print_rows(train_on_ray(turns_in_a_worker, job, name="ray", **where), windows)
    print(
        f"\nA session is up after {opened - began:.1f} s, its first loop begins {first - opened:.1f} s later "
        f"and is over after {ended - first:.1f} s; a second one of the same session begins after "
        f"{second - ended:.1f} s, and is over after {done - second:.1f} s"
    )


def _two_workers(folder: Path, windows: int, rounds: int) -> None:
    where: dict[str, Any] = {"storage": Location(str(folder)), "threads": 1}
    rates: dict[str, float] = {}
    losses: dict[str, list[float]] = {}
    with ray_session(None, cpus=2):
        for name, workers, batch in (("one", 1, 256), ("two", 2, 512), ("two of half", 2, 256)):
            job = replace(_job(Location(str(folder / name)), windows, rounds + 1), batch=batch)
            reported: list[Metrics] = []
            train_on_ray(pretrain_loop, job, name=name, workers=workers, on_report=reported.append, **where)
            rates[name] = statistics.median(float(str(m["windows_per_s"])) for m in reported[1:])
            losses[name] = [float(str(m["validation_loss"])) for m in reported]
    print("\n| workers of one thread | windows/s | times one |\n|---|---|---|")
    for name, told in (("one", "1, batch 256"), ("two", "2, 256 each"), ("two of half", "2, 128 each")):
        print(f"| {told} | {rates[name]:,.0f} | {rates[name] / rates['one']:.2f} |")
    pairs = zip(losses["one"], losses["two of half"], strict=True)
    apart = max(abs(a - b) / a for a, b in pairs)
    print(f"\nLosses of one with 256 and of two with 128 each are {apart:.1e} apart at most.")


def _job(run: Location, windows: int, epochs: int) -> PretrainJob:
    return PretrainJob(run=run, source=NoiseWindows(windows), network=SPEC, epochs=epochs, patience=epochs)


def _splits(windows: int) -> tuple[Tensor, Tensor]:
    source = NoiseWindows(windows)
    normaliser = fit_normaliser("whiten", source)
    training, validation = (load_windows(source, normaliser, validation=v).windows for v in (False, True))
    return training, validation


if __name__ == "__main__":
    main()
