"""Arguments and printing that several verbs share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from pandas import DataFrame

    from scaledec.config import Config
    from scaledec.pipeline.outcome import Outcome

__all__ = ["config_argument", "exit_code_of", "load", "print_outcomes", "show_table", "verb"]

Function = TypeVar("Function", bound=Callable[..., Any])

_MOST_FAILURES_SHOWN = 20


def verb(name: str, *, example: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A command whose help ends with an example."""
    return click.command(name, epilog=f"Example: {example}", no_args_is_help=False)


def config_argument(function: Function) -> Function:
    """The configuration file and its overrides."""
    function = click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="A.B=VALUE",
        help="Override one key of the configuration; may be repeated.",
    )(function)
    return click.argument("config_path", metavar="CONFIG", type=click.Path(dir_okay=False))(function)


def load(config_path: str, overrides: Sequence[str]) -> Config:
    """Read the configuration; imported late, because models take time to load."""
    from scaledec.config import load_config

    return load_config(config_path, overrides)


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """One line a stage on stderr, then what could not be used."""
    for outcome in outcomes:
        click.echo(f"{outcome.stage}: {outcome.message}", err=True)
        for failure in outcome.failures[:_MOST_FAILURES_SHOWN]:
            click.echo(f"  could not use {failure.where}: {failure.reason}", err=True)
        left = len(outcome.failures) + outcome.n_unlisted_failures - _MOST_FAILURES_SHOWN
        if left > 0:
            click.echo(f"  and {left} more: `scaledec status CONFIG --failures` lists them all", err=True)


def exit_code_of(outcomes: Sequence[Outcome]) -> int:
    """0 when every stage did all, else 3."""
    return max((outcome.exit_code for outcome in outcomes), default=0)


def show_table(table: DataFrame, output: str | None, what: str) -> None:
    """Write a table to a file, or its first rows to the terminal."""
    from scaledec.queries.tables import write_table

    if output is not None:
        write_table(table, output)
        click.echo(f"wrote {len(table)} {what} to {output}", err=True)
    else:
        click.echo(table.to_string(index=False, max_rows=40) if len(table) else f"no {what} fit")
