"""The Ross Ice Shelf processing of a channel-day, against a script of the same steps with ObsPy, on one core.

    python -m benchmarks.ross [--data DIR] [--rounds 5]

The script reads with ObsPy, merges, detrends, band-passes (a zero-phase kernel of
the same specification), takes every second sample, runs
recursive STA/LTA, drops detections within 5 s of one kept, and computes one centred spectrogram an event.
Both run in turns in one process. Prints Markdown.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.signal

from benchmarks.day import REAL_DAY, data_and_rounds, find_day, one_core
from scaledec.config import load_config
from scaledec.pipeline.cube import make_room, plan_of_cube
from scaledec.queries.detections import detections
from scaledec.stages.cube import CubeContext, run_task

__all__ = ["main", "measure"]

_CONFIG = Path(__file__).resolve().parents[1] / "configs" / "ross_ice_shelf.yaml"
_START_NS = 1_600_732_800_000_000_000


def script(path: Path) -> npt.NDArray[np.float64]:
    """The processing with ObsPy and scipy; seconds of the day at which events were detected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import obspy
        from obspy.signal import trigger

    (trace,) = obspy.read(str(path)).merge().detrend("linear")
    length, beta = scipy.signal.kaiserord(85, 1.5 / 50)
    kernel = scipy.signal.firwin(length | 1, [2.25, 22.5], pass_zero=False, fs=100, window=("kaiser", beta))
    begin_s = (trace.stats.starttime.ns - _START_NS) / 1e9
    filtered = scipy.signal.oaconvolve(trace.data.astype(np.float64), kernel, mode="same")
    skipped = round(begin_s * 100) % 2
    begin_s, samples = begin_s + skipped / 100, filtered[skipped::2]
    curve = trigger.recursive_sta_lta(samples, 25, 1_500)
    kept: list[int] = []
    for on, _ in trigger.trigger_onset(curve, 15, 10):
        if kept and on < kept[-1] + 250:
            continue
        kept.append(int(on))
        around = samples[max(0, on - 300) : on + 500]
        frequency_hz, _, power = scipy.signal.spectrogram(
            around, 50, window=("kaiser", 5.7), nperseg=20, noverlap=18, nfft=256, detrend=False
        )
        peak = int(power[:, 140:250].sum(axis=0).argmax()) + 140
        window = power[(frequency_hz >= 3) & (frequency_hz <= 20), max(0, peak - 50) : peak + 50]
        window / np.linalg.norm(window)
    return np.asarray(begin_s + np.array(kept) / 50)


def measure(data: Path | None, rounds: int = 5) -> str:
    """Run both on one core, in turns, and return the table as Markdown."""
    with tempfile.TemporaryDirectory() as name, one_core():
        archive, what = find_day(data, Path(name))
        config = load_config(
            _CONFIG,
            [
                f"root={Path(name) / 'root'}",
                f"archive.url={archive}",
                "archive.channels=[CM.BAR2.00.HHZ]",
                "archive.start=2020-09-22",
                "archive.end=2020-09-23",
            ],
        )
        plan = plan_of_cube(config).plan
        make_room(config, plan)
        context = CubeContext.of(config)
        (task,) = [task for task in plan.tasks if task.start_ns == _START_NS]
        ours, theirs = [], []
        for index in range(rounds + 1):
            began = time.perf_counter()
            known_s = script(archive.parent / REAL_DAY)
            between = time.perf_counter()
            result = run_task(task, context)
            ended = time.perf_counter()
            if index:  # the first round fills caches
                theirs.append(between - began)
                ours.append(ended - between)
        found = detections(config.root)["detected"].to_numpy().astype(np.int64)
        found_s = (found - _START_NS) / 1e9
    same = sum(bool(np.abs(found_s - second).min(initial=9.9) <= 0.021) for second in known_s)
    script_s, task_s = statistics.median(theirs), statistics.median(ours)
    return "\n".join(
        [
            f"One 100 Hz channel-day ({what}), one core, medians of {rounds} interleaved rounds:",
            "",
            "| | s | events |",
            "|---|---|---|",
            f"| script with ObsPy | {script_s:.3f} | {len(known_s)} |",
            f"| run_task | {task_s:.3f} | {len(found_s)}, {same} of the script's within one sample |",
            f"| **times as fast** | **{script_s / task_s:.1f}** | |",
            "",
            f"Steps of run_task (s): {result.details['seconds']}",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module."""
    print(measure(*data_and_rounds(__doc__, arguments, rounds=5)))


if __name__ == "__main__":
    main()
