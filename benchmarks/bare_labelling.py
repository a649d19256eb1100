"""Labelling as a person would write it for one process: read, cut, normalise, encode, assign; no more."""

from __future__ import annotations

from collections.abc import Iterable
from multiprocessing.synchronize import Barrier

import torch

from scaledec.places import Places
from scaledec.store.cube import CubeStore
from scaledec.store.open import decode_in_one_thread
from scaledec.training.saved_model import SavedModel

__all__ = ["label_bare"]

_LENGTH, _BATCH = 64, 64


def label_bare(
    root: str, run: str, channels: Iterable[int], n_days: int, turns: int, barrier: Barrier
) -> None:
    """Label whole windows of some channels ``turns`` times, in one thread; waits before and after."""
    torch.set_num_threads(1)
    decode_in_one_thread()
    cube, model = CubeStore.open(Places.at(root).cube), SavedModel.load(Places.at(root).run(run))
    _label_day(cube, model, 0, 0)
    barrier.wait()
    for _ in range(turns):
        for channel_index in channels:
            for day in range(n_days):
                _label_day(cube, model, channel_index, day)
    barrier.wait()


def _label_day(cube: CubeStore, model: SavedModel, channel_index: int, day: int) -> None:
    power, _ = cube.read_frames(channel_index, day)
    n_whole = len(power) // _LENGTH
    windows = power[: n_whole * _LENGTH].reshape(n_whole, _LENGTH, -1)
    with torch.inference_mode():
        parts = [
            model.network.encode(
                torch.from_numpy(model.normaliser.apply(windows[i : i + _BATCH]))
                .unsqueeze(1)
                .contiguous(memory_format=torch.channels_last)
            )
            for i in range(0, n_whole, _BATCH)
        ]
    model.assign(torch.cat(parts).numpy())
