"""Run every benchmark, one after another, each in a process of its own.

    python -m benchmarks [--data FOLDER]

Each prints ratios measured within one run; what they were on a given machine is in RESULTS.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

_BENCHMARKS: tuple[tuple[str, ...], ...] = (
    ("benchmarks.cube",),
    ("benchmarks.script",),
    ("benchmarks.workers",),
    ("benchmarks.ross",),
    ("benchmarks.training", "--ray", "--two-workers"),
    ("benchmarks.clustering",),
    ("benchmarks.networks",),
    ("benchmarks.labelling", "--ray", "2"),
    ("benchmarks.coordinator",),
    ("benchmarks.asking",),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them all; the exit code is that of the first that fails, or 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--data", help="folder of real recordings, for those that can use it")
    data = parser.parse_args(arguments).data
    codes = []
    for name, *options in _BENCHMARKS:
        if data and name in ("benchmarks.cube", "benchmarks.script"):
            options += ["--data", data]
        print(f"\n## python -m {' '.join([name, *options])}\n", flush=True)
        codes.append(subprocess.run([sys.executable, "-m", name, *options], check=False).returncode)
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
