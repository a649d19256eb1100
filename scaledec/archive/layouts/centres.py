"""The layouts of SCEDC, NCEDC and GeoNet: one object a channel and day."""

from __future__ import annotations

import io
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from scaledec.archive.folders import entries, files_below, together
from scaledec.archive.layouts.keyed import KeyedLayout, Name
from scaledec.archive.layouts.layout import DAY_NS, Days, date_of, day_of, matcher, tidy_location
from scaledec.archive.objects import UNKNOWN_VERSION
from scaledec.errors import ArchiveError
from scaledec.location import Location
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ArchiveObject, ChannelId

__all__ = ["GeonetLayout", "NcedcLayout", "ScedcLayout", "estimated_bytes"]

_RECORD = 512
# Of Steim2 in a usual archive: a little more than one.
_BYTES_PER_SAMPLE = 1.35


def estimated_bytes(sampling_rate_hz: float) -> int:
    """About how large a day of miniSEED is, where nothing tells."""
    n_bytes = sampling_rate_hz * DAY_NS / NANOSECONDS_PER_SECOND * _BYTES_PER_SAMPLE
    return max(1, round(n_bytes / _RECORD)) * _RECORD


def _name(match: re.Match[str] | None) -> Name | None:
    """Of a match with groups net, sta, loc, cha, year and day."""
    day = None if match is None else day_of(match["year"], match["day"])
    if match is None or day is None:
        return None
    station, location = match["sta"].rstrip("_"), tidy_location(match["loc"])
    return Name(ChannelId(match["net"], station, location, match["cha"]), day)


@dataclass(frozen=True, slots=True)
class NcedcLayout(KeyedLayout):
    """``continuous_waveforms/NET/YEAR/YEAR.DOY/STA.NET.CHA.LOC.D.YEAR.DOY``."""

    expected: ClassVar[str] = "continuous_waveforms/NET/YEAR/YEAR.DOY/STA.NET.CHA.LOC.D.YEAR.DOY"
    root: ClassVar[str] = "continuous_waveforms"
    has_networks: ClassVar[bool] = True
    day_format: ClassVar[str] = "%Y.%j"
    day_name: ClassVar[re.Pattern[str]] = re.compile(r"\d{4}\.(?P<day>\d{3})")
    _key: ClassVar[re.Pattern[str]] = re.compile(
        r".*/(?P<sta>[^./]+)\.(?P<net>[^./]+)\.(?P<cha>[^./]+)\.(?P<loc>[^./]*)\.D\.(?P<year>\d{4})\.(?P<day>\d{3})"
    )

    def parse(self, key: str) -> Name | None:
        """See :class:`.KeyedLayout`."""
        return _name(self._key.fullmatch(key))

    def prefix(self, network: str, station: str) -> str:
        """See :class:`.KeyedLayout`."""
        return f"{station}.{network}."


@dataclass(frozen=True, slots=True)
class GeonetLayout(KeyedLayout):
    """``waveforms/miniseed/YEAR/YEAR.DOY/STA.NET/YEAR.DOY.STA.LOC-CHA.NET.D``."""

    expected: ClassVar[str] = "waveforms/miniseed/YEAR/YEAR.DOY/STA.NET/YEAR.DOY.STA.LOC-CHA.NET.D"
    root: ClassVar[str] = "waveforms/miniseed"
    day_format: ClassVar[str] = "%Y.%j"
    day_name: ClassVar[re.Pattern[str]] = re.compile(r"\d{4}\.(?P<day>\d{3})")
    _key: ClassVar[re.Pattern[str]] = re.compile(
        r".*/(?P<year>\d{4})\.(?P<day>\d{3})\.(?P<sta>[^./]+)\.(?P<loc>[^.-]*|--)-(?P<cha>[^.-]+)\.(?P<net>[^./]+)\.D"
    )

    def parse(self, key: str) -> Name | None:
        """See :class:`.KeyedLayout`."""
        return _name(self._key.fullmatch(key))

    def prefix(self, network: str, station: str) -> str:
        """See :class:`.KeyedLayout`."""
        return f"{station}.{network}/"


