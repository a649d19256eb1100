"""What pictures of a training are drawn from: arrays that the loop leaves in the run's folder now and then.

They are made of held-out windows by the network as it is; nothing of the training depends on it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from scaledec.location import Location
from scaledec.numerics.nets.base import Autoencoder
from scaledec.training.data import TrainingData

__all__ = ["Sight", "read_sight", "sight_place", "write_sight"]

_RECONSTRUCTED = 5
_EMBEDDED = 2048
_BATCH = 256

Float32: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sight:
    """A network at the end of an epoch."""

    epoch: int
    windows: Float32
    """Some normalised windows (window, plane, frame, frequency)."""
    reconstructions: Float32
    """What the network makes of them."""
    embedding: Float32
    """Of more windows (window, latent)."""


def sight_place(run: Location, epoch: int) -> Location:
    """Where the arrays of an epoch lie."""
    return run.child("pictures", f"epoch-{epoch:04d}.npz")


def write_sight(run: Location, network: Autoencoder, held_out: TrainingData, epoch: int) -> None:
    """Look at held-out windows with the network, which stays as it is, and write what is seen."""
    # Spread over the whole split, and the same windows each time.
    step = max(1, len(held_out) // _EMBEDDED)
    seen = held_out.subset(torch.arange(len(held_out)) % step == 0)
    embedding, shown = [], []
    every = max(1, len(seen) // _RECONSTRUCTED)
    with torch.inference_mode():
        for batch in seen.in_order(batch=_BATCH):
            x_hat, z = network(batch.windows)
            embedding.append(z.cpu())
            chosen = batch.position % every == 0
            shown.append([x[chosen.to(x.device)].cpu() for x in (batch.windows, x_hat)])
    windows, reconstructions = (torch.cat(parts)[:_RECONSTRUCTED] for parts in zip(*shown, strict=True))
    file = io.BytesIO()
    np.savez(
        file,
        windows=windows.numpy(),
        reconstructions=reconstructions.numpy(),
        embedding=torch.cat(embedding).numpy(),
    )
    sight_place(run, epoch).write_bytes(file.getvalue())


def read_sight(run: Location, epoch: int) -> Sight:
    """What :func:`write_sight` wrote."""
    with np.load(io.BytesIO(sight_place(run, epoch).read_bytes()), allow_pickle=False) as found:
        return Sight(epoch, found["windows"], found["reconstructions"], found["embedding"])
