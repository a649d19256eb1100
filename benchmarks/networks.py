"""Training steps and encoding of every preset, against the network of Jenkins et al. (2021).

    python -m benchmarks.networks [--threads 1] [--rounds 7]

Each network takes windows of its published size (of 100 x 87 where there is none), 64 at a time. Networks
take turns, so that what else the machine does weighs on all alike; a ratio is the median over rounds of
the time of ``jenkins2021`` over a network's, window for window. Encoding is what labelling does: encoder
only, without gradients.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, get_args

import torch
from torch import nn

from scaledec.numerics.nets.noise import Noise
from scaledec.numerics.nets.presets import LATENT, NetworkSpec, Preset
from scaledec.training.saved_model import embed_tensor

Sides: TypeAlias = tuple[int, int]

BATCH = 64
REFERENCE = "jenkins2021"
WINDOWS: dict[str, Sides] = {"zclust": (67, 87), "snover2020": (40, 120), "das_cube": (4, 101)}
OTHER_WINDOWS: Sides = (100, 87)
# A batch of a small network takes a millisecond: this many, so that a round is more than the clock's noise.
STEPS, ENCODED = 3, 4


@dataclass(frozen=True)
class Contender:
    """A network at work on windows of its own."""

    name: str
    sides: Sides
    parameters: int
    train: Callable[[], None]
    encode: Callable[[], None]


def contender(name: str, preset: Preset | None) -> Contender:
    """A network with its optimiser and its windows."""
    sides = WINDOWS.get(name, OTHER_WINDOWS)
    latent = 9 if preset is None else LATENT[preset]
    network = NetworkSpec(*sides, (8, 16, 32, 64, 128), latent, preset).build()
    optimiser = torch.optim.Adam(network.parameters(), 1e-4, fused=True)
    x = torch.rand(BATCH, 1, *sides)
    noise = Noise(0, 0, torch.arange(BATCH))
    many = torch.rand(BATCH * ENCODED, *sides)

    def train() -> None:
        for _ in range(STEPS):
            loss = nn.functional.mse_loss(network(x, noise)[0], x)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    def encode() -> None:
        embed_tensor(network, many)

    parameters = sum(p.numel() for p in network.parameters())
    return Contender(name, sides, parameters, train, encode)


def seconds(work: Callable[[], None]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    contenders = [*(contender(preset, preset) for preset in get_args(Preset)), contender("default", None)]
    times: dict[str, list[tuple[float, float]]] = {c.name: [] for c in contenders}
    for _ in range(options.rounds + 1):
        for c in contenders:
            times[c.name].append((seconds(c.train), seconds(c.encode)))
    print(f"batch {BATCH}, {options.threads} thread(s), median of {options.rounds} rounds\n")
    print("| network | window | parameters | training | encoding |\n|---|---|---|---|---|")
    for c in contenders:
        # The first round warms up.
        rounds = list(zip(times[REFERENCE][1:], times[c.name][1:], strict=True))
        training, encoding = (statistics.median(r[i] / own[i] for r, own in rounds) for i in (0, 1))
        frames, frequencies = c.sides
        print(f"| {c.name} | {frames} x {frequencies} | {c.parameters:,} | {training:.3f} | {encoding:.3f} |")
    step, encoded = (statistics.median(t[i] for t in times[REFERENCE][1:]) for i in (0, 1))
    rates = (
        f"{BATCH * STEPS / step:,.0f} windows/s in training and {BATCH * ENCODED / encoded:,.0f} in encoding"
    )
    print(f"\n1 is {rates}")


if __name__ == "__main__":
    main()
