"""Write a synthetic archive: an SDS tree of miniSEED, the truth about it, and what faults it has.

::

    FOLDER/sds/YEAR/NET/STA/CHA.D/NET.STA.LOC.CHA.D.YEAR.DOY     Steim-2, records of 512 bytes
    FOLDER/truth.csv                                             one row a visible stretch of planted signal
    FOLDER/archive.json                                          settings, stations, faults, files
    FOLDER/README.md                                             the same for people
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from scaledec.errors import StoreConflictError, StoreNotFoundError
from scaledec.location import Location
from scaledec.synthetic.families import FAMILIES
from scaledec.synthetic.faults import Fault, day_file, plan_faults
from scaledec.synthetic.plant import channel_day
from scaledec.synthetic.settings import Station, SyntheticSettings
from scaledec.synthetic.truth import TruthRow, read_truth, truth_table, write_truth
from scaledec.vocabulary import ChannelId

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SyntheticArchive", "write_synthetic_archive"]

# Raised whenever equal settings would give other samples, so that an old archive is not taken for a new one.
_GENERATOR = 1
_MANIFEST = "archive.json"


@dataclass(frozen=True, slots=True)
class SyntheticArchive:
    """A synthetic archive that has been written."""

    location: Location
    """The folder that holds everything."""
    truth: pd.DataFrame
    faults: tuple[Fault, ...]
    n_files: int
    n_bytes: int
    """Of the miniSEED files."""
    written: bool
    """Whether it was written now; ``False`` if it was there already."""

    @property
    def sds(self) -> Location:
        """The SDS tree: what ``archive.url`` of a configuration names."""
        return self.location.child("sds")


def write_synthetic_archive(
    location: Location | str | os.PathLike[str],
    settings: SyntheticSettings | None = None,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SyntheticArchive:
    """Write an archive of real miniSEED whose every signal is known.

    Equal settings give equal bytes. Where the same archive is there already nothing is written; where
    writing was cut short it is written again.

    Parameters
    ----------
    location
        Folder to write into; see the module's description for what lies there.
    settings
        What to make; ``None``: four stations, three days, 100 Hz.
    workers
        Threads; ``None``: one a core. The bytes do not depend on it.
    progress
        Called with (station-days done, station-days in all).

    Raises
    ------
    StoreConflictError
        If an archive made with other settings lies there.
    StoreError
        If the folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from scaledec.synthetic.settings import SyntheticSettings
    >>> settings = SyntheticSettings(hours=1, sampling_rate_hz=20, faults=False)
    >>> archive = write_synthetic_archive(tempfile.mkdtemp(), settings)
    >>> archive.n_files, archive.written
    (4, True)
    """
    place = location if isinstance(location, Location) else Location(os.fspath(location))
    wanted = SyntheticSettings() if settings is None else settings
    faults = plan_faults(wanted)
    found = _manifest(place)
    if found is not None:
        _check_same(place, found, wanted)
        sizes: dict[str, int] = found["files"]
        if all(place.child(name).exists() for name in sizes):
            return SyntheticArchive(place, read_truth(place), faults, len(sizes), sum(sizes.values()), False)
    rows, sizes = _write_files(place, wanted, faults, workers, progress)
    truth = truth_table(rows)
    write_truth(place, truth)
    manifest = {**_identity(wanted), "faults": [asdict(fault) for fault in faults], "files": sizes}
    place.child("README.md").write_bytes(_readme(wanted, truth, faults).encode())
    # Last: it says that everything above is complete.
    place.child(_MANIFEST).write_bytes((json.dumps(manifest, indent=1) + "\n").encode())
    return SyntheticArchive(place, read_truth(place), faults, len(sizes), sum(sizes.values()), True)


def _write_files(
    place: Location,
    settings: SyntheticSettings,
    faults: tuple[Fault, ...],
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[TruthRow], dict[str, int]]:
    def write_day(work: tuple[Station, str, int]) -> tuple[list[TruthRow], dict[str, int]]:
        station, component, day = work
        own = tuple(f for f in faults if f.station == station.code and f.day == day)
        samples, rows = channel_day(settings, station, component, day)
        channel = settings.channel(station, component)
        data = day_file(settings, channel, settings.span_of_day(day)[0], samples, own)
        if data is None:
            return rows, {}
        name = _sds_name(channel, day)
        place.child(name).write_bytes(data)
        return rows, {name: len(data)}

    work = list(_station_days(settings))
    rows: list[TruthRow] = []
    sizes: dict[str, int] = {}
    # Threads, not processes: FFT, random numbers and Steim coding all release the lock, and a script
    # that calls this needs no `if __name__ == "__main__"`.
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        for done, (own_rows, own_sizes) in enumerate(pool.map(write_day, work), start=1):
            rows += own_rows
            sizes |= own_sizes
            if progress is not None:
                progress(done, len(work))
    return rows, sizes


def _station_days(settings: SyntheticSettings) -> Iterator[tuple[Station, str, int]]:
    for day in settings.days:
        for station in settings.stations:
            for component in settings.components:
                yield station, component, day


def _sds_name(channel: ChannelId, day: int) -> str:
    date = dt.date(1970, 1, 1) + dt.timedelta(days=day)
    year, day_of_year = date.year, date.timetuple().tm_yday
    folder = f"sds/{year}/{channel.network}/{channel.station}/{channel.channel}.D"
    return f"{folder}/{channel}.D.{year}.{day_of_year:03d}"


def _identity(settings: SyntheticSettings) -> dict[str, Any]:
    return {"generator": _GENERATOR, "settings": asdict(settings)}


def _manifest(place: Location) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(place.child(_MANIFEST).read_bytes())
    except StoreNotFoundError:
        return None
    except ValueError as error:
        raise StoreConflictError(
            f"{place.child(_MANIFEST)} is no JSON: {error}; delete the folder"
        ) from error
    return found


def _check_same(place: Location, found: dict[str, Any], settings: SyntheticSettings) -> None:
    # Through JSON, so that tuples compare as the lists they are stored as.
    wanted = json.loads(json.dumps(_identity(settings)))
    if all(found.get(key) == wanted[key] for key in wanted):
        return
    raise StoreConflictError(
        f"{place} holds a synthetic archive of other settings "
        f"(seed {found.get('settings', {}).get('seed')}); name another folder, or delete that one"
    )


def _readme(settings: SyntheticSettings, truth: pd.DataFrame, faults: tuple[Fault, ...]) -> str:
    lines = [
        "# A synthetic archive",
        "",
        f"{settings.hours:g} hours from {settings.start} (UTC) at {settings.sampling_rate_hz:g} Hz,",
        f"seed {settings.seed}, made by scaledec. No recording: every signal was computed.",
        "",
        "`sds/` holds miniSEED (Steim-2, 512-byte records). `truth.csv` says what is planted where: one row",
        "for each stretch of a channel in which a signal is visible. It describes the ground: a row may fall",
        "into a gap of the data.",
        "",
        "## Stations (km east and north of the crater)",
        "",
        *(f"- {station.code}: {station.x_km:g}, {station.y_km:g}" for station in settings.stations),
        "",
        "## Families",
        "",
        *(f"- {family.name}: {int((truth['family'] == family.name).sum())} rows" for family in FAMILIES),
        "",
        "## Faults planted",
        "",
        *([f"- {fault.sentence()}" for fault in faults] or ["- none"]),
        "",
    ]
    return "\n".join(lines)
