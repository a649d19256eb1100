"""Checkpoints: tensors and plain values in one safetensors file, and the shelf that keeps the last few.

Nothing is pickled. One file a checkpoint, because a single object is written whole or not at all on
any storage; its plain values travel as JSON in the file's own header.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from scaledec.errors import StoreError, StoreNotFoundError
from scaledec.location import Location

__all__ = [
    "CHECKPOINT_PREFIX",
    "KEPT_CHECKPOINTS",
    "STATE_FILE",
    "CheckpointShelf",
    "load_state",
    "optimiser_tensors",
    "restore_optimiser",
    "save_state",
    "with_prefix",
    "without_prefix",
]

CHECKPOINT_PREFIX = "checkpoint_"
"""Folders of checkpoints are this and a number that grows."""
STATE_FILE = "state.safetensors"
"""The one file of a checkpoint."""
KEPT_CHECKPOINTS = 2
"""So many checkpoints are kept: if the newest was torn by a kill, the one before it is whole."""


def save_state(folder: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Write a checkpoint into ``folder``.

    Parameters
    ----------
    folder
        An existing folder.
    tensors
        Weights, optimiser state and whatever else must come back bit by bit.
    values
        Anything JSON can hold: epoch, history, counters. Floats come back exactly.
    """
    plain = {name: t.detach().to("cpu").contiguous() for name, t in tensors.items()}
    save_file(plain, folder / STATE_FILE, metadata={"values": json.dumps(values)})


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and values of the checkpoint in ``folder``.

    Raises
    ------
    StoreError
        If there is none or it is damaged.
    """
    path = folder / STATE_FILE
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            values = json.loads((file.metadata() or {})["values"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise StoreError(f"checkpoint {path} cannot be read: {error}") from error
    return tensors, values


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under names that start with ``prefix`` and a dot."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of the tensors whose names start with ``prefix`` and a dot, without it."""
    start = f"{prefix}."
    return {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state (moments, step counts) as ``{parameter number}.{name}`` tensors."""
    return {
        f"{number}.{name}": value
        for number, entry in optimiser.state_dict()["state"].items()
        for name, value in entry.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give a fresh optimiser over the same parameters the state of :func:`optimiser_tensors`."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    for key, saved in tensors.items():
        number, _, name = key.partition(".")
        parameter = parameters[int(number)]
        if saved.shape == parameter.shape:
            # Fused kernels walk memory in storage order: a moment must lie as its parameter lies.
            saved = torch.empty_like(parameter, requires_grad=False).copy_(saved)
        optimiser.state[parameter][name] = saved


class CheckpointShelf:
    """The last few checkpoints of one training, in numbered folders below a place.

    Examples
    --------
    >>> shelf = CheckpointShelf(Location("memory://run/checkpoints"))
    >>> with shelf.newest() as folder:
    ...     print(folder)
    None
    """

    def __init__(self, location: Location) -> None:
        self._location = location

    def names(self) -> list[str]:
        """Names of the checkpoints, oldest first."""
        # An engine may keep lists of its own beside them.
        return [
            name
            for name in self._location.list_names()
            if name.startswith(CHECKPOINT_PREFIX) and name.removeprefix(CHECKPOINT_PREFIX).isdigit()
        ]

    def next_name(self) -> str:
        """Name for the next checkpoint."""
        names = self.names()
        number = int(names[-1].removeprefix(CHECKPOINT_PREFIX)) + 1 if names else 0
        return f"{CHECKPOINT_PREFIX}{number:06d}"

    def add(self, folder: Path) -> None:
        """Keep what :func:`save_state` wrote into ``folder``, and drop all but the newest two."""
        self._location.child(self.next_name(), STATE_FILE).write_bytes((folder / STATE_FILE).read_bytes())
        self.prune()

    def prune(self, keep: int = KEPT_CHECKPOINTS) -> None:
        """Remove all but the newest ``keep`` checkpoints."""
        for name in self.names()[:-keep]:
            self._location.child(name).remove()

    @contextmanager
    def newest(self) -> Iterator[Path | None]:
        """A local folder with the newest whole checkpoint; ``None`` if there is none.

        A checkpoint that was torn by a kill is passed over for the one before it.
        """
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            yield folder if any(self._fetch(name, folder) for name in reversed(self.names())) else None

    def _fetch(self, name: str, folder: Path) -> bool:
        try:
            (folder / STATE_FILE).write_bytes(self._location.child(name, STATE_FILE).read_bytes())
            load_state(folder)
        except (StoreNotFoundError, StoreError):
            return False
        return True
