"""The cube stage against the script that a scientist would write, on one core, doing equal work.

    python -m benchmarks.script [--data DIR] [--rounds 5]

The script: ObsPy reads and merges the day, removes a linear trend, filters (zero phase, four corners),
``scipy.signal.spectrogram``, decibels, ``xarray.to_zarr`` with the cube's own dtype, chunks and codec. The
task removes the same trend and stores the same frames and frequencies. It limits the band as scaledec
advises (it stores the frequencies of the band, which needs no filter), and once more by its own
zero-phase filter in the time domain. Prints Markdown.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import scipy.signal
import xarray as xr
from zarr.codecs import BloscCodec

from benchmarks.day import REAL_DAY, data_and_rounds, day_task, find_day, one_core
from scaledec.stages.cube import run_task

__all__ = ["main", "measure", "script"]

_BAND_HZ = (1.0, 20.0)
_NPERSEG, _HOP, _RATE = 256, 128, 100.0


def script(path: Path, store: Path) -> None:
    """A channel-day to a spectrogram on disk, by the libraries alone."""
    from obspy import read

    stream = read(str(path))
    stream.merge(method=1, fill_value=0)
    trace = stream[0]
    trace.data = trace.data.astype(np.float32)
    trace.detrend("linear")
    trace.filter("bandpass", freqmin=_BAND_HZ[0], freqmax=_BAND_HZ[1], corners=4, zerophase=True)
    frequency, seconds, power = scipy.signal.spectrogram(
        trace.data, _RATE, window="hann", nperseg=_NPERSEG, noverlap=_NPERSEG - _HOP, detrend=False
    )
    inside = (frequency >= _BAND_HZ[0]) & (frequency <= _BAND_HZ[1])
    with np.errstate(divide="ignore"):
        decibel = (10 * np.log10(power[inside].T)).astype(np.float16)
    dataset = xr.Dataset(
        {"power": (("frame", "frequency"), decibel)},
        {"frame": seconds, "frequency": frequency[inside]},
    )
    codec = BloscCodec(typesize=2, cname="zstd", clevel=1, shuffle="bitshuffle")
    chunk = -(-len(seconds) // 20)
    encoding = {"chunks": (chunk, decibel.shape[1]), "compressors": [codec]}
    dataset.to_zarr(store, mode="w", zarr_format=3, consolidated=False, encoding={"power": encoding})


def measure(data: Path | None, rounds: int = 5) -> str:
    """Run all on one core in turns and return the table as Markdown."""
    with tempfile.TemporaryDirectory() as name, one_core():
        folder = Path(name)
        archive, what = find_day(data, folder)
        band = f"[{_BAND_HZ[0]}, {_BAND_HZ[1]}]"
        common = ["spectrogram.detrend=linear", f"spectrogram.band_hz={band}"]
        rivals: dict[str, Callable[[], object]] = {
            "script": lambda: script(archive.parent / REAL_DAY, folder / "script.zarr"),
            "run_task, band by frequencies": _task(archive, folder / "bins", common),
            "run_task, band by its filter": _task(
                archive, folder / "filter", [*common, f"spectrogram.bandpass_hz={band}"]
            ),
        }
        seconds: dict[str, list[float]] = {rival: [] for rival in rivals}
        for index in range(rounds + 1):
            for rival, work in rivals.items():
                began = time.perf_counter()
                work()
                if index:  # the first round fills caches and buffers
                    seconds[rival].append(time.perf_counter() - began)
    medians = {rival: statistics.median(values) for rival, values in seconds.items()}
    rows = [f"| {rival} | {s:.3f} | {medians['script'] / s:.1f} |" for rival, s in medians.items()]
    head = [
        f"Detrend, {_BAND_HZ[0]:g} to {_BAND_HZ[1]:g} Hz, one core, {what}, medians of {rounds} rounds:",
        "",
        "| | s | times the script |",
        "|---|---|---|",
    ]
    return "\n".join([*head, *rows])


def _task(archive: Path, root: Path, settings: Sequence[str]) -> Callable[[], object]:
    task, context = day_task(archive, root, settings)

    def work() -> None:
        result = run_task(task, context)
        if result.status != "done":
            raise RuntimeError(f"the task ended as {result.status}: {result.reason}")

    return work


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module."""
    print(measure(*data_and_rounds(__doc__, arguments, rounds=5)))


if __name__ == "__main__":
    main()
