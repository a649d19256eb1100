"""The cube stage against its floor, on one core, in one process, interleaved.

    python benchmarks/cube.py [--data DIR] [--rounds 15]

The floor is the least that any program must do with a channel-day: decode (pymseed), make float32, STFT
in float32 by torch in batches, logarithm, float16, one Zarr shard of 20 chunks by zarr-python; buffers
reused, nothing checked. ``run_task`` does all that and the rest: reading, the sample grid with its gaps and
overlaps, detrending, an STFT in float64, coverage, a checksum. Prints Markdown.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from pymseed import MS3TraceList
from zarr.codecs import BloscCodec

from benchmarks.day import REAL_DAY, data_and_rounds, day_task, find_day, one_core
from scaledec.numerics.signal.stft import one_thread
from scaledec.stages.cube import run_task

__all__ = ["Floor", "main", "measure"]

_BATCH = 2048


class Floor:
    """The floor for a day of 100 Hz, Hann 256, hop 128: call it with the bytes of the file."""

    nperseg, hop, n_frames, n_frequencies = 256, 128, 67_500, 129
    n_samples = (n_frames - 1) * hop + nperseg

    def __init__(self, folder: Path) -> None:
        self.seconds: dict[str, list[float]] = {}
        self._decoded = np.empty(2 * self.n_samples, dtype=np.int32)
        self._samples = np.zeros(self.n_samples, dtype=np.float32)
        self._taper = torch.hann_window(self.nperseg)
        self._amplitude = torch.empty((_BATCH, self.n_frequencies), dtype=torch.float32)
        self._power = torch.empty((self.n_frames, self.n_frequencies), dtype=torch.float16)
        self._array: zarr.Array[Any] = zarr.create_array(
            str(folder / "floor.zarr"),
            shape=(1, 1, self.n_frames, self.n_frequencies),
            shards=(1, 1, self.n_frames, self.n_frequencies),
            chunks=(1, 1, self.n_frames // 20, self.n_frequencies),
            dtype="float16",
            compressors=BloscCodec(typesize=2, cname="zstd", clevel=1, shuffle="bitshuffle"),
            fill_value=np.nan,
        )

    def __call__(self, data: bytes) -> None:
        """Once through; the seconds of each step are added to ``seconds``."""
        self._time("decode", lambda: self._decode(data))
        self._time("STFT, log, float16", self._transform)
        self._time("write", self._write)

    def _time(self, step: str, work: Callable[[], None]) -> None:
        began = time.perf_counter()
        work()
        self.seconds.setdefault(step, []).append(time.perf_counter() - began)

    def _decode(self, data: bytes) -> None:
        begin = 0
        for trace in MS3TraceList.from_buffer(data, record_list=True):
            for segment in trace:
                count = min(segment.samplecnt, self.n_samples - begin)
                decoded = self._decoded[: segment.samplecnt]
                segment.unpack_recordlist(decoded)
                self._samples[begin : begin + count] = decoded[:count]
                begin += count

    def _transform(self) -> None:
        signal = torch.from_numpy(self._samples)
        with torch.inference_mode(), one_thread():
            for first in range(0, self.n_frames, _BATCH):
                stop = min(first + _BATCH, self.n_frames)
                piece = signal[first * self.hop : (stop - 1) * self.hop + self.nperseg]
                spectrum = torch.stft(
                    piece, self.nperseg, self.hop, window=self._taper, center=False, return_complex=True
                )
                amplitude = self._amplitude[: stop - first]
                np.abs(spectrum.T.numpy(), out=amplitude.numpy())
                amplitude.clamp_(min=1e-15)
                np.log10(amplitude.numpy(), out=amplitude.numpy())
                self._power[first:stop].copy_(amplitude.mul_(20.0))

    def _write(self) -> None:
        self._array[0, 0] = self._power.numpy()


def measure(data: Path | None, rounds: int = 15) -> str:
    """Run both on one core and return the table as Markdown.

    Parameters
    ----------
    data
        Folder with ``sds`` below it that holds the real day; ``None`` writes a synthetic one.
    rounds
        Measurements of each, taken in turns.
    """
    with tempfile.TemporaryDirectory() as name, one_core():
        folder = Path(name)
        archive, what = find_day(data, folder)
        task, context = day_task(archive, folder / "root")
        path = archive.parent / REAL_DAY
        floor = Floor(folder)
        floor_s, task_s, steps = [], [], []
        for index in range(rounds + 2):
            began = time.perf_counter()
            floor(path.read_bytes())
            between = time.perf_counter()
            result = run_task(task, context)
            ended = time.perf_counter()
            if result.status != "done":
                raise RuntimeError(f"the task ended as {result.status}: {result.reason}")
            if index >= 2:  # the first rounds fill caches and buffers
                floor_s.append(between - began)
                task_s.append(ended - between)
                steps.append(result.details["seconds"])
        return _table(what, path.stat().st_size, floor_s, task_s, floor.seconds, steps)


def _table(
    what: str,
    n_bytes: int,
    floor_s: Sequence[float],
    task_s: Sequence[float],
    floor_steps: dict[str, list[float]],
    task_steps: Sequence[Any],
) -> str:
    floor, task = statistics.median(floor_s), statistics.median(task_s)
    parts = {step: statistics.median(values[2:]) for step, values in floor_steps.items()}
    own = {step: statistics.median(steps[step] for steps in task_steps) for step in task_steps[0]}
    day = f"one 100 Hz channel-day ({what}, {n_bytes / 1e6:.1f} MB)"
    rows = [
        f"Cube stage, one core, {day}, medians of {len(task_s)} interleaved rounds:",
        "",
        "| | s | channel-days/s | steps (ms) |",
        "|---|---|---|---|",
        f"| floor | {floor:.4f} | {1 / floor:.1f} | {_steps(parts)} |",
        f"| run_task | {task:.4f} | {1 / task:.1f} | {_steps(own)} |",
        f"| **share of the floor's speed** | **{floor / task:.2f}** | | wanted: 0.85 |",
    ]
    return "\n".join(rows)


def _steps(parts: dict[str, float]) -> str:
    return ", ".join(f"{step} {1e3 * value:.1f}" for step, value in parts.items())


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module."""
    print(measure(*data_and_rounds(__doc__, arguments, rounds=15)))


if __name__ == "__main__":
    main()