@dataclass(frozen=True, slots=True)
class ScedcLayout(KeyedLayout):
    """``continuous_waveforms/YEAR/YEAR_DOY/`` and codes filled with underscores, ``CIWBM__LHZ___2022001.ms``.

    Where the archive has a Parquet index of a day, it is read instead of listing the day's folder. It
    tells neither sizes nor versions: sizes are estimated from the sampling rate, and that a file has
    changed since is not noticed. ``use_index=False`` lists.
    """

    use_index: bool = True

    expected: ClassVar[str] = "continuous_waveforms/YEAR/YEAR_DOY/NETSTA__CHALOC_YEARDOY.ms"
    root: ClassVar[str] = "continuous_waveforms"
    day_format: ClassVar[str] = "%Y_%j"
    day_name: ClassVar[re.Pattern[str]] = re.compile(r"\d{4}_(?P<day>\d{3})")
    _key: ClassVar[re.Pattern[str]] = re.compile(
        r"(?:.*/)?(?P<net>\w\w)(?P<sta>[^\W_]\w{4})(?P<cha>\w{3})(?P<loc>\w\w)_(?P<year>\d{4})(?P<day>\d{3})\.ms"
    )
    _index_key: ClassVar[re.Pattern[str]] = re.compile(
        r"year_doy=(?P<year>\d{4})_(?P<day>\d{3})/[^/]+\.parquet"
    )

    def parse(self, key: str) -> Name | None:
        """See :class:`.KeyedLayout`."""
        return _name(self._key.fullmatch(key))

    def prefix(self, network: str, station: str) -> str:
        """See :class:`.KeyedLayout`."""
        return f"{network}{station:_<5}"

    def find(
        self,
        location: Location,
        patterns: Sequence[str],
        days: Days,
        ignored: list[str],
        known: Container[int] = (),
    ) -> Iterator[tuple[Name, ArchiveObject]]:
        """See :class:`.KeyedLayout`; days that have an index are read from it, the others are listed."""
        indexed = self._indexed(location, days) if self.use_index else {}
        matches = matcher(patterns)
        read = partial(self._read_index, location)
        for found in together(read, indexed.values(), location):
            yield from ((name, item) for name, item in found if matches(name.channel) and days.have(name.day))
        # A zero-argument super() does not work in a dataclass with slots.
        yield from KeyedLayout.find(self, location, patterns, days, ignored, indexed.keys())

    def _indexed(self, location: Location, days: Days) -> dict[int, str]:
        """The key of the index of each of those days that has one; one listing a year."""
        top = f"{self.root}/index/parquet"
        if days.first is None or days.last is None:
            names = [entry.name for entry in entries(location.child(*top.split("/")))]
        else:
            years = range(date_of(days.first).year, date_of(days.last).year + 1)
            names = [f"year={year}" for year in years]
        found: dict[int, str] = {}
        for name in names:
            for entry in files_below(location.child(*top.split("/"), name)):
                match = self._index_key.fullmatch(entry.name)
                day = None if match is None else day_of(match["year"], match["day"])
                if day is not None and days.have(day):
                    found[day] = f"{top}/{name}/{entry.name}"
        return found

    def _read_index(self, location: Location, key: str) -> list[tuple[Name, ArchiveObject]]:
        """The objects that an index names; rows whose names say nothing are left out."""
        from pyarrow import parquet

        place = location.child(*key.split("/"))
        try:
            table = parquet.ParquetFile(io.BytesIO(place.read_bytes())).read(["ms_filename", "sample_rate"])
            rows = zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True)
            found = [self._indexed_object(str(name), float(rate or 0)) for name, rate in rows]
        except Exception as error:  # noqa: BLE001  (pyarrow has many; object stores raise their clients' own)
            raise ArchiveError(
                f"cannot use the index {place}: {type(error).__name__}: {place.told(error)}; list the "
                "archive instead: archive.use_index: false"
            ) from place.cause(error)
        return [pair for pair in found if pair is not None]

    def _indexed_object(self, name: str, rate_hz: float) -> tuple[Name, ArchiveObject] | None:
        file_name = name.strip("b'\"").rpartition("/")[2]  # some of these were written as Python's bytes
        said = self.parse(file_name)
        if said is None:
            return None
        folder = date_of(said.day).strftime(f"%Y/{self.day_format}")
        key = f"{self.root}/{folder}/{file_name}"
        return said, ArchiveObject(key, estimated_bytes(rate_hz), UNKNOWN_VERSION)
