"""Where the windows of a training are kept: on the device, in memory, or in the store they come from.

Nothing of this changes a number: batches are the same sets in the same order, to the bit.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from scaledec.errors import TrainingError
from scaledec.numerics.normalise import Normaliser
from scaledec.training.data import TrainingData
from scaledec.training.sources import WindowSource, wanted_parts
from scaledec.training.stream import StreamedData

__all__ = ["Kept", "Placement", "choose_place", "load_windows"]

Placement: TypeAlias = Literal["auto", "memory", "stream"]
"""What is asked for."""
Kept: TypeAlias = Literal["device", "memory", "stream"]
"""Where windows are."""

# The rest is for weights, activations, the embedding's tables, and everyone else.
_SHARE_OF_DEVICE = 0.5
_SHARE_OF_MEMORY = 0.5
_BYTES = 4
_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def load_windows(
    source: WindowSource,
    normaliser: Normaliser,
    *,
    validation: bool | None,
    placement: Placement = "memory",
    device: torch.device | None = None,
    ranks: int = 1,
) -> TrainingData:
    """The windows of one split, normalised.

    Parameters
    ----------
    source
        Where the windows come from.
    normaliser
        Applied to each window.
    validation
        ``True``: the held-out windows; ``False``: those to train on; ``None``: all.
    placement
        ``memory``: on the device if they fit there, else in host memory; ``stream``: read from the source
        whenever they are needed; ``auto``: the first of these for which there is room.
    device
        Where batches are wanted; by default the CPU.
    ranks
        Processes of this machine that do the same at once.

    Raises
    ------
    TrainingError
        If the split is empty.
    """
    device = torch.device("cpu") if device is None else device
    held_out = source.is_validation()
    wanted = np.ones(len(held_out), bool) if validation is None else held_out == validation
    sample = torch.from_numpy(np.flatnonzero(wanted))
    if not len(sample):
        raise TrainingError(
            f"the {'validation' if validation else 'training'} split holds none of the {len(held_out)} "
            "sampled windows; "
            "raise pretrain.windows, change pretrain.validation or widen the archive's extent"
        )
    size = len(sample) * source.read(0, 1).size * _BYTES
    kept = choose_place(size, placement, on_device=_free_on(device), in_memory=_free_memory(), ranks=ranks)
    if kept == "stream":
        return StreamedData(source, normaliser, sample, device=device)
    windows = _in_memory(source, normaliser, wanted, len(sample))
    return TrainingData(windows.to(device) if kept == "device" else windows, sample, device=device)


def choose_place(
    size: int, placement: Placement, *, on_device: int | None, in_memory: int | None, ranks: int = 1
) -> Kept:
    """Where windows of ``size`` bytes go.

    Parameters
    ----------
    size
        Of one rank's copy.
    placement
        What is asked for.
    on_device
        Free bytes of a device that is not the host; ``None``: there is none.
    in_memory
        Free bytes of the host; ``None``: not known, and taken to be enough.
    ranks
        Copies that the host must hold.
    """
    if placement == "stream":
        return "stream"
    if on_device is not None and size <= _SHARE_OF_DEVICE * on_device:
        return "device"
    if placement == "memory" or in_memory is None or size * ranks <= _SHARE_OF_MEMORY * in_memory:
        return "memory"
    return "stream"


def _in_memory(
    source: WindowSource, normaliser: Normaliser, wanted: np.ndarray[tuple[int], np.dtype[np.bool_]], n: int
) -> Tensor:
    windows: Tensor | None = None
    filled = 0
    for part in wanted_parts(source, wanted):
        normalised = torch.from_numpy(normaliser.apply(part))
        windows = torch.empty((n, *part.shape[1:])) if windows is None else windows
        windows[filled : filled + len(part)] = normalised
        filled += len(part)
    assert windows is not None, "a split that is not empty has a first part"
    return windows


def _free_on(device: torch.device) -> int | None:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def _free_memory() -> int | None:
    """Bytes that this machine, or the container that this process is in, has left; ``None``: not known."""
    found: list[int] = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except OSError:
        if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
            found.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for limit, used in _CGROUPS:
        try:
            text = Path(limit).read_text().strip()
            if text.isdigit():
                found.append(int(text) - int(Path(used).read_text()))
        except OSError:
            continue  # no such limit on this system
    return min(found, default=None)
