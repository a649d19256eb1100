"""Raw samples of single windows, cut from the archive that labels were made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from scaledec.archive.archive import Archive, open_archive
from scaledec.archive.borrowed_index import BorrowedIndex
from scaledec.archive.listing import Listing
from scaledec.archive.segment import read_segment
from scaledec.config import ArchiveConfig
from scaledec.errors import ArchiveError, UnreadableInputError
from scaledec.location import Location
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId

__all__ = ["Waveform", "WaveformReader"]

_DAY_NS = 86_400 * NANOSECONDS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Waveform:
    """Samples of one window."""

    samples: npt.NDArray[np.float32]
    """Shape (sample,); NaN where the archive has none. Counts, mean removed."""
    sampling_rate_hz: float


class WaveformReader:
    """Cuts windows from an archive; the first failure to reach it ends the attempts, and is kept.

    Parameters
    ----------
    config
        Of the archive.
    index
        Where runs keep the archive's index, for layouts that need one; it is not written to.
    """

    def __init__(self, config: ArchiveConfig, index: Location) -> None:
        self._index = BorrowedIndex(index)
        self.reason = ""
        """Why there are no waveforms; empty while there are."""
        self._archive: Archive | None = None
        if config.layout == "cube":
            self.reason = "the archive holds spectrograms, no waveforms"
        else:
            self._archive = open_archive(config, self._index.location)
        # Windows of one cluster are often of the same day; a listing is a request, or several.
        self._listing = lru_cache(maxsize=256)(self._listed)

    def read(self, channel: ChannelId, start_ns: int, end_ns: int) -> Waveform | None:
        """The samples of ``[start_ns, end_ns)``; ``None`` where the archive gives none."""
        if self._archive is None or self.reason:
            return None
        try:
            listing = self._listing(str(channel), start_ns // _DAY_NS)
            objects = listing.objects_for(channel, start_ns, end_ns)
            read = read_segment(self._archive, channel, objects, start_ns=start_ns, end_ns=end_ns)
        except UnreadableInputError:
            return None
        except ArchiveError as error:
            self.reason = str(error)
            return None
        if read.segment is None:
            return None
        samples = np.full(len(read.segment.samples), np.nan, np.float32)
        for first, stop in read.segment.runs:
            samples[first:stop] = read.segment.samples[first:stop]
        return Waveform(samples - np.nanmean(samples), read.native_rate_hz)

    def _listed(self, channel: str, day: int) -> Listing:
        assert self._archive is not None
        # A window may begin at the end of its day: the next one is listed too.
        return self._archive.listing((channel,), day * _DAY_NS, (day + 2) * _DAY_NS)
