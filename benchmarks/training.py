"""Training through the stage and its engines, against bare PyTorch loops of the same network.

    python -m benchmarks.training [--windows 2560] [--rounds 5] [--threads 2] [--ray]

The network and the window are those of Jenkins et al. (2021): 100 frames x 87 frequencies, batch 64.
All loops see the same windows in memory, in the same process, and take turns epoch by epoch; an epoch
is a pass over the training windows and one, without gradients, over a quarter as many held out. For
the stage it also holds metrics, a checkpoint and the report.

bare: the same network, layout and fused Adam in the shortest loop that trains it.
published: as research code trains it: Dataset and DataLoader, default layout and Adam, a second error
measured on the way, losses fetched at each step.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from scaledec.engines.local_train import run_training as train_here
from scaledec.engines.ray_session import MALLOC_SETTINGS, ray_session
from scaledec.engines.ray_train import run_training as train_on_ray
from scaledec.location import Location
from scaledec.numerics.nets.presets import NetworkSpec
from scaledec.numerics.normalise import Scale
from scaledec.stages.pretrain import PretrainJob, pretrain_loop
from scaledec.training.data import fit_normaliser, load_windows
from scaledec.training.session import Metrics, SaveInto, TrainingSession

FRAMES, FREQUENCIES, BATCH = 100, 87, 64
Seconds = dict[str, list[float]]


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


class Rival(Protocol):
    """A loop to compare with."""

    def epoch(self) -> None:
        """Train on all windows once and evaluate the held-out ones."""
        ...


class BareLoop:
    """The shortest loop that trains the same network in the same way."""

    def __init__(self, training: Tensor, validation: Tensor, spec: NetworkSpec) -> None:
        self.training, self.validation = training, validation
        self.network = spec.build(seed=0)
        self.optimiser = torch.optim.Adam(self.network.parameters(), 1e-3, fused=True)

    def epoch(self) -> None:
        """Train on all windows once and evaluate the held-out ones."""
        order = torch.randperm(len(self.training))
        for start in range(0, len(order), BATCH):
            x = self.training[order[start : start + BATCH]].unsqueeze(1)
            loss = nn.functional.mse_loss(self.network(x)[0], x)
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
        with torch.inference_mode():
            for x in self.validation.split(256):  # type: ignore[no-untyped-call]
                nn.functional.mse_loss(self.network(x.unsqueeze(1))[0], x.unsqueeze(1))


class PublishedLoop:
    """The loop of research code: correct, and in no hurry."""

    def __init__(self, training: Tensor, validation: Tensor, spec: NetworkSpec) -> None:
        self.network = spec.build(seed=0).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.optimiser = torch.optim.Adam(self.network.parameters(), 1e-3)
        self.training = DataLoader(TensorDataset(training.unsqueeze(1)), BATCH, shuffle=True)
        self.validation = DataLoader(TensorDataset(validation.unsqueeze(1)), BATCH)

    def epoch(self) -> None:
        """Train on all windows once and evaluate the held-out ones."""
        mse, mae = nn.MSELoss(), nn.L1Loss()
        squared = absolute = 0.0
        for (x,) in self.training:
            self.optimiser.zero_grad()
            x_hat, _ = self.network(x)
            loss, other = mse(x_hat, x), mae(x_hat, x)
            loss.backward()
            self.optimiser.step()
            squared += loss.item() * len(x)
            absolute += other.item() * len(x)
        with torch.no_grad():
            for (x,) in self.validation:
                x_hat, _ = self.network(x)
                squared += mse(x_hat, x).item() * len(x)
                absolute += mae(x_hat, x).item() * len(x)


def take_turns(session: TrainingSession, job: PretrainJob) -> Seconds:
    """Seconds of each epoch of the stage and, between them, of each rival; a first round is not counted."""
    normaliser = fit_normaliser(job.normalise, job.source)
    splits = [load_windows(job.source, normaliser, validation=v).windows for v in (False, True)]
    rivals: dict[str, Rival] = {
        "bare": BareLoop(splits[0], splits[1], job.network),
        "published": PublishedLoop(splits[0], splits[1], job.network),
    }
    seconds: Seconds = {name: [] for name in ("stage", *rivals)}
    report, started = session.report, time.perf_counter()

    def report_and_let_rivals_run(metrics: Metrics, save: SaveInto | None = None) -> None:
        nonlocal started
        report(metrics, save)
        seconds["stage"].append(time.perf_counter() - started)
        for name, rival in rivals.items():
            started = time.perf_counter()
            rival.epoch()
            seconds[name].append(time.perf_counter() - started)
        started = time.perf_counter()

    session.report = report_and_let_rivals_run  # type: ignore[method-assign]
    pretrain_loop(session, job)
    return {name: values[1:] for name, values in seconds.items()}


def main() -> None:
    """Print Markdown."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--windows", type=int, default=3200, help="windows, a fifth of them held out")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments.add_argument("--ray", action="store_true", help="also in one Ray Train worker")
    options = arguments.parse_args()
    _with_malloc_settings()
    print(
        f"{options.windows} windows of {FRAMES} x {FREQUENCIES}, batch {BATCH}, {options.threads} threads\n"
    )
    print("| engine | loop | windows/s | of bare |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        job = PretrainJob(
            run=Location(folder),
            source=NoiseWindows(options.windows),
            network=NetworkSpec(FRAMES, FREQUENCIES, (), 9, "jenkins2021"),
            epochs=options.rounds + 1,
            patience=options.rounds + 1,
        )
        where = {"storage": Location(folder), "threads": options.threads}
        _print_rows("this process", train_here(take_turns, job, name="here", **where), options.windows)
        if options.ray:
            job = replace(job, run=Location(str(Path(folder) / "on_ray")))
            with ray_session(None, cpus=options.threads):
                seconds = train_on_ray(take_turns, job, name="ray", **where)
            _print_rows("one Ray Train worker", seconds, options.windows)


def _print_rows(engine: str, seconds: Seconds, n: int) -> None:
    median = {name: statistics.median(values) for name, values in seconds.items()}
    # Rounds are compared one by one: what else the machine does then weighs on both alike.
    ratios = {
        name: statistics.median(b / s for b, s in zip(seconds["bare"], values, strict=True))
        for name, values in seconds.items()
    }
    for name in median:
        # Of the windows four fifths are trained on; the rest is evaluated within the same time.
        print(f"| {engine} | {name} | {n * 0.8 / median[name]:,.0f} | {ratios[name]:.3f} |")


def _with_malloc_settings() -> None:
    """Start anew with the allocator's settings of a worker: a process reads them only when it starts."""
    if any(name not in os.environ for name in MALLOC_SETTINGS):
        os.execve(
            sys.executable,
            [sys.executable, "-m", "benchmarks.training", *sys.argv[1:]],
            {**os.environ, **MALLOC_SETTINGS},
        )


if __name__ == "__main__":
    main()
