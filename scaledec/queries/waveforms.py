"""The recorded waveforms of windows or episodes, one miniSEED file each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from scaledec.archive.cut import Cutter
from scaledec.errors import ConfigError
from scaledec.progress import track
from scaledec.store.open import store_errors
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId

if TYPE_CHECKING:
    from scaledec.archive.archive import Archive

__all__ = ["SavedWaveforms", "file_name", "save_waveforms"]


@dataclass(slots=True)
class SavedWaveforms:
    """What came of it."""

    written: int = 0
    already_there: int = 0
    """Files that were there with the same bytes."""
    with_gaps: int = 0
    """Of both, those with a gap between samples."""
    failures: tuple[tuple[str, str], ...] = ()
    """Files and objects of the archive that could not be had, and why."""

    def sentence(self) -> str:
        """One line about it."""
        parts = [f"{self.written} waveforms written"]
        parts += [f"{self.already_there} there already"] if self.already_there else []
        parts += [f"{self.with_gaps} with gaps"] if self.with_gaps else []
        parts += [f"{len(self.failures)} failures"] if self.failures else []
        return ", ".join(parts)


def save_waveforms(
    archive: Archive,
    hits: pd.DataFrame,
    folder: Path,
    *,
    margin_s: float = 0.0,
    components: str | None = None,
) -> SavedWaveforms:
    """Cut the samples of every hit from the archive into ``FOLDER/CHANNEL.TIME.mseed``.

    A hit with a gap gets the samples that there are. A file that is there is never written over: with the
    same bytes it is left alone, with others it is a failure.

    Parameters
    ----------
    hits
        Columns ``channel``, ``start`` and ``end`` (UTC), as :func:`~scaledec.queries.rows.query` and
        :func:`~scaledec.queries.episodes.episodes` give them.
    folder
        Made if it is not there.
    margin_s
        Seconds more before and after each hit.
    components
        Codes of the channels that a sensor (``CI.WBM..HH?``) stands for, such as ``ZNE12``; ``None``: all.

    Raises
    ------
    ConfigError
        If the archive holds no waveforms but spectrograms, or ``margin_s`` is negative.
    ArchiveError
        If the archive cannot be listed.
    StoreError
        If the folder cannot be written.
    """
    if archive.layout == "cube":
        raise ConfigError("archive.layout is cube: it holds spectrograms, there are no waveforms to cut")
    if not margin_s >= 0:
        raise ConfigError(f"margin is {margin_s:g} s; expected at least 0")
    with store_errors(folder, "make"):
        folder.mkdir(parents=True, exist_ok=True)
    saved = SavedWaveforms()
    if not len(hits):
        return saved
    margin_ns = round(margin_s * NANOSECONDS_PER_SECOND)
    rows = hits.assign(channel=hits["channel"].astype(str)).sort_values(["channel", "start"])
    starts_ns, ends_ns = _nanoseconds(rows["start"]) - margin_ns, _nanoseconds(rows["end"]) + margin_ns
    listing = archive.listing(sorted(set(rows["channel"])), int(starts_ns.min()), int(ends_ns.max()))
    cutter, failures = Cutter(archive, listing), dict[str, str]()
    with track("waveforms", total=len(rows), unit="hits") as progress:
        for asked, *span in zip(rows["channel"], starts_ns.tolist(), ends_ns.tolist(), strict=True):
            for channel in _channels(asked, listing.channels, components):
                _save(cutter, channel, (span[0], span[1]), folder, saved, failures)
            progress.advance(failed=len(failures))
    saved.failures = tuple(failures.items())
    return saved


def _nanoseconds(instants: pd.Series[Any]) -> npt.NDArray[np.int64]:
    return instants.to_numpy("datetime64[ns]").astype(np.int64)


def file_name(channel: ChannelId, start_ns: int) -> str:
    """Channel and start (UTC) of a cut.

    Examples
    --------
    >>> file_name(ChannelId.parse("CI.WBM..HHZ"), 1_500_000_000)
    'CI.WBM..HHZ.19700101T000001.500000Z.mseed'
    """
    moment = pd.Timestamp(start_ns)
    return f"{channel}.{moment:%Y%m%dT%H%M%S.%f}Z.mseed"


def _channels(asked: str, known: Sequence[ChannelId], components: str | None) -> Iterator[ChannelId]:
    """The channel itself, or those of the archive that a sensor stands for."""
    if not asked.endswith("?"):
        yield ChannelId.parse(asked)
        return
    for channel in known:
        if channel.matches(asked) and (components is None or channel.channel[-1:] in components):
            yield channel


def _save(
    cutter: Cutter,
    channel: ChannelId,
    span: tuple[int, int],
    folder: Path,
    saved: SavedWaveforms,
    failures: dict[str, str],
) -> None:
    name = file_name(channel, span[0])
    cut = cutter.cut(channel, *span)
    failures.update(cut.unreadable)
    if not cut.n_samples:
        failures[name] = "the archive holds no sample of it that can be read"
        return
    target = folder / name
    with store_errors(target, "write"):
        if not _put_new(target, cut.data):
            if target.read_bytes() != cut.data:
                failures[name] = "a file of this name with other contents is there: choose another folder"
                return
            saved.already_there += 1
        else:
            saved.written += 1
    saved.with_gaps += cut.n_gaps > 0


def _put_new(target: Path, data: bytes) -> bool:
    """Put a whole file where none is; ``False`` if one is there."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(data)
        target.hardlink_to(partial)
    except FileExistsError:
        return False
    finally:
        partial.unlink(missing_ok=True)
    return True
