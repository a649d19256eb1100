"""The verb that says what is known of each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from scaledec.cli.options import config_argument, load, show_table, verb
from scaledec.cli.query import filter_options, filters_of

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["COMMANDS"]


@verb("stats", example="scaledec stats my.yaml --min-confidence 0.8 --max-gap 60 -o classes.csv")
@config_argument
@filter_options
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    help="Windows of each class whose power is read, chosen at random; 0: none.",
)
@click.option("--seed", default=0, show_default=True, help="Of that choice.")
@click.option("--max-gap", type=float, metavar="S", default=None, help="Of an episode, in seconds; 0: none.")
@click.option("--min-windows", type=click.IntRange(min=1), metavar="N", default=1, help="Of an episode.")
@click.option("-o", "--output", default=None, help="A .csv, .parquet, .json or .jsonl file: a row a class.")
def stats(
    config_path: str,
    overrides: Sequence[str],
    sample: int,
    seed: int,
    max_gap: float | None,
    min_windows: int,
    output: str | None,
    **given: Any,
) -> None:
    """Say of each class how many windows it has, how sure, how strong, at which frequency, how often.

    Amplitude (root mean square in the cube's band) and peak frequency are those of a sample of windows;
    intervals are from the start of an episode to that of the next on a channel. Counts by station, hour,
    season and so on: scaledec query --count-by.
    """
    from scaledec.queries.statistics import class_statistics

    config = load(config_path, overrides)
    found = class_statistics(
        config.root,
        sample=sample,
        seed=seed,
        max_gap_s=max_gap,
        min_windows=min_windows,
        **filters_of(config, given),
    )
    click.echo(f"power of {found['sampled'].sum()} windows, at most {sample} a class, seed {seed}", err=True)
    if sample and found["windows"].sum() and not found["sampled"].sum():
        click.echo("no cube is there: nothing is known of amplitude and frequency", err=True)
    if output is not None:
        show_table(found, output, "classes")
    else:
        click.echo(_upright(found))


def _upright(table: DataFrame) -> str:
    """A column a class: there are more quantities than classes."""
    text = table.map(lambda value: f"{value:.4g}" if isinstance(value, float) else str(value))
    return text.T.to_string(header=False)


COMMANDS = (stats,)
