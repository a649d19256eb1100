"""The Parquet catalog of 1.2e8 simulated windows: time and memory to write it, and of questions in SQL.

``python -m benchmarks.catalog ROOT`` uses (or makes) the simulated labels below ROOT.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

from scaledec.pipeline.catalog import update_catalog
from scaledec.places import Places
from scaledec.synthetic.labels import SimulatedLabels, write_simulated_labels

SETTINGS = SimulatedLabels(stations=50, channels_per_station=2, segments=365)
"""100 channels of a year: 1.2e8 windows."""

QUESTIONS = {
    "classes": "select label, count(*) n from labels group by 1",
    "by hour and station": """
        select date_trunc('hour', start) h, station, label, count(*) n from labels group by all""",
    "sure ones by hour of day": """
        select hour(start) h, label, count(*) n, avg(distance) d from labels
        where confidence > 0.9 group by all""",
    "outliers of one class": """
        select channel, start, outlier from labels where label = 7 order by outlier desc limit 100""",
    "one station, one month": """
        select label, count(*) n from labels
        where network = 'ZS' and year = 2021 and month = 7 and station = 'S007' group by 1""",
    "longest unbroken runs of each class, one month": """
        with numbered as (
            select channel, label, row_number() over (partition by channel order by start)
            - row_number() over (partition by channel, label order by start) stay
            from labels where month = 3
        ), stays as (select channel, label, stay, count(*) n from numbered group by all)
        select channel, label, max(n) longest from stays group by all""",
}


def peak_mb() -> float:
    """Most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cpu_s() -> float:
    """Seconds of the processor that this process has used: what counts on a busy machine."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def build(root: str) -> None:
    """Write the catalog, and again with nothing left to do."""
    places, run = Places.at(root), SETTINGS.run
    places.catalog(run).remove()
    places.catalog_ledger(run).remove()
    before, cpu_before = time.perf_counter(), cpu_s()
    outcome = update_catalog(places, run)
    seconds, cpu = time.perf_counter() - before, cpu_s() - cpu_before
    size = sum(path.stat().st_size for path in places.catalog(run).path.rglob("*.parquet"))
    n = SETTINGS.segments * SETTINGS.template.windows.n_windows * len(SETTINGS.channels)
    print(
        f"{outcome}: {n / 1e6:.0f} million windows in {seconds:.1f} s, processor {cpu:.1f} s, "
        f"{size / 2**20:.0f} MB, peak {peak_mb():.0f} MB"
    )
    before = time.perf_counter()
    again = update_catalog(places, run)
    print(f"{again}: nothing to do takes {time.perf_counter() - before:.2f} s")


def ask(root: str, name: str) -> None:
    """One question in this process."""
    from scaledec.queries.sql import SqlSession

    before = time.perf_counter()
    with SqlSession(root, run=SETTINGS.run) as session:
        opened = time.perf_counter() - before
        table = session.table(QUESTIONS[name])
    seconds = time.perf_counter() - before
    used = f"open {opened:.2f} s, processor {cpu_s():.2f} s with imports, peak {peak_mb():.0f} MB"
    print(f"{name}: {len(table)} rows in {seconds:.2f} s ({used})")


def main(root: str) -> None:
    """Everything, each in a process of its own."""
    if not Places.at(root).labels(SETTINGS.run).exists():
        write_simulated_labels(root, SETTINGS)
    for arguments in (["build"], *([name] for name in QUESTIONS)):
        subprocess.run([sys.executable, "-m", "benchmarks.catalog", root, *arguments], check=True)


if __name__ == "__main__":
    folder = str(Path(sys.argv[1]).resolve())
    if len(sys.argv) == 2:
        main(folder)
    elif sys.argv[2] == "build":
        build(folder)
    else:
        ask(folder, sys.argv[2])
