"""The truth about a synthetic archive: what was planted where, and which family a window holds."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scaledec.errors import ArchiveError, StoreNotFoundError
from scaledec.location import Location
from scaledec.synthetic.families import FAMILY_NAMES
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TruthRow", "read_truth", "truth_table", "window_truth", "windows_truth", "write_truth"]

_TRUTH_NAME = "truth.csv"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class TruthRow:
    """One stretch of one channel in which a planted signal is visible."""

    start_ns: int
    channel: str
    end_ns: int
    family: str
    event: str
    """The same name at every station that heard it."""
    excess_db: float
    """How far it raises the power of its bands above the noise, mean over the stretch."""
    bandwidth_hz: float
    """Width of its bands."""
    magnitude: float | None = None
    distance_km: float | None = None
    kind: str = ""


def truth_table(rows: Iterable[TruthRow]) -> pd.DataFrame:
    """Rows as a table sorted by time and channel; ``start`` and ``end`` are datetime64[ns] in UTC."""
    import pandas as pd

    names = [field.name for field in fields(TruthRow)]
    table = pd.DataFrame([asdict(row) for row in sorted(rows, key=_order)], columns=names)
    for name in ("start", "end"):
        table[name] = table.pop(f"{name}_ns").astype("int64").to_numpy().view("datetime64[ns]")
    for name in ("magnitude", "distance_km", "excess_db", "bandwidth_hz"):
        table[name] = table[name].astype("float64")
    first = ["family", "channel", "start", "end", "event"]
    return table[[*first, *(name for name in table.columns if name not in first)]]


def _order(row: TruthRow) -> tuple[int, str, str]:
    return row.start_ns, row.channel, row.event


def write_truth(location: Location, truth: pd.DataFrame) -> None:
    """Write the table as ``truth.csv`` below a folder; times to the nanosecond."""
    text = truth.assign(start=_iso(truth["start"]), end=_iso(truth["end"])).to_csv(
        index=False, lineterminator="\n"
    )
    location.child(_TRUTH_NAME).write_bytes(text.encode())


def read_truth(location: Location) -> pd.DataFrame:
    """The table that lies beside a synthetic archive.

    Raises
    ------
    ArchiveError
        If there is none.
    """
    import pandas as pd

    place = location.child(_TRUTH_NAME)
    try:
        data = place.read_bytes()
    except StoreNotFoundError as error:
        raise ArchiveError(
            f"no truth at {place}; `scaledec demo` writes a synthetic archive with one"
        ) from error
    table = pd.read_csv(io.BytesIO(data), keep_default_na=True, dtype={"kind": "str", "event": "str"})
    for name in ("start", "end"):
        table[name] = table[name].to_numpy().astype("datetime64[ns]")
    table["kind"] = table["kind"].fillna("")
    return table


def _iso(times: pd.Series[Any]) -> npt.NDArray[np.str_]:
    return np.datetime_as_string(times.to_numpy().astype("datetime64[ms]"))


def window_truth(
    truth: pd.DataFrame,
    channel: ChannelId | str,
    window_start_ns: npt.ArrayLike,
    window_length_ns: int,
    *,
    min_overlap_s: float = 3.0,
) -> npt.NDArray[np.int64]:
    """Which family each window of a channel holds.

    The rule: a planted signal counts in a window when it is visible there for ``min_overlap_s``, or for half
    of its own length if that is shorter. Of the families that count, the window belongs to the one that
    raises its dB spectrogram most: seconds of overlap times excess in dB times bandwidth in Hz, summed over
    the family's signals. A window in which nothing counts is noise.

    Parameters
    ----------
    truth
        As :func:`read_truth` returns it.
    channel
        ``NET.STA.LOC.CHA``.
    window_start_ns
        Start of each window, nanoseconds since 1970, shape (window,), in any order.
    window_length_ns
        Length of a window.

    Returns
    -------
    Index into :data:`~scaledec.synthetic.families.FAMILY_NAMES`, shape (window,); 0 is noise.
    """
    starts = np.asarray(window_start_ns, dtype=np.int64)
    own = truth[truth["channel"] == str(channel)]
    row_start = _nanoseconds(own["start"])
    row_end = _nanoseconds(own["end"])
    order = np.argsort(starts, kind="stable")
    # Windows that touch row r are a run of the sorted ones: [first[r], stop[r]).
    first = np.searchsorted(starts[order], row_start - window_length_ns, side="right")
    stop = np.searchsorted(starts[order], row_end, side="left")
    touching = np.maximum(stop - first, 0)
    row = np.repeat(np.arange(row_start.size), touching)
    within = np.arange(row.size) - np.repeat(np.cumsum(touching) - touching, touching)
    window = order[np.repeat(first, touching) + within]
    overlap_ns = np.minimum(row_end[row], starts[window] + window_length_ns) - np.maximum(
        row_start[row], starts[window]
    )
    needed_ns = np.minimum(min_overlap_s * NANOSECONDS_PER_SECOND, (row_end - row_start)[row] / 2)
    strength = (own["excess_db"] * own["bandwidth_hz"]).to_numpy(dtype=np.float64)[row] * overlap_ns
    number = np.searchsorted(_SORTED_NAMES, own["family"].to_numpy(dtype=np.str_))
    number = _SORTED_NUMBERS[np.minimum(number, len(FAMILY_NAMES) - 1)][row]
    counts = overlap_ns >= needed_ns
    total = np.bincount(
        window[counts] * len(FAMILY_NAMES) + number[counts],
        weights=strength[counts],
        minlength=starts.size * len(FAMILY_NAMES),
    )
    # Noise has a total of 0 and stands first, so it wins only where nothing counts.
    return np.asarray(total.reshape(starts.size, len(FAMILY_NAMES)).argmax(axis=1), dtype=np.int64)


def windows_truth(
    truth: pd.DataFrame,
    channels: Sequence[str] | npt.NDArray[Any],
    window_start_ns: npt.ArrayLike,
    window_length_ns: int,
    *,
    min_overlap_s: float = 3.0,
) -> npt.NDArray[np.int64]:
    """:func:`window_truth` for windows of several channels, ``channels`` naming each window's own."""
    names = np.asarray(channels, dtype=np.str_)
    starts = np.asarray(window_start_ns, dtype=np.int64)
    family = np.zeros(starts.shape, dtype=np.int64)
    for name in np.unique(names):
        mine = names == name
        family[mine] = window_truth(
            truth, str(name), starts[mine], window_length_ns, min_overlap_s=min_overlap_s
        )
    return family


_SORTED_NUMBERS = np.argsort(np.asarray(FAMILY_NAMES))
_SORTED_NAMES = np.asarray(FAMILY_NAMES)[_SORTED_NUMBERS]


def _nanoseconds(times: pd.Series[Any]) -> npt.NDArray[np.int64]:
    return times.to_numpy().astype("datetime64[ns]").astype(np.int64)
