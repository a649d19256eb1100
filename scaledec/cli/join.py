"""The verbs that hold classes against other knowledge: join-events, join-series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaledec.cli.options import config_argument, load, show_table, verb
from scaledec.cli.query import filter_options, filters_of

if TYPE_CHECKING:
    from scaledec.config import Config
    from scaledec.queries.selection import Filters
    from scaledec.queries.series import How, Measure, SeriesJoin

__all__ = ["COMMANDS"]


@verb("join-events", example="scaledec join-events my.yaml events.xml --since P-2 --until S+30")
@config_argument
@click.argument("catalogue")
@click.option("--since", default="origin", show_default=True, help="Begin of an event's interval.")
@click.option("--until", default="origin+60", show_default=True, help="Its end: 60, origin+60, P+10, S+30.")
@click.option("--velocity-p", type=float, default=None, help="km/s of straight rays instead of TauP's P.")
@click.option("--velocity-s", type=float, default=None, help="km/s of straight rays instead of TauP's S.")
@click.option("--model", default="iasp91", show_default=True, help="Earth model of TauP.")
@click.option("--min-magnitude", type=float, default=None, help="Only events at least so large.")
@click.option("--max-distance-km", type=float, default=None, help="Only stations at most so far away.")
@click.option("--shifts", default=500, show_default=True, help="How often chance is asked.")
@click.option("--seed", default=0, show_default=True, help="Of the random times.")
@filter_options
@click.option("--events", "events_output", default=None, help="A file for the windows of each event.")
@click.option("-o", "--output", default=None, help="A .csv, .parquet or .json file instead of the terminal.")
def join_events(
    config_path: str,
    overrides: Sequence[str],
    catalogue: str,
    velocity_p: float | None,
    velocity_s: float | None,
    events_output: str | None,
    output: str | None,
    since: str,
    until: str,
    model: str,
    min_magnitude: float | None,
    max_distance_km: float | None,
    shifts: int,
    seed: int,
    **filters: Any,
) -> None:
    """Say which classes go with the events of CATALOGUE (QuakeML, CSV or FDSN text).

    A window is with an event if any part of it lies in the event's interval at its station. lift is the
    share of the class's windows that are with events over the share of all windows; chance_low to
    chance_high hold 95 % of the lifts when all events are moved together by a random time.
    """
    from scaledec.queries.events import join_events as join

    velocities = {"P": velocity_p, "S": velocity_s}
    config = load(config_path, overrides)
    found = join(
        config.root,
        catalogue,
        since=since,
        until=until,
        velocities_km_s={phase: speed for phase, speed in velocities.items() if speed is not None},
        model=model,
        min_magnitude=min_magnitude,
        max_distance_km=max_distance_km,
        shifts=shifts,
        seed=seed,
        **filters_of(config, filters),
    )
    n = len(found.events)
    click.echo(f"{n} events in the time of the labels, {found.n_far} of them with no window", err=True)
    if events_output is not None:
        show_table(found.events, events_output, "events")
    show_table(found.classes.round(4) if output is None else found.classes, output, "classes")


@verb("join-series", example="scaledec join-series my.yaml wind.csv --freq 1h --max-lag 2D --figure wind.png")
@config_argument
@click.argument("series")
@click.option("--column", default=None, help="Which column, variable or channel, where there are several.")
@click.option("--at", multiple=True, metavar="DIM=VALUE", help="Where in a grid, e.g. latitude=-78.5.")
@click.option("--freq", default="1h", show_default=True, help="Length of a bin: 10min, 1h, 1D.")
@click.option("--max-lag", default="1D", show_default=True, help="Longest lag that is tried, either way.")
@click.option(
    "--how",
    type=click.Choice(["mean", "max", "min", "rms", "std"]),
    default="mean",
    show_default=True,
    help="Of a bin.",
)
@click.option(
    "--measure",
    type=click.Choice(["auto", "share", "count"]),
    default="auto",
    show_default=True,
    help="Of a class in a bin: its share of labelled windows, or their number.",
)
@filter_options
@click.option("--figure", "figure_output", default=None, help="A .png or .svg file for the figure.")
@click.option("--lags", "lags_output", default=None, help="A file for the correlations at every lag.")
@click.option("--bins", "bins_output", default=None, help="A file for what was correlated, bin by bin.")
@click.option("-o", "--output", default=None, help="A .csv, .parquet or .json file instead of the terminal.")
def join_series(
    config_path: str,
    overrides: Sequence[str],
    series: str,
    column: str | None,
    at: Sequence[str],
    freq: str,
    max_lag: str,
    how: How,
    measure: Measure,
    figure_output: str | None,
    lags_output: str | None,
    bins_output: str | None,
    output: str | None,
    **filters: Any,
) -> None:
    """Say which classes go with a time SERIES (CSV, NetCDF, Zarr, miniSEED): tide, wind, waves, temperature.

    Pearson's and Spearman's correlation per class at lag 0 and at the best lag (positive: the class follows
    the series), with the chance p of a best lag as strong.
    """
    from scaledec.queries.series import join_series as join

    config = load(config_path, overrides)
    asked = filters_of(config, filters)
    found = join(
        config.root,
        series,
        column=column,
        at=dict(map(_place, at)),
        freq=freq,
        max_lag=max_lag,
        how=how,
        measure=measure,
        **asked,
    )
    for table, path in ((found.lags, lags_output), (found.bins.reset_index(), bins_output)):
        if path is not None:
            show_table(table.rename(columns=str), path, "rows")
    if figure_output is not None:
        _draw(found, figure_output, config, asked)
    show_table(found.classes.round(4) if output is None else found.classes, output, "classes")


def _place(text: str) -> tuple[str, float | str]:
    """``latitude=-78.5`` or ``station=A``."""
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r}; expected e.g. latitude=-78.5", param_hint="--at")
    try:
        return name, float(value)
    except ValueError:
        return name, value


def _draw(found: SeriesJoin, path: str, config: Config, asked: Filters) -> None:
    from scaledec.report.gather.view import RunView
    from scaledec.report.series import draw_series

    run = asked["run"]
    assert run is not None, "filters_of names the configuration's run where none is asked for"
    drawn = draw_series(Path(path), found, RunView(config, run).looks.colours)
    click.echo(f"wrote {drawn}", err=True)


COMMANDS = (join_events, join_series)
