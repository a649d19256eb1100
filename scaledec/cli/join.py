"""The verbs that hold classes against other knowledge: join-events, join-series."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from scaledec.cli.options import config_argument, load, show_table, verb

__all__ = ["COMMANDS"]

Function = TypeVar("Function", bound=Callable[..., Any])


def _filters(function: Function) -> Function:
    """Which windows are meant."""
    for option in (
        click.option("--min-confidence", type=float, default=None, help="Only windows at least this sure."),
        click.option("--end", default=None, help="Windows that start before this time (UTC)."),
        click.option("--start", default=None, help="Windows that start at or after this time (UTC)."),
        click.option("--label", multiple=True, help="Only this label or name; may be repeated."),
        click.option("--channel", default=None, help="Glob over NET.STA.LOC.CHA."),
        click.option("--run", default=None, help="Name of the run; the configuration's by default."),
    ):
        function = option(function)
    return function


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
@_filters
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
    **options: Any,
) -> None:
    """Say which classes go with the events of CATALOGUE (QuakeML, CSV or FDSN text).

    A window is with an event if any part of it lies in the event's interval at its station. lift is the
    share of the class's windows that are with events over the share of all windows; chance_low to
    chance_high hold 95 % of the lifts when all events are moved together by a random time.
    """
    from scaledec.queries.events import join_events as join

    velocities = {"P": velocity_p, "S": velocity_s}
    found = join(
        **_asked(config_path, overrides, options),
        catalogue=catalogue,
        velocities_km_s={phase: speed for phase, speed in velocities.items() if speed is not None},
    )
    n = len(found.events)
    click.echo(f"{n} events in the time of the labels, {found.n_far} of them with no window", err=True)
    if events_output is not None:
        show_table(found.events, events_output, "events")
    show_table(found.classes.round(4) if output is None else found.classes, output, "classes")


def _asked(config_path: str, overrides: Sequence[str], options: dict[str, Any]) -> dict[str, Any]:
    """What a join takes, with the root and run of the configuration."""
    from scaledec import config as configuration

    config = load(config_path, overrides)
    return {
        **options,
        "root": config.root,
        "storage_options": config.storage_options,
        "label": list(options["label"]) or None,
        "run": options["run"] or configuration.run_name(config),
    }


COMMANDS = (join_events,)
