"""The verb that finds windows like another one, or like a cluster's centre."""

from __future__ import annotations

from collections.abc import Sequence

import click

from scaledec.cli.options import config_argument, load, show_table, verb

__all__ = ["COMMANDS"]


@verb(
    "similar",
    example="scaledec similar my.yaml --like CM.BAR2.00.HHZ@2020-02-04T05:12:30 --limit 50 -o like.csv",
)
@config_argument
@click.option("--nearest-to", metavar="CLUSTER", default=None, help="Nearest to this cluster's centroid.")
@click.option(
    "--like", metavar="CHANNEL@TIME", default=None, help="Nearest to the window that holds this time."
)
@click.option("--limit", type=int, default=20, show_default=True, help="So many windows.")
@click.option(
    "--apart-s",
    type=click.FloatRange(min=0),
    default=0.0,
    help="With --like: leave out windows of its channel that start within so many seconds of it.",
)
@click.option("--run", "run_name", default=None, help="Name of the run; the configuration's by default.")
@click.option("--channel", default=None, help="Look in channels of this glob over NET.STA.LOC.CHA.")
@click.option("--start", default=None, help="Look in windows that start at or after this time (UTC).")
@click.option("--end", default=None, help="Look in windows that start before this time (UTC).")
@click.option("-o", "--output", default=None, help="A .csv, .parquet, .json or .jsonl file.")
def similar(
    config_path: str,
    overrides: Sequence[str],
    nearest_to: str | None,
    like: str | None,
    limit: int,
    apart_s: float,
    run_name: str | None,
    channel: str | None,
    start: str | None,
    end: str | None,
    output: str | None,
) -> None:
    """Find the windows nearest to a centroid or to a given window, in the space of embeddings.

    Every embedding of the run is looked at (or those of --channel, --start, --end); nearest first.
    """
    from scaledec import config as configuration
    from scaledec.queries.similar import similar as find

    if (nearest_to is None) == (like is None):
        raise click.UsageError("give either --nearest-to CLUSTER or --like CHANNEL@TIME")
    given, at, moment = (like or "").partition("@")
    if like is not None and not at:
        raise click.BadParameter(f"{like!r}; expected CHANNEL@TIME", param_hint="--like")
    config = load(config_path, overrides)
    found = find(
        config.root,
        nearest_to=nearest_to,
        like=None if like is None else (given, moment),
        limit=limit,
        apart_s=apart_s,
        run=run_name or configuration.run_name(config),
        channel=channel,
        start=start,
        end=end,
        storage_options=config.storage_options,
    )
    show_table(found, output, "windows")


COMMANDS = (similar,)
