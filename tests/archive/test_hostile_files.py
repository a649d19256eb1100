"""Fuzzing the reader: whatever the bytes, an outcome or a refusal, soon and in little memory.

Run in a process of its own, so that a crash or a hang of the compiled library is a finding too. Each
file has a number; ``mutant(seeds, number)`` makes it again.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from scaledec.archive.miniseed import ReadOutcome, read_pieces, scan_headers
from scaledec.errors import UnreadableInputError
from tests.archive.hostile_files import good_files, mutant, odd_files
from tests.archive.making import CHANNEL, START_NS

S = 1_000_000_000
REPOSITORY = Path(__file__).resolve().parents[2]
QUICK = 4_000
LONG_S = float(os.environ.get("SCALEDEC_FUZZ_S", "240"))
LONGEST_S = 2.0
"""Of the processor for one reading of a few ten kilobytes; most take a millisecond."""
MOST_BYTES = 2 << 30
"""Address space of the child; a header that claims 2**31 samples must not be believed."""
MOST_RESIDENT = 400 << 20

Seeds = Sequence[bytes]


def findings_of(data: bytes) -> list[str]:
    """What is wrong with how the reader takes these bytes; nothing, if all is well."""

    def in_part() -> ReadOutcome:
        return read_pieces(
            data, channel=CHANNEL, start_ns=START_NS + 5 * S, end_ns=START_NS + 10 * S, name="part"
        )

    readings: tuple[Callable[[], object], ...] = (
        lambda: read_pieces(data, name="all"),
        in_part,
        lambda: scan_headers(data, "headers"),
    )
    found = []
    for reading in readings:
        began = time.process_time()
        try:
            outcome = reading()
        except UnreadableInputError:
            outcome = None
        except BaseException as error:  # noqa: BLE001  (that is what is looked for)
            found.append(f"{type(error).__name__}: {error}")
            continue
        if (seconds := time.process_time() - began) > LONGEST_S:
            found.append(f"took {seconds:.1f} s")
        if isinstance(outcome, ReadOutcome):
            found += faults_of(outcome, len(data))
    return found


def faults_of(outcome: ReadOutcome, n_bytes: int) -> list[str]:
    """What no outcome may be: more samples than bytes can hold, more bytes lost than there are, silence."""
    found = []
    if sum(len(piece.samples) for piece in outcome.pieces) > 2 * n_bytes:
        found.append("more samples than the bytes can hold")
    if not 0 <= outcome.dropped_bytes <= n_bytes:
        found.append(f"{outcome.dropped_bytes} of {n_bytes} bytes dropped")
    if outcome.dropped_bytes and not outcome.notes:
        found.append("bytes dropped without a note")
    return found + [
        f"a piece of {len(piece.samples)} {piece.samples.dtype}"
        for piece in outcome.pieces
        if not len(piece.samples) or piece.samples.dtype.kind not in "if"
    ]


def main(odd: str, first: int, most: int, seconds: float, progress: str) -> None:
    """The child: read mutants until there are enough or time is up; print what was found as JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    seeds = good_files() + (odd_files(Path(odd)) if odd else [])
    found: dict[int, list[str]] = {}
    number, end = first, time.monotonic() + seconds
    with Path(progress).open("w", buffering=1) as at:
        while number < first + most and time.monotonic() < end and len(found) < 20:
            at.write(f"{number}\n")
            if faults := findings_of(mutant(seeds, number)):
                found[number] = faults
            number += 1
    print(json.dumps({"cases": number - first, "resident": most_resident(), "findings": found}))


def most_resident() -> int:
    """Bytes of memory that this process has held at most (``ru_maxrss`` begins with the parent's)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def fuzz(folder: Path, odd: Path | None, first: int, most: int, seconds: float) -> int:
    """Number of files read by a child process in which nothing was found."""
    progress = folder / "progress"
    ours = filter(None, [os.environ.get("PYTHONPATH")])
    arguments = [str(odd or ""), str(first), str(most), str(seconds), str(progress)]
    try:
        ended = subprocess.run(
            [sys.executable, "-m", __name__, *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *ours])},
            capture_output=True,
            text=True,
            timeout=seconds + 60,
        )
    except subprocess.TimeoutExpired:
        pytest.fail(f"the reader hangs at mutant {last_of(progress)}")
    assert ended.returncode == 0, (
        f"the reader ended its process ({ended.returncode}) at mutant {last_of(progress)}: {ended.stderr}"
    )
    report = json.loads(ended.stdout)
    assert report["findings"] == {}
    assert report["resident"] < MOST_RESIDENT
    print(f"{report['cases']} files, {report['resident'] >> 20} MB")
    return int(report["cases"])


def last_of(progress: Path) -> str:
    return progress.read_text().split()[-1] if progress.exists() else "none"


def test_mutants_of_good_files_end_in_an_outcome_or_a_refusal(tmp_path: Path) -> None:
    assert fuzz(tmp_path, None, 0, QUICK, 60) == QUICK


def test_mutants_of_odd_files_end_in_an_outcome_or_a_refusal(real_data: Path, tmp_path: Path) -> None:
    assert fuzz(tmp_path, real_data / "odd_miniseed", 10**6, QUICK, 60) == QUICK


@pytest.mark.heavy
@pytest.mark.timeout(LONG_S + 120)
def test_many_thousands_of_mutants_end_in_an_outcome_or_a_refusal(real_data: Path, tmp_path: Path) -> None:
    seed = int(os.environ.get("SCALEDEC_FUZZ_SEED", "1"))
    assert fuzz(tmp_path, real_data / "odd_miniseed", seed * 10**9, 10**9, LONG_S) > 1000


def test_a_fault_of_the_library_is_a_finding_with_the_number_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, pymseed\npymseed.MS3TraceList.add_buffer = lambda *_, **__: os.abort()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(AssertionError, match=r"ended its process \(-6\) at mutant 7"):
        fuzz(tmp_path, None, 7, 10, 30)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5])
