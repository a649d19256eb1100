"""What the reader makes of each odd file, and what ObsPy and pymseed make of it: rows of a table.

``odd_files.tsv`` beside this module is the table as it is meant to be. After a wanted change of behaviour
``python -m tests.archive.odd_files`` writes it anew; the difference then says what has changed.
"""

from __future__ import annotations

import csv
import hashlib
import io
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scaledec.archive.miniseed import read_pieces
from scaledec.errors import UnreadableInputError

TABLE = Path(__file__).with_name("odd_files.tsv")
S = 1_000_000_000

Stretch = tuple[str, int, float, npt.NDArray[Any]]
"""Channel, start in ns, rate in Hz, samples."""


@dataclass(frozen=True)
class Row:
    """One file."""

    path: str
    outcome: str
    """``read``, ``noted`` (something is said about it), ``empty`` (records without samples), ``refused``."""
    samples: str
    """Number of samples by channel."""
    digest: str
    """Of channels, times, rates and samples."""
    obspy: str
    """``same``, ``differs``, or ``-`` if it cannot read the file."""
    pymseed: str
    """The same of pymseed, record by record."""
    said: str
    """Notes or the reason; of messages of the libraries the number only, their words are not ours."""


def files_of(folder: Path) -> list[str]:
    """Every file but the descriptions, by path."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".md", ".tsv")]
    return sorted(path.relative_to(folder).as_posix() for path in found)


def row(folder: Path, name: str) -> Row:
    """What becomes of one file."""
    path = folder / name
    data = path.read_bytes()
    theirs = with_obspy(data), with_pymseed(data)
    try:
        outcome = read_pieces(data, name=path.name)
    except UnreadableInputError as error:
        said = str(error).partition("record: ")[2].partition(" (")[0]
        return Row(name, "refused", "", "", compared(theirs[0], []), compared(theirs[1], []), said)
    ours: list[Stretch] = [
        (str(p.channel), p.start_ns, p.sampling_rate_hz, p.samples) for p in outcome.pieces
    ]
    verdict = "empty" if not ours else "noted" if outcome.notes else "read"
    by_obspy, by_pymseed = (compared(found, ours) for found in theirs)
    return Row(
        name, verdict, counted(ours), digest(ours), by_obspy, by_pymseed, "; ".join(own_words(outcome.notes))
    )


def own_words(notes: Iterable[str]) -> Iterator[str]:
    """Our own sentences; then how many others there are."""
    n_messages = 0
    for note in notes:
        if note.startswith(("FDSN:", "Error:", "ObsPy:", "and ")):
            n_messages += 1
        else:
            yield note.partition(": Error:")[0]
    if n_messages:
        yield f"{n_messages} messages"


def counted(stretches: Iterable[Stretch]) -> str:
    number: dict[str, int] = {}
    for channel, _, _, samples in stretches:
        number[channel] = number.get(channel, 0) + len(samples)
    return " ".join(f"{channel}:{count}" for channel, count in sorted(number.items()))


def digest(stretches: Iterable[Stretch]) -> str:
    found = hashlib.sha256()
    for channel, start_ns, rate_hz, samples in stretches:
        found.update(f"{channel} {start_ns} {rate_hz!r} {samples.dtype}".encode() + samples.tobytes())
    return found.hexdigest()[:12]


def with_obspy(data: bytes) -> list[Stretch] | None:
    """Every trace of numbers that ObsPy reads; ``None`` if it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import obspy

        try:
            stream = obspy.read(io.BytesIO(data), format="MSEED")
        except Exception:  # noqa: BLE001  (it documents no base class)
            return None
    return [
        (trace.id, int(trace.stats.starttime.ns), float(trace.stats.sampling_rate), trace.data)
        for trace in stream
        if trace.data.dtype.kind in "if" and len(trace.data) and trace.stats.sampling_rate > 0
    ]


def with_pymseed(data: bytes) -> list[Stretch] | None:
    """Every record of numbers that pymseed reads from beginning to end; ``None`` if it raises."""
    from pymseed import MS3Record, sourceid2nslc

    try:
        return [
            (
                ".".join(sourceid2nslc(record.sourceid)),
                int(record.starttime),
                float(record.samprate),
                np.array(record.np_datasamples),
            )
            for record in MS3Record.from_buffer(data, unpack_data=True)
            if record.numsamples and record.sampletype in ("i", "f", "d")
        ]
    except (RuntimeError, ValueError):
        return None


def compared(theirs: list[Stretch] | None, ours: list[Stretch]) -> str:
    """Whether every sample is the same, and its time to within half a sample."""
    if theirs is None:
        return "-"
    mine, other = by_channel(ours), by_channel(theirs)
    same = mine.keys() == other.keys() and all(
        len(mine[channel][0]) == len(other[channel][0])
        and np.array_equal(mine[channel][1], other[channel][1], equal_nan=True)
        and (np.abs(mine[channel][0] - other[channel][0]) <= mine[channel][2]).all()
        for channel in mine
    )
    return "same" if same else "differs"


def by_channel(stretches: Iterable[Stretch]) -> dict[str, tuple[npt.NDArray[Any], ...]]:
    """(times in ns, samples, half a sample in ns) of each channel, in order of time."""
    parts: dict[str, list[tuple[npt.NDArray[Any], ...]]] = {}
    for channel, start_ns, rate_hz, samples in stretches:
        times = start_ns + np.rint(np.arange(len(samples)) * (S / rate_hz)).astype(np.int64)
        values = np.asarray(samples, np.float64)
        parts.setdefault(channel, []).append((times, values, np.full(len(times), S / rate_hz / 2)))
    found: dict[str, tuple[npt.NDArray[Any], ...]] = {}
    for channel, own in parts.items():
        own.sort(key=lambda part: (part[0][0], -len(part[0])))
        times, values, half = (np.concatenate(column) for column in zip(*own, strict=True))
        order = np.argsort(times, kind="stable")
        found[channel] = times[order], values[order], half[order]
    return found


def read_table() -> list[Row]:
    with TABLE.open(encoding="utf-8", newline="") as lines:
        return [Row(**line) for line in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)]


def write_table(folder: Path) -> None:
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        names = [field.name for field in fields(Row)]
        table = csv.DictWriter(file, names, delimiter="\t", quoting=csv.QUOTE_NONE, lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(row(folder, name)) for name in files_of(folder))


if __name__ == "__main__":
    write_table(Path(__file__).resolve().parents[3] / "shared" / "data" / "odd_miniseed")
