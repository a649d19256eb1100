"""The verb sql: questions over the catalog of labels."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from scaledec.cli.options import config_argument, load, verb

__all__ = ["COMMANDS"]

_SHOWN = 1000


@verb("sql", example="scaledec sql my.yaml 'select name, count(*) n from labels group by 1 order by 2 desc'")
@config_argument
@click.argument("query", required=False)
@click.option("--run", "run_name", default=None, help="Name of the run; the configuration's by default.")
@click.option("--memory", default="2GB", show_default=True, help="Most memory; beyond it works on disk.")
@click.option(
    "-o", "--output", default=None, help="A .csv, .parquet, .json or .jsonl file instead of the terminal."
)
def sql(
    config_path: str,
    overrides: Sequence[str],
    query: str | None,
    run_name: str | None,
    memory: str,
    output: str | None,
) -> None:
    """Ask the labels in SQL (DuckDB's): the views labels, clusters, stations and channels.

    labels has a row for each labelled window: network, station, location, channel, start, "end", label,
    name, confidence, distance, outlier, year, month. "RUN".labels is that of another run. A condition on
    network, year and month reads only their files. Without a query it is read from stdin.
    """
    from scaledec import config as configuration
    from scaledec.queries.sql import SqlSession

    config = load(config_path, overrides)
    text = query if query is not None else sys.stdin.read()
    run = run_name or configuration.run_name(config)
    with SqlSession(config.root, run=run, memory=memory, storage_options=config.storage_options) as session:
        if not session.is_current:
            click.echo("labels are newer than the catalog: `scaledec label` brings it up to date", err=True)
        if output is not None:
            click.echo(f"wrote {session.write(text, output)} rows to {output}", err=True)
            return
        table = session.table(text, at_most=_SHOWN + 1)
        shown = table.head(_SHOWN)
        click.echo(shown.to_string(index=False) if len(shown) else "no rows")
        if len(table) > _SHOWN:
            click.echo(f"only the first {_SHOWN} rows; -o FILE writes all", err=True)


COMMANDS = (sql,)
