"""What is known of each class: how many, where, how sure, how strong, at which frequency, how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
import pandas as pd

from scaledec.errors import ConfigError, StoreNotFoundError
from scaledec.grid import ImportedGrid
from scaledec.places import Places
from scaledec.queries.distribution import ValueCounts
from scaledec.queries.episodes import closed_runs, joining_ns
from scaledec.queries.sample import ClassSample, window_powers
from scaledec.queries.scan import Found, scan
from scaledec.queries.selection import Filters, Selection, chosen
from scaledec.queries.source import StoredLabels, has_names
from scaledec.store.cubes import open_cube
from scaledec.vocabulary import NANOSECONDS_PER_SECOND

__all__ = ["class_statistics"]

_UNITS = {None: "counts", "displacement": "m", "velocity": "m/s", "acceleration": "m/s2"}
# Steps of confidence that are told apart.
_STEPS = 10_000


def class_statistics(
    root: str,
    *,
    sample: int = 200,
    seed: int = 0,
    max_gap_s: float | None = None,
    min_windows: int = 1,
    **filters: Unpack[Filters],
) -> pd.DataFrame:
    """A row a class; every quantity as its quartiles ``_q25``, ``_median``, ``_q75``.

    Two passes over the labels, piece by piece, and a look at some windows in the cube.

    Parameters
    ----------
    root
        As in the configuration.
    sample
        Windows of each class whose power is read, chosen at random; all of a class that has no more. 0:
        power is not read.
    seed
        Of that choice.
    max_gap_s, min_windows
        Of the episodes between whose starts times are taken; see
        :func:`~scaledec.queries.episodes.episodes`.
    filters
        As in :func:`~scaledec.queries.rows.query`.

    Returns
    -------
    pandas.DataFrame
        ``label``, ``name`` (where given), ``windows``, ``share`` of all windows found, ``stations`` that have
        any; ``confidence`` (to 0.0001); ``sampled`` windows and of them ``amplitude`` (root mean square in
        the cube's band above 0 Hz, in ``amplitude_units``) and ``peak_frequency_hz`` (of the mean power
        above 0 Hz); ``episodes`` and ``interval_s``, from the start of one to that of the next on a
        channel. NaN where there is nothing to tell, also where no cube is there.

    Raises
    ------
    ConfigError
        If ``sample`` or ``min_windows`` is too small, or a filter can fit nothing.

    Examples
    --------
    >>> class_statistics("demo", sample=500, max_gap_s=60)  # doctest: +SKIP
    """
    if sample < 0:
        raise ConfigError(f"sample is {sample}; expected at least 0")
    if min_windows < 1:
        raise ConfigError(f"min_windows is {min_windows}; expected at least 1")
    storage_options = filters.get("storage_options")
    source = StoredLabels.open(root, filters.get("run"), storage_options)
    wanted = chosen(source.channels, source.names, filters)
    n = len(source.names)
    digest = _Digest(source, ClassSample(n, sample, seed, source.windows.n_windows))
    digest.fill(wanted)
    intervals, n_episodes = _intervals(source, wanted, joining_ns(source, max_gap_s), min_windows)
    power = _Power.read(Places.at(root, storage_options), source, digest.sample)
    total = digest.windows.sum()
    columns: dict[str, Any] = {
        "label": np.arange(n, dtype=np.int16),
        **({"name": list(source.names)} if has_names(source.names) else {}),
        "windows": digest.windows,
        "share": digest.windows / max(1, total),
        "stations": digest.stations.sum(axis=1),
        **_quartiles("confidence", [_of_steps(row) for row in digest.confidence]),
        "sampled": [len(own) for own in power.amplitude],
        **_quartiles("amplitude", power.amplitude),
        "amplitude_units": power.units,
        **_quartiles("peak_frequency_hz", power.peak_frequency_hz),
        "episodes": n_episodes,
        **_quartiles("interval_s", intervals),
    }
    table = pd.DataFrame(columns)
    return (
        table if wanted.labels is None else table[table["label"].isin(wanted.labels)].reset_index(drop=True)
    )


class _Digest:
    """What one pass over the labels gathers."""

    def __init__(self, source: StoredLabels, sample: ClassSample) -> None:
        self.source, self.sample = source, sample
        names = sorted({channel.station_key for channel in source.channels})
        self._station = [names.index(channel.station_key) for channel in source.channels]
        n = len(source.names)
        self.windows = np.zeros(n, np.int64)
        self.stations = np.zeros((n, len(names)), bool)
        self.confidence = np.zeros((n, _STEPS + 1), np.int64)

    def fill(self, wanted: Selection) -> None:
        def make(found: Found) -> tuple[int, npt.NDArray[np.int64], Any]:
            step = np.rint(np.clip(found.values["confidence"], 0, 1) * _STEPS).astype(np.int64)
            code = found.label.astype(np.int64) * (_STEPS + 1) + step
            counts = np.bincount(code, minlength=self.confidence.size)
            candidates = self.sample.candidates(found) if self.sample.size else None
            return found.piece.channel_index, counts.reshape(self.confidence.shape), candidates

        for channel_index, counts, candidates in scan(self.source, wanted, make, needs=("confidence",)):
            own = counts.sum(axis=1)
            self.confidence += counts
            self.windows += own
            self.stations[own > 0, self._station[channel_index]] = True
            if candidates is not None:
                self.sample.add(*candidates)


def _of_steps(counts: npt.NDArray[np.int64]) -> ValueCounts:
    steps = np.flatnonzero(counts)
    return ValueCounts(steps / _STEPS, counts[steps])


def _intervals(
    source: StoredLabels, wanted: Selection, joining: int, min_windows: int
) -> tuple[list[ValueCounts], npt.NDArray[np.int64]]:
    """Seconds from the start of an episode to that of the next of its class on its channel."""
    n = len(source.names)
    intervals = [ValueCounts() for _ in range(n)]
    n_episodes = np.zeros(n, np.int64)
    before: dict[int, int] = {}
    here = -1
    for channel_index, runs in closed_runs(source, wanted, joining):
        if channel_index != here:
            here, before = channel_index, {}
        kept = runs.take(runs.windows >= min_windows)
        for k in np.unique(kept.label).tolist():
            starts = kept.first_ns[kept.label == k]
            n_episodes[k] += len(starts)
            with_last = np.append(before[k], starts) if k in before else starts
            intervals[k].add(np.diff(with_last) / NANOSECONDS_PER_SECOND)
            before[k] = int(starts[-1])
    return intervals, n_episodes


@dataclass(slots=True)
class _Power:
    """Of each class, what the power of the sampled windows says."""

    units: str
    amplitude: list[ValueCounts] = field(default_factory=list)
    peak_frequency_hz: list[ValueCounts] = field(default_factory=list)

    @classmethod
    def read(cls, places: Places, source: StoredLabels, sample: ClassSample) -> _Power:
        n = len(source.names)
        power = cls("", [ValueCounts() for _ in range(n)], [ValueCounts() for _ in range(n)])
        if not len(sample.rows):
            return power
        try:
            cube = open_cube(places.cube)
        except StoreNotFoundError:
            return power
        imported = isinstance(cube.grid, ImportedGrid)
        power.units = "root of imported power x Hz" if imported else _UNITS[cube.template.quantity]
        for found in window_powers(places, source.store, sample.rows):
            for k in np.unique(found.label).tolist():
                own = found.label == k
                power.amplitude[k].add(found.amplitude[own])
                power.peak_frequency_hz[k].add(found.peak_frequency_hz[own])
        return power


def _quartiles(name: str, values: Sequence[ValueCounts]) -> dict[str, list[float]]:
    three = zip(*(own.quartiles() for own in values), strict=True)
    return {f"{name}_{which}": list(own) for which, own in zip(("q25", "median", "q75"), three, strict=True)}
