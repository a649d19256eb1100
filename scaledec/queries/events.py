"""Which classes go with events: windows that meet an interval after each origin, against all windows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias, Unpack

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from scaledec.archive.event_list import SeismicEvent, read_events
from scaledec.errors import ConfigError
from scaledec.location import Location
from scaledec.numerics.coincidence import (
    Windows,
    adjusted_p_values,
    circular_shift,
    lift,
    two_sided_p,
)
from scaledec.progress import track
from scaledec.queries.arrivals import Arrivals, Bound
from scaledec.queries.scan import Found, scan
from scaledec.queries.selection import Filters, Selection, chosen
from scaledec.queries.source import StoredLabels, has_names, length_ns
from scaledec.store.datasets import open_labels
from scaledec.vocabulary import ChannelId

__all__ = ["EventJoin", "join_events"]

Times: TypeAlias = npt.NDArray[np.int64]
_SHIFTS = 500


@dataclass(frozen=True, slots=True)
class EventJoin:
    """What goes with the events of a catalogue."""

    classes: pd.DataFrame
    """A row a class, see :func:`join_events`."""
    events: pd.DataFrame
    """A row an event: what is known of it, ``windows`` that meet its interval, and how many of each class."""
    n_far: int
    """Events of the time that met no window: outside the distance, or no arrival or data anywhere."""


def join_events(
    root: str,
    catalogue: str,
    *,
    since: str = "origin+0",
    until: str = "origin+60",
    velocities_km_s: Mapping[str, float] | None = None,
    model: str = "iasp91",
    min_magnitude: float | None = None,
    max_distance_km: float | None = None,
    shifts: int = _SHIFTS,
    seed: int = 0,
    catalogue_options: Mapping[str, Any] | None = None,
    **filters: Unpack[Filters],
) -> EventJoin:
    """Hold the classes of windows against the events of a catalogue.

    A window is *with* events if any part of it lies in the interval from ``since`` to ``until`` of an event,
    at its own station. A class's lift is the share of its windows that are with events over the share of
    all windows: 1 is no relation.

    What chance would give is found by moving all events together by a random time, the same at all stations,
    within the time from the first labelled window to the last (what leaves at its end comes in at its
    start). That keeps how events and classes cluster in time; it does not tell an event apart from what
    happens at the same hour of the day.

    Parameters
    ----------
    root
        As in the configuration.
    catalogue, catalogue_options
        QuakeML or a table (CSV, FDSN text) of events, see
        :func:`~scaledec.archive.event_list.read_events`, and what fsspec needs to open it.
    since, until
        Ends of the interval: ``origin+60`` (or ``60``), ``P-2``, ``S+30``. P and S are first arrivals by
        TauP, which need the coordinates of stations and events.
    velocities_km_s
        Straight rays instead, e.g. ``{"P": 6.0, "S": 3.5}``.
    model
        Earth model of TauP.
    min_magnitude, max_distance_km
        Events at least so large, and windows of stations at most so far from the epicentre.
    shifts, seed
        How often chance is asked, and the seed of the times.
    filters
        As in :func:`~scaledec.queries.rows.query`.

    Returns
    -------
    EventJoin
        ``classes`` has label, name (where given), windows, with_events, share (of the class's windows that
        are with events), lift, chance_low and chance_high (between which 95 % of the lifts lie that chance
        gave), p (two-sided) and p_adjusted (Holm's, for as many classes).

    Raises
    ------
    ConfigError
        If no event lies in the time of the labels, or coordinates are needed that are not known.
    ArchiveError
        If the catalogue cannot be read.
    """
    bounds = Bound.parse(since), Bound.parse(until)
    events = read_events(Location(catalogue, catalogue_options or {}))
    source = StoredLabels.open(root, filters.get("run"), filters.get("storage_options"))
    wanted = chosen(source.channels, source.names, filters)
    # Shares are of all windows, whichever classes are asked for.
    asked = range(len(source.names)) if wanted.labels is None else sorted(set(wanted.labels))
    wanted = dataclasses.replace(wanted, labels=None)
    span = _span(source, wanted)
    inside = _events_of(events, span, min_magnitude)
    labels = open_labels(root, source.store.run, filters.get("storage_options"))
    arrivals = Arrivals(
        inside,
        bounds,
        _coordinates(labels),
        velocities_km_s=velocities_km_s or {},
        model=model,
        max_distance_km=max_distance_km,
    )
    moves = np.random.default_rng(seed).integers(0, span[1] - span[0], shifts).tolist()
    n_labels, length = len(source.names), length_ns(source.windows)
    total = np.zeros(n_labels, np.int64)
    met = np.zeros((1 + shifts, n_labels), np.int64)
    of_each = np.zeros((len(inside), n_labels), np.int64)
    pieces = scan(source, wanted, lambda found: found)
    with track("join", total=len(wanted.channels), unit="channels") as progress:
        for channel, start, label in _channels(source, pieces):
            total += np.bincount(label, minlength=n_labels)
            number, begin, end = arrivals.at(channel)
            windows = Windows(start, label, length, n_labels)
            of_each[number] += windows.of_each(begin, end)
            met[0] += windows.within(begin, end)
            for k, move in enumerate(moves):
                met[1 + k] += windows.within(*circular_shift(begin, end, move, span))
            progress.advance()
    return EventJoin(
        _classes(source, asked, total, met),
        _event_table(inside, of_each[:, list(asked)], asked),
        int(np.count_nonzero(of_each.sum(axis=1) == 0)),
    )


def _span(source: StoredLabels, wanted: Selection) -> tuple[int, int]:
    """From the first labelled window to the end of the last: events moved beyond would meet nothing.

    A store may reach far beyond what was recorded, so this is a pass of its own.
    """
    ends = [
        (int(first), int(last))
        for first, last in scan(source, wanted, lambda found: (found.start_ns[0], found.start_ns[-1]))
    ]
    if not ends:
        raise ConfigError(f"no labelled window of run {source.store.run!r} fits")
    return min(first for first, _ in ends), max(last for _, last in ends) + length_ns(source.windows)


def _events_of(
    events: Sequence[SeismicEvent], span: tuple[int, int], min_magnitude: float | None
) -> tuple[SeismicEvent, ...]:
    large = [e for e in events if min_magnitude is None or e.magnitude >= min_magnitude]
    found = tuple(event for event in large if span[0] <= event.time_ns < span[1])
    if not found:
        first, last = (pd.Timestamp(ns).isoformat() for ns in span)
        raise ConfigError(
            f"none of {len(events)} events ({len(large)} large enough) lies in the time of the labels, "
            f"{first} to {last}"
        )
    return found


def _channels(
    source: StoredLabels, pieces: Iterator[Found]
) -> Iterator[tuple[ChannelId, Times, npt.NDArray[np.int16]]]:
    """Start and label of all windows of one channel after another."""
    for index, found in groupby(pieces, key=lambda piece: piece.piece.channel_index):
        parts = list(found)
        start = np.concatenate([part.start_ns for part in parts])
        yield source.channels[index], start, np.concatenate([part.label for part in parts])


def _coordinates(labels: xr.Dataset) -> dict[ChannelId, tuple[float, float]]:
    """Latitude and longitude of each channel; NaN where they are not known."""
    columns = (labels[name].to_numpy().tolist() for name in ("channel", "latitude", "longitude"))
    return {ChannelId.parse(str(name)): (lat, lon) for name, lat, lon in zip(*columns, strict=True)}


def _classes(
    source: StoredLabels, asked: Sequence[int], total: npt.NDArray[np.int64], met: npt.NDArray[np.int64]
) -> pd.DataFrame:
    chosen_labels = list(asked)
    lifts = lift(met, total)
    observed, by_chance = lifts[0], lifts[1:]
    p = [two_sided_p(float(observed[k]), by_chance[:, k]) for k in chosen_labels]
    low, high = _between(by_chance[:, chosen_labels])
    with np.errstate(invalid="ignore"):
        share = met[0] / np.where(total > 0, total, np.nan)
    table = pd.DataFrame(
        {
            "label": chosen_labels,
            "windows": total[chosen_labels],
            "with_events": met[0][chosen_labels],
            "share": share[chosen_labels],
            "lift": observed[chosen_labels],
            "chance_low": low,
            "chance_high": high,
            "p": p,
            "p_adjusted": adjusted_p_values(p),
        }
    )
    if has_names(source.names):
        table.insert(1, "name", [source.names[k] for k in chosen_labels])
    return table


def _between(by_chance: npt.NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """Between which values 95 % lie, for each column; NaN where nothing is known."""
    low, high = [], []
    for column in by_chance.T:
        known = column[np.isfinite(column)]
        ends = np.quantile(known, [0.025, 0.975]) if len(known) else [np.nan, np.nan]
        low.append(float(ends[0]))
        high.append(float(ends[1]))
    return low, high


def _event_table(
    events: Sequence[SeismicEvent], counts: npt.NDArray[np.int64], asked: Sequence[int]
) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "event": [event.id for event in events],
            "time": np.array([event.time_ns for event in events], np.int64).view("datetime64[ns]"),
            **{
                name: [getattr(event, name) for event in events]
                for name in ("latitude", "longitude", "depth_km", "magnitude")
            },
            "windows": counts.sum(axis=1),
        }
    )
    return table.assign(**{f"label_{k}": counts[:, i] for i, k in enumerate(asked)})
