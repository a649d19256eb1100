"""Questions to the labels of a large archive: seconds, processor seconds and peak memory of each.

    python -m benchmarks.asking [--stations 50] [--days 365] [--root FOLDER]

Labels alone are simulated (windows of 25.6 s, two channels a station: 1.2e8 windows for 50 stations and a
year) and written as the label stage writes them; each question is then asked by a process of its own, so
that its peak is its own and its seconds include opening the store. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scaledec.queries.accessor import open_labels
from scaledec.queries.counts import count_by, counts_in_time
from scaledec.queries.episodes import episodes
from scaledec.queries.rows import query
from scaledec.queries.statistics import class_statistics
from scaledec.synthetic.labels import SimulatedLabels, write_simulated_labels

__all__ = ["QUESTIONS", "ask", "main"]

QUESTIONS: Mapping[str, Callable[[str], Any]] = {
    "count by label": lambda root: count_by(root, ["label"]),
    "count by hour and station": lambda root: count_by(root, ["hour", "station"]),
    "count by label, station and hour of day": lambda root: count_by(
        root, ["label", "station", "hour_of_day"]
    ),
    "classes by the hour, confidence at least 0.9": lambda root: counts_in_time(
        root, "1h", min_confidence=0.9
    ),
    "the same through an xarray dataset": lambda root: open_labels(root).scaledec.counts(min_confidence=0.9),
    "episodes of a class, at least 10 windows, gaps to 60 s": lambda root: episodes(
        root, label=2, max_gap_s=60, min_windows=10
    ),
    "every episode of a class": lambda root: episodes(root, label=2),
    "statistics of the classes, without power": lambda root: class_statistics(root, sample=0, min_windows=3),
    "windows of a channel and a day": lambda root: query(
        root, channel="ZS.S007..HHZ", start="2021-06-01", end="2021-06-02"
    ),
    "windows of a class at night": lambda root: query(root, label=3, hours="22-4", limit=1_000_000),
}
"""What is asked of a root."""


def ask(root: str, question: str) -> dict[str, float]:
    """Ask in a process of its own: seconds, processor seconds, peak MB, rows of the answer."""
    command = [sys.executable, "-m", "benchmarks.asking", "--root", root, "--question", question]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(told.splitlines()[-1])
    return found


def _answer(root: str, question: str) -> dict[str, float]:
    began = time.perf_counter()
    rows = len(QUESTIONS[question](root))
    seconds = time.perf_counter() - began
    usage = resource.getrusage(resource.RUSAGE_SELF)
    processor = usage.ru_utime + usage.ru_stime
    return {"s": seconds, "cpu_s": processor, "peak_mb": usage.ru_maxrss / 1000, "rows": rows}


def _simulate(root: str, settings: SimulatedLabels) -> None:
    began = time.perf_counter()
    store = write_simulated_labels(root, settings)
    seconds = time.perf_counter() - began
    n_windows = len(settings.channels) * settings.segments * store.windows.n_windows
    sizes = {
        name: sum(path.stat().st_size for path in (store.location.path / name).rglob("*") if path.is_file())
        for name in ("label", "confidence", "distance", "outlier", "state")
    }
    parts = ", ".join(f"{name} {size / 1e6:.0f}" for name, size in sizes.items())
    on_disk = f"{sum(sizes.values()) / 1e6:.0f} MB on disk: {parts}"
    print(f"{n_windows:,} windows written in {seconds:.1f} s; {on_disk}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, ask everything, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--stations", type=int, default=50)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--root", help="where simulated labels are kept; a temporary folder by default")
    parser.add_argument("--question", help="ask only this of the labels there; for the processes of this one")
    options = parser.parse_args(arguments)
    if options.question:
        print(json.dumps(_answer(options.root, options.question)))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = options.root or folder
        if not (Path(root) / "labels").exists():
            _simulate(root, SimulatedLabels(stations=options.stations, segments=options.days))
        print("| question | s | processor s | peak MB | rows |\n|---|---|---|---|---|")
        for question in QUESTIONS:
            found = ask(root, question)
            print(
                f"| {question} | {found['s']:.1f} | {found['cpu_s']:.1f} | {found['peak_mb']:.0f} "
                f"| {found['rows']:,} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
